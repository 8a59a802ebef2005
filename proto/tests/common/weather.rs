//! A network that loses, repeats, delays and damages datagrams.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::random::Random;

/// How bad the network is; chances are in percent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) drop: u64,
    pub(crate) duplicate: u64,
    pub(crate) corrupt: u64,
    pub(crate) truncate: u64,
    /// Of a delay so long that what arrives belongs to the past.
    pub(crate) late: u64,
    pub(crate) delay_ns: u64,
    /// Two datagrams change places if this is longer than the time between them.
    pub(crate) jitter_ns: u64,
}

/// The longest delay of what comes late.
const LATE_NS_MAX: u64 = 90_000_000_000;

impl Weather {
    pub(crate) const CALM: Self = Self {
        drop: 0,
        duplicate: 0,
        corrupt: 0,
        truncate: 0,
        late: 0,
        delay_ns: 100_000,
        jitter_ns: 0,
    };

    pub(crate) fn draw(random: &mut Random) -> Self {
        Self {
            drop: random.one_of(&[0, 0, 1, 5, 20, 60]),
            duplicate: random.one_of(&[0, 0, 1, 10, 50]),
            corrupt: random.one_of(&[0, 0, 1, 10]),
            truncate: random.one_of(&[0, 0, 1, 10]),
            late: random.one_of(&[0, 0, 1, 10]),
            delay_ns: random.one_of(&[1_000, 100_000, 5_000_000]),
            jitter_ns: random.one_of(&[0, 10_000, 1_000_000, 50_000_000]),
        }
    }

    /// Whether no session may be lost in it.
    pub(crate) fn is_mild(&self) -> bool {
        self.drop + self.corrupt + self.truncate + self.late <= 2
    }
}

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// The client that is the so-manieth: a later one does not get what was for an earlier.
    Client(u32),
    Server,
}

type Due = Reverse<(u64, u64, Side, Vec<u8>)>;

#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) weather: Weather,
    under_way: BinaryHeap<Due>,
    sent: u64,
}

impl Network {
    pub(crate) fn new(weather: Weather) -> Self {
        Self { weather, under_way: BinaryHeap::new(), sent: 0 }
    }

    pub(crate) fn send(&mut self, random: &mut Random, now_ns: u64, to: Side, datagram: &[u8]) {
        let copies = if random.happens(self.weather.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            if random.happens(self.weather.drop) {
                continue;
            }
            let mut delay_ns = self.weather.delay_ns + random.below(self.weather.jitter_ns + 1);
            if random.happens(self.weather.late) {
                delay_ns += random.below(LATE_NS_MAX);
            }
            let bytes = self.damage(random, datagram);
            self.sent += 1; // What is due at the same time stays in its order.
            self.under_way.push(Reverse((now_ns + delay_ns, self.sent, to, bytes)));
        }
    }

    fn damage(&self, random: &mut Random, datagram: &[u8]) -> Vec<u8> {
        let mut bytes = datagram.to_vec();
        if random.happens(self.weather.corrupt) {
            let at = random.index(bytes.len());
            bytes[at] ^= 1 + random.below(255) as u8;
        }
        if random.happens(self.weather.truncate) {
            bytes.truncate(random.index(bytes.len()));
        }
        bytes
    }

    /// When the next datagram arrives.
    pub(crate) fn due_ns(&self) -> Option<u64> {
        self.under_way.peek().map(|Reverse((due_ns, ..))| *due_ns)
    }

    /// A datagram that has arrived by now.
    pub(crate) fn arrived(&mut self, now_ns: u64) -> Option<(Side, Vec<u8>)> {
        self.due_ns().filter(|&due_ns| due_ns <= now_ns)?;
        self.under_way.pop().map(|Reverse((_, _, side, bytes))| (side, bytes))
    }
}
