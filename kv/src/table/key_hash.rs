//! What places a key in the table: a hash under a secret of this process.
//!
//! Who chooses keys must not be able to choose them so that they fall into one bucket, not even
//! who sees which keys share one (by how long they take) or in which order a scan returns
//! them, and not who learned the secret of another life of the server. So the hash is a
//! pseudorandom function under a secret that each table draws from the system's entropy: rounds
//! of AES where the processor has them, SipHash-1-3 elsewhere. Hashes by multiplication (foldhash,
//! wyhash, XXH3) are as fast as the first, and promise nothing to who chooses keys by what he saw.

use std::hash::Hasher as _;
use std::io;

use siphasher::sip::SipHasher13;

#[cfg(target_arch = "x86_64")]
use super::aes_hash::AesHash;

/// Places keys.
pub trait KeyHash {
    /// The hash of a key.
    fn hash(&self, key: &[u8]) -> u64;

    /// The hashes of several keys, in their order; calls `hashed` with each.
    #[inline]
    fn hash_all(&self, keys: &[&[u8]], hashes: &mut [u64], hashed: impl Fn(u64)) {
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = self.hash(key);
            hashed(*hash);
        }
    }
}

/// A pseudorandom function of a key.
#[derive(Clone, Debug)]
pub struct SecretHash(Function);

#[derive(Clone, Debug)]
enum Function {
    #[cfg(target_arch = "x86_64")]
    Aes(Box<AesHash>),
    Sip(SipHasher13),
}

impl SecretHash {
    /// Under a secret that nobody else knows.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub fn random() -> io::Result<Self> {
        let mut secret = [0; 16];
        getrandom::fill(&mut secret)
            .map_err(|error| io::Error::other(format!("no random bytes: {error}")))?;
        Ok(Self::new(secret))
    }

    /// Under a secret of the caller's: for what has to run alike each time.
    #[must_use]
    pub fn new(secret: [u8; 16]) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(aes) = AesHash::new(secret) {
            return Self(Function::Aes(Box::new(aes)));
        }
        Self::portable(secret)
    }

    /// The function of processors without AES.
    fn portable(secret: [u8; 16]) -> Self {
        Self(Function::Sip(SipHasher13::new_with_key(&secret)))
    }
}

impl KeyHash for SecretHash {
    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        match &self.0 {
            #[cfg(target_arch = "x86_64")]
            Function::Aes(aes) => aes.hash(key),
            Function::Sip(sip) => sip.hash(key),
        }
    }

    #[inline]
    fn hash_all(&self, keys: &[&[u8]], hashes: &mut [u64], hashed: impl Fn(u64)) {
        match &self.0 {
            #[cfg(target_arch = "x86_64")]
            Function::Aes(aes) => aes.hash_all(keys, hashes, hashed),
            Function::Sip(sip) => sip.hash_all(keys, hashes, hashed),
        }
    }
}

impl KeyHash for SipHasher13 {
    fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = *self;
        hasher.write(key);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const KEYS: usize = 64;
    /// Buckets of a small table, as bits of a hash.
    const BUCKETS: u64 = 1 << 10;

    fn functions(secret: [u8; 16]) -> [SecretHash; 2] {
        [SecretHash::new(secret), SecretHash::portable(secret)]
    }

    /// Most keys of one bucket.
    fn longest(hash: &SecretHash, keys: &[Vec<u8>]) -> usize {
        let mut buckets: BTreeMap<u64, usize> = BTreeMap::new();
        for key in keys {
            *buckets.entry(hash.hash(key) % BUCKETS).or_default() += 1;
        }
        buckets.into_values().max().unwrap_or(0)
    }

    #[test]
    fn keys_that_collide_under_the_secret_of_another_life_do_not_collide_in_this_one() {
        for (leaked, now) in functions([1; 16]).iter().zip(&functions([2; 16])) {
            for length in [8, 16, 24, 100] {
                let keys: Vec<Vec<u8>> = (0u64..)
                    .map(|number| {
                        let mut key = vec![7; length];
                        key[length - 8..].copy_from_slice(&number.to_le_bytes());
                        key
                    })
                    .filter(|key| leaked.hash(key) % BUCKETS == 0)
                    .take(KEYS)
                    .collect();
                assert_eq!(longest(leaked, &keys), KEYS);
                // Of 64 random keys, five share one of 1,024 buckets once in 200,000 times.
                assert!(longest(now, &keys) < 5, "{length}: {}", longest(now, &keys));
            }
        }
    }

    #[test]
    fn each_table_draws_a_secret_of_its_own() {
        let [a, b] = [SecretHash::random().unwrap(), SecretHash::random().unwrap()];
        assert_ne!(a.hash(b"key"), b.hash(b"key"));
    }

    #[test]
    fn keys_of_any_length_are_told_apart_by_each_byte_and_by_their_length() {
        for hash in functions([3; 16]) {
            let mut seen = BTreeSet::new();
            let mut keys = 0;
            for length in 0..=512 {
                let zeros = vec![0; length];
                let mut add = |key: &[u8]| {
                    keys += 1;
                    seen.insert(hash.hash(key));
                };
                add(&zeros);
                for at in 0..length {
                    for bit in [0, 7] {
                        let mut key = zeros.clone();
                        key[at] ^= 1 << bit;
                        add(&key);
                    }
                }
            }
            assert_eq!(seen.len(), keys, "some 260,000 hashes of 64 bits differ");
        }
    }

    #[test]
    fn keys_hash_together_as_they_do_alone() {
        for hash in functions([4; 16]) {
            let keys: Vec<Vec<u8>> = (0..96u8).map(|length| vec![length; length.into()]).collect();
            let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            let mut hashes = vec![0; keys.len()];
            hash.hash_all(&keys, &mut hashes, |_| {});
            let alone: Vec<u64> = keys.iter().map(|key| hash.hash(key)).collect();
            assert_eq!(hashes, alone);
        }
    }

    #[test]
    fn each_bit_of_a_key_changes_half_of_the_hash() {
        for hash in functions([5; 16]) {
            for length in [2, 5, 8, 13, 16, 17, 40] {
                let mut flips = [0; 64];
                let mut pairs = 0;
                for number in 0..4000u64 {
                    let mut key = vec![0; length];
                    let bytes = number.to_le_bytes();
                    let (n, bit) = (length.min(8), number as usize % (8 * length));
                    key[..n].copy_from_slice(&bytes[..n]);
                    let before = hash.hash(&key);
                    key[bit / 8] ^= 1 << (bit % 8);
                    let changed = before ^ hash.hash(&key);
                    (0..64).for_each(|at| flips[at] += (changed >> at) & 1);
                    pairs += 1;
                }
                for (at, flipped) in flips.iter().enumerate() {
                    let share = *flipped as f64 / f64::from(pairs);
                    assert!((0.4..0.6).contains(&share), "length {length}, bit {at}: {share}");
                }
            }
        }
    }
}
