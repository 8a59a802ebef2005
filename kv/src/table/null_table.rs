//! No table at all: the ceiling for any table on this machine.
//!
//! Requests and answers take the same path as with the others, but nothing is looked up:
//! what a table costs is the difference. It stores nothing and answers nonsense.

use std::sync::atomic::{AtomicUsize, Ordering};

use proto::limits::MTU_BYTES_MAX;
use proto::store::{Full, Record, Store};

/// What every GET is answered with, as much of it as the last PUT was long.
static VALUE: [u8; MTU_BYTES_MAX] = [0x5a; MTU_BYTES_MAX];
/// The length before the first PUT.
const VALUE_BYTES_DEFAULT: usize = 128;

/// Holds no records, and answers as if it held every one.
#[derive(Debug)]
pub struct NullTable {
    value_bytes: AtomicUsize,
}

impl NullTable {
    /// Answers with 128 bytes until a PUT brings another length.
    #[must_use]
    pub const fn new() -> Self {
        Self { value_bytes: AtomicUsize::new(VALUE_BYTES_DEFAULT) }
    }
}

impl Default for NullTable {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for &NullTable {
    #[inline]
    fn get(&mut self, keys: &[&[u8]], mut found: impl FnMut(usize, Option<Record<'_>>)) {
        let value = &VALUE[..self.value_bytes.load(Ordering::Relaxed)];
        for index in 0..keys.len() {
            found(index, Some(Record { version: 1, value }));
        }
    }

    #[inline]
    fn put(&mut self, _key: &[u8], value: &[u8]) -> Result<u64, Full> {
        // Most writes change no length, and then the workers share no cache line for it.
        let value_bytes = value.len().min(MTU_BYTES_MAX);
        if self.value_bytes.load(Ordering::Relaxed) != value_bytes {
            self.value_bytes.store(value_bytes, Ordering::Relaxed);
        }
        Ok(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_get_is_answered_with_as_much_as_the_last_put_was_long() {
        let table = NullTable::new();
        let lengths = |keys: &[&[u8]]| {
            let mut lengths = Vec::new();
            (&table).get(keys, |index, record| {
                lengths.push((index, record.expect("it has every key").value.len()));
            });
            lengths
        };
        assert_eq!(lengths(&[b"a", b"b"]), [(0, 128), (1, 128)]);
        assert_eq!((&table).put(b"a", &[7; 9]), Ok(1));
        assert_eq!(lengths(&[b"b"]), [(0, 9)]);
    }
}
