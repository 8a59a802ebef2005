//! A lock-free table for batches: buckets of one cache line, and records that never change.
//!
//! A bucket ([`super::bucket`]) holds slots and the address of the bucket that it overflows
//! into. A slot is empty, or holds a record's address with 16 bits of its key's hash. Slots
//! fill in order and never empty, and a slot keeps its key for ever: a write puts a new record
//! in the place of the old with one compare-and-swap. So two writers of a new key meet at the
//! same empty slot, and one of them finds the other there: no key is ever held twice. When
//! there are too many records for its buckets, they move into twice as many
//! ([`super::index`]).
//!
//! A group of keys is looked up in stages, a few keys a step: while some are answered, the
//! records of the next are on their way from memory, and the buckets of those after them. So
//! cache misses overlap instead of following each other (groups after MICA, Lim et al., NSDI
//! 2014; the stages are the software pipeline of Chen et al., "Improving Hash Join Performance
//! through Prefetching", 2004). Replaced records are freed when no thread can see
//! them any more (epochs, Fraser 2004, by crossbeam).

use std::hash::{BuildHasher, Hasher as _};
use std::io;
use std::ptr::NonNull;

use foldhash::fast::RandomState;
use proto::limits::LOOKUP_GROUP_MAX;
use proto::planted::{Fault, is_due};
use proto::store::{Full, Record, Store};

use super::bucket::{SLOTS, Word};
use super::index::{Found, Index};
use super::memory::Memory;
use super::reclaim::{Guard, pin, retire, retire_index};
use super::record::{NewRecord, RecordRef, free};
use super::sync::{AtomicPtr, AtomicU64, Ordering};

/// The records of a server.
#[derive(Debug)]
pub struct BucketTable<S: BuildHasher = RandomState> {
    /// Never null. Where every search begins: while it is being left, some goes on in the next.
    index: AtomicPtr<Index>,
    hasher: S,
    memory: Memory,
    records: AtomicU64,
}

/// Keys that go through a stage together. More wait for each other; with fewer, memory is
/// waited for.
const STEP: usize = 8;
/// What a look-up asks for of a record, whose length is not known before its header is there:
/// as much as one of 8 + 128 bytes has.
const RECORD_LINES: usize = 3;

/// How a write to one index went.
enum Write {
    Done(Result<u64, Full>),
    /// The key's bucket is being left; the record is still to be written.
    Left(NewRecord),
}

impl BucketTable {
    /// An empty table with room for about `records` before it grows.
    ///
    /// # Panics
    /// If the system has no memory for its index, as allocations do.
    #[must_use]
    pub fn new(records: usize, memory_cap_bytes: u64) -> Self {
        Self::with_hasher(records, memory_cap_bytes, RandomState::default())
    }

    /// The same, or an error if the system has no memory for its index.
    pub fn try_new(records: usize, memory_cap_bytes: u64) -> io::Result<Self> {
        let index = Index::for_records(records as u64)?;
        Ok(Self::over(index, memory_cap_bytes, RandomState::default()))
    }
}

impl<S: BuildHasher> BucketTable<S> {
    /// The same with a hash of the caller's: one that is fixed, for what has to run alike
    /// each time. Those who choose keys could make its chains long, so it is for no server.
    #[must_use]
    pub fn with_hasher(records: usize, memory_cap_bytes: u64, hasher: S) -> Self {
        let index = Index::for_records(records as u64)
            .unwrap_or_else(|error| panic!("no memory for an index of {records} records: {error}"));
        Self::over(index, memory_cap_bytes, hasher)
    }

    fn over(index: Index, memory_cap_bytes: u64, hasher: S) -> Self {
        Self {
            index: AtomicPtr::new(Box::into_raw(Box::new(index))),
            hasher,
            memory: Memory::new(memory_cap_bytes),
            records: AtomicU64::new(0),
        }
    }

