//! A lock-free table for batches: buckets of one cache line, and records that never change.
//!
//! [`super::bucket`] and [`super::word`] draw what a bucket and a slot hold. A write puts a new
//! record in the place of the old one with one compare-and-swap. When there are too many records
//! for the buckets, they migrate into twice as many ([`super::index`]).
//!
//! A group of keys is looked up in stages, a few keys a step: while the answers to some are
//! given, the records of the next are being prefetched, and the buckets of those after them. So
//! cache misses overlap instead of following each other (groups after MICA, Lim et al., NSDI
//! 2014; the stages are the software pipeline of Chen et al., "Improving Hash Join Performance
//! through Prefetching", 2004). A replaced record is retired ([`super::epoch`]).

use std::io;
use std::ptr::NonNull;
use std::sync::Arc;

use proto::limits::LOOKUP_GROUP_MAX;
use proto::store::{Full, Record, Store};

use super::bucket::{NoMemory, SLOTS};
use super::cells::{Cells, MemoryUse};
use super::epoch::{Guard, pin, retire};
use super::garbage::{hand_over, leave};
use super::gauges::TableGauges;
use super::index::{Found, Index};
use super::key_hash::{KeyHash, SecretHash};
use super::memory::Memory;
use super::record::{NewRecord, RecordRef};
use super::shard::Mine;
use super::shards::Shards;
use super::sync::{AtomicPtr, AtomicU64, Ordering};
use super::word::Word;

/// The records of a server.
#[derive(Debug)]
pub struct BucketTable<H: KeyHash = SecretHash> {
    /// Never null. Where every search begins: while it migrates, some go on in the next.
    index: AtomicPtr<Index>,
    key_hash: H,
    memory: Memory,
    /// The memory of the records, and how threads share it.
    pub(super) cells: Arc<Cells>,
    pub(super) shards: Arc<Shards>,
    records: AtomicU64,
}

/// Keys that go through a stage together. With more, they wait for each other; with fewer, for
/// memory.
const STEP: usize = 8;
/// Cache lines of a record that a look-up prefetches. Its length is not known before its header
/// is there: so many has one of 8 + 128 bytes.
const RECORD_LINES: usize = 3;

/// Steps of evacuation before a write is refused that finds no page.
const ROOM_STEPS: usize = 64;

/// How a write to one index went.
enum Write {
    Done(u64),
    Refused(Refused),
    /// The key's bucket is migrating; the record is still to be written to the next index.
    Migrating(NewRecord),
}

/// Why a write was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// The records hold as much as they may.
    AtCap,
    /// There is no free page; evacuation may gain one.
    NoMemory,
}

impl BucketTable {
    /// An empty table with room for about `records` before it grows.
    ///
    /// # Panics
    /// If the system has no memory for its index, as allocations do, or no random bytes.
    #[must_use]
    pub fn new(records: usize, memory_cap_bytes: u64) -> Self {
        Self::try_new(records, memory_cap_bytes)
            .unwrap_or_else(|error| panic!("no table for {records} records: {error}"))
    }

    /// The same, or an error if the system has no memory for its index, or no random bytes.
    pub fn try_new(records: usize, memory_cap_bytes: u64) -> io::Result<Self> {
        Self::over(records, memory_cap_bytes, SecretHash::random()?)
    }
}

impl<H: KeyHash> BucketTable<H> {
    /// The same with a hash of the caller's: one that is fixed, for what has to run alike
    /// each time. Those who choose keys could make its chains long, so it is for no server.
    #[must_use]
    pub fn with_hash(records: usize, memory_cap_bytes: u64, key_hash: H) -> Self {
        Self::over(records, memory_cap_bytes, key_hash)
            .unwrap_or_else(|error| panic!("no memory for an index of {records} records: {error}"))
    }

    fn over(records: usize, memory_cap_bytes: u64, key_hash: H) -> io::Result<Self> {
        let cells = Cells::new(memory_cap_bytes, Index::bytes_for(records as u64))?;
        let index = Index::for_records(records as u64, &cells)?;
        Ok(Self {
            index: AtomicPtr::new(Box::into_raw(Box::new(index))),
            key_hash,
            memory: Memory::new(memory_cap_bytes),
            shards: Shards::new(cells.clone()),
            cells,
            records: AtomicU64::new(0),
        })
    }

    /// Records held.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Bytes that evacuation moved, since the start.
    #[must_use]
    pub fn bytes_moved(&self) -> u64 {
        self.cells.bytes_moved()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        self.key_hash.hash(key)
    }

