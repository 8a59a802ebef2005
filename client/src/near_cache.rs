//! The near cache: what GETs read is answered from memory for a while.
//!
//! An answer from here may be stale, by at most the largest age: its age counts from the
//! sending of the GET that read it. But whoever shares the cache reads their own writes:
//!
//! - From the sending of a mutation until its answer nothing of its key is kept or answered.
//!   A mutation that was given up stays outstanding until its session answers it or ends.
//! - Nothing is kept that a GET read which was sent before the last such answer.
//! - When a server begins another life, all is forgotten.
//!
//! The first two need what was written lately by key. `Fences` has a fixed number of
//! places for it, and keys share them by their hash: keys that share a place with one that is
//! written are not kept meanwhile. That costs a hit, never a wrong answer.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use proto::client::{Finished, Outcome};
use proto::planted::{Fault, is_planted};
use quick_cache::sync::Cache;
use twox_hash::XxHash3_64;

use crate::answer::Version;
use crate::limits::{FENCES_MAX, FENCES_MIN};
use crate::observe;

/// How much a near cache keeps, and for how long.
///
/// ```
/// use std::time::Duration;
/// use client::CacheConfig;
///
/// let cache = CacheConfig::new(100_000, Duration::from_millis(100));
/// assert_eq!((cache.entries, cache.max_age.as_millis()), (100_000, 100));
/// # Ok::<(), client::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheConfig {
    /// Records that it keeps at most.
    pub entries: usize,
    /// Largest age of an answer.
    pub max_age: Duration,
}

impl CacheConfig {
    /// A cache of at most `entries` records, none older than `max_age`.
    #[must_use]
    pub const fn new(entries: usize, max_age: Duration) -> Self {
        Self { entries, max_age }
    }
}

/// A record that was read lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// The value.
    pub value: Bytes,
    /// Its version.
    pub version: Version,
    /// When the GET was sent that read it.
    pub read_ns: u64,
}

/// A cache that threads may share.
///
/// ```
/// use std::time::Duration;
/// use client::near_cache::NearCache;
/// use client::{CacheConfig, Version};
///
/// let cache = NearCache::new(CacheConfig::new(100, Duration::from_micros(1)));
/// // Of a GET that was sent at 50 ns and answered at 90.
/// cache.keep(90, 50, b"key", Version::new(1, 1), b"value");
/// assert_eq!(cache.get(1050, b"key").expect("it is a microsecond old").value, "value");
/// assert_eq!(cache.get(1051, b"key"), None);
/// cache.mutation_begins(b"key");
/// assert_eq!(cache.get(100, b"key"), None);
/// # Ok::<(), client::Error>(())
/// ```
#[derive(Debug)]
pub struct NearCache {
    records: Cache<Box<[u8]>, Cached>,
    fences: Mutex<Fences>,
    max_age_ns: u64,
}

