//! Writing datagrams. Every function appends to, or fills in, bytes that the caller owns.

use bytemuck::{Pod, bytes_of};

use crate::wire::{
    HEADER_BYTES, Header, Op, REQUEST_ENTRY_BYTES, ReplyEntry, RequestEntry, Status, checksum,
};

/// A key that is a number.
const SHORT_KEY_BYTES: usize = size_of::<u64>();

/// Appends one operation to a request.
///
/// Callers have checked the lengths against [`crate::limits`].
#[inline]
pub fn request_entry(datagram: &mut Vec<u8>, op: Op, key: &[u8], value: &[u8]) {
    debug_assert!(key.len() <= crate::limits::KEY_BYTES_MAX);
    debug_assert!(value.len() <= crate::limits::MTU_BYTES_MAX);
    let entry = RequestEntry {
        op: op as u8,
        extensions: 0,
        key_bytes: key.len() as u16,
        value_bytes: value.len() as u32,
    };
    let mut bytes = [0; REQUEST_ENTRY_BYTES + SHORT_KEY_BYTES];
    let (head, short_key) = bytes.split_at_mut(REQUEST_ENTRY_BYTES);
    head.copy_from_slice(bytes_of(&entry));
    // Most keys are numbers: they go with their entry, in one piece.
    if let Ok(key) = <&[u8; SHORT_KEY_BYTES]>::try_from(key) {
        short_key.copy_from_slice(key);
        datagram.extend_from_slice(&bytes);
    } else {
        datagram.extend_from_slice(head);
        datagram.extend_from_slice(key);
    }
    if !value.is_empty() {
        datagram.extend_from_slice(value);
    }
}

/// Appends one answer to a reply.
#[inline]
pub fn reply_entry(
    datagram: &mut Vec<u8>,
    sequence_delta: i16,
    index: u16,
    status: Status,
    version: u64,
    value: &[u8],
) {
    debug_assert!(value.len() <= crate::limits::MTU_BYTES_MAX);
    let entry = ReplyEntry {
        sequence_delta,
        index,
        status: status as u8,
        extensions: 0,
        value_bytes: value.len() as u16,
        version,
    };
    datagram.extend_from_slice(bytes_of(&entry));
    datagram.extend_from_slice(value);
}

/// Fills in the header of a datagram that is otherwise complete.
///
/// # Panics
/// If the datagram is shorter than a header.
#[inline]
pub fn seal(datagram: &mut [u8], mut header: Header) {
    header.checksum = 0;
    datagram[..HEADER_BYTES].copy_from_slice(bytes_of(&header));
    header.checksum = checksum(datagram);
    datagram[..HEADER_BYTES].copy_from_slice(bytes_of(&header));
}

/// Replaces `buffer` by a whole datagram of the handshake, zero-padded to `padded_bytes`.
pub fn control(buffer: &mut Vec<u8>, header: Header, body: &impl Pod, padded_bytes: usize) {
    buffer.clear();
    buffer.resize(HEADER_BYTES, 0);
    buffer.extend_from_slice(bytes_of(body));
    if buffer.len() < padded_bytes {
        buffer.resize(padded_bytes, 0);
    }
    seal(buffer, header);
}

/// Replaces `buffer` by a datagram that is a header alone.
pub fn bare(buffer: &mut Vec<u8>, header: Header) {
    buffer.clear();
    buffer.resize(HEADER_BYTES, 0);
    seal(buffer, header);
}
