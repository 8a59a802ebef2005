//! A bucket: one cache line of slots, and the words that are in them.

use std::ptr::NonNull;

use super::reclaim::Guard;
use super::record::{Header, RecordRef};
use super::sync::{AtomicU64, Ordering};

/// Slots of a bucket. A model has fewer, so that it has fewer orders to try.
pub(super) const SLOTS: usize = if cfg!(loom) { 2 } else { 7 };

/// The bits of a slot from here on are of the hash, those below of the record's address.
pub(super) const TAG_SHIFT: u32 = 48;
const TAG_MASK: u64 = !((1 << TAG_SHIFT) - 1);
/// The slot, or the end of a chain, is of an index that is left: nothing is written here.
const FROZEN: u64 = 1;
/// In the first slot of a bucket: all of its records are in the next index.
const MOVED: u64 = 2;
/// Records and buckets are aligned, so that these bits of their addresses are free.
const FLAGS: u64 = 7;
const ADDRESS_MASK: u64 = !TAG_MASK & !FLAGS;

/// What a slot holds: nothing, or the address of a record and 16 bits of its key's hash;
/// and whether it is frozen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Word(u64);

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

    /// Whether it is not frozen and may hold a key of this hash: its tag is the same.
    #[inline]
    pub(super) const fn is_candidate(self, hash: u64) -> bool {
        self.0 != 0 && self.0 & (TAG_MASK | FROZEN) == hash & TAG_MASK
    }

    /// The same, frozen or not.
    #[inline]
    pub(super) const fn may_hold(self, hash: u64) -> bool {
        self.thawed().0 != 0 && self.0 & TAG_MASK == hash & TAG_MASK
    }

    /// The word before it was frozen.
    #[inline]
    pub(super) const fn thawed(self) -> Self {
        Self(self.0 & !FLAGS)
    }

    /// Where its record is, or null; for prefetches.
    #[inline]
    pub(super) fn record_address(self) -> *const Header {
        (self.0 & ADDRESS_MASK) as *const Header
    }

    /// Where its record is.
    #[inline]
    pub(super) fn address(self) -> Option<NonNull<Header>> {
        NonNull::new((self.0 & ADDRESS_MASK) as *mut Header)
    }

    /// The record.
    ///
    /// # Safety
    /// It was read under this guard, from a bucket that was not moved when the guard began
    /// to read it: then its record is retired, if at all, after the guard was there.
    #[inline]
    pub(super) unsafe fn record(self, _guard: &Guard) -> Option<RecordRef<'_>> {
        // SAFETY: what a slot holds was published, with a release that our acquire has seen;
        // and it lives as long as the guard, by the caller's promise.
        self.address().map(|address| unsafe { RecordRef::new(address) })
    }
}

/// One cache line. Slots fill in order and never empty, and a slot keeps its key for ever.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Bucket {
    slots: [AtomicU64; SLOTS],
    /// Address of the next bucket of the chain, or 0; and whether the end is frozen.
    overflow: AtomicU64,
}

impl Bucket {
    pub(super) fn empty() -> Self {
        Self { slots: std::array::from_fn(|_| AtomicU64::new(0)), overflow: AtomicU64::new(0) }
    }

    /// What the slots hold now, one after the other.
    #[inline]
    pub(super) fn words(&self) -> impl Iterator<Item = Word> + '_ {
        self.slots.iter().map(|slot| Word(slot.load(Ordering::Acquire)))
    }

    #[inline]
    pub(super) fn word(&self, slot: usize) -> Word {
        Word(self.slots[slot].load(Ordering::Acquire))
    }

    /// Puts a word in the place of another, or tells what is there instead.
    #[inline]
    pub(super) fn replace(&self, slot: usize, seen: Word, new: Word) -> Result<(), Word> {
        let swapped =
            self.slots[slot].compare_exchange(seen.0, new.0, Ordering::AcqRel, Ordering::Acquire);
        swapped.map(drop).map_err(Word)
    }

    /// The next bucket of the chain, if there is one.
    #[inline]
    pub(super) fn next(&self) -> Option<&Self> {
        // SAFETY: `next_or_add` published it whole. It lives as long as the index, or until the
        // chain was moved and nobody sees it who came before that.
        self.overflow().map(|bucket| unsafe { bucket.as_ref() })
    }

    /// Whether the chain ends here for ever.
    #[inline]
    pub(super) fn ends_frozen(&self) -> bool {
        self.overflow.load(Ordering::Acquire) == FROZEN
    }

    /// The bucket that this one overflows into, or nothing if its end is frozen. Of several
    /// writers that add one at the same time, one succeeds and the others use its bucket.
    pub(super) fn next_or_add(&self) -> Option<&Self> {
        if self.overflow.load(Ordering::Acquire) == 0 {
            let added = Box::into_raw(Box::new(Self::empty()));
            let swapped = self.overflow.compare_exchange(
                0,
                added as u64,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            if swapped.is_err() {
                // SAFETY: it was made above, and not published.
                drop(unsafe { Box::from_raw(added) });
            }
        }
        self.next()
    }

    /// Ends all writing to this bucket and its chain. Whoever asks, when it returns it is so.
    pub(super) fn freeze(&self) {
        let mut bucket = Some(self);
        while let Some(frozen) = bucket {
            for slot in &frozen.slots {
                slot.fetch_or(FROZEN, Ordering::AcqRel);
            }
            frozen.overflow.fetch_or(FROZEN, Ordering::AcqRel);
            bucket = frozen.next();
        }
    }

    /// Whether all records of the chain that begins here are in the next index.
    #[inline]
    pub(super) fn is_moved(&self) -> bool {
        self.slots[0].load(Ordering::Acquire) & MOVED != 0
    }

    /// Notes that they are; returns whether it was the first to do so.
    pub(super) fn set_moved(&self) -> bool {
        self.slots[0].fetch_or(MOVED, Ordering::AcqRel) & MOVED == 0
    }

    /// The chain that begins here.
    #[inline]
    pub(super) fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |bucket| bucket.next())
    }

    /// Where the next bucket of the chain is, if there is one.
    #[inline]
    pub(super) fn overflow(&self) -> Option<NonNull<Self>> {
        NonNull::new((self.overflow.load(Ordering::Acquire) & !FLAGS) as *mut Self)
    }

    /// Frees a bucket that another overflowed into, and those behind it.
    ///
    /// # Safety
    /// Nobody can see them any more.
    pub(super) unsafe fn free_chain(first: NonNull<Self>) {
        let mut overflow = Some(first);
        while let Some(bucket) = overflow {
            // SAFETY: `next_or_add` made it from a box, and the chain was its only owner.
            let bucket = unsafe { Box::from_raw(bucket.as_ptr()) };
            overflow = bucket.overflow();
        }
    }
}

const _: () = {
    assert!(size_of::<Bucket>() == 64 || cfg!(loom));
    assert!(size_of::<usize>() == 8, "a slot holds an address of at most 48 bits");
    assert!(align_of::<Bucket>() > FLAGS as usize && align_of::<Header>() > FLAGS as usize);
};
