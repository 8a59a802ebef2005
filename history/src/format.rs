//! The bytes of a history file: a header, blocks of records, and an end. See
//! `docs/HISTORY.md`.

use bytemuck::{Pod, Zeroable};
use crc_fast::crc32_iscsi;

/// What a file begins with.
pub const MAGIC: [u8; 8] = *b"KVHISTRY";
/// Version of the format.
pub const FORMAT_VERSION: u32 = 1;
/// What a block of records begins with.
pub const BLOCK_RECORDS: u32 = u32::from_le_bytes(*b"KVHB");
/// What the end of a whole file begins with.
pub const BLOCK_END: u32 = u32::from_le_bytes(*b"KVHE");
/// Most bytes of a block's payload.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 10;
/// Writers, and lives of servers, that a block names at one time.
pub const NAMES: usize = 256;

/// The start of a file. Little-endian, 96 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct FileHeader {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Bytes of this header.
    pub header_bytes: u32,
    /// Which clock the times are of: equal for all processes whose clocks are one.
    pub clock_id: [u8; 16],
    /// Add this to a time to have nanoseconds since the Unix epoch.
    pub epoch_offset_ns: i64,
    /// When the file was begun.
    pub start_ns: u64,
    /// The writer in the identities of the values that this thread writes.
    pub writer: u64,
    /// The generator, random: its threads have files of their own.
    pub generator: u64,
    /// Which thread of the generator this is.
    pub thread: u32,
    /// Bytes of a key.
    pub key_bytes: u32,
    /// Bytes of a value.
    pub value_bytes: u32,
    /// N, where one key in N is kept.
    pub sample: u32,
    /// Zero.
    pub reserved: [u32; 3],
    /// CRC-32C of the bytes before it.
    pub checksum: u32,
}

const _: () = assert!(size_of::<FileHeader>() == FILE_HEADER_BYTES);
/// Bytes of [`FileHeader`].
pub const FILE_HEADER_BYTES: usize = 96;

impl FileHeader {
    /// The header with its checksum.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.checksum = self.sum();
        self
    }

    /// What [`Self::checksum`] must be.
    #[must_use]
    pub fn sum(&self) -> u32 {
        crc(&bytemuck::bytes_of(self)[..FILE_HEADER_BYTES - 4])
    }
}

/// The start of a block. Little-endian, 48 bytes; the payload follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct BlockHeader {
    /// [`BLOCK_RECORDS`] or [`BLOCK_END`].
    pub kind: u32,
    /// Bytes of the payload; 0 at the end.
    pub payload_bytes: u32,
    /// Records of this block; at the end those of the whole file.
    pub records: u64,
    /// The times of the block's records count from here.
    pub base_ns: u64,
    /// No record of the block starts before.
    pub min_start_ns: u64,
    /// Zero.
    pub reserved: u64,
    /// CRC-32C of the payload.
    pub payload_checksum: u32,
    /// CRC-32C of the header's bytes before it.
    pub checksum: u32,
}

const _: () = assert!(size_of::<BlockHeader>() == BLOCK_HEADER_BYTES);
/// Bytes of [`BlockHeader`].
pub const BLOCK_HEADER_BYTES: usize = 48;

impl BlockHeader {
    /// The header with its checksums.
    #[must_use]
    pub fn sealed(mut self, payload: &[u8]) -> Self {
        self.payload_checksum = crc(payload);
        self.checksum = self.sum();
        self
    }

    /// What [`Self::checksum`] must be.
    #[must_use]
    pub fn sum(&self) -> u32 {
        crc(&bytemuck::bytes_of(self)[..BLOCK_HEADER_BYTES - 4])
    }
}

/// CRC-32C.
#[must_use]
pub fn crc(bytes: &[u8]) -> u32 {
    crc32_iscsi(bytes)
}

/// What a record, or a name, begins with.
pub mod tag {
    /// Names a writer: its place, then the writer in 8 bytes.
    pub const WRITER: u8 = 1;
    /// Names the life of a server: its place, the server in 2 bytes, the incarnation in 8.
    pub const LIFE: u8 = 2;
    /// A GET that found a value.
    pub const FOUND: u8 = 16;
    /// A GET that found none.
    pub const NOT_FOUND: u8 = 17;
    /// A PUT that was answered.
    pub const STORED: u8 = 18;
    /// A PUT that was not.
    pub const INDETERMINATE: u8 = 19;
}

/// Most bytes of a number.
pub const NUMBER_BYTES_MAX: usize = 10;
/// Most bytes of a record with the names that it needs: two names, a tag, two places and
/// seven numbers.
pub const RECORD_BYTES_MAX: usize = (2 + 8) + (2 + 10) + 3 + 7 * NUMBER_BYTES_MAX;

/// The place of a name in a block's table: later names take the places of earlier ones.
#[inline]
#[must_use]
pub const fn place_of(name: u64) -> u8 {
    (name.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// Writes a number in little-endian base 128 (LEB128) at `at`; returns where it ends.
#[inline]
pub fn put_number(bytes: &mut [u8], mut at: usize, mut number: u64) -> usize {
    while number >= 0x80 {
        bytes[at] = number as u8 | 0x80;
        number >>= 7;
        at += 1;
    }
    bytes[at] = number as u8;
    at + 1
}

/// Reads a number at `at`, and moves `at` behind it; none if the bytes end first, or if it
/// has more than 64 bits.
#[inline]
#[must_use]
pub fn take_number(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut number = 0;
    let mut shift = 0;
    loop {
        let byte = *bytes.get(*at)?;
        *at += 1;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Some(number);
        }
        shift += 7;
        if shift > 63 {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for number in [0, 1, 127, 128, 300, 1 << 35, u64::MAX - 1, u64::MAX] {
            let mut bytes = [0; NUMBER_BYTES_MAX];
            let end = put_number(&mut bytes, 0, number);
            let mut at = 0;
            assert_eq!(take_number(&bytes[..end], &mut at), Some(number));
            assert_eq!(at, end);
            assert_eq!(take_number(&bytes[..end - 1], &mut 0), None, "cut");
        }
        assert_eq!(take_number(&[0xff; 11], &mut 0), None, "more than 64 bits");
    }
}
