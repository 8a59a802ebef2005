//! The simplest table: every write is remembered, so that a test can ask what happened.

use std::collections::BTreeMap;

use proto::store::{Full, Record, Store};

#[derive(Debug, Default)]
pub(crate) struct MapStore {
    /// The values of each key in the order of their writing: version 1 first.
    written: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
    /// Refuses to write.
    pub(crate) is_full: bool,
    /// Figures of the table beside its records.
    pub(crate) more_gauges: Vec<(&'static str, u64)>,
}

impl MapStore {
    /// The latest version of a key; 0 before the first write.
    pub(crate) fn version(&self, key: &[u8]) -> u64 {
        self.written.get(key).map_or(0, |values| values.len() as u64)
    }

    /// The value that a key had at a version.
    pub(crate) fn value_at(&self, key: &[u8], version: u64) -> Option<&[u8]> {
        let at = usize::try_from(version.checked_sub(1)?).ok()?;
        Some(self.written.get(key)?.get(at)?)
    }

    /// Writes of all keys.
    pub(crate) fn writes(&self) -> usize {
        self.written.values().map(Vec::len).sum()
    }

    /// How often each value was written. Where no two writes have the same value, none of
    /// these is more than one.
    pub(crate) fn writes_by_value(&self) -> BTreeMap<&[u8], usize> {
        let mut counts = BTreeMap::new();
        for value in self.written.values().flatten() {
            *counts.entry(value.as_slice()).or_default() += 1;
        }
        counts
    }
}

impl Store for MapStore {
    fn get(&mut self, keys: &[&[u8]], mut found: impl FnMut(usize, Option<Record<'_>>)) {
        assert!(keys.len() <= proto::limits::LOOKUP_GROUP_MAX);
        for (index, &key) in keys.iter().enumerate() {
            let version = self.version(key);
            let record = self.value_at(key, version).map(|value| Record { version, value });
            found(index, record);
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<u64, Full> {
        if self.is_full {
            return Err(Full);
        }
        let values = self.written.entry(key.to_vec()).or_default();
        values.push(value.to_vec());
        Ok(values.len() as u64)
    }

    fn gauges(&self) -> Vec<(&'static str, u64)> {
        let mut gauges = vec![("records", self.written.len() as u64)];
        gauges.extend(&self.more_gauges);
        gauges
    }
}
