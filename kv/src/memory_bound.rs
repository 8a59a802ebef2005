//! How much memory the records may take, and who said so.

use std::fmt;

use anyhow::{Result, bail};
use host::memory_limit::{MemoryLimit, memory_limit};

use crate::flags::Flags;

/// The default of `--memory`: so many percent of what this process may have.
const DEFAULT_PERCENT: u64 = 80;

/// The bound on memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryBound {
    /// It.
    pub bytes: u64,
    origin: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// `--memory`, and what the process may have, as far as anybody tells.
    Flag(Option<MemoryLimit>),
    Default(MemoryLimit),
}

impl MemoryBound {
    /// `--memory`, or its default.
    ///
    /// # Errors
    /// If there is neither.
    pub fn new(flags: &Flags) -> Result<Self> {
        Self::within(flags.memory, memory_limit())
    }

    fn within(asked_bytes: Option<u64>, limit: Option<MemoryLimit>) -> Result<Self> {
        match (asked_bytes, limit) {
            (Some(bytes), limit) => Ok(Self { bytes, origin: Origin::Flag(limit) }),
            (None, Some(limit)) if limit.bytes > 0 => {
                let bytes = (u128::from(limit.bytes) * u128::from(DEFAULT_PERCENT) / 100) as u64;
                Ok(Self { bytes, origin: Origin::Default(limit) })
            }
            (None, _) => bail!(
                "nobody tells how much memory this process may have (/proc cannot be read): give \
                 --memory"
            ),
        }
    }

    /// The limit that it does not respect, if there is one.
    #[must_use]
    pub fn exceeded(&self) -> Option<&MemoryLimit> {
        match &self.origin {
            Origin::Flag(Some(limit)) if self.bytes > limit.bytes => Some(limit),
            _ => None,
        }
    }
}

impl fmt::Display for MemoryBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes: ", self.bytes)?;
        match &self.origin {
            Origin::Flag(_) => f.write_str("--memory"),
            Origin::Default(MemoryLimit { bytes, source }) => {
                write!(f, "{DEFAULT_PERCENT} % of {bytes}, {source}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use host::memory_limit::Source;

    use super::*;

    fn limit(bytes: u64) -> Option<MemoryLimit> {
        Some(MemoryLimit { bytes, source: Source::AddressSpace })
    }

    #[test]
    fn the_default_is_80_percent_of_what_the_process_may_have() {
        let bound = MemoryBound::within(None, limit(1000)).unwrap();
        assert_eq!(bound.bytes, 800);
        let text = bound.to_string();
        assert_eq!(text, "800 bytes: 80 % of 1000, the limit on its address space (RLIMIT_AS)");
        assert_eq!(bound.exceeded(), None);
        assert_eq!(MemoryBound::within(None, limit(u64::MAX)).unwrap().bytes, u64::MAX / 5 * 4);
    }

    #[test]
    fn what_is_asked_for_counts_and_what_it_exceeds_is_told() {
        let bound = MemoryBound::within(Some(900), limit(1000)).unwrap();
        assert_eq!((bound.bytes, bound.exceeded()), (900, None));
        assert_eq!(bound.to_string(), "900 bytes: --memory");
        let bound = MemoryBound::within(Some(1001), limit(1000)).unwrap();
        assert_eq!((bound.bytes, bound.exceeded()), (1001, limit(1000).as_ref()));
        assert_eq!(MemoryBound::within(Some(5), None).unwrap().exceeded(), None);
    }

    #[test]
    fn without_a_limit_it_has_to_be_asked_for() {
        assert!(MemoryBound::within(None, None).is_err());
        assert!(MemoryBound::within(None, limit(0)).is_err());
    }
}
