//! A lock-free table for batches: buckets of one cache line, and records that never change.
//!
//! A bucket holds seven slots and the address of the bucket that it overflows into. A slot
//! is empty, or holds a record's address with 16 bits of its key's hash. Slots fill in
//! order and never empty, and a slot keeps its key for ever: a write puts a new record in
//! the place of the old with one compare-and-swap. So two writers of a new key meet at the
//! same empty slot, and one of them finds the other there: no key is ever held twice.
//!
//! A group of keys is looked up in passes: all buckets are prefetched, then all records,
//! so that the cache misses of the whole group overlap instead of following each other
//! (after MICA, Lim et al., NSDI 2014). Replaced records are freed when no thread can see
//! them any more (epochs, Fraser 2004, by crossbeam).

use std::hash::{BuildHasher, Hasher as _};
use std::ptr::NonNull;

use foldhash::fast::RandomState;
use proto::limits::LOOKUP_GROUP_MAX;
use proto::planted::{Fault, is_due};
use proto::store::{Full, Record, Store};

use super::memory::Memory;
use super::reclaim::{Guard, pin, retire};
use super::record::{Header, NewRecord, RecordRef, free};
use super::sync::{AtomicU64, Ordering};

const SLOTS: usize = 7;
/// Records for which a bucket is made: the others of its slots make overflow rare.
const RECORDS_PER_BUCKET: usize = 4;
const TAG_SHIFT: u32 = 48;
const ADDRESS_MASK: u64 = (1 << TAG_SHIFT) - 1;
const EMPTY: u64 = 0;

/// One cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Bucket {
    slots: [AtomicU64; SLOTS],
    /// Address of the next bucket of the chain, or 0.
    overflow: AtomicU64,
}

/// The records of a server.
#[derive(Debug)]
pub struct BucketTable<S = RandomState> {
    buckets: Box<[Bucket]>,
    hasher: S,
    memory: Memory,
    records: AtomicU64,
}

/// Where a key belongs.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    bucket: usize,
    /// In the bits of a slot above the address.
    tag: u64,
}

impl BucketTable {
    /// An empty table for about `records`. It takes more; each bucket then overflows into
    /// others, and look-ups grow longer.
    #[must_use]
    pub fn new(records: usize, memory_cap_bytes: u64) -> Self {
        Self::with_hasher(records, memory_cap_bytes, RandomState::default())
    }
}

impl<S: BuildHasher> BucketTable<S> {
    /// The same with a hash of the caller's: one that is fixed, for what has to run alike
    /// each time. Those who choose keys could make its chains long, so it is for no server.
    #[must_use]
    pub fn with_hasher(records: usize, memory_cap_bytes: u64, hasher: S) -> Self {
        let buckets = records.div_ceil(RECORDS_PER_BUCKET).next_power_of_two();
        Self {
            buckets: (0..buckets).map(|_| Bucket::empty()).collect(),
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
    fn place(&self, key: &[u8]) -> Place {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        let hash = hasher.finish();
        let bucket = hash as usize & (self.buckets.len() - 1);
        Place { bucket, tag: hash & !ADDRESS_MASK }
    }

    /// The first slot of a place's own bucket that may hold its key: what a prefetch needs.
    #[inline]
    fn guess(&self, place: Place) -> u64 {
        let slots = &self.buckets[place.bucket].slots;
        let slots = slots.iter().map(|slot| slot.load(Ordering::Acquire));
        slots.into_iter().find(|slot| is_candidate(*slot, place)).unwrap_or(EMPTY)
    }

    #[inline]
    fn find<'g>(&self, place: Place, key: &[u8], guard: &'g Guard) -> Option<RecordRef<'g>> {
        let mut bucket = &self.buckets[place.bucket];
        loop {
            for slot in &bucket.slots {
                let slot = slot.load(Ordering::Acquire);
                if slot == EMPTY {
                    return None; // Slots fill in order.
                }
                if is_candidate(slot, place) {
                    let record = record_of(slot, guard)?;
                    if record.key() == key {
                        return Some(record);
                    }
                }
            }
            bucket = bucket.next()?;
        }
    }
}

