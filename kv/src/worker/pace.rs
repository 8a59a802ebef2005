//! What a worker's time goes to.
//!
//! No clock is read for it that is not read anyway: the core loop reads one in each round, after
//! it has received, and one more when a round without work and the rest after it are over. A
//! round's time is what passes from one to the next.

use super::histogram::Histogram;

proto::counters! {
    /// What a worker's time goes to.
    TimeCounters {
        /// Rounds of the core loop in which something came or went.
        rounds_worked,
        /// Nanoseconds that those rounds took: the time that the worker used its core for.
        busy_ns,
        /// Request datagrams that were timed, a few out of a thousand.
        requests_timed,
        /// Nanoseconds that it took to check, execute and answer them.
        requests_timed_ns,
        /// GETs in them.
        gets_timed,
        /// Nanoseconds that the table took for those GETs, and that it took to pack their answers.
        gets_timed_ns,
        /// PUTs in them.
        puts_timed,
        /// Nanoseconds that the table took for those PUTs.
        puts_timed_ns,
    }
}

/// Nanoseconds, from a microsecond to 33 ms.
pub(super) type RoundTimes = Histogram<10, 17>;

/// Tells time that was worked from time that was not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Until when all time is told of; 0 before the first round.
    since_ns: u64,
    /// Whether the round before worked.
    has_worked: bool,
}

impl Pace {
    /// A round has received at `now_ns`, and worked or not. Returns the time of the round before
    /// it, if that worked.
    #[inline]
    pub(super) fn round(&mut self, now_ns: u64, works: bool) -> Option<u64> {
        // A round that begins after a rest has its own receiving in its time, too.
        let spent_ns = self.has_worked.then(|| now_ns.saturating_sub(self.since_ns));
        if self.has_worked || self.since_ns == 0 {
            self.since_ns = now_ns;
        }
        self.has_worked = works;
        spent_ns
    }

    /// A round without work is over at `now_ns`, and the rest after it.
    #[inline]
    pub(super) fn rested(&mut self, now_ns: u64) {
        self.since_ns = now_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_busy_from_the_end_of_a_rest_until_a_round_brings_nothing() {
        let mut pace = Pace::default();
        assert_eq!(pace.round(1_000, false), None);
        pace.rested(1_100);
        assert_eq!(pace.round(1_150, true), None, "it is not over yet");
        assert_eq!(pace.round(1_400, true), Some(300), "with its receiving");
        assert_eq!(pace.round(1_600, false), Some(200));
        pace.rested(9_000);
        assert_eq!(pace.round(9_100, false), None, "rest and empty looks are not worked");
    }

    #[test]
    fn the_first_round_does_not_begin_with_the_clock() {
        let mut pace = Pace::default();
        assert_eq!(pace.round(1 << 40, true), None);
        assert_eq!(pace.round((1 << 40) + 5, false), Some(5));
    }
}
