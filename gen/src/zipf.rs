//! Ranks drawn from a Zipf distribution by an alias table, one memory access a draw.
//!
//! The table is that of A. J. Walker, "An Efficient Method for Generating Discrete Random
//! Variables with General Distributions" (1977), built in linear time as M. D. Vose
//! showed in "A Linear Algorithm for Generating Random Numbers with a Given Distribution"
//! (1991): each of `records` columns has the same area, holds what fits of its own rank,
//! and is filled up by one other rank, its alias. Vose keeps two lists, of the ranks that
//! have too much and too little for their column. Here the ranks come sorted, so that the
//! lists are the front and the back of the ranks themselves, and two cursors replace them:
//! building needs no memory but the table.

use std::error::Error;
use std::fmt;
use std::hint::select_unpredictable;

/// Most records that a [`Zipf`] draws from: their ranks fit in a `u32`.
///
/// The table takes 8 bytes a record unless the distribution is uniform.
pub const RECORDS_MAX: u64 = 1 << 32;

/// The fraction of a column that a threshold of 1 stands for is 1 / this.
const THRESHOLD_UNITS: f64 = (1_u64 << 32) as f64;

/// One column of the table: below the threshold it is its own rank's, above the alias's.
///
/// A full column has itself as alias, because a threshold can't say "all of it".
/// Aligned so that a column never lies in two cache lines.
#[derive(Clone, Copy, Default)]
#[repr(C, align(8))]
struct Column {
    threshold: u32,
    alias: u32,
}

const _: () = assert!(size_of::<Column>() == 8);

/// A place along the columns of a [`Zipf`]: a sample that has not yet read the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position(u64);

/// The distribution P(rank) ∝ 1 / (rank + 1)^theta over the ranks `0..records`.
///
/// Thresholds are rounded to 2^-32 of a column, so that all probabilities together differ
/// from the exact ones by less than 2^-31. Threads share one table through an `Arc`.
pub struct Zipf {
    records: u64,
    theta: f64,
    /// Sum of 1 / (rank + 1)^theta over all ranks.
    weight_total: f64,
    /// Empty if the distribution is uniform.
    columns: Box<[Column]>,
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
        let mut zipf =
            Self { records, theta, weight_total: records as f64, columns: Box::default() };
        if theta != 0.0 {
            let columns = allocate_columns(records)?;
            // The smallest first, so that they are not lost in the rounding of a large sum.
            zipf.weight_total = (0..records).rev().map(|rank| weight(rank, theta)).sum();
            zipf.columns = zipf.fill_columns(columns);
        }
        Ok(zipf)
    }

    /// The rank that these 64 random bits choose.
    #[inline]
    #[must_use]
    pub fn sample(&self, random: u64) -> u64 {
        self.rank_at(self.position(random))
    }

    /// Where along the columns these 64 random bits point, in units of 2^-32 of a column.
    ///
    /// The bits as a fraction of 1, times the number of columns: the integer part is the
    /// column, and what follows the point, which depends on lower bits, is compared with
    /// the threshold. Each column gets its share of the 2^64 possible draws to within one.
    #[inline]
    #[must_use]
    pub fn position(&self, random: u64) -> Position {
        let position = (u128::from(random) * u128::from(self.records)) >> 32;
        Position(position as u64)
    }

    /// The rank at a position: the step of a sample that reads the table.
    ///
    /// # Panics
    ///
    /// It may if the position comes from a distribution of more records.
    #[inline]
    #[must_use]
    pub fn rank_at(&self, Position(position): Position) -> u64 {
        let rank = position >> 32;
        if self.columns.is_empty() {
            return rank;
        }
        let column = self.columns[rank as usize];
        // As good as a coin toss for many columns: a branch would be predicted wrongly.
        let is_own = (position as u32) < column.threshold;
        select_unpredictable(is_own, rank, u64::from(column.alias))
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

    /// Gives each column its own rank's mass, counted in columns, and an alias for the rest.
    fn fill_columns(&self, mut columns: Box<[Column]>) -> Box<[Column]> {
        let records = self.records;
        let columns_per_weight = records as f64 / self.weight_total;
        let mass_of = |rank| weight(rank, self.theta) * columns_per_weight;

        // Donors have a column's mass or more, and come first, because mass falls with rank.
        let donors = partition_point(records, |rank| mass_of(rank) >= 1.0).max(1);
        let mut donor = 0;
        let mut donor_mass = mass_of(donor);
        let mut light = donors;
        loop {
            let donor_is_last = donor + 1 == donors;
            // The last donor fills whatever is left: it also takes the rounding of the sums.
            if light < records && (donor_mass > 1.0 || donor_is_last) {
                let light_mass = mass_of(light);
                columns[light as usize] = Column::new(light_mass, light, donor);
                donor_mass -= 1.0 - light_mass;
                light += 1;
            } else if donor_is_last {
                columns[donor as usize] = Column::new(1.0, donor, donor);
                return columns;
            } else {
                // What the donor lacks now, or has too much where rounding used up the
                // light ranks early, is the next donor's to even out.
                columns[donor as usize] = Column::new(donor_mass, donor, donor + 1);
                donor += 1;
                donor_mass = mass_of(donor) - (1.0 - donor_mass);
            }
        }
    }
}

