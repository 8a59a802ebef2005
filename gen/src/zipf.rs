//! Ranks drawn from a Zipf distribution, exactly, from a table that fits into the first-level
//! cache however many records there are.
//!
//! The ranks are cut into ranges within which the probability falls by a few percent at most:
//! the first ranks are ranges of their own, the later ones grow with the rank, so that a
//! million ranks make some seven hundred ranges. A draw chooses a range as if all of its ranks
//! had the probability of the first, then a rank of the range, and rejects what the rank's own
//! probability falls short (von Neumann, "Various Techniques Used in Connection with Random
//! Digits", 1951); for most draws a bound of the range tells that nothing is rejected
//! (Marsaglia's squeeze, 1977). The range is chosen by an alias table (Walker 1977; built as in
//! Vose, "A Linear Algorithm for Generating Random Numbers with a Given Distribution", 1991).

use std::error::Error;
use std::fmt;
use std::hint::select_unpredictable;

/// Most records that a [`Zipf`] draws from: their ranks fit in a `u32`.
pub const RECORDS_MAX: u64 = 1 << 32;

/// What a threshold of 1 stands for is 1 / this.
const THRESHOLD_UNITS: f64 = (1_u64 << 32) as f64;

/// Within a range the probability falls by about 1 / this at most. More ranges would not fit
/// into the cache; with fewer, more draws would be rejected.
const RANGES_PER_E_FOLD: f64 = 64.0;

/// What is left of the probability when it is told apart from none no more.
const NEGLIGIBLE: f64 = 1.0 / (1_u128 << 64) as f64;

/// Neighbouring ranks, and one column of the alias table over all ranges.
#[derive(Clone, Copy, Debug, Default)]
struct Range {
    /// Below the threshold the column is its own range's, above the alias's.
    threshold: u32,
    alias: u32,
    first: u32,
    width: u32,
    /// A draw below it is not rejected, whichever rank of the range it is.
    squeeze: u32,
}

/// The distribution P(rank) ∝ 1 / (rank + 1)^theta over the ranks `0..records`.
///
/// Thresholds are rounded to 2^-32 of a column, so that all probabilities together differ
/// from the exact ones by less than 2^-31. Threads share one table through an `Arc`.
#[derive(Debug)]
pub struct Zipf {
    records: u64,
    theta: f64,
    /// Sum of 1 / (rank + 1)^theta over all ranks.
    weight_total: f64,
    /// Empty if the distribution is uniform.
    ranges: Box<[Range]>,
}

impl Zipf {
    /// Prepares the distribution; `theta` 0 is uniform and needs no table.
    pub fn new(records: u64, theta: f64) -> Result<Self, ZipfError> {
        if records == 0 {
            return Err(ZipfError::NoRecords);
        }
        if records > RECORDS_MAX {
            return Err(ZipfError::TooManyRecords { records });
        }
        if !theta.is_finite() || theta < 0.0 {
            return Err(ZipfError::Theta { theta });
        }
        let weight_total = weight_total(records, theta);
        let ranges = if theta == 0.0 {
            Box::default()
        } else {
            let mut ranges = ranges(records, theta, weight_total);
            fill_columns(&mut ranges, theta);
            ranges.into_boxed_slice()
        };
        Ok(Self { records, theta, weight_total, ranges })
    }

    /// A rank, from the random bits that `random` gives: two words of them or, seldom, more;
    /// one if the distribution is uniform.
    #[inline]
    #[must_use]
    pub fn sample(&self, mut random: impl FnMut() -> u64) -> u64 {
        if self.ranges.is_empty() {
            return scale(random(), self.records).0;
        }
        loop {
            let (column, fraction) = scale(random(), self.ranges.len() as u64);
            let Range { threshold, alias, .. } = self.ranges[column as usize];
            // As good as a coin toss for many columns: a branch would be predicted wrongly.
            let range = select_unpredictable(fraction < threshold, column as u32, alias);
            let Range { first, width, squeeze, .. } = self.ranges[range as usize];
            let (offset, height) = scale(random(), u64::from(width));
            let rank = u64::from(first) + offset;
            if height < squeeze || self.is_below(height, u64::from(first), rank) {
                return rank;
            }
        }
    }

    /// Whether a height, in units of the first rank's probability, is below that of a rank.
    #[cold]
    fn is_below(&self, height: u32, first: u64, rank: u64) -> bool {
        f64::from(height) < relative_weight(first, rank, self.theta) * THRESHOLD_UNITS
    }

    /// The exact probability of a rank; 0 for one that is out of range.
    #[must_use]
    pub fn probability(&self, rank: u64) -> f64 {
        if rank < self.records { weight(rank, self.theta) / self.weight_total } else { 0.0 }
    }

