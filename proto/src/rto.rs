//! The retransmission time from measured round trips (RFC 6298, with a floor above a scheduler's time slice).

use crate::limits::{BACKOFF_SHIFT_MAX, RTO_INITIAL_NS, RTO_NS_MAX, RTO_NS_MIN};

/// Estimator of one session.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rto {
    smoothed_ns: u64,
    variation_ns: u64,
    /// Doublings that hold until the next sample.
    backoff: u32,
}

impl Rto {
    /// Takes a round trip, from a known sending to its answer (Karn's rule: from which one
    /// must be certain; replies tell by their `attempt`).
    pub fn sample(&mut self, round_trip_ns: u64) {
        self.backoff = 0;
        if self.smoothed_ns == 0 {
            self.smoothed_ns = round_trip_ns.max(1);
            self.variation_ns = round_trip_ns / 2;
            return;
        }
        let error_ns = self.smoothed_ns.abs_diff(round_trip_ns);
        self.variation_ns = (3 * self.variation_ns + error_ns) / 4;
        self.smoothed_ns = ((7 * self.smoothed_ns + round_trip_ns) / 8).max(1);
    }

    /// Something was not answered in time. Until there is a sample, every request waits twice
    /// as long: if round trips have grown beyond the retransmission time, nothing that is
    /// sent exactly once would be answered before it is sent again, and so nothing be learnt.
    pub fn back_off(&mut self) {
        self.backoff = (self.backoff + 1).min(BACKOFF_SHIFT_MAX);
    }

    /// How long to wait for the answer of a request that was sent again `attempts` times.
    #[must_use]
    pub fn timeout_ns(&self, attempts: u32) -> u64 {
        let doublings = attempts.max(self.backoff).min(BACKOFF_SHIFT_MAX);
        (self.base_ns() << doublings).min(RTO_NS_MAX)
    }

    /// The retransmission time without any backoff.
    #[must_use]
    pub fn base_ns(&self) -> u64 {
        if self.smoothed_ns == 0 {
            return RTO_INITIAL_NS;
        }
        (self.smoothed_ns + 4 * self.variation_ns).clamp(RTO_NS_MIN, RTO_NS_MAX)
    }

    /// The smoothed round trip; zero before the first sample.
    #[must_use]
    pub const fn smoothed_ns(&self) -> u64 {
        self.smoothed_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_a_sample_the_initial_time_holds() {
        assert_eq!(Rto::default().timeout_ns(0), RTO_INITIAL_NS);
    }

    #[test]
    fn the_first_sample_sets_mean_and_half_of_it_as_variation() {
        let mut rto = Rto::default();
        rto.sample(20_000_000);
        assert_eq!(rto.timeout_ns(0), 20_000_000 + 4 * 10_000_000);
    }

    #[test]
    fn steady_samples_converge_to_the_floor_above_the_round_trip() {
        let mut rto = Rto::default();
        for _ in 0..200 {
            rto.sample(100_000);
        }
        assert_eq!(rto.timeout_ns(0), RTO_NS_MIN);
    }

    #[test]
    fn each_attempt_doubles_the_time_up_to_the_ceiling() {
        let mut rto = Rto::default();
        rto.sample(RTO_NS_MIN);
        assert_eq!(rto.timeout_ns(1), 2 * rto.timeout_ns(0));
        assert_eq!(rto.timeout_ns(2), 4 * rto.timeout_ns(0));
        assert_eq!(rto.timeout_ns(60), RTO_NS_MAX);
    }

    #[test]
    fn a_loss_doubles_the_time_of_all_until_a_sample() {
        let mut rto = Rto::default();
        rto.sample(RTO_NS_MIN);
        let before_ns = rto.timeout_ns(0);
        rto.back_off();
        assert_eq!(rto.timeout_ns(0), 2 * before_ns);
        assert_eq!(rto.timeout_ns(2), 4 * before_ns, "the larger of both counts");
        rto.sample(RTO_NS_MIN);
        assert!(rto.timeout_ns(0) < before_ns);
    }
}
