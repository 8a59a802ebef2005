//! A hash of a request's entries, so that a repeat that is not the same request is told from
//! one that is.
//!
//! It is NH (of UMAC, RFC 4418) over words of 64 bits: the products of message and key words,
//! added up modulo 2^128. Under a random key that nobody knows, two requests that somebody
//! chose, whatever they are, have one hash with a probability of at most 2^-63. That needs a
//! key as long as a datagram, and that nobody sees a hash: it never leaves the worker.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher24;

/// Bytes that one product takes.
const BLOCK_BYTES: usize = 16;
/// Blocks that are taken together.
const GROUP_BLOCKS: usize = 4;
const GROUP_BYTES: usize = GROUP_BLOCKS * BLOCK_BYTES;

/// The key of a worker.
#[derive(Debug)]
pub struct EntriesHash {
    key: Box<[[u64; 2]]>,
}

impl EntriesHash {
    /// For datagrams of at most `mtu_bytes`; `secret` is random.
    #[must_use]
    pub fn new(secret: [u8; 16], mtu_bytes: usize) -> Self {
        let word = |number: usize| {
            let mut hasher = SipHasher24::new_with_key(&secret);
            hasher.write_u64(number as u64);
            hasher.finish()
        };
        let blocks = mtu_bytes / BLOCK_BYTES + 1;
        Self { key: (0..blocks).map(|block| [word(2 * block), word(2 * block + 1)]).collect() }
    }

    /// The hash of the bytes of entries: at least 8, and no more than a datagram has.
    #[must_use]
    #[inline]
    pub fn of(&self, entries: &[u8]) -> u128 {
        // All but the last block, which ends with the entries: some of it may be taken twice.
        let ahead = (entries.len() - 1) / BLOCK_BYTES;
        let (key, [last_key, ..]) = self.key.split_at(ahead) else {
            unreachable!("entries fit in a datagram")
        };
        let (groups, rest) = entries[..ahead * BLOCK_BYTES].as_chunks::<GROUP_BYTES>();
        let (group_keys, keys) = key.as_chunks::<GROUP_BLOCKS>();
        let mut sum = entries.len() as u128;
        for (group, keys) in groups.iter().zip(group_keys) {
            for (at, key) in keys.iter().enumerate() {
                sum = sum.wrapping_add(product(block(group, BLOCK_BYTES * at), *key));
            }
        }
        for (bytes, key) in rest.as_chunks::<BLOCK_BYTES>().0.iter().zip(keys) {
            sum = sum.wrapping_add(product(block(bytes, 0), *key));
        }
        let last = [entries.len().saturating_sub(BLOCK_BYTES), entries.len() - 8];
        sum.wrapping_add(product(last.map(|at| word(entries, at)), *last_key))
    }
}

#[inline]
fn block(bytes: &[u8], at: usize) -> [u64; 2] {
    [word(bytes, at), word(bytes, at + 8)]
}

#[inline]
fn product([a, b]: [u64; 2], [key_a, key_b]: [u64; 2]) -> u128 {
    u128::from(a.wrapping_add(key_a)) * u128::from(b.wrapping_add(key_b))
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..][..8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const MTU_BYTES: usize = 200;

    #[test]
    fn entries_that_differ_in_a_bit_or_in_their_length_have_different_hashes() {
        let hash = EntriesHash::new([3; 16], MTU_BYTES);
        let mut seen = BTreeMap::new();
        for length in 9..=MTU_BYTES - 32 {
            for filled in [0, 0xff] {
                let mut entries = vec![filled; length];
                assert_eq!(seen.insert(hash.of(&entries), (length, filled, None)), None);
                for bit in 0..8 * length {
                    entries[bit / 8] ^= 1 << (bit % 8);
                    let before = seen.insert(hash.of(&entries), (length, filled, Some(bit)));
                    assert_eq!(before, None, "{length} bytes of {filled}, bit {bit}");
                    entries[bit / 8] ^= 1 << (bit % 8);
                }
            }
        }
    }

    #[test]
    fn blocks_that_change_places_have_another_hash() {
        let hash = EntriesHash::new([3; 16], MTU_BYTES);
        let entries: Vec<u8> = (0..64).collect();
        let mut swapped = entries.clone();
        swapped.rotate_left(BLOCK_BYTES);
        assert_ne!(hash.of(&entries), hash.of(&swapped));
        swapped.rotate_right(BLOCK_BYTES);
        assert_eq!(hash.of(&entries), hash.of(&swapped));
    }

    #[test]
    fn each_secret_has_hashes_of_its_own() {
        let [first, second] = [1, 2].map(|byte| EntriesHash::new([byte; 16], MTU_BYTES));
        assert_ne!(first.of(b"123456789"), second.of(b"123456789"));
    }

    #[test]
    fn the_longest_entries_have_a_key() {
        let hash = EntriesHash::new([3; 16], MTU_BYTES);
        for length in [MTU_BYTES - 32, MTU_BYTES - 1, MTU_BYTES] {
            let _ = hash.of(&vec![1; length]);
        }
    }
}
