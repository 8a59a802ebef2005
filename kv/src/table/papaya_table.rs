//! A table over papaya, a lock-free hash map.
//!
//! Key and value of a record are one allocation; the map's entry holds its address and
//! its version, and every write puts a new entry in the place of the old.

use std::hash::{Hash, Hasher, RandomState};
use std::hint::black_box;

use papaya::{Compute, Equivalent, HashMap, Operation};
use proto::limits::LOOKUP_GROUP_MAX;
use proto::store::{Full, Record, Store};

use super::gauges::TableGauges;
use super::memory::Memory;
use super::resident::Resident;

/// The records of a server.
#[derive(Debug)]
pub struct PapayaTable {
    map: HashMap<Stored, u64, RandomState>,
    memory: Memory,
    resident: Resident,
}

/// Key and value, back to back.
#[derive(Debug)]
struct Stored {
    bytes: Box<[u8]>,
    key_bytes: u16,
}

/// A key to look up.
struct Key<'a>(&'a [u8]);

impl PapayaTable {
    /// An empty table with room for about `records` before it grows.
    #[must_use]
    pub fn new(records: usize, memory_cap_bytes: u64) -> Self {
        // Before the map: its memory counts.
        let resident = Resident::new(memory_cap_bytes);
        let map = HashMap::with_capacity_and_hasher(records, RandomState::default());
        Self { map, memory: Memory::new(memory_cap_bytes), resident }
    }

    /// Records held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Bytes that its records hold, as its cap counts them.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.memory.used_bytes()
    }
}

impl Store for &PapayaTable {
    #[inline]
    fn get(&mut self, keys: &[&[u8]], mut found: impl FnMut(usize, Option<Record<'_>>)) {
        let map = self.map.pin();
        let mut records = [None; LOOKUP_GROUP_MAX];
        let records = &mut records[..keys.len()];
        // First all look-ups and then all answers: nothing between two look-ups keeps the
        // processor from waiting for both of their cache misses at once.
        for (record, key) in records.iter_mut().zip(keys) {
            *record = map.get_key_value(&Key(key));
            if let Some((stored, _)) = record {
                black_box(stored.bytes.last());
            }
        }
        for (index, record) in records.iter().enumerate() {
            found(
                index,
                record.map(|(stored, &version)| Record { version, value: stored.value() }),
            );
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<u64, Full> {
        let new_bytes = Memory::record_bytes(key.len(), value.len());
        let map = self.map.pin();
        let result = map.compute(Stored::new(key, value), |old| {
            let old_bytes = old.map_or(0, |(stored, _)| stored.record_bytes());
            let is_bounded = self.resident.allows(new_bytes, new_bytes > old_bytes);
            if !is_bounded || !self.memory.allows(old_bytes, new_bytes) {
                return Operation::Abort(Full);
            }
            let version = old.map_or(0, |(_, &version)| version) + 1;
            Operation::Insert(version)
        });
        match result {
            Compute::Inserted(_, &version) => {
                self.memory.replaced(0, new_bytes);
                Ok(version)
            }
            Compute::Updated { old: (stored, _), new: (_, &version) } => {
                self.memory.replaced(stored.record_bytes(), new_bytes);
                Ok(version)
            }
            Compute::Aborted(full) => Err(full),
            Compute::Removed(..) => unreachable!("nothing here removes"),
        }
    }

    fn gauges(&self) -> Vec<(&'static str, u64)> {
        let (records, record_bytes) = (self.len() as u64, self.used_bytes());
        TableGauges { records, record_bytes, ..TableGauges::default() }.named().collect()
    }
}

impl Stored {
    fn new(key: &[u8], value: &[u8]) -> Self {
        let key_bytes = u16::try_from(key.len()).expect("keys are at most 512 bytes");
        let mut bytes = Vec::with_capacity(key.len() + value.len());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        Self { bytes: bytes.into_boxed_slice(), key_bytes }
    }

    #[inline]
    fn key(&self) -> &[u8] {
        &self.bytes[..usize::from(self.key_bytes)]
    }

    #[inline]
    fn value(&self) -> &[u8] {
        &self.bytes[usize::from(self.key_bytes)..]
    }

    fn record_bytes(&self) -> u64 {
        Memory::record_bytes(self.key().len(), self.value().len())
    }
}

impl Hash for Stored {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.key());
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Stored {}

impl Hash for Key<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0);
    }
}

impl Equivalent<Stored> for Key<'_> {
    #[inline]
    fn equivalent(&self, stored: &Stored) -> bool {
        self.0 == stored.key()
    }
}
