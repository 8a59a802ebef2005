//! Keys in characters: memcached's text protocol takes no spaces and no control bytes.
//!
//! Eight digits of six bits each hold every record's number in as many bytes as the keys of
//! our own store have.

use history::operation::ValueId;

use crate::record::ValueFormat;
use crate::zipf::RECORDS_MAX;

/// Bytes of a record's number, and of the shortest key.
pub const DIGITS: usize = 8;
/// Longest key that memcached takes.
pub const MEMCACHED_KEY_BYTES_MAX: usize = 250;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const BITS: usize = 6;
/// Fills the front of keys that are longer than a number.
const PADDING: u8 = b'k';

const _: () = assert!(RECORDS_MAX <= 1 << (BITS * DIGITS));

/// A record's number in characters.
#[must_use]
#[inline]
pub fn digits(record: u64) -> [u8; DIGITS] {
    std::array::from_fn(|at| {
        let shift = BITS * (DIGITS - 1 - at);
        ALPHABET[(record >> shift) as usize % ALPHABET.len()]
    })
}

/// Writes keys, and values that name their PUT, as [`ValueFormat`] has it.
#[derive(Debug)]
pub struct Records {
    padding: Vec<u8>,
    values: ValueFormat,
    writer: u64,
    values_written: u64,
}

impl Records {
    /// Keys of `key_size` bytes, which hold a number at least. `writer` names the thread in
    /// the values that it writes.
    #[must_use]
    pub fn new(key_size: usize, values: ValueFormat, writer: u64) -> Self {
        Self { padding: vec![PADDING; key_size - DIGITS], values, writer, values_written: 0 }
    }

    /// Bytes of every key.
    #[must_use]
    #[inline]
    pub fn key_size(&self) -> usize {
        self.padding.len() + DIGITS
    }

    /// Bytes of every value.
    #[must_use]
    #[inline]
    pub fn value_size(&self) -> usize {
        self.values.value_size()
    }

    /// Whether `key` is that of a record.
    #[must_use]
    #[inline]
    pub fn is_key(&self, key: &[u8], digits: &[u8; DIGITS]) -> bool {
        key.len() == self.key_size() && key.ends_with(digits)
    }

    /// Appends a key.
    #[inline]
    pub fn write_key(&self, digits: &[u8; DIGITS], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.padding);
        out.extend_from_slice(digits);
    }

    /// Appends the value of the next PUT.
    #[inline]
    pub fn write_value(&mut self, out: &mut Vec<u8>) {
        let at = out.len();
        out.resize(at + self.values.value_size(), 0);
        let id = ValueId { writer: self.writer, counter: self.values_written };
        self.values.fill(&mut out[at..], id);
        self.values_written += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn records_have_distinct_keys_of_characters() {
        let edges = (0..48).map(|bit| 1 << bit).chain(0..5000).chain([(1 << 48) - 1]);
        let records: HashSet<u64> = edges.collect();
        let keys: HashSet<_> = records.iter().map(|&record| digits(record)).collect();
        assert_eq!(keys.len(), records.len());
        assert!(keys.iter().flatten().all(u8::is_ascii_graphic));
        assert_eq!(&digits(0), b"AAAAAAAA");
        assert_eq!(&digits((1 << 48) - 2), b"_______-");
    }

    #[test]
    fn longer_keys_are_padded_in_front() {
        let records = Records::new(11, ValueFormat::new(0), 0);
        let mut key = Vec::new();
        records.write_key(&digits(1), &mut key);
        assert_eq!(key, b"kkkAAAAAAAB");
        assert!(records.is_key(&key, &digits(1)));
        assert!(!records.is_key(&key, &digits(2)));
        assert!(!records.is_key(&key[1..], &digits(1)));
    }

    #[test]
    fn no_two_values_are_equal() {
        let mut records = Records::new(8, ValueFormat::new(16), 7);
        let mut values = Vec::new();
        records.write_value(&mut values);
        records.write_value(&mut values);
        assert_eq!(values.len(), 32);
        assert_ne!(values[..16], values[16..]);
    }
}
