//! The cap on what a table holds (invariant 6).

use std::sync::atomic::{AtomicI64, Ordering};

/// What a record costs beside its key and value: its entry, its share of the index, and
/// what the allocator rounds up.
pub const RECORD_OVERHEAD_BYTES: u64 = 80;

/// Bytes that the records of a table hold, against their cap.
#[derive(Debug)]
pub struct Memory {
    /// Signed, because a record may be replaced before its own writer has counted it.
    used_bytes: AtomicI64,
    cap_bytes: u64,
}

impl Memory {
    /// Nothing used yet.
    #[must_use]
    pub const fn new(cap_bytes: u64) -> Self {
        Self { used_bytes: AtomicI64::new(0), cap_bytes }
    }

    /// What a record of these lengths counts.
    #[must_use]
    pub const fn record_bytes(key_bytes: usize, value_bytes: usize) -> u64 {
        key_bytes as u64 + value_bytes as u64 + RECORD_OVERHEAD_BYTES
    }

    /// Whether a record may replace another (0 for none). A record that is not larger than
    /// what it replaces always may. Workers that ask at the same instant may together
    /// exceed the cap by one record each.
    #[must_use]
    #[inline]
    pub fn allows(&self, old_bytes: u64, new_bytes: u64) -> bool {
        new_bytes <= old_bytes || self.used_bytes() + (new_bytes - old_bytes) <= self.cap_bytes
    }

    /// Notes that a record replaced another (0 for none).
    #[inline]
    pub fn replaced(&self, old_bytes: u64, new_bytes: u64) {
        // Most writes change no length, and then the workers share no cache line for it.
        if old_bytes != new_bytes {
            self.used_bytes.fetch_add(new_bytes as i64 - old_bytes as i64, Ordering::Relaxed);
        }
    }

    /// Bytes used.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed).max(0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_cap_only_what_does_not_grow_is_allowed() {
        let memory = Memory::new(300);
        assert!(memory.allows(0, 300) && !memory.allows(0, 301));
        memory.replaced(0, 300);
        assert!(memory.allows(300, 300) && memory.allows(300, 200));
        assert!(!memory.allows(300, 301) && !memory.allows(0, 1));
        memory.replaced(300, 200);
        assert_eq!(memory.used_bytes(), 200);
        assert!(memory.allows(0, 100));
    }
}
