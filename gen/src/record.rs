//! The bytes of a record: its number as a key, and values that tell which PUT wrote them.

use std::error::Error;
use std::fmt;

use history::operation::ValueId;
use proto::limits::{KEY_BYTES_MAX, KEY_BYTES_MIN};

/// Bytes of a key that hold the record's number, where the key is as long.
const NUMBER_SIZE: usize = size_of::<u64>();

/// How record numbers are written as keys of one size.
///
/// The number is big-endian at the end of the key, behind zeros, so that the order of the
/// keys is that of the numbers whatever the size.
#[derive(Clone, Copy, Debug)]
pub struct KeyFormat {
    key_size: usize,
    records: u64,
}

impl KeyFormat {
    /// Keys of `key_size` bytes for the records `0..records`.
    pub fn new(key_size: usize, records: u64) -> Result<Self, KeyFormatError> {
        if !(KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key_size) {
            return Err(KeyFormatError::KeySize { key_size });
        }
        if key_size < NUMBER_SIZE && records > numbers_of(key_size) {
            return Err(KeyFormatError::TooManyRecords { key_size, records });
        }
        Ok(Self { key_size, records })
    }

    /// Bytes of every key.
    #[inline]
    #[must_use]
    pub fn key_size(&self) -> usize {
        self.key_size
    }

    /// The key of a record, in the front of `buffer`.
    #[inline]
    pub fn write<'a>(&self, record: u64, buffer: &'a mut [u8; KEY_BYTES_MAX]) -> &'a [u8] {
        debug_assert!(record < self.records);
        let number = record.to_be_bytes();
        let key = &mut buffer[..self.key_size];
        if let Some((padding, end)) = key.split_last_chunk_mut::<NUMBER_SIZE>() {
            padding.fill(0);
            *end = number;
        } else {
            key.copy_from_slice(&number[NUMBER_SIZE - self.key_size..]);
        }
        key
    }

    /// The record that a key belongs to; none if no record has this key.
    #[must_use]
    pub fn record_of(&self, key: &[u8]) -> Option<u64> {
        if key.len() != self.key_size {
            return None;
        }
        let (padding, end) = key.split_at(key.len().saturating_sub(NUMBER_SIZE));
        let record = end.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
        (padding.iter().all(|&byte| byte == 0) && record < self.records).then_some(record)
    }
}

/// How many numbers there are of `size` bytes, which are fewer than 8.
fn numbers_of(size: usize) -> u64 {
    1 << (8 * size)
}

/// Why there are no such keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFormatError {
    /// Not [`KEY_BYTES_MIN`] to [`KEY_BYTES_MAX`].
    KeySize {
        /// What was asked for.
        key_size: usize,
    },
    /// More records than keys of this size.
    TooManyRecords {
        /// What was asked for.
        key_size: usize,
        /// What was asked for.
        records: u64,
    },
}

impl fmt::Display for KeyFormatError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::KeySize { key_size } => write!(
                formatter,
                "key size {key_size}: it must be {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes"
            ),
            Self::TooManyRecords { key_size, records } => write!(
                formatter,
                "key size {key_size}: there are only {} such keys, for {records} records",
                numbers_of(key_size)
            ),
        }
    }
}

impl Error for KeyFormatError {}

/// How values of one size are written: the identity of their PUT, then a fixed pattern.
///
/// The identity is the counter and then the writer, both little-endian. Values of 16 bytes
/// or more hold all of it, so that no two PUTs of a run write equal values. Shorter values
/// keep its first bytes, and two PUTs write equal values exactly if these are equal:
///
/// - of 8 to 15 bytes: if their counters are equal, and their writers modulo
///   256^(size - 8). At 8 bytes this happens as soon as there are two writers.
/// - of 1 to 7 bytes: if their counters are equal modulo 256^size.
/// - empty: always.
///
/// They never do as long as [`keeps`](Self::keeps) is true of every identity of the run.
#[derive(Clone, Debug)]
pub struct ValueFormat {
    /// A value whose identity is still to be written over its start.
    pattern: Box<[u8]>,
}

