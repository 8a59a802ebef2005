//! What is kept of a round, and of many.

use host::report::ClientReport;
use serde::Serialize;

use crate::median::median;

/// What one run of the generator came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Round {
    /// Operations answered in a second.
    pub ops_per_s: f64,
    /// GETs and PUTs answered.
    pub gets: u64,
    /// See `gets`.
    pub puts: u64,
    /// GETs that found no record.
    pub not_found: u64,
    /// Operations without an answer.
    pub unanswered: u64,
    /// Operations that the server would not do.
    pub refused: u64,
    /// Request datagrams sent again.
    pub retransmits: u64,
    /// Whether the offered rate was reached; none in closed loop.
    pub rate_reached: Option<bool>,
    /// CPU seconds of the servers for a million operations.
    pub cpu_s_per_million_ops: f64,
    /// Latency.
    pub p50_us: f64,
    /// See `p50_us`.
    pub p99_us: f64,
    /// See `p50_us`.
    pub p999_us: f64,
}

impl Round {
    /// Of a report, and of the CPU seconds that the servers spent on it.
    #[must_use]
    pub fn new(report: &ClientReport, cpu_s: f64) -> Self {
        let cpu_s_per_op = if report.ops > 0 { cpu_s / report.ops as f64 } else { 0.0 };
        Self {
            ops_per_s: report.ops_per_s,
            gets: report.gets,
            puts: report.puts,
            not_found: report.not_found,
            unanswered: report.indeterminate + report.unanswered_gets,
            refused: report.refused,
            retransmits: report.retransmits,
            rate_reached: report.rate_reached,
            cpu_s_per_million_ops: cpu_s_per_op * 1e6,
            p50_us: report.latency.p50_us,
            p99_us: report.latency.p99_us,
            p999_us: report.latency.p999_us,
        }
    }
}

/// Rounds in which the offered rate was not reached.
#[must_use]
pub fn slower(rounds: &[Round]) -> usize {
    rounds.iter().filter(|round| round.rate_reached == Some(false)).count()
}

/// Many rounds together: medians, and how far throughput went.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Median of the rounds' throughputs.
    pub median_ops_per_s: f64,
    /// The lowest of them.
    pub lowest_ops_per_s: f64,
    /// The highest of them.
    pub highest_ops_per_s: f64,
    /// Median of the rounds' CPU seconds for a million operations.
    pub cpu_s_per_million_ops: f64,
    /// Median of the rounds' percentiles.
    pub p50_us: f64,
    /// See `p50_us`.
    pub p99_us: f64,
    /// See `p50_us`.
    pub p999_us: f64,
    /// The lowest of the rounds' 99th percentiles.
    pub p99_lowest_us: f64,
    /// The highest of them.
    pub p99_highest_us: f64,
}

impl Figures {
    /// Of these rounds; zeros of none.
    #[must_use]
    pub fn of(rounds: &[Round]) -> Self {
        let of = |field: fn(&Round) -> f64| median(rounds.iter().map(field));
        let lowest = |field: fn(&Round) -> f64| rounds.iter().map(field).reduce(f64::min);
        let highest = |field: fn(&Round) -> f64| rounds.iter().map(field).reduce(f64::max);
        Self {
            median_ops_per_s: of(|round| round.ops_per_s),
            lowest_ops_per_s: lowest(|round| round.ops_per_s).unwrap_or(0.0),
            highest_ops_per_s: highest(|round| round.ops_per_s).unwrap_or(0.0),
            cpu_s_per_million_ops: of(|round| round.cpu_s_per_million_ops),
            p50_us: of(|round| round.p50_us),
            p99_us: of(|round| round.p99_us),
            p999_us: of(|round| round.p999_us),
            p99_lowest_us: lowest(|round| round.p99_us).unwrap_or(0.0),
            p99_highest_us: highest(|round| round.p99_us).unwrap_or(0.0),
        }
    }
}

/// The order in which `count` candidates take their turns in a round: each round begins one
/// later, and every other one goes backwards, so that none always comes first, or always after
/// the same one.
pub fn turns(count: usize, round: usize) -> impl Iterator<Item = usize> {
    let is_backwards = round % 2 == 1;
    (0..count).map(move |turn| {
        let from_first = if is_backwards { count - turn } else { turn };
        (round + from_first) % count
    })
}

/// A part of a whole; none if there is no whole.
#[must_use]
pub fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

/// A throughput as tables show it: three digits that count.
#[must_use]
pub fn rate_text(ops_per_s: f64) -> String {
    let (value, unit) = match ops_per_s {
        rate if rate >= 1e6 => (rate / 1e6, " M"),
        rate if rate >= 1e3 => (rate / 1e3, " k"),
        rate => (rate, ""),
    };
    let decimals = if value >= 100.0 { 0 } else { 2 - usize::from(value >= 10.0) };
    format!("{value:.decimals$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_has_every_candidate_and_begins_one_later() {
        let order = |round| turns(3, round).collect::<Vec<_>>();
        assert_eq!([order(0), order(1), order(2)], [[0, 1, 2], [1, 0, 2], [2, 0, 1]]);
        assert_eq!(turns(0, 3).count(), 0);
    }

    #[test]
    fn figures_are_medians_and_the_range() {
        let round = |ops_per_s, p50_us| Round { ops_per_s, p50_us, ..Round::default() };
        let figures = Figures::of(&[round(30.0, 1.0), round(10.0, 9.0), round(20.0, 2.0)]);
        let range = (figures.lowest_ops_per_s, figures.highest_ops_per_s);
        assert_eq!((figures.median_ops_per_s, range, figures.p50_us), (20.0, (10.0, 30.0), 2.0));
        assert_eq!(Figures::of(&[]), Figures::default());
    }

    #[test]
    fn cpu_is_told_for_a_million_operations() {
        let report = ClientReport { ops: 500_000, ..ClientReport::default() };
        assert_eq!(Round::new(&report, 0.25).cpu_s_per_million_ops, 0.5);
        assert_eq!(Round::new(&ClientReport::default(), 0.25).cpu_s_per_million_ops, 0.0);
    }

    #[test]
    fn throughput_has_three_digits() {
        let texts = [0.0, 999.4, 1234.0, 45_678.0, 123_456.0, 6_789_000.0].map(rate_text);
        assert_eq!(texts, ["0.00", "999", "1.23 k", "45.7 k", "123 k", "6.79 M"]);
    }
}
