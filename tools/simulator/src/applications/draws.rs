//! What a seed draws for its applications, from a source of chance of their own: a seed draws
//! the rest as it did before there were any.

use crate::random::Random;

/// Largest age of what a near cache answers.
const CACHE_AGE_NS_MAX: u64 = 1_000_000_000;

/// Longest time of a call.
pub const CALL_NS_MAX: u64 = 2_000_000_000;

/// What an application does.
#[derive(Clone, Debug)]
pub struct ApplicationConfig {
    /// Largest age of what its near cache answers, if it has one.
    pub cache_age_ns: Option<u64>,
    /// Whether it does nothing between its calls, not even read.
    pub is_driven: bool,
    /// Whether it waits for its sessions to open before it calls.
    pub connects: bool,
    /// Bursts of calls that it makes while the streams run.
    pub bursts: u64,
    /// Whether its first burst has more calls than may wait for room.
    pub floods: bool,
    /// Of a million calls that end, so many are followed by one for the same record.
    pub followed_per_million: u32,
    /// Of so many bursts one is followed by the end of its sessions, and new ones; 0 for none.
    pub reopens_one_in: u64,
    /// It calls for records below this.
    pub records: u64,
    /// Of a hundred calls so many are PUTs.
    pub puts_pct: u64,
    /// Whether each call has time enough to be answered in calm.
    pub is_patient: bool,
    /// Times that a server starts again, empty, for its sake.
    pub restarts: u64,
    /// Times that it stops for a while.
    pub pauses: u64,
    /// Times that it and a server do not reach each other for a while.
    pub cuts: u64,
    /// Times that its clock jumps ahead.
    pub clock_jumps: u64,
}

impl ApplicationConfig {
    /// The applications of a world; half of all worlds have none. `calm`: nothing goes wrong.
    pub fn draw_all(
        random: &mut Random,
        records: u64,
        round_trip_ns: u64,
        calm: bool,
    ) -> Vec<Self> {
        let count = if random.below(2) == 0 { 0 } else { random.between(1, 3) };
        (0..count).map(|_| Self::draw(random, records, round_trip_ns, calm)).collect()
    }

    fn draw(random: &mut Random, records: u64, round_trip_ns: u64, calm: bool) -> Self {
        let mut times = |often: u64| if calm { 0 } else { random.below(3) * random.below(often) };
        let (pauses, cuts, clock_jumps, restarts) = (times(3), times(3), times(3), times(3));
        let is_driven = random.below(3) == 0;
        let connects = is_driven || random.below(2) == 0;
        let one_in = |of: &[u64], random: &mut Random| if calm { 0 } else { random.pick(of) };
        Self {
            cache_age_ns: match random.below(4) {
                0 => None,
                // Some are over while an answer is on its way, and others outlive a server.
                1 => Some(random.magnitude(round_trip_ns, 8 * round_trip_ns)),
                _ => Some(random.magnitude(20 * round_trip_ns, CACHE_AGE_NS_MAX)),
            },
            is_driven,
            connects,
            bursts: random.magnitude(4, 60),
            floods: !calm && random.below(100) == 0,
            followed_per_million: random.pick(&[0, 500_000, 800_000]),
            reopens_one_in: one_in(&[0, 10, 40], random),
            records: random.between(1, records.min(20)),
            puts_pct: random.pick(&[0, 5, 5, 50]),
            is_patient: calm || random.below(4) == 0,
            restarts,
            pauses,
            cuts,
            clock_jumps,
        }
    }
}
