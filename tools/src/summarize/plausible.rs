//! Numbers that a figure can be made of.
//!
//! The files are text that anybody may have edited. With every number in bounds, no sum
//! can overflow, no axis can be endless, and nothing in the report can be NaN.

use host::report::{ClientReport, ClientSample, Latency, ServerSample, Usage};

/// Above any rate, percentage or time that a machine has.
const NUMBER_MAX: f64 = 1e15;
/// In the year 5138.
const TIME_MS_MAX: u64 = 100_000_000_000_000;
/// More than eleven days between two samples.
const INTERVAL_MS_MAX: f64 = 1e9;

/// A record whose numbers can be checked.
pub(super) trait Plausible {
    /// The name of a field that is out of bounds.
    fn implausible(&self) -> Option<&'static str>;
}

type NamedNumber = (&'static str, f64);

fn first_outside<const N: usize>(fields: [NamedNumber; N]) -> Option<&'static str> {
    let outside = fields.into_iter().find(|(_, value)| !(0.0..=NUMBER_MAX).contains(value));
    outside.map(|(name, _)| name)
}

fn interval_outside(time_ms: u64, interval_ms: f64) -> Option<&'static str> {
    if time_ms > TIME_MS_MAX {
        return Some("time_ms");
    }
    let inside = interval_ms > 0.0 && interval_ms <= INTERVAL_MS_MAX;
    (!inside).then_some("interval_ms")
}

fn usage_outside(usage: &Usage) -> Option<&'static str> {
    first_outside([
        ("cpu_pct", usage.cpu_pct),
        ("mem_pct", usage.mem_pct),
        ("node_cpu_pct", usage.node_cpu_pct),
        ("node_mem_pct", usage.node_mem_pct),
        ("node_rx_bytes_per_s", usage.node_rx_bytes_per_s),
        ("node_tx_bytes_per_s", usage.node_tx_bytes_per_s),
    ])
}

impl Plausible for ServerSample {
    fn implausible(&self) -> Option<&'static str> {
        interval_outside(self.time_ms, self.interval_ms)
            .or_else(|| usage_outside(&self.usage))
            .or_else(|| first_outside([("ops_per_s", self.ops_per_s), ("net_pct", self.net_pct)]))
    }
}

impl Plausible for ClientSample {
    fn implausible(&self) -> Option<&'static str> {
        interval_outside(self.time_ms, self.interval_ms)
            .or_else(|| usage_outside(&self.usage))
            .or_else(|| first_outside([("net_pct", self.net_pct)]))
    }
}

impl Plausible for ClientReport {
    fn implausible(&self) -> Option<&'static str> {
        let Latency { mean_us, p50_us, p90_us, p99_us, p999_us, max_us, .. } = self.latency;
        if self.run_start_ms > TIME_MS_MAX {
            return Some("run_start_ms");
        }
        if self.run_end_ms > TIME_MS_MAX {
            return Some("run_end_ms");
        }
        let cache = self.near_cache.clone().unwrap_or_default();
        first_outside([
            ("near_cache.hits_per_s", cache.hits_per_s),
            ("near_cache.max_age_us", cache.max_age_us),
            ("theta", self.theta),
            ("ops_per_s", self.ops_per_s),
            ("latency.mean_us", mean_us),
            ("latency.p50_us", p50_us),
            ("latency.p90_us", p90_us),
            ("latency.p99_us", p99_us),
            ("latency.p999_us", p999_us),
            ("latency.max_us", max_us),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_needs_an_interval_and_rates_in_bounds() {
        let good = ServerSample { interval_ms: 1000.0, ..ServerSample::default() };
        assert_eq!(good.implausible(), None);
        let none = ServerSample { interval_ms: 0.0, ..good.clone() };
        assert_eq!(none.implausible(), Some("interval_ms"));
        let late = ServerSample { time_ms: u64::MAX, ..good.clone() };
        assert_eq!(late.implausible(), Some("time_ms"));
        let negative = ServerSample { ops_per_s: -1.0, ..good.clone() };
        assert_eq!(negative.implausible(), Some("ops_per_s"));
        let huge = ServerSample { net_pct: 1e300, ..good };
        assert_eq!(huge.implausible(), Some("net_pct"));
    }

    #[test]
    fn a_number_that_is_none_is_out_of_bounds() {
        let usage = Usage { cpu_pct: f64::NAN, ..Usage::default() };
        let sample = ClientSample { interval_ms: 1.0, usage, ..ClientSample::default() };
        assert_eq!(sample.implausible(), Some("cpu_pct"));
    }

    #[test]
    fn a_report_has_times_and_latencies_in_bounds() {
        assert_eq!(ClientReport::default().implausible(), None);
        let late = ClientReport { run_end_ms: u64::MAX, ..ClientReport::default() };
        assert_eq!(late.implausible(), Some("run_end_ms"));
        let latency = Latency { p99_us: -0.5, ..Latency::default() };
        let negative = ClientReport { latency, ..ClientReport::default() };
        assert_eq!(negative.implausible(), Some("latency.p99_us"));
    }
}