impl NearCache {
    /// An empty cache.
    #[must_use]
    pub fn new(config: CacheConfig) -> Self {
        Self {
            records: Cache::new(config.entries.max(1)),
            fences: Mutex::new(Fences::new(config.entries)),
            max_age_ns: u64::try_from(config.max_age.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// What it keeps of a key, unless that is too old.
    #[must_use]
    #[inline]
    pub fn get(&self, now_ns: u64, key: &[u8]) -> Option<Cached> {
        let cached = self.fresh(now_ns, key);
        observe::looked_up(cached.is_some());
        cached
    }

    #[inline]
    fn fresh(&self, now_ns: u64, key: &[u8]) -> Option<Cached> {
        let cached = self.records.get(key)?;
        (now_ns.saturating_sub(cached.read_ns) <= self.max_age_ns).then_some(cached)
    }

    /// A mutation of `key` is about to be sent. Calls nest: each has its end.
    pub fn mutation_begins(&self, key: &[u8]) {
        // Nothing of the key can be kept between the two steps.
        self.fences().fence(key).outstanding += 1;
        if !is_planted(Fault::CachedWhileWritten) {
            self.records.remove(key);
        }
    }

    /// A mutation of `key` was answered, or will never be.
    pub fn mutation_ended(&self, now_ns: u64, key: &[u8]) {
        let mut fences = self.fences();
        let fence = fences.fence(key);
        fence.end();
        fence.released_ns = fence.released_ns.max(now_ns);
    }

    /// The caller stops tracking a mutation of `key`, because another part tracks it now, or
    /// because it was never sent.
    pub fn mutation_handed_on(&self, key: &[u8]) {
        self.fences().fence(key).end();
    }

    /// Keeps what a GET read that was sent at `sent_ns`, if it may be kept.
    pub fn keep(&self, now_ns: u64, sent_ns: u64, key: &[u8], version: Version, value: &[u8]) {
        let read_ns = if is_planted(Fault::AgeFromAnswer) { now_ns } else { sent_ns };
        if now_ns.saturating_sub(read_ns) > self.max_age_ns {
            return;
        }
        let mut fences = self.fences();
        let fence = fences.fence(key);
        let is_old = sent_ns <= fence.released_ns && !is_planted(Fault::OldReadCached);
        if fence.outstanding > 0 || is_old {
            return;
        }
        // Answers may come in another order than they were read.
        let is_older = self.records.peek(key).is_some_and(|cached| {
            cached.version.incarnation() == version.incarnation()
                && cached.version.number() > version.number()
        });
        if !is_older {
            let value = Bytes::copy_from_slice(value);
            self.records.insert(key.into(), Cached { value, version, read_ns });
        }
    }

    /// An operation of a session has ended: what it means for the cache. `is_latest_life`:
    /// the session is with the life of its server that was met last.
    #[inline]
    pub(crate) fn finished<T>(
        &self,
        now_ns: u64,
        operation: &Finished<'_, T>,
        incarnation: u64,
        is_latest_life: bool,
    ) {
        let Finished { key, sent_ns, .. } = *operation;
        match operation.outcome {
            Outcome::Stored { .. } | Outcome::Full | Outcome::Indeterminate { .. } => {
                self.mutation_ended(now_ns, key);
            }
            // STATS has no key.
            Outcome::Value { version, value } if is_latest_life && !key.is_empty() => {
                self.keep(now_ns, sent_ns, key, Version::new(incarnation, version), value);
            }
            Outcome::Value { .. } | Outcome::NotFound | Outcome::TooLarge | Outcome::Unanswered => {
            }
        }
    }

    /// Forgets all records.
    pub fn clear(&self) {
        self.records.clear();
    }

    /// Records that it keeps now, those included that are too old to be answered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it keeps nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn fences(&self) -> MutexGuard<'_, Fences> {
        // Each change of a fence is whole: a panic elsewhere leaves them sound.
        self.fences.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which keys are written, and when they were last.
#[derive(Debug)]
struct Fences {
    places: Box<[Fence]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Fence {
    /// Mutations that were sent and have not ended.
    outstanding: u32,
    /// When the last of them ended.
    released_ns: u64,
}

impl Fence {
    fn end(&mut self) {
        assert!(self.outstanding > 0, "each mutation ends once");
        self.outstanding -= 1;
    }
}

impl Fences {
    fn new(entries: usize) -> Self {
        let places = entries.clamp(FENCES_MIN, FENCES_MAX).next_power_of_two();
        Self { places: vec![Fence::default(); places].into() }
    }

    fn fence(&mut self, key: &[u8]) -> &mut Fence {
        let place = XxHash3_64::oneshot(key) as usize & (self.places.len() - 1);
        &mut self.places[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE_NS: u64 = 1000;

    fn cache() -> NearCache {
        NearCache::new(CacheConfig::new(100, Duration::from_nanos(AGE_NS)))
    }

    fn version(number: u64) -> Version {
        Version::new(7, number)
    }

    fn value_at(cache: &NearCache, now_ns: u64) -> Option<Bytes> {
        cache.get(now_ns, b"key").map(|cached| cached.value)
    }

    #[test]
    fn the_age_of_an_answer_counts_from_the_sending_of_the_get() {
        let cache = cache();
        cache.keep(150, 100, b"key", version(1), b"one");
        assert_eq!(value_at(&cache, 100 + AGE_NS).as_deref(), Some(&b"one"[..]));
        assert_eq!(value_at(&cache, 101 + AGE_NS), None);
        cache.keep(3000, 1999, b"key", version(2), b"two");
        assert_eq!(value_at(&cache, 3000), None, "it was too old when it came");
    }

    #[test]
    fn nothing_is_kept_from_the_sending_of_a_mutation_until_its_answer() {
        let cache = cache();
        cache.keep(20, 10, b"key", version(1), b"one");
        cache.mutation_begins(b"key");
        assert_eq!(value_at(&cache, 30), None);
        cache.keep(40, 35, b"key", version(1), b"one");
        assert_eq!(value_at(&cache, 40), None, "it may be older than the write");
        cache.mutation_ended(50, b"key");
        cache.keep(60, 49, b"key", version(1), b"one");
        cache.keep(60, 50, b"key", version(1), b"one");
        assert_eq!(value_at(&cache, 60), None, "it was sent before the answer");
        cache.keep(70, 51, b"key", version(2), b"two");
        assert_eq!(value_at(&cache, 70).as_deref(), Some(&b"two"[..]));
    }

    #[test]
    fn of_two_mutations_both_have_to_end() {
        let cache = cache();
        cache.mutation_begins(b"key");
        cache.mutation_begins(b"key");
        cache.mutation_ended(10, b"key");
        cache.keep(30, 20, b"key", version(1), b"one");
        assert_eq!(value_at(&cache, 30), None);
        cache.mutation_ended(40, b"key");
        cache.keep(60, 50, b"key", version(1), b"one");
        assert!(value_at(&cache, 60).is_some());
    }

    #[test]
    fn an_older_version_does_not_take_the_place_of_a_newer_one() {
        let cache = cache();
        cache.keep(30, 20, b"key", version(2), b"two");
        cache.keep(31, 10, b"key", version(1), b"one");
        assert_eq!(value_at(&cache, 31).as_deref(), Some(&b"two"[..]));
        cache.keep(32, 10, b"key", Version::new(8, 1), b"new");
        assert_eq!(value_at(&cache, 32).as_deref(), Some(&b"new"[..]), "another life begins at 1");
    }

    #[test]
    fn it_keeps_no_more_records_than_it_may() {
        let cache = cache();
        for key in 0..10_000_u64 {
            cache.keep(20, 10, &key.to_le_bytes(), version(1), b"value");
        }
        assert!((50..=100).contains(&cache.len()), "{}", cache.len());
        cache.clear();
        assert!(cache.is_empty());
    }
}