impl ValueFormat {
    /// Values of `value_size` bytes.
    #[must_use]
    pub fn new(value_size: usize) -> Self {
        Self { pattern: (0..value_size).map(pattern_byte).collect() }
    }

    /// Bytes of every value.
    #[inline]
    #[must_use]
    pub fn value_size(&self) -> usize {
        self.pattern.len()
    }

    /// Writes the value of one PUT.
    ///
    /// # Panics
    ///
    /// If `value` has another size than the format's.
    #[inline]
    pub fn fill(&self, value: &mut [u8], id: ValueId) {
        value.copy_from_slice(&self.pattern);
        let id = id.to_bytes();
        if let Some(front) = value.first_chunk_mut() {
            *front = id;
        } else {
            value.copy_from_slice(&id[..value.len()]);
        }
    }

    /// Which PUT wrote a value; none if it is not a value of this format.
    ///
    /// What was cut off a short value's identity is read as 0.
    #[must_use]
    pub fn identity(&self, value: &[u8]) -> Option<ValueId> {
        let kept = self.kept_size();
        if value.len() != self.pattern.len() || value[kept..] != self.pattern[kept..] {
            return None;
        }
        let mut bytes = [0; ValueId::SIZE];
        bytes[..kept].copy_from_slice(&value[..kept]);
        Some(ValueId::from_bytes(bytes))
    }

    /// Whether a value of this size holds all of `id`, so that reading it gives `id` back.
    #[must_use]
    pub fn keeps(&self, id: ValueId) -> bool {
        id.to_bytes()[self.kept_size()..].iter().all(|&byte| byte == 0)
    }

    /// Bytes of the identity that fit in a value.
    fn kept_size(&self) -> usize {
        self.value_size().min(ValueId::SIZE)
    }
}

