//! Why the servers' total is not what the clients were answered.

use host::report::{ClientSample, ServerSample};

/// A smaller difference is not told.
const TOLERANCE: f64 = 0.02;

/// What the servers executed and the clients were answered, in operations a second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Difference {
    /// Sum of the servers' medians.
    pub(super) total: f64,
    /// Sum of the servers' means over the same samples.
    pub(super) mean: f64,
    /// Sum of what the clients were answered.
    pub(super) answered: f64,
    /// GETs that the clients asked again in another datagram: servers execute and count them
    /// as any other.
    pub(super) asked_again: f64,
}

impl Difference {
    /// A note that accounts for the difference; none if it is small.
    pub(super) fn note(&self) -> Option<String> {
        let Self { total, mean, answered, asked_again } = *self;
        if (total - answered).abs() <= answered * TOLERANCE {
            return None;
        }
        let pct = if answered > 0.0 { (total / answered - 1.0) * 100.0 } else { 100.0 };
        Some(format!(
            "the clients got {answered:.0} op/s answered, and the total of what the servers \
             executed is {total:.0} op/s ({pct:+.1} %). Of the difference, {asked_again:+.0} op/s \
             are GETs that were asked again and executed again; {:+.0} because the total adds \
             up medians, where the servers' means are {mean:.0}; {:+.0} were executed outside of \
             the clients' measured time, or never answered",
            total - mean,
            mean - answered - asked_again,
        ))
    }
}

/// The mean rate of a server over its samples.
pub(super) fn mean(samples: &[&ServerSample]) -> f64 {
    let ms: f64 = samples.iter().map(|sample| sample.interval_ms).sum();
    let ops: f64 = samples.iter().map(|sample| sample.ops_per_s * sample.interval_ms).sum();
    if ms > 0.0 { ops / ms } else { 0.0 }
}

/// GETs that a client asked again, a second, between its first sample and its last.
pub(super) fn asked_again(samples: &[&ClientSample]) -> f64 {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return 0.0 };
    let ms = last.time_ms.saturating_sub(first.time_ms);
    let gets = last.gets_asked_again.saturating_sub(first.gets_asked_again);
    if ms > 0 { gets as f64 * 1e3 / ms as f64 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_accounted_for_to_the_last_operation() {
        let difference =
            Difference { total: 220.0, mean: 215.0, answered: 200.0, asked_again: 12.0 };
        let note = difference.note().unwrap();
        for part in
            ["got 200 op/s", "is 220 op/s (+10.0 %)", "+12 op/s are GETs", "+5 because", "+3 were"]
        {
            assert!(note.contains(part), "{part} is not in: {note}");
        }
    }

    #[test]
    fn more_answers_than_executions_are_a_difference_too() {
        let difference = Difference { total: 90.0, mean: 100.0, answered: 100.0, asked_again: 0.0 };
        let note = difference.note().unwrap();
        assert!(note.contains("-10.0 %") && note.contains("-10 because"), "{note}");
    }

    #[test]
    fn two_percent_are_not_noted() {
        for total in [98.0, 100.0, 102.0] {
            let difference = Difference { total, mean: total, answered: 100.0, asked_again: 0.0 };
            assert_eq!(difference.note(), None);
        }
        assert_eq!(Difference::default().note(), None);
    }

    #[test]
    fn rates_are_over_the_time_between_samples() {
        let sample = |time_ms, gets_asked_again| ClientSample {
            time_ms,
            gets_asked_again,
            ..ClientSample::default()
        };
        let samples = [sample(1000, 5), sample(2000, 7), sample(3000, 25)];
        assert_eq!(asked_again(&samples.iter().collect::<Vec<_>>()), 10.0);
        assert_eq!(asked_again(&[&samples[0]]), 0.0);
        assert_eq!(asked_again(&[]), 0.0);

        let sample = |interval_ms, ops_per_s| ServerSample {
            interval_ms,
            ops_per_s,
            ..ServerSample::default()
        };
        assert_eq!(mean(&[&sample(1000.0, 10.0), &sample(3000.0, 30.0)]), 25.0);
        assert_eq!(mean(&[]), 0.0);
    }
}