impl<S: BuildHasher> Store for &BucketTable<S> {
    #[inline]
    fn get(&mut self, keys: &[&[u8]], mut found: impl FnMut(usize, Option<Record<'_>>)) {
        assert!(keys.len() <= LOOKUP_GROUP_MAX);
        let guard = pin();
        let mut places = [Place::default(); LOOKUP_GROUP_MAX];
        let mut guesses = [EMPTY; LOOKUP_GROUP_MAX];
        for (place, key) in places.iter_mut().zip(keys) {
            *place = self.place(key);
            prefetch(std::ptr::from_ref(&self.buckets[place.bucket]).cast(), 1);
        }
        for (guess, place) in guesses.iter_mut().zip(&places[..keys.len()]) {
            *guess = self.guess(*place);
            // The length is not known before the header is there; this covers 8 + 128 bytes.
            prefetch((*guess & ADDRESS_MASK) as *const u8, 3);
        }
        for (index, key) in keys.iter().enumerate() {
            let guessed = record_of(guesses[index], &guard).filter(|record| record.key() == *key);
            let record = guessed.or_else(|| self.find(places[index], key, &guard));
            found(
                index,
                record.map(|record| Record { version: record.version(), value: record.value() }),
            );
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<u64, Full> {
        let place = self.place(key);
        let new_bytes = Memory::record_bytes(key.len(), value.len());
        let mut new = NewRecord::new(key, value);
        let guard = pin();
        let mut bucket = &self.buckets[place.bucket];
        loop {
            for slot in &bucket.slots {
                let mut seen = slot.load(Ordering::Acquire);
                // Ends when this slot turns out to be another key's, or takes the record.
                loop {
                    let old = record_of(seen, &guard);
                    if old.is_some_and(|old| !is_candidate(seen, place) || old.key() != key) {
                        break;
                    }
                    let old_bytes = old.map_or(0, record_bytes);
                    if !self.memory.allows(old_bytes, new_bytes) {
                        return Err(Full);
                    }
                    let version = old.map_or(0, RecordRef::version) + 1;
                    if old.is_some() && is_due(Fault::LostUpdate, Fault::LOST_UPDATE_ONE_IN) {
                        return Ok(version);
                    }
                    new.set_version(version);
                    let full = place.tag | new.address().as_ptr() as u64;
                    let swapped =
                        slot.compare_exchange(seen, full, Ordering::AcqRel, Ordering::Acquire);
                    match swapped {
                        Ok(_) => {
                            new.publish();
                            self.memory.replaced(old_bytes, new_bytes);
                            match address_of(seen) {
                                // SAFETY: the swap took it out of the table, once.
                                Some(old) => unsafe { retire(&guard, old) },
                                None => _ = self.records.fetch_add(1, Ordering::Relaxed),
                            }
                            return Ok(version);
                        }
                        Err(now) => seen = now,
                    }
                }
            }
            bucket = bucket.next_or_add();
        }
    }

    fn gauges(&self) -> Vec<(&'static str, u64)> {
        vec![("records", self.len()), ("record_bytes", self.memory.used_bytes())]
    }
}

impl Bucket {
    fn empty() -> Self {
        Self {
            slots: std::array::from_fn(|_| AtomicU64::new(EMPTY)),
            overflow: AtomicU64::new(EMPTY),
        }
    }

    #[inline]
    fn next(&self) -> Option<&Self> {
        let address = self.overflow.load(Ordering::Acquire) as *const Self;
        // SAFETY: it is null, or a bucket that `next_or_add` published whole, and that lives
        // as long as the table, of which `self` is a part.
        unsafe { address.as_ref() }
    }

    /// The bucket that this one overflows into; of several writers that add one at the
    /// same time, one succeeds and the others use its bucket.
    fn next_or_add(&self) -> &Self {
        if let Some(next) = self.next() {
            return next;
        }
        let added = Box::into_raw(Box::new(Self::empty()));
        let swapped = self.overflow.compare_exchange(
            EMPTY,
            added as u64,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if swapped.is_err() {
            // SAFETY: it was made above, and not published.
            drop(unsafe { Box::from_raw(added) });
        }
        self.next().expect("there is one now")
    }
}

impl<S> Drop for BucketTable<S> {
    fn drop(&mut self) {
        for bucket in &self.buckets {
            free_records(bucket);
            let mut overflow = bucket.overflow.load(Ordering::Relaxed) as *mut Bucket;
            while !overflow.is_null() {
                // SAFETY: `next_or_add` made it from a box, and the table was its only owner.
                let bucket = unsafe { Box::from_raw(overflow) };
                free_records(&bucket);
                overflow = bucket.overflow.load(Ordering::Relaxed) as *mut Bucket;
            }
        }
    }
}

/// Frees what a bucket holds, when the table ends.
fn free_records(bucket: &Bucket) {
    for slot in &bucket.slots {
        if let Some(record) = address_of(slot.load(Ordering::Relaxed)) {
            // SAFETY: the table is dropped, so nobody else can see its records, and each
            // is in one slot only.
            unsafe { free(record) };
        }
    }
}

/// Whether a slot may hold the key of a place: its tag is the same.
#[inline]
fn is_candidate(slot: u64, place: Place) -> bool {
    slot != EMPTY && slot & !ADDRESS_MASK == place.tag
}

#[inline]
fn address_of(slot: u64) -> Option<NonNull<Header>> {
    NonNull::new((slot & ADDRESS_MASK) as *mut Header)
}

/// The record of a slot that was read under this guard.
#[inline]
fn record_of(slot: u64, _guard: &Guard) -> Option<RecordRef<'_>> {
    // SAFETY: what a slot holds was published, with a release that our acquire has seen,
    // and is not freed while a guard lives that was there when the slot was read.
    address_of(slot).map(|address| unsafe { RecordRef::new(address) })
}

fn record_bytes(record: RecordRef<'_>) -> u64 {
    Memory::record_bytes(record.key().len(), record.value().len())
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

const _: () = {
    assert!(size_of::<Bucket>() == 64 || cfg!(loom));
    assert!(size_of::<usize>() == 8, "a slot holds an address of at most 48 bits");
};
