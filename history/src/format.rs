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
    /// Of the history of this thread, with every key; all else is still to be named.
    #[must_use]
    pub fn of_thread(thread: usize) -> Self {
        Self {
            magic: MAGIC,
            format_version: FORMAT_VERSION,
            header_bytes: FILE_HEADER_BYTES as u32,
            thread: thread as u32,
            sample: 1,
            ..Self::zeroed()
        }
    }

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
    /// No answered operation of the block starts before.
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
    /// Added to one of the above: it started and ended when the record before it did, as
    /// operations do that left in one datagram and came back in one.
    pub const SAME_TIMES: u8 = 32;
    /// Added to a GET: it was answered from its client's near cache.
    pub const CACHED: u8 = 64;
}

/// Most bytes of a number.
pub const NUMBER_BYTES_MAX: usize = 10;
/// Most bytes of a record with the names that it needs: two names, a tag, two places, two
/// times, the fields, and the slack behind them.
pub const RECORD_BYTES_MAX: usize =
    (2 + 8) + (2 + 10) + 3 + 2 * NUMBER_BYTES_MAX + (1 + 8 * FIELDS) + NUMBER_SLACK_BYTES;

/// The place of a name in a block's table: later names take the places of earlier ones.
#[inline]
#[must_use]
pub const fn place_of(name: u64) -> u8 {
    (name.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// Bytes that must be there behind a number, so that it is written and read in one piece.
pub const NUMBER_SLACK_BYTES: usize = NUMBER_BYTES_MAX;
/// Numbers below this take at most 8 bytes.
const SHORT_END: u64 = 1 << 56;
/// The bit of each byte that says that another follows.
const MORE: u64 = 0x8080_8080_8080_8080;

/// Writes a number in little-endian base 128 (LEB128) at `at`; returns where it ends.
///
/// Lengths differ from number to number, and a processor guesses them wrong: so there is no
/// branch on them, and [`NUMBER_SLACK_BYTES`] bytes must be there.
#[inline]
pub fn put_number(bytes: &mut [u8], at: usize, number: u64) -> usize {
    let room: &mut [u8; NUMBER_SLACK_BYTES] =
        bytes[at..].first_chunk_mut().expect("the caller leaves room");
    let length = length_of(number);
    let (short, long) = room.split_first_chunk_mut::<8>().expect("it is longer");
    let more = if length >= 9 { MORE } else { MORE & ((1 << (8 * (length - 1))) - 1) };
    *short = (spread(number & (SHORT_END - 1)) | more).to_le_bytes();
    if length > 8 {
        long[0] = (number >> 56) as u8 & 0x7f | if length == 10 { 0x80 } else { 0 };
        long[1] = (number >> 63) as u8;
    }
    at + length
}

/// Reads a number at `at`, and moves `at` behind it; none if there are not
/// [`NUMBER_SLACK_BYTES`] bytes, or if it has more than 64 bits.
#[inline]
#[must_use]
pub fn take_number(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let room: &[u8; NUMBER_SLACK_BYTES] = bytes.get(*at..)?.first_chunk()?;
    let (short, long) = room.split_first_chunk::<8>()?;
    let short = u64::from_le_bytes(*short);
    let ends = !short & MORE;
    if ends != 0 {
        *at += ends.trailing_zeros() as usize / 8 + 1;
        // All bits up to the one that ends the number.
        return Some(gather(short & (ends ^ (ends - 1))));
    }
    let top = match *long {
        [last, _] if last < 0x80 => u64::from(last) << 56,
        [eighth, last] if last < 2 => u64::from(eighth & 0x7f) << 56 | u64::from(last) << 63,
        _ => return None,
    };
    *at += if long[0] < 0x80 { 9 } else { 10 };
    Some(gather(short) | top)
}

/// Numbers that are written together, with their lengths in one byte before them.
pub const FIELDS: usize = 4;

/// Writes four numbers at `at`: their codes, two bits each, and then so many of their bytes
/// as the codes say; returns where they end. [`NUMBER_SLACK_BYTES`] must be there behind them.
#[inline]
pub fn put_fields(bytes: &mut [u8], at: usize, fields: [u64; FIELDS]) -> usize {
    let mut codes = 0;
    let mut end = at + 1;
    for (place, field) in fields.into_iter().enumerate() {
        let code = code_of(field);
        codes |= code << (2 * place);
        let room = bytes[end..].first_chunk_mut().expect("the caller leaves room");
        *room = field.to_le_bytes();
        end += field_bytes(code);
    }
    bytes[at] = codes;
    end
}

/// Reads what [`put_fields`] wrote, and moves `at` behind it; none if the slack is not there.
#[inline]
#[must_use]
pub fn take_fields(bytes: &[u8], at: &mut usize) -> Option<[u64; FIELDS]> {
    let codes = *bytes.get(*at)?;
    let mut end = *at + 1;
    let mut fields = [0; FIELDS];
    for (place, field) in fields.iter_mut().enumerate() {
        let length = field_bytes(codes >> (2 * place) & 3);
        let room = bytes.get(end..)?.first_chunk()?;
        *field = u64::from_le_bytes(*room) & (u64::MAX >> (64 - 8 * length));
        end += length;
    }
    *at = end;
    Some(fields)
}

/// 0, 1 and 2 are one byte less than a number takes, 3 is eight bytes.
#[inline]
const fn code_of(number: u64) -> u8 {
    (number > 0xff) as u8 + (number > 0xffff) as u8 + (number > 0x00ff_ffff) as u8
}

#[inline]
const fn field_bytes(code: u8) -> usize {
    code as usize + 1 + 4 * (code as usize / 3)
}

/// Bytes that a number takes.
#[inline]
fn length_of(number: u64) -> usize {
    let bits = 64 - (number | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Moves each 7 of the lowest 56 bits into a byte of its own.
#[inline]
const fn spread(number: u64) -> u64 {
    let x = number & 0x0fff_ffff | (number & 0x00ff_ffff_f000_0000) << 4;
    let x = x & 0x0000_3fff_0000_3fff | (x & 0x0fff_c000_0fff_c000) << 2;
    x & 0x007f_007f_007f_007f | (x & 0x3f80_3f80_3f80_3f80) << 1
}

/// The inverse of [`spread`], whatever the top bits of the bytes are.
#[inline]
const fn gather(bytes: u64) -> u64 {
    let x = bytes & 0x007f_007f_007f_007f | (bytes & 0x7f00_7f00_7f00_7f00) >> 1;
    let x = x & 0x0000_3fff_0000_3fff | (x & 0x3fff_0000_3fff_0000) >> 2;
    x & 0x0fff_ffff | (x & 0x0fff_ffff_0000_0000) >> 4
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LEB128 as its definition has it.
    fn leb128(mut number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }

    #[test]
    fn numbers_are_leb128_and_read_as_they_are_written() {
        let edges = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for number in edges.chain([u64::MAX - 1, u64::MAX, 0x0123_4567_89ab_cdef]) {
            let mut bytes = [0xff; 2 * NUMBER_SLACK_BYTES];
            let end = put_number(&mut bytes, 0, number);
            assert_eq!(bytes[..end], leb128(number));
            let mut at = 0;
            assert_eq!(take_number(&bytes, &mut at), Some(number));
            assert_eq!(at, end);
        }
    }

    #[test]
    fn fields_are_read_as_they_are_written_in_as_few_bytes() {
        let edges = [0, 1, 0xff, 0x100, 0xffff, 0x1_0000, 0x00ff_ffff, 0x0100_0000, u64::MAX];
        for first in edges {
            for last in edges {
                let mut bytes = [0xee; 60];
                let fields = [first, 3, 0x1234, last];
                let end = put_fields(&mut bytes, 2, fields);
                let length = |field: u64| match field {
                    0..=0xff => 1,
                    0x100..=0xffff => 2,
                    0x1_0000..=0x00ff_ffff => 3,
                    _ => 8,
                };
                assert_eq!(end, 2 + 1 + length(first) + 1 + 2 + length(last));
                let mut at = 2;
                assert_eq!(take_fields(&bytes, &mut at), Some(fields));
                assert_eq!(at, end);
            }
        }
        assert_eq!(take_fields(&[0; 8], &mut 0), None, "no slack");
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_none() {
        assert_eq!(take_number(&[0xff; 12], &mut 0), None);
        let mut bytes = [0xff; 12];
        bytes[9] = 2;
        assert_eq!(take_number(&bytes, &mut 0), None);
        assert_eq!(take_number(&[1; NUMBER_SLACK_BYTES - 1], &mut 0), None, "no slack");
    }
}
