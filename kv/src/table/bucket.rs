//! A bucket: one cache line of slots, and a link to the bucket that it overflows into.
//!
//! ```text
//!  byte 0        8       16       24       32       40       48       56       64
//!      +--------+--------+--------+--------+--------+--------+--------+--------+
//!      | slot 0 | slot 1 | slot 2 | slot 3 | slot 4 | slot 5 | slot 6 |overflow|
//!      +--------+--------+--------+--------+--------+--------+--------+--------+
//!          |                                                              |
//!          v                                                              v
//!  record, by a word (super::word)                      the next bucket of the chain
//!
//!  overflow:
//!  63                         48 47                               3   2   1   0
//! +-----------------------------+----------------------------------+---+---+---+
//! |              0              |  address of a bucket (0: none)   | 0 | 0 | F |
//! +-----------------------------+----------------------------------+---+---+---+
//!
//!  F        FROZEN: no bucket is added to the chain any more
//! ```
//!
//! A chain begins with a bucket of the index. Its slots fill in order and never empty, and a
//! slot keeps its key for ever. So a search ends at the first empty slot, and two writers of
//! a new key meet at the same slot.
//!
//! What migration ([`super::index`]) makes of a chain. A state ends only by the next:
//!
//! ```text
//!  state      F of slots, overflow   M of slot 0   readers search       writers
//!  live       0                      0             here                 write here
//!  freezing   1 in the first few     0             by the word's F      by the word's F
//!  frozen     1 in all               0             the next index,      migrate the chain,
//!                                                  else here            write to the next
//!  migrated   1 in all               1             the next index       write to the next
//! ```

use std::ptr::NonNull;

use super::cells::Cells;
use super::size_class::BUCKET_CELL_BYTES;
use super::sync::{AtomicU64, IN_MODEL, Ordering};
use super::word::{FLAGS, FROZEN, MIGRATED, Word};

/// Slots of a bucket. A model has fewer, so that it has fewer orders to try.
pub(super) const SLOTS: usize = if IN_MODEL { 2 } else { 7 };

/// There is no memory for another bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoMemory;

/// One cache line, as drawn above.
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
        // chain was migrated and nobody sees it who came before that.
        self.overflow().map(|bucket| unsafe { bucket.as_ref() })
    }

    /// Whether the chain ends here for ever.
    #[inline]
    pub(super) fn ends_frozen(&self) -> bool {
        self.overflow.load(Ordering::Acquire) == FROZEN
    }

    /// The bucket that this one overflows into, or nothing if its end is frozen. Of several
    /// writers that add one at the same time, one succeeds and the others use its bucket.
    pub(super) fn next_or_add(&self, cells: &Cells) -> Result<Option<&Self>, NoMemory> {
        if self.overflow.load(Ordering::Acquire) == 0 {
            let added = cells.take_bucket().ok_or(NoMemory)?.cast::<Self>();
            // SAFETY: it is memory for a bucket, aligned for it, and nobody else has it.
            unsafe { added.write(Self::empty()) };
            let swapped = self.overflow.compare_exchange(
                0,
                added.as_ptr() as u64,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            if swapped.is_err() {
                cells.give(std::iter::once(added.cast()));
            }
        }
        Ok(self.next())
    }

    /// Freezes this bucket and its chain. Several may at a time; when it returns, it is done.
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
    pub(super) fn is_migrated(&self) -> bool {
        self.slots[0].load(Ordering::Acquire) & MIGRATED != 0
    }

    /// Notes that they are; returns whether it was the first to do so.
    pub(super) fn set_migrated(&self) -> bool {
        self.slots[0].fetch_or(MIGRATED, Ordering::AcqRel) & MIGRATED == 0
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
    pub(super) unsafe fn free_chain(first: NonNull<Self>, cells: &Cells) {
        let mut overflow = Some(first);
        cells.give(std::iter::from_fn(|| {
            let bucket = overflow?;
            // SAFETY: `next_or_add` made it, and by the caller's promise it is still there.
            overflow = unsafe { bucket.as_ref() }.overflow();
            Some(bucket.cast())
        }));
    }
}

const _: () = {
    assert!(size_of::<Bucket>() == 64 || IN_MODEL);
    assert!(size_of::<Bucket>() <= BUCKET_CELL_BYTES);
    assert!(BUCKET_CELL_BYTES.is_multiple_of(align_of::<Bucket>()));
    assert!(align_of::<Bucket>() > FLAGS as usize);
};
