//! Where random names come from: the system's, or a seed that a simulated run repeats.

use std::io;

use rand::{Rng as _, SeedableRng as _};
use rand_pcg::Mcg128Xsl64;

/// Draws the names of sessions.
///
/// ```
/// use client::entropy::Entropy;
///
/// assert_eq!(Entropy::seeded(7).next_u64()?, Entropy::seeded(7).next_u64()?);
/// # Ok::<(), client::Error>(())
/// ```
#[derive(Clone, Debug)]
pub enum Entropy {
    /// The system's random bytes: no two processes draw the same.
    System,
    /// Repeatable, for a simulation; two with the same seed draw the same.
    Seeded(Mcg128Xsl64),
}

impl Entropy {
    /// What a simulation draws from.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self::Seeded(Mcg128Xsl64::seed_from_u64(seed))
    }

    /// The next 64 bits.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub fn next_u64(&mut self) -> io::Result<u64> {
        match self {
            Self::System => getrandom::u64()
                .map_err(|error| io::Error::other(format!("no random bytes: {error}"))),
            Self::Seeded(random) => Ok(random.next_u64()),
        }
    }

    /// The next 128 bits.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub fn next_id(&mut self) -> io::Result<[u8; 16]> {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.next_u64()?.to_le_bytes());
        id[8..].copy_from_slice(&self.next_u64()?.to_le_bytes());
        Ok(id)
    }
}
