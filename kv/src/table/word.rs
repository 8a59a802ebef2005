//! The word in a slot: nothing, or a record's address with 16 bits of its key's hash.
//!
//! ```text
//!  63             48 47                                   3   2   1   0
//! +-----------------+--------------------------------------+---+---+---+
//! |       tag       |     address of the record (or 0)     | 0 | M | F |
//! +-----------------+--------------------------------------+---+---+---+
//!
//! tag      the upper 16 bits of the key's hash: tells most other keys apart
//! address  aligned to 8 bytes, so its low three bits are free
//! M        MIGRATED, in the first slot of a bucket only: the next index holds all of the
//!          bucket's records. Set after F, never cleared
//! F        FROZEN: the bucket is being migrated. The word never changes again, but for M
//! ```
//!
//! A slot goes one way. A write swaps a new record of the same key in for the old one; nothing
//! empties a slot, and nothing clears F:
//!
//! ```text
//!        F = 0                      F = 1
//!
//!        empty ------ freeze -----> frozen, empty
//!          |
//!        write
//!          v
//!  +---> live ------- freeze -----> frozen, with the last record
//!  |       |
//!  +-write-+
//! ```

use std::ptr::NonNull;

use super::epoch::Guard;
use super::header::Header;
use super::record::RecordRef;
use super::region::ADDRESS_BITS;
use super::sync::between;

const TAG_MASK: u64 = !((1 << ADDRESS_BITS) - 1);
/// Also of the link between two buckets: [`super::bucket`].
pub(super) const FROZEN: u64 = 1;
pub(super) const MIGRATED: u64 = 2;
/// The low bits, which are free in every aligned address.
pub(super) const FLAGS: u64 = 7;
const ADDRESS_MASK: u64 = !TAG_MASK & !FLAGS;

/// What a slot holds, as it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

impl Word {
    pub(super) const EMPTY: Self = Self(0);

    /// Of a record whose key has this hash.
    #[inline]
    pub(super) fn new(hash: u64, record: NonNull<Header>) -> Self {
        let address = record.as_ptr() as u64;
        debug_assert_eq!(address & !ADDRESS_MASK, 0, "an address has 48 bits, and is aligned");
        Self(hash & TAG_MASK | address)
    }

    #[inline]
    pub(super) const fn is_frozen(self) -> bool {
        self.0 & FROZEN != 0
    }

    /// Whether it is live and may hold a key of this hash: its tag is the same.
    #[inline]
    pub(super) const fn is_live_match(self, hash: u64) -> bool {
        self.0 != 0 && self.0 & (TAG_MASK | FROZEN) == hash & TAG_MASK
    }

    /// The same, live or frozen.
    #[inline]
    pub(super) const fn is_match(self, hash: u64) -> bool {
        self.unfrozen().0 != 0 && self.0 & TAG_MASK == hash & TAG_MASK
    }

    /// The word before it was frozen.
    #[inline]
    pub(super) const fn unfrozen(self) -> Self {
        Self(self.0 & !FLAGS)
    }

    /// The address of its record, or null; for prefetches.
    #[inline]
    pub(super) fn prefetch_address(self) -> *const Header {
        (self.0 & ADDRESS_MASK) as *const Header
    }

    /// The address of its record.
    #[inline]
    pub(super) fn address(self) -> Option<NonNull<Header>> {
        NonNull::new((self.0 & ADDRESS_MASK) as *mut Header)
    }

    /// The record.
    ///
    /// # Safety
    /// It was read under this guard, from a bucket that was not migrated when the guard began
    /// to read it: then its record is retired, if at all, after the guard was there.
    #[inline]
    pub(super) unsafe fn record(self, _guard: &Guard) -> Option<RecordRef<'_>> {
        between();
        // SAFETY: what a slot holds was published, with a release that our acquire has seen;
        // and it lives as long as the guard, by the caller's promise.
        self.address().map(|address| unsafe { RecordRef::new(address) })
    }
}

const _: () = {
    assert!(size_of::<usize>() == 8, "a word holds an address of at most 48 bits");
    assert!(align_of::<Header>() > FLAGS as usize);
};