    #[inline]
    pub(super) fn index<'g>(&self, _guard: &'g Guard) -> &'g Index {
        // SAFETY: it is never null, was published whole, and is retired after it was replaced,
        // so not while a guard lives that was there when it was read.
        unsafe { &*self.index.load(Ordering::Acquire) }
    }

    /// The index to begin at. If it is migrating, this migrates a few of its buckets first, so
    /// that the migration comes to an end.
    #[inline]
    fn index_after_migrating_some<'g>(&self, guard: &'g Guard) -> &'g Index {
        let index = self.index(guard);
        let Some(next) = index.next(guard) else { return index };
        if index.migrate_some(next, |key| self.hash(key), guard) {
            self.advance(index, next, guard);
        }
        index
    }

    /// All buckets of an index are migrated: searches begin in the next from now on.
    #[cold]
    pub(super) fn advance(&self, index: &Index, next: &Index, guard: &Guard) {
        let (old, new) = (std::ptr::from_ref(index), std::ptr::from_ref(next));
        let swapped = self.index.compare_exchange(
            old.cast_mut(),
            new.cast_mut(),
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        assert!(swapped.is_ok(), "an index migrates once, after the one before it");
        // SAFETY: the swap took it out of the table, once, and `over` made it from a box, or
        // `Index::begin_migration` did.
        unsafe { retire(guard, NonNull::from(index), |old| drop(Box::from_raw(old.as_ptr()))) };
    }

    #[inline]
    fn find<'g>(
        &self,
        mut index: &'g Index,
        hash: u64,
        key: &[u8],
        guard: &'g Guard,
    ) -> Option<RecordRef<'g>> {
        let mut frozen = None;
        loop {
            match index.find(hash, key, guard) {
                // Not there means that nobody wrote it since, so the frozen record still holds.
                Found::Live(record) => return record.or(frozen),
                Found::Frozen(record) => frozen = record.or(frozen),
            }
            index = index.next(guard).expect("a frozen bucket has a next index");
        }
    }

    /// Writes to one index.
    #[inline]
    fn put_in(
        &self,
        index: &Index,
        hash: u64,
        mut new: NewRecord,
        mine: &mut Mine<'_>,
        guard: &Guard,
    ) -> Write {
        let new_bytes = new.bytes();
        let mut bucket = index.bucket(hash);
        loop {
            for slot in 0..SLOTS {
                let mut seen = bucket.word(slot);
                // Ends when this slot turns out to be another key's, or takes the record.
                loop {
                    if seen.is_frozen() {
                        return Write::Migrating(new);
                    }
                    if seen != Word::EMPTY && !seen.is_live_match(hash) {
                        break;
                    }
                    // SAFETY: it was not frozen, so its bucket was not migrated.
                    let old = unsafe { seen.record(guard) };
                    if old.is_some_and(|old| !old.is_of(new.key())) {
                        break;
                    }
                    let old_bytes = old.map_or(0, RecordRef::bytes);
                    if new_bytes > old_bytes
                        && let Some(refused) = self.refuses_growth(old_bytes, new_bytes)
                    {
                        new.discard(mine);
                        return Write::Refused(refused);
                    }
                    let version = old.map_or(0, RecordRef::version) + 1;
                    new.set_version(version);
                    match bucket.replace(slot, seen, Word::new(hash, new.address())) {
                        Ok(()) => {
                            self.memory.replaced(old_bytes, new_bytes);
                            match seen.address() {
                                Some(record) => {
                                    mine.retire(record, old.map_or(0, RecordRef::class));
                                }
                                None => self.added(index),
                            }
                            return Write::Done(version);
                        }
                        Err(now) => seen = now,
                    }
                }
            }
            match bucket.next_or_add(&self.cells) {
                Ok(Some(next)) => bucket = next,
                Ok(None) => return Write::Migrating(new),
                Err(NoMemory) => {
                    new.discard(mine);
                    return Write::Refused(Refused::NoMemory);
                }
            }
        }
    }

    /// Whether a record may not be replaced by a longer one.
    #[inline]
    fn refuses_growth(&self, old_bytes: u64, new_bytes: u64) -> Option<Refused> {
        if !self.memory.allows(old_bytes, new_bytes) {
            return Some(Refused::AtCap);
        }
        self.cells.is_tight().then_some(Refused::NoMemory)
    }

    #[inline]
    fn try_put(&self, hash: u64, key: &[u8], value: &[u8]) -> Result<u64, Refused> {
        // Pinning may free garbage, which locks a shard: so it comes first.
        let guard = pin();
        let mut mine = self.shards.mine();
        if !mine.can_retire() {
            return Err(Refused::NoMemory);
        }
        let mut new = NewRecord::new(key, value, &mut mine).ok_or(Refused::NoMemory)?;
        let mut index = self.index_after_migrating_some(&guard);
        let version = loop {
            match self.put_in(index, hash, new, &mut mine, &guard) {
                Write::Done(version) => break version,
                Write::Refused(refused) => return Err(refused),
                Write::Migrating(record) => new = record,
            }
            let Ok(next) = self.migrate_for_write(index, hash, &guard) else {
                new.discard(&mut mine);
                return Err(Refused::NoMemory);
            };
            index = next;
        };
        leave(mine, &self.shards, &guard);
        Ok(version)
    }

    /// Migrates the frozen bucket of a hash; returns the index where a writer goes on.
    #[cold]
    pub(super) fn migrate_for_write<'g>(
        &self,
        index: &'g Index,
        hash: u64,
        guard: &'g Guard,
    ) -> Result<&'g Index, NoMemory> {
        let next = index.next(guard).expect("a frozen bucket has a next index");
        if index.migrate_bucket(hash, next, |key| self.hash(key), guard)? {
            self.advance(index, next, guard);
        }
        Ok(next)
    }

    /// What a write does that was refused, or after which free pages run low.
    #[cold]
    #[inline(never)]
    fn put_on_low_memory(
        &self,
        hash: u64,
        key: &[u8],
        value: &[u8],
        mut result: Result<u64, Refused>,
    ) -> Result<u64, Full> {
        for _ in 0..ROOM_STEPS {
            match result {
                Ok(version) => {
                    self.evacuate_some();
                    return Ok(version);
                }
                Err(Refused::AtCap) => return Err(Full),
                Err(Refused::NoMemory) if self.make_room() => {
                    result = self.try_put(hash, key, value);
                }
                Err(Refused::NoMemory) => return Err(Full),
            }
        }
        result.map_err(|_| Full)
    }

    /// Goes on with evacuation because there is no memory; returns whether that may gain some.
    fn make_room(&self) -> bool {
        let may_gain = self.evacuate_some();
        let guard = pin();
        let bag = self.shards.mine().bag();
        if let Some(bag) = bag {
            hand_over(&self.shards, bag, &guard);
        }
        may_gain
    }

    /// Counts a new record, and begins to grow if it is one too many.
    fn added(&self, index: &Index) {
        let records = self.records.fetch_add(1, Ordering::Relaxed) + 1;
        // An index where searches don't begin yet is still filled from the one before.
        if index.is_crowded(records) && std::ptr::eq(self.index.load(Ordering::Acquire), index) {
            index.begin_migration(records);
        }
    }
}

