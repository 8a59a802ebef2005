//! Where values of answers are copied to.

use bytes::{Bytes, BytesMut};

use crate::limits::{CHUNK_BYTES_MAX, CHUNK_VALUE_BYTES_MAX};

/// Copies values out of datagrams. Short ones of answers that are waited for together share
/// chunks of memory, because an allocation for each would take longer than all else that is
/// done for its answer.
#[derive(Debug, Default)]
pub(crate) struct Values {
    chunk: BytesMut,
}

impl Values {
    /// Copies a value. `waiting`: how many more may come, with this one; the only one has
    /// memory of its own.
    #[inline]
    pub(crate) fn copy(&mut self, value: &[u8], waiting: usize) -> Bytes {
        if waiting <= 1 || value.is_empty() || value.len() > CHUNK_VALUE_BYTES_MAX {
            return Bytes::copy_from_slice(value);
        }
        if self.chunk.capacity() < value.len() {
            self.chunk = BytesMut::with_capacity(CHUNK_BYTES_MAX.min(waiting * value.len()));
        }
        self.chunk.extend_from_slice(value);
        self.chunk.split().freeze()
    }

    /// What is left of a chunk is not kept for the next batch.
    pub(crate) fn clear(&mut self) {
        self.chunk = BytesMut::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_values_of_a_batch_share_chunks() {
        let mut values = Values::default();
        let copies: Vec<_> =
            (0..1000_usize).rev().map(|left| values.copy(&[left as u8; 64], left + 1)).collect();
        let is_behind =
            |pair: &&[Bytes]| pair[0].as_ptr() as usize + 64 == pair[1].as_ptr() as usize;
        let shared = copies.windows(2).filter(is_behind).count();
        assert!(shared >= 1000 - 1000 * 64 / CHUNK_BYTES_MAX - 2, "{shared}");
        for (left, copy) in (0..1000_usize).rev().zip(&copies) {
            assert_eq!(copy, [left as u8; 64].as_slice());
        }
    }

    #[test]
    fn a_value_of_a_batch_keeps_no_more_than_a_chunk_from_being_freed() {
        let mut values = Values::default();
        values.copy(&[], 2);
        assert_eq!(values.chunk.capacity(), 0, "an empty one keeps none");
        values.copy(&[1; 8], usize::MAX / 8);
        assert!(values.chunk.capacity() <= CHUNK_BYTES_MAX);
        values.copy(&[1; CHUNK_VALUE_BYTES_MAX + 1], 2);
        assert!(values.chunk.capacity() <= CHUNK_BYTES_MAX, "a long one is on its own");
        values.clear();
        assert_eq!(values.chunk.capacity(), 0);
    }
}
