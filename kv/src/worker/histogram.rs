//! Histograms whose bounds are powers of two: adding to one takes a few instructions.

/// How many values were at most 2^`FROM`, 2^(`FROM` + 1) and so on; the last of its `BUCKETS`
/// has all that are larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram<const FROM: u32, const BUCKETS: usize> {
    counts: [u64; BUCKETS],
    sum: u64,
}

impl<const FROM: u32, const BUCKETS: usize> Default for Histogram<FROM, BUCKETS> {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], sum: 0 }
    }
}

impl<const FROM: u32, const BUCKETS: usize> Histogram<FROM, BUCKETS> {
    /// Adds a value.
    #[inline]
    pub fn add(&mut self, value: u64) {
        let power = u64::BITS - value.saturating_sub(1).leading_zeros();
        let bucket = power.saturating_sub(FROM) as usize;
        self.counts[bucket.min(BUCKETS - 1)] += 1;
        self.sum += value;
    }

    /// The upper bound of each bucket and how many values are in it and in no other; the last
    /// bound is infinite.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        self.counts.iter().enumerate().map(|(at, count)| {
            let is_last = at == BUCKETS - 1;
            let bound = (1_u64 << (FROM as usize + at)) as f64;
            (if is_last { f64::INFINITY } else { bound }, *count)
        })
    }

    /// How many values were added.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What they sum up to.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// Its figures, in an order that stays.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut u64> {
        self.counts.iter_mut().chain([&mut self.sum])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let bucket_of = |value| {
            let mut histogram = Histogram::<2, 4>::default();
            histogram.add(value);
            assert_eq!((histogram.count(), histogram.sum()), (1, value));
            let (bound, _) = histogram.buckets().find(|(_, count)| *count > 0).unwrap();
            bound
        };
        for (value, bound) in [(0, 4.0), (1, 4.0), (4, 4.0), (5, 8.0), (8, 8.0), (9, 16.0)] {
            assert_eq!(bucket_of(value), bound, "{value}");
        }
        for value in [17, 1 << 40, u64::MAX] {
            assert_eq!(bucket_of(value), f64::INFINITY, "{value}");
        }
    }
}