    /// The number of records, which is one more than the largest rank.
    #[inline]
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The skew.
    #[must_use]
    pub fn theta(&self) -> f64 {
        self.theta
    }
}

/// Random bits as a fraction of 1, times `count`: the integer, and what follows the point.
#[inline]
fn scale(random: u64, count: u64) -> (u64, u32) {
    let product = u128::from(random) * u128::from(count);
    ((product >> 64) as u64, (product >> 32) as u32)
}

/// The ranges, without their columns. Ranks that are never drawn are left out.
fn ranges(records: u64, theta: f64, weight_total: f64) -> Vec<Range> {
    let mut ranges = Vec::new();
    let mut first = 0;
    while first < records {
        let left = records - first;
        if left as f64 * weight(first, theta) < NEGLIGIBLE * weight_total {
            break;
        }
        let width = (first + 1) as f64 / (theta * RANGES_PER_E_FOLD);
        let width = (width as u64).clamp(1, left.min(u64::from(u32::MAX)));
        let lowest = relative_weight(first, first + width - 1, theta);
        ranges.push(Range {
            first: first as u32,
            width: width as u32,
            squeeze: (lowest * THRESHOLD_UNITS) as u32,
            ..Range::default()
        });
        first += width;
    }
    ranges
}

/// Gives each column its own range's mass, counted in columns, and an alias for the rest.
fn fill_columns(ranges: &mut [Range], theta: f64) {
    let mass = |range: &Range| f64::from(range.width) * weight(u64::from(range.first), theta);
    // The smallest first, so that they are not lost in the rounding of a large sum.
    let total: f64 = ranges.iter().rev().map(mass).sum();
    let columns_per_mass = ranges.len() as f64 / total;
    let mut masses: Vec<f64> = ranges.iter().map(|range| mass(range) * columns_per_mass).collect();
    let (mut light, mut heavy): (Vec<usize>, Vec<usize>) =
        (0..ranges.len()).partition(|&range| masses[range] < 1.0);
    while let (Some(&column), Some(&donor)) = (light.last(), heavy.last()) {
        light.pop();
        ranges[column].threshold = (masses[column] * THRESHOLD_UNITS) as u32;
        ranges[column].alias = donor as u32;
        masses[donor] -= 1.0 - masses[column];
        if masses[donor] < 1.0 {
            heavy.pop();
            light.push(donor);
        }
    }
    // What is left is full, but for the rounding of the sums.
    for column in light.into_iter().chain(heavy) {
        ranges[column].threshold = u32::MAX;
        ranges[column].alias = column as u32;
    }
}

/// The probability of a rank, but for a factor; that of rank 0 is 1.
fn weight(rank: u64, theta: f64) -> f64 {
    ((rank + 1) as f64).powf(-theta)
}

/// The probability of a rank in units of that of `first`.
fn relative_weight(first: u64, rank: u64, theta: f64) -> f64 {
    ((first + 1) as f64 / (rank + 1) as f64).powf(theta)
}

/// The weights of all ranks: one by one for the first, and for the others by the formula of
/// Euler and Maclaurin, which is then exact to the last bits.
fn weight_total(records: u64, theta: f64) -> f64 {
    const ONE_BY_ONE: u64 = 1 << 12;
    let head = records.min(ONE_BY_ONE);
    let sum =
        |ranks: std::ops::Range<u64>| ranks.rev().map(|rank| weight(rank, theta)).sum::<f64>();
    if head == records {
        return sum(0..records);
    }
    let (from, to) = (head as f64, records as f64);
    // Of x^-theta from `from` to `to`, also where theta is 1 or close to it.
    let power = (1.0 - theta) * (to / from).ln();
    let factor = if power == 0.0 { 1.0 } else { power.exp_m1() / power };
    let integral = from.powf(1.0 - theta) * factor * (to / from).ln();
    let ends = (weight(records - 1, theta) - weight(head - 1, theta)) / 2.0;
    let slope = |x: f64| -theta * x.powf(-theta - 1.0);
    sum(0..head) + integral + ends + (slope(to) - slope(from)) / 12.0
}

/// Why a distribution can't be had.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ZipfError {
    /// There is nothing to draw from.
    NoRecords,
    /// More than [`RECORDS_MAX`].
    TooManyRecords {
        /// What was asked for.
        records: u64,
    },
    /// Negative, infinite or not a number.
    Theta {
        /// What was asked for.
        theta: f64,
    },
}

