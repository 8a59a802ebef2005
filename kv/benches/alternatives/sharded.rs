//! Shards with a lock each that readers share, by hand.

use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::fast::RandomState;
use parking_lot::RwLock;
use proto::store::{Full, Record, Store};

use super::{Apart, Map, SHARDS, put};

pub(crate) struct ShardedTable {
    shards: Box<[Apart<RwLock<Map>>]>,
    /// Not that of the maps, which would all find their keys in the same places then.
    hasher: RandomState,
}

impl ShardedTable {
    pub(crate) fn new(records: usize) -> Self {
        let shard = || Map::with_capacity_and_hasher(records / SHARDS, RandomState::default());
        Self {
            shards: (0..SHARDS).map(|_| Apart(RwLock::new(shard()))).collect(),
            hasher: RandomState::default(),
        }
    }

    /// Which shard a key belongs to.
    #[inline]
    pub(super) fn shard_of(&self, key: &[u8]) -> usize {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        hasher.finish() as usize % SHARDS
    }

    #[inline]
    pub(super) fn shard(&self, shard: usize) -> &RwLock<Map> {
        &self.shards[shard].0
    }
}

impl Store for &ShardedTable {
    #[inline]
    fn get(&mut self, keys: &[&[u8]], mut found: impl FnMut(usize, Option<Record<'_>>)) {
        for (index, key) in keys.iter().enumerate() {
            let map = self.shard(self.shard_of(key)).read();
            found(index, map.get(*key).map(|stored| stored.record()));
        }
    }

    #[inline]
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<u64, Full> {
        let value = value.into();
        Ok(put(&mut self.shard(self.shard_of(key)).write(), key, value))
    }
}
