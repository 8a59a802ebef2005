//! An index: buckets, and the larger index that takes their records over.
//!
//! A table grows bucket by bucket, while everybody goes on. To move a bucket, whoever does it
//! freezes all slots of its chain, which ends the writing there; puts its records into the next
//! index, where they are not yet; and then notes that the bucket is moved. Several may do
//! that for one bucket at a time, each of them whole: it comes to the same. So a writer that
//! meets a frozen slot moves the bucket itself, waits for nobody, and goes on in the next
//! index; nothing is written there before its bucket is moved. A reader that meets one looks
//! into the next index first: what is not there yet, is still what it was.

use std::io;
use std::ptr::NonNull;

use super::bucket::{Bucket, SLOTS, Word};
use super::pages::Pages;
use super::reclaim::{Guard, retire_chain};
use super::record::{Header, RecordRef};
use super::sync::{AtomicPtr, AtomicU64, Ordering};

/// Records for which a bucket is made: the others of its slots make overflow rare.
const RECORDS_PER_BUCKET: u64 = if cfg!(loom) { 1 } else { 4 };
/// Buckets that are moved at a time.
const STEP: u64 = if cfg!(loom) { 1 } else { 8 };

/// Buckets, and what is needed to leave them.
#[derive(Debug)]
pub(super) struct Index {
    buckets: Pages,
    /// The index that takes over, or null.
    next: AtomicPtr<Self>,
    /// Buckets that somebody has begun to move, and those that are moved.
    begun: AtomicU64,
    moved: AtomicU64,
    /// The system had no memory for the next index: with how many records to ask again.
    ask_again_at: AtomicU64,
}

