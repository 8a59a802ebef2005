//! `scc::HashMap`: buckets with a lock each, which grows without stopping everybody.

use foldhash::fast::RandomState;
use proto::store::{Full, Record, Store};
use scc::hash_map::Entry;

use super::Stored;

pub(crate) struct ScalableTable(scc::HashMap<Box<[u8]>, Stored, RandomState>);

impl ScalableTable {
    pub(crate) fn new(records: usize) -> Self {
        Self(scc::HashMap::with_capacity_and_hasher(records, RandomState::default()))
    }
}

impl Store for &ScalableTable {
    #[inline]
    fn get(&mut self, keys: &[&[u8]], mut found: impl FnMut(usize, Option<Record<'_>>)) {
        for (index, key) in keys.iter().enumerate() {
            let read = self.0.read_sync(*key, |_, stored| found(index, Some(stored.record())));
            if read.is_none() {
                found(index, None);
            }
        }
    }

    #[inline]
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<u64, Full> {
        let mut value: Option<Box<[u8]>> = Some(value.into());
        let mut replace = |stored: &mut Stored| stored.replace(value.take().expect("once"));
        if let Some(version) = self.0.update_sync(key, |_, stored| replace(stored)) {
            return Ok(version);
        }
        // Another may have been faster.
        match self.0.entry_sync(key.into()) {
            Entry::Occupied(mut entry) => Ok(replace(entry.get_mut())),
            Entry::Vacant(entry) => {
                let value = value.take().expect("it was not used");
                Ok(entry.insert_entry(Stored::first(value)).version)
            }
        }
    }
}
