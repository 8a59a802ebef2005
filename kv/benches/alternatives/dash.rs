//! dashmap: shards with a lock each, by a crate.

use dashmap::DashMap;
use foldhash::fast::RandomState;
use proto::store::{Full, Record, Store};

use super::Stored;

pub(crate) struct DashTable(DashMap<Box<[u8]>, Stored, RandomState>);

impl DashTable {
    pub(crate) fn new(records: usize) -> Self {
        Self(DashMap::with_capacity_and_hasher(records, RandomState::default()))
    }
}

impl Store for &DashTable {
    #[inline]
    fn get(&mut self, keys: &[&[u8]], mut found: impl FnMut(usize, Option<Record<'_>>)) {
        for (index, key) in keys.iter().enumerate() {
            let stored = self.0.get(*key);
            found(index, stored.as_ref().map(|stored| stored.record()));
        }
    }

    #[inline]
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<u64, Full> {
        let value: Box<[u8]> = value.into();
        if let Some(mut stored) = self.0.get_mut(key) {
            return Ok(stored.replace(value));
        }
        // Another may have been faster.
        match self.0.entry(key.into()) {
            dashmap::Entry::Occupied(mut entry) => Ok(entry.get_mut().replace(value)),
            dashmap::Entry::Vacant(entry) => Ok(entry.insert(Stored::first(value)).version),
        }
    }
}