    /// Records held.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    #[inline]
    fn index<'g>(&self, _guard: &'g Guard) -> &'g Index {
        // SAFETY: it is never null, was published whole, and is retired after it was replaced,
        // so not while a guard lives that was there when it was read.
        unsafe { &*self.index.load(Ordering::Acquire) }
    }

    /// The index to begin at; if it is being left, a few of its buckets are moved first, so
    /// that it comes to an end.
    #[inline]
    fn index_and_move_on<'g>(&self, guard: &'g Guard) -> &'g Index {
        let index = self.index(guard);
        let Some(next) = index.next(guard) else { return index };
        if index.move_some(next, |key| self.hash(key), guard) {
            self.leave(index, next, guard);
        }
        index
    }

    /// All buckets of an index are moved: searches begin in the next from now on.
    #[cold]
    fn leave(&self, index: &Index, next: &Index, guard: &Guard) {
        let (old, new) = (std::ptr::from_ref(index), std::ptr::from_ref(next));
        let swapped = self.index.compare_exchange(
            old.cast_mut(),
            new.cast_mut(),
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        assert!(swapped.is_ok(), "an index is left once, after the one before it");
        // SAFETY: the swap took it out of the table, once, and `new` made it from a box, or
        // `Index::begin_to_leave` did.
        unsafe { retire_index(guard, NonNull::from(index)) };
    }

    #[inline]
    fn find<'g>(
        &self,
        mut index: &'g Index,
        hash: u64,
        key: &[u8],
        guard: &'g Guard,
    ) -> Option<RecordRef<'g>> {
        let mut left = None;
        loop {
            match index.find(hash, key, guard) {
                // Not there means that nobody wrote it since, so what was left still holds.
                Found::Settled(record) => return record.or(left),
                Found::Leaving(record) => left = record.or(left),
            }
            index = index.next(guard).expect("what is frozen is left for another");
        }
    }

    /// Writes to one index.
    #[inline]
    fn put_in(&self, index: &Index, hash: u64, mut new: NewRecord, guard: &Guard) -> Write {
        let new_bytes = new.bytes();
        let mut bucket = index.bucket(hash);
        loop {
            for slot in 0..SLOTS {
                let mut seen = bucket.word(slot);
                // Ends when this slot turns out to be another key's, or takes the record.
                loop {
                    if seen.is_frozen() {
                        return Write::Left(new);
                    }
                    if seen != Word::EMPTY && !seen.is_candidate(hash) {
                        break;
                    }
                    // SAFETY: it was not frozen, so its bucket was not moved.
                    let old = unsafe { seen.record(guard) };
                    if old.is_some_and(|old| !old.is_of(new.key())) {
                        break;
                    }
                    let old_bytes = old.map_or(0, RecordRef::bytes);
                    if !self.memory.allows(old_bytes, new_bytes) {
                        return Write::Done(Err(Full));
                    }
                    let version = old.map_or(0, RecordRef::version) + 1;
                    if old.is_some() && is_due(Fault::LostUpdate, Fault::LOST_UPDATE_ONE_IN) {
                        return Write::Done(Ok(version));
                    }
                    new.set_version(version);
                    match bucket.replace(slot, seen, Word::new(hash, new.address())) {
                        Ok(()) => {
                            new.publish();
                            self.memory.replaced(old_bytes, new_bytes);
                            match seen.address() {
                                // SAFETY: the swap took it out of the table, once.
                                Some(old) => unsafe { retire(guard, old) },
                                None => self.added(index),
                            }
                            return Write::Done(Ok(version));
                        }
                        Err(now) => seen = now,
                    }
                }
            }
            let Some(next) = bucket.next_or_add() else { return Write::Left(new) };
            bucket = next;
        }
    }

    /// Counts a new record, and begins to grow if it is one too many.
    fn added(&self, index: &Index) {
        let records = self.records.fetch_add(1, Ordering::Relaxed) + 1;
        // An index that is not begun at yet still takes over from the one before.
        if index.is_crowded(records) && std::ptr::eq(self.index.load(Ordering::Acquire), index) {
            index.begin_to_leave(records);
        }
    }
}

impl<S: BuildHasher> Store for &BucketTable<S> {
    #[inline]
    fn get(&mut self, keys: &[&[u8]], mut found: impl FnMut(usize, Option<Record<'_>>)) {
        assert!(keys.len() <= LOOKUP_GROUP_MAX);
        let guard = pin();
        let index = self.index_and_move_on(&guard);
        let mut hashes = [0; LOOKUP_GROUP_MAX];
        let mut guesses = [Word::EMPTY; LOOKUP_GROUP_MAX];
        // Each stage is a step behind the one before it.
        let (mut hashed, mut guessed, mut done) = (0, 0, 0);
        while done < keys.len() {
            let steps = [(hashed + STEP).min(keys.len()), hashed, guessed];
            for at in hashed..steps[0] {
                hashes[at] = self.hash(keys[at]);
                index.ask_for_bucket(hashes[at]);
            }
            for at in guessed..steps[1] {
                guesses[at] = index.ask_for_record(hashes[at], RECORD_LINES);
            }
            for at in done..steps[2] {
                // SAFETY: a guess was not frozen, so its bucket was not moved.
                let guess = unsafe { guesses[at].record(&guard) };
                let record = guess
                    .filter(|record| record.is_of(keys[at]))
                    .or_else(|| self.find(index, hashes[at], keys[at], &guard));
                found(at, record.map(|r| Record { version: r.version(), value: r.value() }));
            }
            [hashed, guessed, done] = steps;
        }
    }

    fn prefetch(&mut self, keys: &[&[u8]]) {
        let guard = pin();
        let index = self.index(&guard);
        let mut hashes = [0; LOOKUP_GROUP_MAX];
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = self.hash(key);
            index.ask_for_bucket(*hash);
        }
        for hash in &hashes[..keys.len()] {
            // Of what is replaced, only the key and the version are read.
            index.ask_for_record(*hash, 1);
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<u64, Full> {
        let hash = self.hash(key);
        let mut new = NewRecord::new(key, value);
        let guard = pin();
        let mut index = self.index_and_move_on(&guard);
        loop {
            match self.put_in(index, hash, new, &guard) {
                Write::Done(result) => return result,
                Write::Left(record) => new = record,
            }
            let next = index.next(&guard).expect("what is frozen is left for another");
            if index.move_bucket(hash, next, |key| self.hash(key), &guard) {
                self.leave(index, next, &guard);
            }
            index = next;
        }
    }

    fn gauges(&self) -> Vec<(&'static str, u64)> {
        let buckets = self.index(&pin()).len();
        vec![
            ("records", self.len()),
            ("record_bytes", self.memory.used_bytes()),
            ("buckets", buckets),
        ]
    }
}

impl<S: BuildHasher> Drop for BucketTable<S> {
    fn drop(&mut self) {
        let guard = pin();
        while let index = self.index(&guard)
            && let Some(next) = index.next(&guard)
        {
            for bucket in 0..index.len() {
                if index.move_bucket(bucket, next, |key| self.hash(key), &guard) {
                    self.leave(index, next, &guard);
                }
            }
        }
        // SAFETY: the table is dropped, so nobody else has it, and it was made from a box.
        let mut index = unsafe { Box::from_raw(self.index.load(Ordering::Relaxed)) };
        for record in index.records() {
            // SAFETY: nobody else can see the records, and each is in one slot only.
            unsafe { free(record) };
        }
        index.free_chains();
    }
}