impl fmt::Debug for Zipf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Zipf")
            .field("records", &self.records)
            .field("theta", &self.theta)
            .finish_non_exhaustive()
    }
}

impl Column {
    /// A column that holds `mass` of its rank and is filled up by `alias`.
    fn new(mass: f64, rank: u64, alias: u64) -> Self {
        Self {
            // The cast saturates at both ends.
            threshold: (mass * THRESHOLD_UNITS).round() as u32,
            alias: if mass < 1.0 { alias } else { rank } as u32,
        }
    }
}

/// The probability of a rank, but for a factor; that of rank 0 is 1.
fn weight(rank: u64, theta: f64) -> f64 {
    ((rank + 1) as f64).powf(-theta)
}

/// The first of `0..count` of which `holds` is false, if it is true before and false after.
fn partition_point(count: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut first, mut end) = (0, count);
    while first < end {
        let middle = first + (end - first) / 2;
        if holds(middle) {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    first
}

/// Empty columns, or an error where the memory for them can't be had.
fn allocate_columns(records: u64) -> Result<Box<[Column]>, ZipfError> {
    let no_memory = || ZipfError::NoMemory { records };
    let count = usize::try_from(records).map_err(|_| no_memory())?;
    let mut columns = Vec::new();
    columns.try_reserve_exact(count).map_err(|_| no_memory())?;
    columns.resize(count, Column::default());
    Ok(columns.into_boxed_slice())
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
    /// The machine doesn't give the memory for the table.
    NoMemory {
        /// What was asked for.
        records: u64,
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
            Self::NoMemory { records } => write!(
                formatter,
                "{records} records: no memory for a table of {} MiB (theta 0 needs none)",
                (records * size_of::<Column>() as u64).div_ceil(1 << 20)
            ),
        }
    }
}

impl Error for ZipfError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The probability that the table gives to each rank.
    fn table_probabilities(zipf: &Zipf) -> Vec<f64> {
        let column_probability = 1.0 / zipf.records as f64;
        let mut probabilities = vec![0.0; zipf.columns.len()];
        for (rank, column) in zipf.columns.iter().enumerate() {
            let own = f64::from(column.threshold) / THRESHOLD_UNITS;
            probabilities[rank] += own * column_probability;
            probabilities[column.alias as usize] += (1.0 - own) * column_probability;
        }
        probabilities
    }

    #[test]
    fn table_conserves_probability() {
        for records in [1, 2, 3, 7, 1000, 1_000_000] {
            for theta in [1e-300, 1e-9, 0.5, 0.99, 1.0, 1.2, 5.0, 1e300] {
                let zipf = Zipf::new(records, theta).unwrap();
                let difference: f64 = table_probabilities(&zipf)
                    .iter()
                    .enumerate()
                    .map(|(rank, probability)| (probability - zipf.probability(rank as u64)).abs())
                    .sum();
                assert!(
                    difference < 2_f64.powi(-31),
                    "records {records} theta {theta}: all ranks together off by {difference:e}"
                );
            }
        }
    }

    #[test]
    fn probabilities_follow_the_power_law_and_add_up_to_one() {
        for theta in [0.0, 0.5, 0.99, 1.0, 1.2, 5.0] {
            let zipf = Zipf::new(1000, theta).unwrap();
            let total: f64 = (0..1000).map(|rank| zipf.probability(rank)).sum();
            assert!((total - 1.0).abs() < 1e-12, "theta {theta}: {total}");
            for rank in [1, 9, 999] {
                let ratio = zipf.probability(0) / zipf.probability(rank);
                let expected = (rank as f64 + 1.0).powf(theta);
                assert!((ratio / expected - 1.0).abs() < 1e-12, "theta {theta}");
            }
            assert_eq!(zipf.probability(1000), 0.0);
        }
    }

    #[test]
    fn uniform_has_no_table() {
        for theta in [0.0, -0.0] {
            let zipf = Zipf::new(RECORDS_MAX, theta).unwrap();
            assert!(zipf.columns.is_empty());
            assert_eq!(zipf.sample(0), 0);
            assert_eq!(zipf.sample(u64::MAX), RECORDS_MAX - 1);
            assert_eq!(zipf.probability(7), 1.0 / RECORDS_MAX as f64);
        }
    }

    #[test]
    fn debug_does_not_print_the_table() {
        let zipf = Zipf::new(1000, 0.99).unwrap();
        assert_eq!(format!("{zipf:?}"), "Zipf { records: 1000, theta: 0.99, .. }");
    }

    #[test]
    fn partition_point_is_found_at_the_ends_and_between() {
        for count in 0..20 {
            for point in 0..=count {
                assert_eq!(partition_point(count, |index| index < point), point);
            }
        }
    }
}
