//! The sampler draws from the distribution that it claims, and the check would notice if not.

use std::sync::Arc;

use generator::workload::{Mix, StreamRandom, Workload};
use generator::zipf::{RECORDS_MAX, Zipf};

const SEED: u64 = 20_250_101;
const DRAWS: u64 = 1_000_000;
const THETAS: [f64; 5] = [0.0, 0.5, 0.99, 1.0, 1.2];

/// Draws that a bin must expect at least, for the statistic to follow its distribution.
const FINE_BIN: f64 = 5.0;

/// Most bins of the coarse check: few bins notice a slight but wide slope, which many bins
/// lose in their noise.
const COARSE_BINS_MAX: f64 = 1000.0;

/// Whether draws come from a distribution, rank by rank and by and large.
#[derive(Debug)]
struct Fit {
    fine: ChiSquare,
    coarse: ChiSquare,
}

impl Fit {
    fn of(ranks: impl Iterator<Item = u64>, claimed: &Zipf) -> Self {
        let mut observed = vec![0; claimed.records() as usize];
        for rank in ranks {
            observed[rank as usize] += 1;
        }
        let draws: u64 = observed.iter().sum();
        let coarse_bin = (draws as f64 / COARSE_BINS_MAX).max(FINE_BIN);
        Self {
            fine: ChiSquare::of(&observed, claimed, FINE_BIN),
            coarse: ChiSquare::of(&observed, claimed, coarse_bin),
        }
    }

    fn is_good(&self) -> bool {
        self.fine.is_good() && self.coarse.is_good()
    }
}

/// Pearson's statistic.
#[derive(Debug)]
struct ChiSquare {
    statistic: f64,
    /// Exceeded by a right sampler once in 1000 seeds.
    statistic_max: f64,
}

impl ChiSquare {
    fn of(observed: &[u64], claimed: &Zipf, expected_min: f64) -> Self {
        let bins = bins(observed, claimed, expected_min);
        let statistic =
            bins.iter().map(|bin| (bin.observed - bin.expected).powi(2) / bin.expected).sum();
        Self { statistic, statistic_max: chi_square_quantile(bins.len() - 1) }
    }

    fn is_good(&self) -> bool {
        self.statistic <= self.statistic_max
    }
}

/// Draws of neighbouring ranks.
#[derive(Default)]
struct Bin {
    observed: f64,
    expected: f64,
}

/// Puts neighbouring ranks together until each bin expects enough draws.
fn bins(observed: &[u64], claimed: &Zipf, expected_min: f64) -> Vec<Bin> {
    let draws = observed.iter().sum::<u64>() as f64;
    let mut bins: Vec<Bin> = Vec::new();
    for (rank, &observed) in observed.iter().enumerate() {
        if bins.last().is_none_or(|bin| bin.expected >= expected_min) {
            bins.push(Bin::default());
        }
        let bin = bins.last_mut().unwrap();
        bin.observed += observed as f64;
        bin.expected += draws * claimed.probability(rank as u64);
    }
    // The last ranks may not be enough for a bin of their own.
    if let Some(rest) = bins.pop_if(|bin| bin.expected < expected_min) {
        let bin = bins.last_mut().expect("all ranks together expect enough");
        bin.observed += rest.observed;
        bin.expected += rest.expected;
    }
    bins
}

/// The quantile at 0.999 of the chi-square distribution, as Wilson and Hilferty (1931)
/// approximate it; 0 if nothing is free.
fn chi_square_quantile(degrees_of_freedom: usize) -> f64 {
    const NORMAL_QUANTILE: f64 = 3.090_232;
    if degrees_of_freedom == 0 {
        return 0.0;
    }
    let degrees = degrees_of_freedom as f64;
    let variance = 2.0 / (9.0 * degrees);
    degrees * (1.0 - variance + NORMAL_QUANTILE * variance.sqrt()).powi(3)
}

/// The fit of one stream's keys, drawn with one theta, against another.
fn fit_of_stream(records: u64, theta: f64, theta_claimed: f64) -> Fit {
    let zipf = Arc::new(Zipf::new(records, theta).unwrap());
    let workload = Workload::new(Mix::C, zipf);
    let mut random = StreamRandom::new(SEED, 0, 0);
    let keys = (0..DRAWS).map(|_| workload.next(&mut random).key);
    Fit::of(keys, &Zipf::new(records, theta_claimed).unwrap())
}

#[test]
fn quantile_agrees_with_the_tables() {
    // The approximation is best with many degrees of freedom, and within 4 % with one.
    for (degrees, quantile, error_max) in
        [(1, 10.828, 0.04), (10, 29.588, 0.01), (100, 149.449, 0.001)]
    {
        let error = chi_square_quantile(degrees) / quantile - 1.0;
        assert!(error.abs() < error_max, "{degrees}: {error}");
    }
}

