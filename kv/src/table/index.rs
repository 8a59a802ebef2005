//! An index: an array of buckets, and their migration to the index that succeeds it.
//!
//! The table grows bucket by bucket, while reads and writes go on. To migrate a bucket, a thread
//! freezes all slots of its chain, which ends the writing there; copies each record's word into
//! the next index, unless its key is there already; and then marks the bucket as migrated. Several
//! threads may migrate one bucket at a time, each of them whole: the result is the same.
//!
//! - A writer that meets a frozen slot migrates the bucket itself, waits for nobody, and goes on
//!   in the next index. Nothing is written there before its bucket is migrated.
//! - A reader that meets a frozen slot searches the next index first. A key that is not there has
//!   not been written since, so the frozen slot still holds its record.

use std::io;
use std::ptr::NonNull;
use std::sync::Arc;

use super::bucket::{Bucket, NoMemory, SLOTS};
use super::bucket_array::BucketArray;
use super::cells::Cells;
use super::epoch::{Guard, retire};
use super::header::Header;
use super::record::RecordRef;
use super::sync::{AtomicPtr, AtomicU64, IN_MODEL, Ordering};
use super::word::Word;

/// Records for which a bucket is made: the others of its slots make overflow rare.
const RECORDS_PER_BUCKET: u64 = if IN_MODEL { 1 } else { 4 };
/// Buckets that a thread migrates at a time.
const MIGRATION_STEP: u64 = if IN_MODEL { 1 } else { 8 };

const BUCKET_BYTES: u64 = size_of::<Bucket>() as u64;

/// Buckets, and how far their migration is.
#[derive(Debug)]
pub(super) struct Index {
    buckets: BucketArray,
    /// The next index, to which the buckets migrate; null before migration begins.
    next: AtomicPtr<Self>,
    /// Buckets that a thread has claimed to migrate, and those that are migrated.
    claimed: AtomicU64,
    migrated: AtomicU64,
    /// The system had no memory for the next index: with how many records to try again.
    retry_at_records: AtomicU64,
    /// What its buckets are counted in.
    cells: Arc<Cells>,
}