impl<H: KeyHash> Store for &BucketTable<H> {
    #[inline]
    fn get(&mut self, keys: &[&[u8]], mut found: impl FnMut(usize, Option<Record<'_>>)) {
        assert!(keys.len() <= LOOKUP_GROUP_MAX);
        let guard = pin();
        let index = self.index_after_migrating_some(&guard);
        let mut hashes = [0; LOOKUP_GROUP_MAX];
        let mut words = [Word::EMPTY; LOOKUP_GROUP_MAX];
        let prefetch_bucket = index.bucket_prefetch();
        // Each stage is a step behind the one before it.
        let (mut hashed, mut prefetched, mut done) = (0, 0, 0);
        while done < keys.len() {
            let steps = [(hashed + STEP).min(keys.len()), hashed, prefetched];
            let step = hashed..steps[0];
            self.key_hash.hash_all(&keys[step.clone()], &mut hashes[step], &prefetch_bucket);
            for at in prefetched..steps[1] {
                words[at] = index.prefetch_record(hashes[at], RECORD_LINES);
            }
            for at in done..steps[2] {
                // SAFETY: the word was not frozen, so its bucket was not migrated.
                let likely = unsafe { words[at].record(&guard) };
                let record = likely
                    .filter(|record| record.is_of(keys[at]))
                    .or_else(|| self.find(index, hashes[at], keys[at], &guard));
                found(at, record.map(|r| Record { version: r.version(), value: r.value() }));
            }
            [hashed, prefetched, done] = steps;
        }
    }

    fn prefetch(&mut self, keys: &[&[u8]]) {
        let guard = pin();
        let index = self.index(&guard);
        let mut hashes = [0; LOOKUP_GROUP_MAX];
        let hashes = &mut hashes[..keys.len()];
        self.key_hash.hash_all(keys, hashes, index.bucket_prefetch());
        for &hash in &*hashes {
            // Of what is replaced, only the key and the version are read.
            index.prefetch_record(hash, 1);
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<u64, Full> {
        let hash = self.hash(key);
        match self.try_put(hash, key, value) {
            Ok(version) if !self.cells.is_low() => Ok(version),
            result => self.put_on_low_memory(hash, key, value, result),
        }
    }

    fn gauges(&self) -> Vec<(&'static str, u64)> {
        let buckets = self.index(&pin()).len();
        let (records, record_bytes) = (self.len(), self.memory.used_bytes());
        let MemoryUse { index_bytes, page_bytes, free_page_bytes, garbage_bytes } =
            self.cells.memory_use();
        let gauges = TableGauges {
            records,
            record_bytes,
            page_bytes,
            free_page_bytes,
            garbage_bytes,
            index_bytes,
            records_moved: self.cells.records_moved(),
            buckets,
        };
        gauges.named().collect()
    }
}

impl<H: KeyHash> Drop for BucketTable<H> {
    fn drop(&mut self) {
        // SAFETY: it was made from a box, and the table is dropped, so nobody else has it. The
        // records and the buckets that others overflow into go with their pages.
        let first = unsafe { Box::from_raw(self.index.load(Ordering::Relaxed)) };
        let mut index = Some(first);
        while let Some(dropped) = index {
            index = dropped.take_next();
        }
    }
}
