//! What was used last, in front of the sharded map.
//!
//! Each shard has its own cache. Whoever reads or writes holds its lock until the map
//! behind it has been read or written too: let go in between, a reader could put what it
//! had read in the place of what was written since.

use std::num::NonZeroUsize;

use foldhash::fast::RandomState;
use lru::LruCache;
use parking_lot::Mutex;
use proto::store::{Full, Record, Store};

use super::{Apart, SHARDS, ShardedTable, Stored, put};

/// One record of so many is cached.
const CACHED_ONE_IN: usize = 16;

type Cache = LruCache<Box<[u8]>, Stored, RandomState>;

pub(crate) struct CachedTable {
    caches: Box<[Apart<Mutex<Cache>>]>,
    behind: ShardedTable,
}

impl CachedTable {
    pub(crate) fn new(records: usize) -> Self {
        let capacity = NonZeroUsize::MIN.saturating_add(records / SHARDS / CACHED_ONE_IN);
        let cache = || LruCache::with_hasher(capacity, RandomState::default());
        Self {
            caches: (0..SHARDS).map(|_| Apart(Mutex::new(cache()))).collect(),
            behind: ShardedTable::new(records),
        }
    }
}

impl Store for &CachedTable {
    #[inline]
    fn get(&mut self, keys: &[&[u8]], mut found: impl FnMut(usize, Option<Record<'_>>)) {
        for (index, key) in keys.iter().enumerate() {
            let shard = self.behind.shard_of(key);
            let mut cache = self.caches[shard].0.lock();
            if let Some(stored) = cache.get(*key) {
                found(index, Some(stored.record()));
                continue;
            }
            let map = self.behind.shard(shard).read();
            let stored = map.get(*key);
            found(index, stored.map(|stored| stored.record()));
            if let Some(stored) = stored {
                cache.push((*key).into(), stored.clone());
            }
        }
    }

    #[inline]
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<u64, Full> {
        let shard = self.behind.shard_of(key);
        let mut cache = self.caches[shard].0.lock();
        let version = put(&mut self.behind.shard(shard).write(), key, value.into());
        if let Some(cached) = cache.peek_mut(key) {
            *cached = Stored { version, value: value.into() };
        }
        Ok(version)
    }
}