/// The pattern's byte at a position: without a short period, so that a value put together
/// from the wrong pieces, or from the right ones in the wrong order, does not look right.
fn pattern_byte(position: usize) -> u8 {
    // Multiples of the golden ratio's fraction never repeat; their top bits are the byte.
    ((position as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_number_big_endian_behind_zeros() {
        let mut buffer = [0xFF; KEY_BYTES_MAX];
        let key_of = |key_size, record, buffer: &mut _| {
            let format = KeyFormat::new(key_size, 0x1_0000).unwrap();
            format.write(record, buffer).to_vec()
        };
        assert_eq!(key_of(2, 0x1234, &mut buffer), [0x12, 0x34]);
        assert_eq!(key_of(8, 0x1234, &mut buffer), [0, 0, 0, 0, 0, 0, 0x12, 0x34]);
        assert_eq!(key_of(11, 0x1234, &mut buffer), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34]);
    }

    #[test]
    fn keys_of_every_size_lead_back_to_their_record() {
        let mut buffer = [0xFF; KEY_BYTES_MAX];
        for key_size in 1..=KEY_BYTES_MAX {
            let records = match key_size {
                1..NUMBER_SIZE => numbers_of(key_size),
                _ => u64::MAX,
            };
            let format = KeyFormat::new(key_size, records).unwrap();
            assert_eq!(format.key_size(), key_size);
            for record in [0, 1, 255, records / 3, records - 1] {
                let key = format.write(record, &mut buffer);
                assert_eq!(key.len(), key_size);
                assert_eq!(format.record_of(key), Some(record), "key size {key_size}");
            }
        }
    }

    #[test]
    fn a_key_of_no_record_leads_to_none() {
        let format = KeyFormat::new(10, 1000).unwrap();
        assert_eq!(format.record_of(&[0, 0, 0, 0, 0, 0, 0, 0, 3, 231]), Some(999));
        assert_eq!(format.record_of(&[0, 0, 0, 0, 0, 0, 0, 0, 3, 232]), None);
        assert_eq!(format.record_of(&[0, 1, 0, 0, 0, 0, 0, 0, 3, 231]), None);
        assert_eq!(format.record_of(&[0, 0, 0, 0, 0, 0, 0, 3, 231]), None);
        assert_eq!(format.record_of(&[]), None);
    }

    #[test]
    fn key_sizes_are_bounded() {
        for key_size in [0, KEY_BYTES_MAX + 1] {
            assert_eq!(
                KeyFormat::new(key_size, 1).unwrap_err().to_string(),
                format!("key size {key_size}: it must be 1 to 512 bytes")
            );
        }
    }

    #[test]
    fn records_must_fit_in_the_key() {
        assert!(KeyFormat::new(1, 256).is_ok());
        assert!(KeyFormat::new(7, 1 << 56).is_ok());
        assert!(KeyFormat::new(7, (1 << 56) + 1).is_err());
        assert!(KeyFormat::new(8, u64::MAX).is_ok());
        assert_eq!(
            KeyFormat::new(2, 1_000_000).unwrap_err().to_string(),
            "key size 2: there are only 65536 such keys, for 1000000 records"
        );
    }

    const SIZES: [usize; 11] = [0, 1, 4, 7, 8, 9, 15, 16, 17, 128, 5000];

    const IDS: [ValueId; 5] = [
        ValueId { writer: 0, counter: 0 },
        ValueId { writer: 0, counter: 200 },
        ValueId { writer: 1, counter: 200 },
        ValueId { writer: 0, counter: u64::MAX },
        ValueId { writer: u64::MAX, counter: 0x0102_0304_0506_0708 },
    ];

    fn value_of(format: &ValueFormat, id: ValueId) -> Vec<u8> {
        let mut value = vec![0xFF; format.value_size()];
        format.fill(&mut value, id);
        value
    }

    #[test]
    fn values_begin_with_counter_and_writer_little_endian() {
        let id = ValueId { writer: 0x1112_1314_1516_1718, counter: 0x0102_0304_0506_0708 };
        let value = value_of(&ValueFormat::new(128), id);
        assert_eq!(value[..8], [8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(value[8..16], [0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11]);
    }

    #[test]
    fn values_lead_back_to_their_identity_where_it_is_kept() {
        for value_size in SIZES {
            let format = ValueFormat::new(value_size);
            for id in IDS {
                let read = format.identity(&value_of(&format, id)).unwrap();
                assert_eq!(read == id, format.keeps(id), "{id:?} of {value_size} bytes");
            }
        }
        assert!(IDS.iter().all(|&id| ValueFormat::new(16).keeps(id)));
    }

    #[test]
    fn short_values_are_equal_exactly_if_the_kept_bytes_are() {
        for value_size in SIZES {
            let format = ValueFormat::new(value_size);
            let kept = value_size.min(ValueId::SIZE);
            for first in IDS {
                for second in IDS {
                    assert_eq!(
                        value_of(&format, first) == value_of(&format, second),
                        first.to_bytes()[..kept] == second.to_bytes()[..kept],
                        "{first:?} and {second:?} of {value_size} bytes"
                    );
                }
            }
        }
    }

    #[test]
    fn a_value_with_any_byte_of_its_pattern_changed_has_no_identity() {
        let format = ValueFormat::new(128);
        let value = value_of(&format, IDS[2]);
        for position in ValueId::SIZE..128 {
            let mut wrong = value.clone();
            wrong[position] ^= 1;
            assert_eq!(format.identity(&wrong), None);
        }
        assert_eq!(format.identity(&value[..127]), None);
        assert_eq!(format.identity(&[]), None);
    }

    #[test]
    fn the_pattern_does_not_repeat_within_a_large_value() {
        let pattern = ValueFormat::new(1 << 20).pattern;
        for shift in [1, 8, 16, 256, 1024, 1400, 1472, 4096, 65536] {
            assert_ne!(pattern[..256], pattern[shift..shift + 256], "shift {shift}");
        }
    }
}
