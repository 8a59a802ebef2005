//! A table over papaya, a lock-free hash map.
//!
//! Key and value of a record are one allocation; the map's entry holds its address and
//! its version, and every write puts a new entry in the place of the old.

use std::hash::{Hash, Hasher};
use std::hint::black_box;

use foldhash::fast::RandomState;
use papaya::{Compute, Equivalent, HashMap, Operation};
use proto::limits::LOOKUP_GROUP_MAX;
use proto::store::{Full, Record, Store};

use super::memory::Memory;

/// The records of a server.
#[derive(Debug)]
pub struct PapayaTable {
    map: HashMap<Stored, u64, RandomState>,
    memory: Memory,
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
        let map = HashMap::with_capacity_and_hasher(records, RandomState::default());
        Self { map, memory: Memory::new(memory_cap_bytes) }
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
            if !self.memory.allows(old_bytes, new_bytes) {
                return Operation::Abort(());
            }
            Operation::Insert(old.map_or(1, |(_, &version)| version + 1))
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
            Compute::Aborted(()) => Err(Full),
            Compute::Removed(..) => unreachable!("nothing here removes"),
        }
    }

    fn gauges(&self) -> Vec<(&'static str, u64)> {
        vec![("records", self.len() as u64), ("record_bytes", self.used_bytes())]
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut table: &PapayaTable, key: &[u8]) -> Option<(u64, Vec<u8>)> {
        let mut read = None;
        table.get(&[key], |_, record| {
            read = record.map(|record| (record.version, record.value.to_vec()));
        });
        read
    }

    #[test]
    fn a_write_is_read_with_the_next_version() {
        let table = PapayaTable::new(10, 1 << 20);
        assert_eq!(read(&table, b"k"), None);
        assert_eq!((&table).put(b"k", b"one"), Ok(1));
        assert_eq!((&table).put(b"k", b"two!"), Ok(2));
        assert_eq!((&table).put(b"l", b""), Ok(1));
        assert_eq!(read(&table, b"k"), Some((2, b"two!".to_vec())));
        assert_eq!(read(&table, b"l"), Some((1, Vec::new())));
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_group_is_answered_key_by_key_in_order() {
        let table = PapayaTable::new(10, 1 << 20);
        (&table).put(b"a", b"1").unwrap();
        (&table).put(b"c", b"3").unwrap();
        let mut answers = Vec::new();
        (&table).get(&[b"c", b"b", b"a"], |index, record| {
            answers.push((index, record.map(|record| record.value.to_vec())));
        });
        assert_eq!(answers, [(0, Some(b"3".to_vec())), (1, None), (2, Some(b"1".to_vec()))]);
    }

    #[test]
    fn at_its_cap_it_refuses_and_loses_nothing() {
        let cap = 2 * Memory::record_bytes(1, 10);
        let table = PapayaTable::new(10, cap);
        (&table).put(b"a", &[1; 10]).unwrap();
        (&table).put(b"b", &[2; 10]).unwrap();
        assert_eq!((&table).put(b"c", &[]), Err(Full));
        assert_eq!((&table).put(b"a", &[3; 11]), Err(Full));
        assert_eq!(read(&table, b"a"), Some((1, vec![1; 10])));
        assert_eq!((&table).put(b"a", &[4; 10]), Ok(2), "it does not grow");
        assert_eq!((&table).put(b"a", &[]), Ok(3), "it shrinks");
        assert_eq!((&table).put(b"b", &[5; 20]), Ok(2), "there is room again");
        assert_eq!(table.used_bytes(), cap);
    }

    #[test]
    fn concurrent_writers_lose_no_update() {
        const WRITES: u64 = 2_000;
        let table = PapayaTable::new(10, 1 << 30);
        std::thread::scope(|scope| {
            for writer in 0..4u64 {
                let mut table = &table;
                scope.spawn(move || {
                    for write in 0..WRITES {
                        let key = (write % 3).to_le_bytes();
                        table.put(&key, &writer.to_le_bytes()).unwrap();
                    }
                });
            }
        });
        let versions: u64 = (0..3u64).map(|key| read(&table, &key.to_le_bytes()).unwrap().0).sum();
        assert_eq!(versions, 4 * WRITES, "each write has its version");
    }
}
