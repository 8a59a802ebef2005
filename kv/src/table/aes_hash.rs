//! A hash of keys by rounds of AES, as the processor does them.
//!
//! A key of at most 16 bytes is one block, a longer one is chained (CBC-MAC). Before the first
//! block goes a mask for the key's length, so that keys of different lengths are as unrelated as
//! under different secrets. It and the keys of the rounds are drawn from the secret, each by
//! itself.
//!
//! Four rounds, not the ten of AES-128: over four rounds with independent keys no difference
//! of two blocks leads to any other with a probability above 2^-113 (Keliher and Sui, 2007), so
//! that no choice of keys makes them collide. The further rounds of AES are for those who see
//! blocks encrypted; nobody sees a hash, at most that two keys share a bucket.

use std::arch::x86_64::{
    __m128i, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_cvtsi128_si64, _mm_set_epi64x,
    _mm_xor_si128,
};
use std::fmt;
use std::hash::Hasher as _;

use proto::limits::KEY_BYTES_MAX;
use siphasher::sip::SipHasher24;

const BLOCK_BYTES: usize = 16;
const ROUNDS: usize = 4;
/// More than the longest key has bytes; a power of two.
const MASKS: usize = 1024;

const _: () = assert!(KEY_BYTES_MAX < MASKS && MASKS.is_power_of_two());

/// A pseudorandom function of a key. There is one only where the processor has AES.
#[derive(Clone)]
pub(super) struct AesHash {
    /// Of each round.
    rounds: [__m128i; ROUNDS],
    /// By length of the key; the key that precedes the rounds is in it.
    masks: [__m128i; MASKS],
}

impl AesHash {
    /// If the processor has AES.
    pub(super) fn new(secret: [u8; 16]) -> Option<Self> {
        if !std::arch::is_x86_feature_detected!("aes") {
            return None;
        }
        let mut drawn = 0;
        let mut draw = || {
            let mut hasher = SipHasher24::new_with_key(&secret);
            hasher.write_u64(drawn);
            drawn += 1;
            hasher.finish()
        };
        // SAFETY: every processor of x86-64 has SSE2.
        let mut draw_block = || unsafe { block(draw(), draw()) };
        let rounds = std::array::from_fn(|_| draw_block());
        Some(Self { rounds, masks: std::array::from_fn(|_| draw_block()) })
    }

    /// The hash of a key.
    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        // SAFETY: there is an `AesHash`, so the processor has AES.
        unsafe { self.hash_alone(key) }
    }

    /// The hashes of several keys: they overlap in the processor.
    #[inline]
    pub(super) fn hash_all(&self, keys: &[&[u8]], hashes: &mut [u64], hashed: impl Fn(u64)) {
        // SAFETY: there is an `AesHash`, so the processor has AES.
        unsafe { self.hash_each(keys, hashes, hashed) }
    }

    #[target_feature(enable = "aes")]
    fn hash_alone(&self, key: &[u8]) -> u64 {
        self.hash_one(key)
    }

    #[target_feature(enable = "aes")]
    fn hash_each(&self, keys: &[&[u8]], hashes: &mut [u64], hashed: impl Fn(u64)) {
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = self.hash_one(key);
            hashed(*hash);
        }
    }

    #[inline]
    #[target_feature(enable = "aes")]
    fn hash_one(&self, key: &[u8]) -> u64 {
        let block = match key.len() {
            8..=BLOCK_BYTES => block(first(key), last(key)),
            4..8 => block(u64::from(first_half(key)), u64::from(last_half(key))),
            1..4 => {
                let inner = u16::from_le_bytes([key[0], key[key.len() / 2]]);
                block(u64::from(inner), u64::from(key[key.len() - 1]))
            }
            0 => block(0, 0),
            _ => return self.hash_long(key),
        };
        low_half(self.encrypt(_mm_xor_si128(self.mask(key), block)))
    }

    /// Of a key of more than one block. Its last block may overlap the one before it.
    #[inline(never)]
    #[target_feature(enable = "aes")]
    fn hash_long(&self, key: &[u8]) -> u64 {
        let mut state = self.mask(key);
        let mut rest = key;
        while rest.len() > BLOCK_BYTES {
            state = self.encrypt(_mm_xor_si128(state, block(first(rest), first(&rest[8..]))));
            rest = &rest[BLOCK_BYTES..];
        }
        let tail = &key[key.len() - BLOCK_BYTES..];
        low_half(self.encrypt(_mm_xor_si128(state, block(first(tail), last(tail)))))
    }

    #[inline]
    fn mask(&self, key: &[u8]) -> __m128i {
        self.masks[key.len() % MASKS]
    }

    #[inline]
    #[target_feature(enable = "aes")]
    fn encrypt(&self, mut state: __m128i) -> __m128i {
        for key in &self.rounds[..ROUNDS - 1] {
            state = _mm_aesenc_si128(state, *key);
        }
        _mm_aesenclast_si128(state, self.rounds[ROUNDS - 1])
    }
}

/// It holds secrets.
impl fmt::Debug for AesHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AesHash").finish_non_exhaustive()
    }
}

#[inline]
#[target_feature(enable = "sse2")]
fn block(low: u64, high: u64) -> __m128i {
    _mm_set_epi64x(high as i64, low as i64)
}

#[inline]
#[target_feature(enable = "sse2")]
fn low_half(block: __m128i) -> u64 {
    _mm_cvtsi128_si64(block) as u64
}

#[inline]
fn first(key: &[u8]) -> u64 {
    u64::from_le_bytes(*key.first_chunk().expect("it is long enough"))
}

#[inline]
fn last(key: &[u8]) -> u64 {
    u64::from_le_bytes(*key.last_chunk().expect("it is long enough"))
}

#[inline]
fn first_half(key: &[u8]) -> u32 {
    u32::from_le_bytes(*key.first_chunk().expect("it is long enough"))
}

#[inline]
fn last_half(key: &[u8]) -> u32 {
    u32::from_le_bytes(*key.last_chunk().expect("it is long enough"))
}
