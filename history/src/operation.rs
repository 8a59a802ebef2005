//! One operation of a history.

/// Which PUT wrote a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId {
    /// Who wrote it: random, and so unique to a thread of a generator.
    pub writer: u64,
    /// How many PUTs this writer had made before.
    pub counter: u64,
}

impl ValueId {
    /// Bytes of a whole identity.
    pub const SIZE: usize = 16;
    /// The writer that stands for bytes that no generator wrote; the counter is their hash.
    pub const FOREIGN: u64 = u64::MAX;

    /// The counter first, because it is what tells apart the values of a single writer.
    #[inline]
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        (u128::from(self.writer) << 64 | u128::from(self.counter)).to_le_bytes()
    }

    /// The inverse of [`Self::to_bytes`].
    #[inline]
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        let number = u128::from_le_bytes(bytes);
        Self { writer: (number >> 64) as u64, counter: number as u64 }
    }
}

/// What an operation did, as far as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A GET that found a value.
    Found(ValueId),
    /// A GET that found no record.
    NotFound,
    /// A PUT that was answered.
    Stored(ValueId),
    /// A PUT that was not answered: it may or may not have happened.
    Indeterminate(ValueId),
}

/// One operation. GETs that were not answered, and PUTs that were refused, say nothing about
/// the order of the others, and are in no history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The stream that made it, by its number in the generator.
    pub client: u32,
    /// Place of its server in the cluster's list.
    pub server: u16,
    /// The life of that server that answered, or that would have: a server that starts again
    /// starts empty. 0 where no server's life was known.
    pub incarnation: u64,
    /// The record's number.
    pub key: u64,
    /// What it did.
    pub action: Action,
    /// A GET that was answered from its client's near cache, and not by the server.
    pub is_cached: bool,
    /// Version of the record that the answer told; 0 if it told none.
    pub version: u64,
    /// It was not sent before this time.
    pub start_ns: u64,
    /// It was answered, or given up, no later than this time.
    pub end_ns: u64,
}
