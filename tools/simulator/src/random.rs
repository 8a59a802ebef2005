//! The only source of chance in a simulation.

use rand::{Rng as _, SeedableRng as _};
use rand_pcg::Mcg128Xsl64;

/// Draws from a seed: the same seed, the same draws.
#[derive(Clone, Debug)]
pub struct Random(Mcg128Xsl64);

impl Random {
    /// Begins anew.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mcg128Xsl64::seed_from_u64(seed))
    }

    /// Any 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in `0..end`.
    pub fn below(&mut self, end: u64) -> u64 {
        assert!(end > 0);
        ((u128::from(self.next_u64()) * u128::from(end)) >> 64) as u64
    }

    /// A number from `first` to `last`.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// Between the two, each order of magnitude as often as the others.
    pub fn magnitude(&mut self, first: u64, last: u64) -> u64 {
        let (first, last) = ((first as f64).ln(), (last as f64).ln());
        let at = self.below(1 << 32) as f64 / (1_u64 << 32) as f64;
        (first + (last - first) * at).exp().round() as u64
    }

    /// Whether something happens that does once in so many times on average, per million.
    pub fn happens(&mut self, per_million: u32) -> bool {
        per_million > 0 && self.below(1_000_000) < u64::from(per_million)
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// 16 bytes.
    pub fn bytes_16(&mut self) -> [u8; 16] {
        let number = u128::from(self.next_u64()) << 64 | u128::from(self.next_u64());
        number.to_le_bytes()
    }
}