/// What a search of one index found.
#[derive(Debug)]
pub(super) enum Found<'g> {
    /// The record of a key, or that there is none.
    Live(Option<RecordRef<'g>>),
    /// The bucket is frozen or migrated: this is the record unless the next index has another.
    Frozen(Option<RecordRef<'g>>),
}

impl Index {
    /// Empty buckets for about `records`.
    pub(super) fn for_records(records: u64, cells: &Arc<Cells>) -> io::Result<Self> {
        Self::new(buckets_for(records), cells, true)
    }

    /// What they take.
    pub(super) fn bytes_for(records: u64) -> u64 {
        buckets_for(records) * BUCKET_BYTES
    }

    fn new(buckets: u64, cells: &Arc<Cells>, is_first: bool) -> io::Result<Self> {
        let array = BucketArray::new(buckets as usize)?;
        if !cells.take_for_index(buckets * BUCKET_BYTES, is_first) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        Ok(Self {
            buckets: array,
            cells: cells.clone(),
            next: AtomicPtr::new(std::ptr::null_mut()),
            claimed: AtomicU64::new(0),
            migrated: AtomicU64::new(0),
            retry_at_records: AtomicU64::new(0),
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

    /// The next index, if this one is migrating.
    #[inline]
    pub(super) fn next<'g>(&self, _guard: &'g Guard) -> Option<&'g Self> {
        // SAFETY: it is null or an index that `begin_migration` published whole; it is
        // retired after this one, which the guard's holder has found under the guard.
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }

    /// Whether so many records are too many for it.
    #[inline]
    pub(super) fn is_crowded(&self, records: u64) -> bool {
        records > self.len() * RECORDS_PER_BUCKET
    }

    /// Begins the migration to an index of twice as many buckets, if nobody has. Without memory
    /// for it the chains of this one go on to lengthen, and it is tried again later.
    #[cold]
    pub(super) fn begin_migration(&self, records: u64) {
        let is_migrating = !self.next.load(Ordering::Acquire).is_null();
        if is_migrating || records < self.retry_at_records.load(Ordering::Relaxed) {
            return;
        }
        let Ok(next) = Self::new(2 * self.len(), &self.cells, false) else {
            self.retry_at_records.store(records + records / 8, Ordering::Relaxed);
            return;
        };
        let next = Box::into_raw(Box::new(next));
        let null = std::ptr::null_mut();
        if self.next.compare_exchange(null, next, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: it was made above, and not published.
            drop(unsafe { Box::from_raw(next) });
        }
    }

    /// What prefetches the bucket of a hash. It looks at the index once, for many hashes.
    #[inline]
    pub(super) fn bucket_prefetch(&self) -> impl Fn(u64) + use<> {
        let buckets: &[Bucket] = &self.buckets;
        let (first, mask) = (buckets.as_ptr(), buckets.len() - 1);
        move |hash| prefetch(first.wrapping_add(hash as usize & mask).cast(), 1)
    }

    /// Prefetches `lines` of the record that is probably the one looked for, and returns its
    /// word: the first of the bucket with the tag of the hash.
    #[inline]
    pub(super) fn prefetch_record(&self, hash: u64, lines: usize) -> Word {
        let is_match = |word: &Word| word.is_live_match(hash);
        let word = self.bucket(hash).words().find(is_match).unwrap_or(Word::EMPTY);
        prefetch(word.prefetch_address().cast(), lines);
        word
    }

    /// Looks a key up in this index alone.
    #[inline]
    pub(super) fn find<'g>(&self, hash: u64, key: &[u8], guard: &'g Guard) -> Found<'g> {
        let head = self.bucket(hash);
        if head.is_migrated() {
            return Found::Frozen(None);
        }
        for bucket in head.chain() {
            for word in bucket.words() {
                if word.is_match(hash) {
                    // SAFETY: the bucket was not migrated when the guard was there already.
                    let record = unsafe { word.record(guard) };
                    if record.is_some_and(|record| record.is_of(key)) {
                        let is_frozen = word.is_frozen();
                        return if is_frozen { Found::Frozen(record) } else { Found::Live(record) };
                    }
                }
                if word == Word::EMPTY {
                    return Found::Live(None); // Slots fill in order.
                }
                if word.unfrozen() == Word::EMPTY {
                    return Found::Frozen(None);
                }
            }
        }
        let is_frozen = head.chain().last().is_some_and(Bucket::ends_frozen);
        if is_frozen { Found::Frozen(None) } else { Found::Live(None) }
    }

    /// Migrates a few buckets that nobody has claimed; returns whether they were the last, and
    /// so `next` alone is to be used.
    pub(super) fn migrate_some(
        &self,
        next: &Self,
        hash_of: impl Fn(&[u8]) -> u64,
        guard: &Guard,
    ) -> bool {
        if self.claimed.load(Ordering::Relaxed) >= self.len() {
            return false;
        }
        let first = self.claimed.fetch_add(MIGRATION_STEP, Ordering::Relaxed);
        let mut is_last = false;
        for bucket in first..(first + MIGRATION_STEP).min(self.len()) {
            match self.migrate_bucket(bucket, next, &hash_of, guard) {
                Ok(last) => is_last |= last,
                Err(NoMemory) => {
                    // Somebody tries again, when there is some.
                    self.claimed.fetch_min(bucket, Ordering::Relaxed);
                    break;
                }
            }
        }
        is_last
    }

    /// Migrates the bucket of a hash, unless that is done; returns whether it was the last. Without
    /// memory for what it overflows into there, it stays frozen.
    pub(super) fn migrate_bucket(
        &self,
        hash: u64,
        next: &Self,
        hash_of: impl Fn(&[u8]) -> u64,
        guard: &Guard,
    ) -> Result<bool, NoMemory> {
        let head = self.bucket(hash);
        if head.is_migrated() {
            return Ok(false);
        }
        head.freeze();
        for word in head.chain().flat_map(Bucket::words) {
            // SAFETY: the bucket was not migrated when the guard was there already.
            if let Some(record) = unsafe { word.record(guard) } {
                next.insert_migrated(hash_of(record.key()), record.key(), word.unfrozen(), guard)?;
            }
        }
        if !head.set_migrated() {
            return Ok(false);
        }
        if let Some(chain) = head.overflow() {
            let cells = self.cells.clone();
            // SAFETY: only the first to mark the bucket as migrated comes here, and who comes
            // later looks at the mark before anything else.
            unsafe { retire(guard, chain, move |chain| Bucket::free_chain(chain, &cells)) };
        }
        Ok(self.migrated.fetch_add(1, Ordering::AcqRel) + 1 == self.len())
    }

    /// Inserts a record of the index before, unless its key is here.
    fn insert_migrated(
        &self,
        hash: u64,
        key: &[u8],
        record: Word,
        guard: &Guard,
    ) -> Result<(), NoMemory> {
        let mut bucket = self.bucket(hash);
        loop {
            for slot in 0..SLOTS {
                let mut seen = bucket.word(slot);
                if seen == Word::EMPTY {
                    match bucket.replace(slot, Word::EMPTY, record) {
                        Ok(()) => return Ok(()),
                        Err(now) => seen = now,
                    }
                }
                if seen.is_frozen() {
                    return Ok(()); // This index is migrating itself, so it already had every record.
                }
                if seen.is_live_match(hash) {
                    // SAFETY: it was not frozen, so this bucket was not migrated.
                    let held = unsafe { seen.record(guard) };
                    if held.is_some_and(|held| held.is_of(key)) {
                        return Ok(());
                    }
                }
            }
            let Some(next) = bucket.next_or_add(&self.cells)? else { return Ok(()) };
            bucket = next;
        }
    }

    /// The next index, which this one, that nobody else has, is followed by.
    pub(super) fn take_next(&self) -> Option<Box<Self>> {
        let next = self.next.swap(std::ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: `begin_migration` made it from a box, and only this index leads to it.
        NonNull::new(next).map(|next| unsafe { Box::from_raw(next.as_ptr()) })
    }

    /// Where a record is; an error if that is decided by the next index, to which the bucket is
    /// migrating or has migrated.
    pub(super) fn place_of(
        &self,
        hash: u64,
        record: NonNull<Header>,
    ) -> Option<Result<(&Bucket, usize, Word), ()>> {
        let head = self.bucket(hash);
        for bucket in head.chain() {
            for slot in 0..SLOTS {
                let word = bucket.word(slot);
                if word.is_frozen() {
                    return Some(Err(()));
                }
                if word.address() == Some(record) {
                    return Some(Ok((bucket, slot, word)));
                }
                if word == Word::EMPTY {
                    return None; // Slots fill in order.
                }
            }
        }
        let is_frozen = head.chain().last().is_some_and(Bucket::ends_frozen);
        is_frozen.then_some(Err(()))
    }
}

fn buckets_for(records: u64) -> u64 {
    records.div_ceil(RECORDS_PER_BUCKET).next_power_of_two()
}

impl Drop for Index {
    fn drop(&mut self) {
        self.cells.give_from_index(self.len() * BUCKET_BYTES);
    }
}

/// Begins to load cache lines, without waiting for them.
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
