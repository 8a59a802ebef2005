//! Which samples count: those taken while every generator measured.

use anyhow::bail;
use host::report::{ClientReport, ClientSample, ServerSample};

/// The measured window, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MeasuredWindow {
    pub(super) start_ms: u64,
    pub(super) end_ms: u64,
}

/// The time that all generators' measured windows have in common.
pub(super) fn measured<'a>(
    reports: impl Iterator<Item = &'a ClientReport> + Clone,
) -> anyhow::Result<MeasuredWindow> {
    let start_ms = reports.clone().map(|report| report.run_start_ms).max().unwrap_or(0);
    let end_ms = reports.map(|report| report.run_end_ms).min().unwrap_or(0);
    if start_ms >= end_ms {
        bail!(
            "the clients never measured at the same time: the last began at {start_ms} ms, the first ended at {end_ms} ms"
        );
    }
    Ok(MeasuredWindow { start_ms, end_ms })
}

/// A rate over an interval.
pub(super) trait IntervalRate {
    /// Start and end, in milliseconds since the Unix epoch.
    fn bounds_ms(&self) -> (f64, f64);
}

impl IntervalRate for ServerSample {
    fn bounds_ms(&self) -> (f64, f64) {
        (self.time_ms as f64 - self.interval_ms, self.time_ms as f64)
    }
}

impl IntervalRate for ClientSample {
    fn bounds_ms(&self) -> (f64, f64) {
        (self.time_ms as f64 - self.interval_ms, self.time_ms as f64)
    }
}

/// The samples that a window selects.
#[derive(Debug)]
pub(super) struct Selection<'a, T> {
    pub(super) samples: Vec<&'a T>,
    /// None lies wholly inside the window, so these only overlap it.
    pub(super) overlap_only: bool,
}

impl MeasuredWindow {
    pub(super) fn secs(&self) -> f64 {
        (self.end_ms - self.start_ms) as f64 / 1000.0
    }

    /// Samples wholly inside the window; if there are none, all that overlap it.
    pub(super) fn select<'a, T: IntervalRate>(&self, samples: &'a [T]) -> Selection<'a, T> {
        let (window_start, window_end) = (self.start_ms as f64, self.end_ms as f64);
        let chosen = |keep: &dyn Fn(f64, f64) -> bool| -> Vec<&'a T> {
            let kept = samples.iter().filter(|sample| {
                let (start, end) = sample.bounds_ms();
                keep(start, end)
            });
            kept.collect()
        };
        let inside = chosen(&|start, end| start >= window_start && end <= window_end);
        if !inside.is_empty() {
            return Selection { samples: inside, overlap_only: false };
        }
        let overlapping = chosen(&|start, end| start < window_end && end > window_start);
        Selection { overlap_only: !overlapping.is_empty(), samples: overlapping }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(run_start_ms: u64, run_end_ms: u64) -> ClientReport {
        ClientReport { run_start_ms, run_end_ms, ..ClientReport::default() }
    }

    fn sample(time_ms: u64) -> ServerSample {
        ServerSample { time_ms, interval_ms: 1000.0, ..ServerSample::default() }
    }

    fn times(selection: &Selection<'_, ServerSample>) -> Vec<u64> {
        selection.samples.iter().map(|sample| sample.time_ms).collect()
    }

    #[test]
    fn the_window_is_what_all_clients_have_in_common() {
        let reports = [report(1000, 9000), report(2000, 10_000), report(1500, 8000)];
        let window = measured(reports.iter()).unwrap();
        assert_eq!(window, MeasuredWindow { start_ms: 2000, end_ms: 8000 });
        assert_eq!(window.secs(), 6.0);
    }

    #[test]
    fn clients_that_never_measured_together_have_no_window() {
        assert!(measured([report(0, 1000), report(1000, 2000)].iter()).is_err());
        assert!(measured([].iter()).is_err());
    }

    #[test]
    fn samples_count_that_lie_wholly_inside() {
        let window = MeasuredWindow { start_ms: 2000, end_ms: 5000 };
        let samples: Vec<_> = [1000, 2500, 3000, 4000, 5000, 5001].map(sample).into();
        let selection = window.select(&samples);
        assert_eq!(times(&selection), [3000, 4000, 5000]);
        assert!(!selection.overlap_only);
    }

    #[test]
    fn a_window_shorter_than_a_sample_takes_what_overlaps() {
        let window = MeasuredWindow { start_ms: 2100, end_ms: 2600 };
        let samples: Vec<_> = [1000, 2000, 2500, 3000, 4000].map(sample).into();
        let selection = window.select(&samples);
        assert_eq!(times(&selection), [2500, 3000]);
        assert!(selection.overlap_only);
    }

    #[test]
    fn samples_of_another_time_do_not_count() {
        let window = MeasuredWindow { start_ms: 2000, end_ms: 3000 };
        let samples = [sample(1000), sample(2000), sample(4000)];
        let selection = window.select(&samples);
        assert!(selection.samples.is_empty());
        assert!(!selection.overlap_only);
    }
}
