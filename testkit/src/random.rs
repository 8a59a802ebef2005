//! Random choices that a printed seed repeats.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// Repeats a test with the seed that it printed.
const SEED_VARIABLE: &str = "KV_TEST_SEED";

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// A sequence of choices for a test; prints its seed, which a failed test shows.
    #[must_use]
    #[expect(clippy::print_stdout, reason = "a test shows it where it fails")]
    pub fn for_test(test: &str) -> Self {
        let given = std::env::var(SEED_VARIABLE).ok();
        let seed = given.map_or_else(entropy, |text| text.parse().expect("a seed is a number"));
        println!("{test}: {SEED_VARIABLE}={seed}");
        Self { state: seed }
    }

    /// A sequence of choices of that seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Choices of their own, for one who makes them at the same time.
    #[must_use]
    pub fn split(&mut self) -> Self {
        Self { state: self.number() }
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number less than `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// A place among `count`.
    pub fn index(&mut self, count: usize) -> usize {
        self.below(count as u64) as usize
    }

    /// Whether something of a probability, in percent, happens.
    pub fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.number() as u8).collect()
    }
}

/// A number that nobody knows before.
#[must_use]
pub fn entropy() -> u64 {
    RandomState::new().build_hasher().finish()
}