impl fmt::Display for ZipfError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRecords => write!(formatter, "0 records: at least 1 is needed"),
            Self::TooManyRecords { records } => {
                write!(formatter, "{records} records: at most {RECORDS_MAX} are possible")
            }
            Self::Theta { theta } => {
                write!(formatter, "theta {theta}: it must be a finite number, 0 or more")
            }
        }
    }
}

impl Error for ZipfError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// How likely each range is before anything is rejected.
    fn range_probabilities(zipf: &Zipf) -> Vec<f64> {
        let column_probability = 1.0 / zipf.ranges.len() as f64;
        let mut probabilities = vec![0.0; zipf.ranges.len()];
        for (column, range) in zipf.ranges.iter().enumerate() {
            let own = f64::from(range.threshold) / THRESHOLD_UNITS;
            probabilities[column] += own * column_probability;
            probabilities[range.alias as usize] += (1.0 - own) * column_probability;
        }
        probabilities
    }

    #[test]
    fn table_conserves_probability() {
        for records in [1, 2, 3, 7, 1000, 1_000_000] {
            for theta in [1e-300, 1e-9, 0.5, 0.99, 1.0, 1.2, 5.0, 1e300] {
                let zipf = Zipf::new(records, theta).unwrap();
                let likely = range_probabilities(&zipf);
                // Of each rank: its range, its place in it, and that it is not rejected.
                let mut kept: Vec<f64> = Vec::new();
                for (range, likely) in zipf.ranges.iter().zip(&likely) {
                    assert_eq!(range.first as usize, kept.len(), "ranges follow each other");
                    for offset in 0..range.width {
                        let (first, rank) = (range.first, range.first + offset);
                        let height = relative_weight(first.into(), rank.into(), theta);
                        kept.push(likely / f64::from(range.width) * height);
                    }
                }
                let total: f64 = kept.iter().sum();
                let difference: f64 = (0..records)
                    .map(|rank| {
                        let kept = kept.get(rank as usize).unwrap_or(&0.0) / total;
                        (kept - zipf.probability(rank)).abs()
                    })
                    .sum();
                assert!(
                    difference < 2_f64.powi(-31),
                    "records {records} theta {theta}: all ranks together off by {difference:e}"
                );
            }
        }
    }

    #[test]
    fn the_table_stays_small_and_little_is_rejected() {
        for records in [1_000_000, RECORDS_MAX] {
            for theta in [1e-9, 0.5, 0.99, 1.2, 5.0, 40.0] {
                let zipf = Zipf::new(records, theta).unwrap();
                let kib = (zipf.ranges.len() * size_of::<Range>()) >> 10;
                assert!(kib <= 160, "records {records} theta {theta}: {kib} KiB");
                let lowest = zipf.ranges.iter().map(|range| range.squeeze).min().unwrap();
                assert!(f64::from(lowest) >= 0.98 * THRESHOLD_UNITS, "theta {theta}: {lowest}");
            }
        }
    }

    #[test]
    fn a_squeeze_rejects_nothing_that_a_rank_of_its_range_would_take() {
        let zipf = Zipf::new(1_000_000, 0.99).unwrap();
        for range in &zipf.ranges {
            let (first, last) = (range.first.into(), u64::from(range.first + range.width - 1));
            assert!(zipf.is_below(range.squeeze - 1, first, last), "{range:?}");
        }
    }

    #[test]
    fn probabilities_follow_the_power_law_and_add_up_to_one() {
        for theta in [0.0, 0.5, 0.99, 1.0, 1.2, 5.0] {
            for records in [1000, 100_000] {
                let zipf = Zipf::new(records, theta).unwrap();
                let total: f64 = (0..records).rev().map(|rank| zipf.probability(rank)).sum();
                assert!((total - 1.0).abs() < 1e-11, "records {records} theta {theta}: {total}");
                for rank in [1, 9, 999] {
                    let ratio = zipf.probability(0) / zipf.probability(rank);
                    let expected = (rank as f64 + 1.0).powf(theta);
                    assert!((ratio / expected - 1.0).abs() < 1e-12, "theta {theta}");
                }
                assert_eq!(zipf.probability(records), 0.0);
            }
        }
    }

    #[test]
    fn uniform_has_no_table() {
        for theta in [0.0, -0.0] {
            let zipf = Zipf::new(RECORDS_MAX, theta).unwrap();
            assert!(zipf.ranges.is_empty());
            assert_eq!(zipf.sample(|| 0), 0);
            assert_eq!(zipf.sample(|| u64::MAX), RECORDS_MAX - 1);
            assert_eq!(zipf.probability(7), 1.0 / RECORDS_MAX as f64);
        }
    }
}