/// What was found.
#[derive(Debug)]
pub(super) enum Found<'g> {
    /// The record of a key, or that there is none.
    Settled(Option<RecordRef<'g>>),
    /// The bucket is being left, or was: this is its record if it is not in the next index.
    Leaving(Option<RecordRef<'g>>),
}

impl Index {
    /// Empty buckets for about `records`.
    pub(super) fn for_records(records: u64) -> io::Result<Self> {
        Self::new(records.div_ceil(RECORDS_PER_BUCKET).next_power_of_two())
    }

    fn new(buckets: u64) -> io::Result<Self> {
        Ok(Self {
            buckets: Pages::new(buckets as usize)?,
            next: AtomicPtr::new(std::ptr::null_mut()),
            begun: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            ask_again_at: AtomicU64::new(0),
        })
    }

    /// Buckets, without those that they overflow into.
    #[inline]
    pub(super) fn len(&self) -> u64 {
        self.buckets.len() as u64
    }

    /// The bucket in which keys of a hash belong.
    #[inline]
    pub(super) fn bucket(&self, hash: u64) -> &Bucket {
        &self.buckets[hash as usize & (self.buckets.len() - 1)]
    }

    /// The index that takes over, if this one is being left.
    #[inline]
    pub(super) fn next<'g>(&self, _guard: &'g Guard) -> Option<&'g Self> {
        // SAFETY: it is null or an index that `begin_to_leave` published whole; it is
        // retired after this one, which the guard's holder has found under the guard.
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }

    /// Whether so many records are too many for it.
    #[inline]
    pub(super) fn is_crowded(&self, records: u64) -> bool {
        records > self.len() * RECORDS_PER_BUCKET
    }

    /// Begins to leave for an index of twice as many buckets, if nobody has. Without memory for
    /// it the chains of this one go on to lengthen, and it is asked for again later.
    #[cold]
    pub(super) fn begin_to_leave(&self, records: u64) {
        let is_left = !self.next.load(Ordering::Acquire).is_null();
        if is_left || records < self.ask_again_at.load(Ordering::Relaxed) {
            return;
        }
        let Ok(next) = Self::new(2 * self.len()) else {
            self.ask_again_at.store(records + records / 8, Ordering::Relaxed);
            return;
        };
        let next = Box::into_raw(Box::new(next));
        let null = std::ptr::null_mut();
        if self.next.compare_exchange(null, next, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: it was made above, and not published.
            drop(unsafe { Box::from_raw(next) });
        }
    }

    /// Has the bucket of a hash brought from memory, without waiting for it.
    #[inline]
    pub(super) fn ask_for_bucket(&self, hash: u64) {
        prefetch(std::ptr::from_ref(self.bucket(hash)).cast(), 1);
    }

    /// Has `lines` of the record brought that is probably a hash's, and returns its slot: the
    /// first of the hash's own bucket that may be.
    #[inline]
    pub(super) fn ask_for_record(&self, hash: u64, lines: usize) -> Word {
        let may_be = |word: &Word| word.is_candidate(hash);
        let guess = self.bucket(hash).words().find(may_be).unwrap_or(Word::EMPTY);
        prefetch(guess.record_address().cast(), lines);
        guess
    }

    /// Looks a key up in this index alone.
    #[inline]
    pub(super) fn find<'g>(&self, hash: u64, key: &[u8], guard: &'g Guard) -> Found<'g> {
        let head = self.bucket(hash);
        if head.is_moved() {
            return Found::Leaving(None);
        }
        for bucket in head.chain() {
            for word in bucket.words() {
                if word.may_hold(hash) {
                    // SAFETY: the bucket was not moved when the guard was there already.
                    let record = unsafe { word.record(guard) };
                    if record.is_some_and(|record| record.is_of(key)) {
                        let is_frozen = word.is_frozen();
                        return if is_frozen {
                            Found::Leaving(record)
                        } else {
                            Found::Settled(record)
                        };
                    }
                }
                if word == Word::EMPTY {
                    return Found::Settled(None); // Slots fill in order.
                }
                if word.thawed() == Word::EMPTY {
                    return Found::Leaving(None);
                }
            }
        }
        let is_frozen = head.chain().last().is_some_and(Bucket::ends_frozen);
        if is_frozen { Found::Leaving(None) } else { Found::Settled(None) }
    }

    /// Moves a few buckets that nobody has begun to move; returns whether that were the last,
    /// and so `next` alone is to be used.
    pub(super) fn move_some(
        &self,
        next: &Self,
        hash_of: impl Fn(&[u8]) -> u64,
        guard: &Guard,
    ) -> bool {
        if self.begun.load(Ordering::Relaxed) >= self.len() {
            return false;
        }
        let first = self.begun.fetch_add(STEP, Ordering::Relaxed);
        let mut is_last = false;
        for bucket in first..(first + STEP).min(self.len()) {
            is_last |= self.move_bucket(bucket, next, &hash_of, guard);
        }
        is_last
    }

    /// Moves the bucket of a hash, unless it is moved; returns whether it was the last.
    pub(super) fn move_bucket(
        &self,
        hash: u64,
        next: &Self,
        hash_of: impl Fn(&[u8]) -> u64,
        guard: &Guard,
    ) -> bool {
        let head = self.bucket(hash);
        if head.is_moved() {
            return false;
        }
        head.freeze();
        for word in head.chain().flat_map(Bucket::words) {
            // SAFETY: the bucket was not moved when the guard was there already.
            if let Some(record) = unsafe { word.record(guard) } {
                next.take_over(hash_of(record.key()), record.key(), word.thawed(), guard);
            }
        }
        if !head.set_moved() {
            return false;
        }
        if let Some(chain) = head.overflow() {
            // SAFETY: only the first to note that the bucket is moved comes here, and who comes
            // later looks for that before anything else.
            unsafe { retire_chain(guard, chain) };
        }
        self.moved.fetch_add(1, Ordering::AcqRel) + 1 == self.len()
    }

    /// Takes a record of the index before, unless its key is here.
    fn take_over(&self, hash: u64, key: &[u8], record: Word, guard: &Guard) {
        let mut bucket = self.bucket(hash);
        loop {
            for slot in 0..SLOTS {
                let mut seen = bucket.word(slot);
                if seen == Word::EMPTY {
                    match bucket.replace(slot, Word::EMPTY, record) {
                        Ok(()) => return,
                        Err(now) => seen = now,
                    }
                }
                if seen.is_frozen() {
                    return; // This index is being left itself, so it had taken over everything.
                }
                if seen.is_candidate(hash) {
                    // SAFETY: it was not frozen, so this bucket was not moved.
                    let held = unsafe { seen.record(guard) };
                    if held.is_some_and(|held| held.is_of(key)) {
                        return;
                    }
                }
            }
            let Some(next) = bucket.next_or_add() else { return };
            bucket = next;
        }
    }

    /// Every record, when nobody else is there.
    pub(super) fn records(&mut self) -> impl Iterator<Item = NonNull<Header>> + '_ {
        self.buckets
            .iter()
            .flat_map(Bucket::chain)
            .flat_map(Bucket::words)
            .filter_map(Word::address)
    }

    /// Frees what buckets overflowed into. An index that was left has nothing of it any more:
    /// to look through all of its buckets would keep its worker for long.
    pub(super) fn free_chains(self) {
        for chain in self.buckets.iter().filter_map(Bucket::overflow) {
            // SAFETY: the index is the caller's own.
            unsafe { Bucket::free_chain(chain) };
        }
    }
}

/// Asks for cache lines, without waiting for them.
#[inline]
fn prefetch(address: *const u8, lines: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..lines {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch is a hint and does not fault, whatever the address is.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.wrapping_add(64 * line).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (address, lines);
}