#[test]
fn every_bin_expects_enough_draws_and_none_are_lost() {
    for records in [1, 2, 10, 1_000_000] {
        for theta in THETAS {
            let zipf = Zipf::new(records, theta).unwrap();
            let mut observed = vec![1; records as usize];
            observed[0] = DRAWS;
            let draws: u64 = observed.iter().sum();
            for expected_min in [FINE_BIN, 1000.0] {
                let bins = bins(&observed, &zipf, expected_min);
                assert!(bins.iter().all(|bin| bin.expected >= expected_min));
                let expected: f64 = bins.iter().map(|bin| bin.expected).sum();
                assert!((expected / draws as f64 - 1.0).abs() < 1e-9);
                let observed: f64 = bins.iter().map(|bin| bin.observed).sum();
                assert_eq!(observed, draws as f64);
            }
        }
    }
}

#[test]
fn draws_fit_the_distribution() {
    for records in [1, 2, 3, 10, 100, 4096, 1_000_000] {
        for theta in THETAS {
            let fit = fit_of_stream(records, theta, theta);
            assert!(fit.is_good(), "seed {SEED} records {records} theta {theta}: {fit:?}");
        }
    }
}

#[test]
fn draws_with_a_slightly_different_theta_do_not_fit() {
    for records in [2, 10, 100, 4096, 1_000_000] {
        for theta in THETAS {
            let fit = fit_of_stream(records, theta + 0.02, theta);
            assert!(!fit.is_good(), "seed {SEED} records {records} theta {theta}: {fit:?}");
        }
    }
}

#[test]
fn first_draws_of_many_streams_fit_the_distribution() {
    const GENERATORS: u32 = 10;
    const STREAMS: u32 = 10_000;
    let zipf = Arc::new(Zipf::new(1000, 0.99).unwrap());
    let workload = Workload::new(Mix::B, zipf.clone());
    let keys = (0..GENERATORS).flat_map(|generator_index| {
        let workload = &workload;
        (0..STREAMS).map(move |stream_index| {
            let mut random = StreamRandom::new(SEED, generator_index, stream_index);
            workload.next(&mut random).key
        })
    });
    let fit = Fit::of(keys, &zipf);
    assert!(fit.is_good(), "seed {SEED}: {fit:?}");
}

#[test]
fn neighbouring_streams_are_independent() {
    // Keys of two streams side by side are one draw from the square of a uniform distribution.
    const RECORDS: u64 = 32;
    const STREAMS: u32 = 100_000;
    let one = Arc::new(Zipf::new(RECORDS, 0.0).unwrap());
    let workload = Workload::new(Mix::B, one);
    let first_key = |stream_index| {
        let mut random = StreamRandom::new(SEED, 0, stream_index);
        workload.next(&mut random).key
    };
    let pairs = (0..STREAMS).map(|pair| first_key(2 * pair) * RECORDS + first_key(2 * pair + 1));
    let square = Zipf::new(RECORDS * RECORDS, 0.0).unwrap();
    let fit = Fit::of(pairs, &square);
    assert!(fit.is_good(), "seed {SEED}: {fit:?}");
}

#[test]
fn every_draw_is_in_range_for_extreme_thetas() {
    for theta in [f64::MIN_POSITIVE, 1e-9, 5.0, 700.0, f64::MAX] {
        for records in [1, 2, 1000] {
            let zipf = Zipf::new(records, theta).unwrap();
            for first in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
                // The same bits for ever would be rejected for ever.
                let mut random = first;
                let rank = zipf.sample(|| {
                    let bits = random;
                    random = random.wrapping_mul(5).wrapping_add(1);
                    bits
                });
                assert!(rank < records);
            }
        }
    }
    let steepest = Zipf::new(1000, f64::MAX).unwrap();
    assert_eq!(steepest.probability(0), 1.0);
    assert_eq!(steepest.sample(|| u64::MAX), 0);
}

#[test]
fn errors_say_what_was_asked_and_what_is_possible() {
    let message = |records, theta| Zipf::new(records, theta).unwrap_err().to_string();
    assert_eq!(message(0, 0.99), "0 records: at least 1 is needed");
    assert_eq!(
        message(RECORDS_MAX + 1, 0.99),
        "4294967297 records: at most 4294967296 are possible"
    );
    for (theta, name) in
        [(-0.5, "-0.5"), (f64::NAN, "NaN"), (f64::INFINITY, "inf"), (f64::NEG_INFINITY, "-inf")]
    {
        assert_eq!(
            message(10, theta),
            format!("theta {name}: it must be a finite number, 0 or more")
        );
    }
}
