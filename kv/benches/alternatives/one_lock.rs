//! One map behind one lock, which a group of keys takes once.

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use proto::store::{Full, Record, Store};

use super::{Map, put};

pub(crate) struct OneLockTable(Mutex<Map>);

impl OneLockTable {
    pub(crate) fn new(records: usize) -> Self {
        Self(Mutex::new(Map::with_capacity_and_hasher(records, RandomState::default())))
    }
}

impl Store for &OneLockTable {
    #[inline]
    fn get(&mut self, keys: &[&[u8]], mut found: impl FnMut(usize, Option<Record<'_>>)) {
        let map = self.0.lock();
        for (index, key) in keys.iter().enumerate() {
            found(index, map.get(*key).map(|stored| stored.record()));
        }
    }

    #[inline]
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<u64, Full> {
        let value = value.into();
        Ok(put(&mut self.0.lock(), key, value))
    }
}
