//! The network between the machines: it loses, repeats, delays, changes and cuts datagrams.

use std::net::{IpAddr, SocketAddr};

use crate::config::{Config, Weather};
use crate::random::Random;
use crate::trace::Fate;

/// Datagrams go out no faster than this: no machine acts in no time.
const DELAY_NS_MIN: u64 = 1_000;

/// A copy of a datagram that will arrive.
#[derive(Clone, Debug)]
pub struct Copy {
    /// After so long.
    pub delay_ns: u64,
    /// With these bytes.
    pub bytes: Vec<u8>,
    /// Whether these are others than were sent.
    pub is_damaged: bool,
}

/// A link that carries nothing in one direction.
#[derive(Clone, Copy, Debug)]
struct Cut {
    from: IpAddr,
    to: IpAddr,
    until_ns: u64,
}

/// All links.
#[derive(Debug, Default)]
pub struct Network {
    cuts: Vec<Cut>,
    /// Nothing goes wrong any more.
    is_healed: bool,
    /// The weather has begun.
    has_weather: bool,
}

impl Network {
    /// Lets the weather begin.
    pub fn begin_weather(&mut self) {
        self.has_weather = true;
    }

    /// Ends everything bad.
    pub fn heal(&mut self) {
        self.is_healed = true;
        self.cuts.clear();
    }

    /// Carries nothing from here to there for a while.
    pub fn cut(&mut self, from: IpAddr, to: IpAddr, until_ns: u64) {
        self.cuts.push(Cut { from, to, until_ns });
    }

    /// What becomes of a datagram of one whom nothing befalls.
    #[must_use]
    pub fn carry_for_strangers(&self, bytes: &[u8]) -> (Fate, Vec<Copy>) {
        let copy = Copy { delay_ns: DELAY_NS_MIN, bytes: bytes.to_vec(), is_damaged: false };
        (Fate { good: 1, damaged: 0 }, vec![copy])
    }

    /// What becomes of a datagram.
    pub fn carry(
        &self,
        now_ns: u64,
        random: &mut Random,
        config: &Config,
        (from, to): (SocketAddr, SocketAddr),
        to_server: bool,
        bytes: &[u8],
    ) -> (Fate, Vec<Copy>) {
        let mut copies = Vec::new();
        let is_cut = (self.cuts.iter())
            .any(|cut| (cut.from, cut.to) == (from.ip(), to.ip()) && now_ns < cut.until_ns);
        let weather = match (self.has_weather && !self.is_healed, to_server) {
            (false, _) => Weather::default(),
            (true, true) => config.weather[0],
            (true, false) => config.weather[1],
        };
        if !is_cut {
            let count = if random.happens(weather.duplicate) { 2 } else { 1 };
            for _ in 0..count {
                if !random.happens(weather.drop) {
                    copies.push(copy(random, config, &weather, bytes));
                }
            }
        }
        let damaged = copies.iter().filter(|copy| copy.is_damaged).count() as u8;
        (Fate { good: copies.len() as u8 - damaged, damaged }, copies)
    }
}

fn copy(random: &mut Random, config: &Config, weather: &Weather, bytes: &[u8]) -> Copy {
    let jitter_ns = if config.jitter_ns > 0 { random.below(config.jitter_ns) } else { 0 };
    let mut delay_ns = (config.delay_ns + jitter_ns).max(DELAY_NS_MIN);
    if random.happens(weather.late) {
        delay_ns += random.below(config.late_ns);
    }
    let mut bytes = bytes.to_vec();
    let mut is_damaged = false;
    if random.happens(weather.corrupt) && !bytes.is_empty() {
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] ^= random.between(1, 255) as u8;
        is_damaged = true;
    }
    if random.happens(weather.truncate) && !bytes.is_empty() {
        bytes.truncate(random.below(bytes.len() as u64) as usize);
        is_damaged = true;
    }
    Copy { delay_ns, bytes, is_damaged }
}
