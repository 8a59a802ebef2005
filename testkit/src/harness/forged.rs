//! Datagrams that are sound but for what is in them: random bytes seldom get behind the
//! first field, these do, and then tell lies there.

use arbitrary::Unstructured;
use proto::pack;
use proto::wire::{HEADER_BYTES, Header, Kind, Op, ReplyEntry, RequestEntry};

use super::{any, below, bytes, one_of};

/// Most entries of a datagram.
const ENTRIES_MAX: usize = 24;

/// A sealed datagram with most fields as they must be.
pub(crate) fn forged(input: &mut Unstructured<'_>) -> Vec<u8> {
    let kinds = [Kind::Request, Kind::Reply, Kind::Hello, Kind::Cookie];
    let more = [Kind::Open, Kind::Accept, Kind::Refuse, Kind::Close];
    // Half of them are requests and replies: they have the most in them.
    let kind = match below(input, 4) {
        0 => Kind::Request,
        1 => Kind::Reply,
        2 => one_of(input, &kinds),
        _ => one_of(input, &more),
    };
    let flags = if kind == Kind::Refuse { below(input, 6) as u8 } else { mostly(input, 0) };
    let header = Header {
        flags,
        attempt: mostly(input, 0),
        credit: any(input),
        tag_bytes: mostly(input, 0),
        ..Header::new(kind, mostly(input, 0), below(input, 12) as u64)
    };
    let cut_bytes = if below(input, 8) == 7 { below(input, 64) } else { 0 };
    let padding_bytes = if below(input, 8) == 7 { below(input, 1500) } else { 0 };
    let has_lie = below(input, 8) == 7;
    let lie: u16 = if has_lie { any(input) } else { 0 };

    let entries_max = 1 + below(input, ENTRIES_MAX) as u16;
    let mut datagram = vec![0; HEADER_BYTES];
    let mut entries = 0;
    match kind {
        Kind::Request | Kind::Reply => {
            while !input.is_empty() && entries < entries_max {
                if kind == Kind::Request {
                    request_entry(input, &mut datagram);
                } else {
                    reply_entry(input, &mut datagram);
                }
                entries += 1;
            }
        }
        _ => datagram.extend_from_slice(bytes(input, 64)),
    }
    datagram.resize(datagram.len() + padding_bytes, 0);
    datagram.truncate(datagram.len().saturating_sub(cut_bytes).max(HEADER_BYTES));
    pack::seal(&mut datagram, Header { entries: if has_lie { lie } else { entries }, ..header });
    datagram
}

/// What is right, or else anything.
fn mostly<T: for<'a> arbitrary::Arbitrary<'a>>(input: &mut Unstructured<'_>, right: T) -> T {
    if below(input, 32) == 31 { any(input) } else { right }
}

/// An operation whose fields may be wrong, and whose lengths may lie.
fn request_entry(input: &mut Unstructured<'_>, datagram: &mut Vec<u8>) {
    let op = 1 + below(input, 3) as u8;
    let op = mostly(input, op);
    let at_limit = below(input, 16) == 15;
    let key_bytes = one_of(input, if at_limit { &[0, 512, 513] } else { &[1, 3, 8] });
    let key_bytes = if op == Op::Stats as u8 { 0 } else { key_bytes };
    let value_bytes = one_of(input, &[0, 1, 40, 600]);
    let value_bytes = if op == Op::Put as u8 { value_bytes } else { 0 };
    let entry = RequestEntry {
        op,
        extensions: mostly(input, 0),
        key_bytes: mostly(input, key_bytes),
        value_bytes: mostly(input, value_bytes),
    };
    datagram.extend_from_slice(bytemuck::bytes_of(&entry));
    datagram.resize(datagram.len() + usize::from(key_bytes) + value_bytes as usize, 7);
}

/// An answer whose fields may be wrong, and whose length may lie.
fn reply_entry(input: &mut Unstructured<'_>, datagram: &mut Vec<u8>) {
    let value_bytes = one_of(input, &[0, 1, 40, 600]);
    let (delta, index) = (below(input, 5) as i16 - 2, below(input, 4) as u16);
    let status = below(input, 4) as u8;
    let entry = ReplyEntry {
        sequence_delta: mostly(input, delta),
        index: mostly(input, index),
        status: mostly(input, status),
        extensions: mostly(input, 0),
        value_bytes: mostly(input, value_bytes),
        version: below(input, 5) as u64,
    };
    datagram.extend_from_slice(bytemuck::bytes_of(&entry));
    datagram.resize(datagram.len() + usize::from(value_bytes), 7);
}
