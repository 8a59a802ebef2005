//! The simplest table: every write is remembered, so that one can ask what happened.

use std::collections::BTreeMap;

use proto::store::{Full, Record, Store};

/// Remembers all writes.
#[derive(Debug, Default)]
pub(crate) struct Remembering {
    /// The values of each key in the order of their writing: version 1 first.
    written: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
    /// Refuses to write.
    pub(crate) is_full: bool,
}

impl Remembering {
    /// The latest version of a key; 0 before the first write.
    pub(crate) fn version(&self, key: &[u8]) -> u64 {
        self.written.get(key).map_or(0, |values| values.len() as u64)
    }

    /// The value that a key had at a version.
    pub(crate) fn value_at(&self, key: &[u8], version: u64) -> Option<&[u8]> {
        let at = usize::try_from(version.checked_sub(1)?).ok()?;
        Some(self.written.get(key)?.get(at)?)
    }

    /// All writes: key and value.
    pub(crate) fn writes(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.written
            .iter()
            .flat_map(|(key, values)| values.iter().map(|value| (key.as_slice(), value.as_slice())))
    }
}

impl Store for Remembering {
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
        vec![("records", self.written.len() as u64)]
    }
}
