//! Packing and unpacking are inverses: what is packed is unpacked as it was, and what
//! unpacks is packed again to the same bytes.

use arbitrary::Unstructured;
use bytemuck::{AnyBitPattern, Pod};
use proto::limits::{ENTRIES_PER_DATAGRAM_MAX, KEY_BYTES_MAX, MTU_BYTES_MAX};
use proto::pack;
use proto::unpack;
use proto::wire::{
    Accept, Cookie, HEADER_BYTES, Header, Hello, Kind, MAGIC, Op, Open, REPLY_ENTRY_BYTES,
    REQUEST_ENTRY_BYTES, Reason, Status, VERSION,
};

use super::forged::forged;
use super::{any, below, bytes, one_of};

/// The first byte says which kind of datagram the others are made into, sound or not, or
/// that they are one already.
pub fn run(input: &[u8]) {
    let input = &mut Unstructured::new(input);
    match below(input, 10) {
        0 => request(input),
        1 => reply(input),
        2 => handshake::<Hello>(input, Kind::Hello),
        3 => handshake::<Cookie>(input, Kind::Cookie),
        4 => handshake::<Open>(input, Kind::Open),
        5 => handshake::<Accept>(input, Kind::Accept),
        6 => bare(input),
        7 => packs_again(bytes(input, usize::MAX)),
        _ => packs_again(&forged(input)),
    }
}

/// A header of a kind whose other fields are anything.
fn header_of(input: &mut Unstructured<'_>, kind: Kind) -> Header {
    let header = Header::new(kind, any(input), any(input));
    Header { flags: any(input), attempt: any(input), credit: any(input), ..header }
}

/// The header of a sealed datagram is as it was, and no byte of it may change.
fn reads_header(input: &mut Unstructured<'_>, datagram: &[u8], kind: Kind, header: Header) {
    let (read_kind, read) = unpack::header(datagram).expect("it was sealed");
    assert_eq!((read_kind, Header { checksum: 0, ..read }), (kind, header));
    let mut changed = datagram.to_vec();
    let at = below(input, changed.len());
    changed[at] ^= any::<u8>(input).max(1);
    assert!(unpack::header(&changed).is_err(), "a change of byte {at} passed");
    packs_again(datagram);
}

fn request(input: &mut Unstructured<'_>) {
    let header = header_of(input, Kind::Request);
    let padding_bytes = below(input, 64);
    let mut datagram = vec![0; HEADER_BYTES];
    let mut written = Vec::new();
    while !input.is_empty() && written.len() < ENTRIES_PER_DATAGRAM_MAX {
        let op = one_of(input, &[Op::Get, Op::Put, Op::Stats]);
        // Most are to be short, so that there are many.
        let key_bytes = one_of(input, &[1, 2, 8, 40, KEY_BYTES_MAX]);
        let value_bytes = one_of(input, &[0, 1, 7, 100, 4000]);
        let (key, value) = match op {
            Op::Get => (filled(input, key_bytes), Vec::new()),
            Op::Put => (filled(input, key_bytes), filled(input, value_bytes)),
            Op::Stats => (Vec::new(), Vec::new()),
        };
        if datagram.len() + REQUEST_ENTRY_BYTES + key.len() + value.len() > MTU_BYTES_MAX {
            break;
        }
        pack::request_entry(&mut datagram, op, &key, &value);
        written.push((op, key, value));
    }
    datagram.resize(datagram.len() + padding_bytes, 0);
    let header = Header { entries: written.len() as u16, ..header };
    pack::seal(&mut datagram, header);

    let mut spans = Vec::new();
    unpack::requests(&datagram, header.entries, &mut spans).expect("it was packed");
    assert_eq!(spans.len(), written.len());
    for (span, (op, key, value)) in spans.iter().zip(&written) {
        assert_eq!(span.op, *op);
        assert_eq!((span.key(&datagram), span.value(&datagram)), (&key[..], &value[..]));
    }
    reads_header(input, &datagram, Kind::Request, header);
}

fn reply(input: &mut Unstructured<'_>) {
    let header = header_of(input, Kind::Reply);
    let padding_bytes = below(input, 64);
    let mut datagram = vec![0; HEADER_BYTES];
    let mut written = Vec::new();
    while !input.is_empty() {
        let delta: i16 = any(input);
        let index: u16 = any(input);
        let status = one_of(input, &[Status::Ok, Status::NotFound, Status::Full, Status::TooLarge]);
        let version: u64 = any(input);
        let value_bytes = one_of(input, &[0, 1, 7, 100, 4000]);
        let value = filled(input, value_bytes);
        if datagram.len() + REPLY_ENTRY_BYTES + value.len() > MTU_BYTES_MAX {
            break;
        }
        pack::reply_entry(&mut datagram, delta, index, status, version, &value);
        written.push((delta, index, status, version, value));
    }
    datagram.resize(datagram.len() + padding_bytes, 0);
    let header = Header { entries: written.len() as u16, ..header };
    pack::seal(&mut datagram, header);

    let read: Result<Vec<_>, _> = unpack::replies(&datagram, &header).collect();
    let read = read.expect("it was packed");
    assert_eq!(read.len(), written.len());
    for (answer, (delta, index, status, version, value)) in read.iter().zip(&written) {
        let sequence = header.sequence.wrapping_add_signed(i64::from(*delta));
        assert_eq!((answer.sequence, answer.index), (sequence, *index));
        assert_eq!((answer.status, answer.version), (*status, *version));
        assert_eq!(answer.value, value);
    }
    reads_header(input, &datagram, Kind::Reply, header);
}

fn handshake<T>(input: &mut Unstructured<'_>, kind: Kind)
where
    T: Pod + AnyBitPattern + PartialEq + std::fmt::Debug,
{
    let header = header_of(input, kind);
    let padded_bytes = one_of(input, &[0, 576, 1472, MTU_BYTES_MAX]);
    let body = filled(input, size_of::<T>());
    let body: T = bytemuck::pod_read_unaligned(&body);
    // What was in the buffer must not show.
    let mut datagram = vec![0xff; below(input, 2000)];
    pack::control(&mut datagram, header, &body, padded_bytes);
    let body_end = HEADER_BYTES + size_of::<T>();
    assert_eq!(datagram.len(), padded_bytes.max(body_end));
    assert_eq!(unpack::body::<T>(&datagram), Ok(body));
    assert!(datagram[body_end..].iter().all(|&byte| byte == 0), "it is padded with zeros");
    reads_header(input, &datagram, kind, header);
}

fn bare(input: &mut Unstructured<'_>) {
    let (kind, reason) = one_of(
        input,
        &[
            (Kind::Close, None),
            (Kind::Refuse, Some(Reason::Version)),
            (Kind::Refuse, Some(Reason::UnknownSession)),
            (Kind::Refuse, Some(Reason::Cookie)),
            (Kind::Refuse, Some(Reason::SessionsFull)),
            (Kind::Refuse, Some(Reason::SequenceTaken)),
        ],
    );
    let mut header = header_of(input, kind);
    if let Some(reason) = reason {
        header.flags = reason as u8;
        assert_eq!(unpack::reason(&header), Ok(reason));
    }
    let mut datagram = vec![0xff; below(input, 2000)];
    pack::bare(&mut datagram, header);
    assert_eq!(datagram.len(), HEADER_BYTES);
    reads_header(input, &datagram, kind, header);
}

/// What is unpacked of any bytes behind a sound header, packed again, is those bytes. Only
/// what is behind the last entry, or behind a body, is not looked at by those who read it.
fn packs_again(bytes: &[u8]) {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return };
    let header: Header = bytemuck::pod_read_unaligned(header);
    let mut datagram = bytes.to_vec();
    pack::seal(&mut datagram, Header { magic: MAGIC, version: VERSION, ..header });
    let Ok((kind, header)) = unpack::header(&datagram) else { return };
    let mut again = vec![0; HEADER_BYTES];
    match kind {
        Kind::Request => {
            let mut spans = Vec::new();
            if unpack::requests(&datagram, header.entries, &mut spans).is_err() {
                return;
            }
            for span in &spans {
                let (key, value) = (span.key(&datagram), span.value(&datagram));
                pack::request_entry(&mut again, span.op, key, value);
            }
        }
        Kind::Reply => {
            for answer in unpack::replies(&datagram, &header) {
                let Ok(answer) = answer else { return };
                let delta = answer.sequence.wrapping_sub(header.sequence).cast_signed();
                let delta = i16::try_from(delta).expect("a difference of 16 bits was added");
                let unpack::Answer { index, status, version, value, .. } = answer;
                if value.len() > MTU_BYTES_MAX {
                    return; // No socket takes it, and nobody packs it.
                }
                pack::reply_entry(&mut again, delta, index, status, version, value);
            }
        }
        Kind::Hello => again_by_body::<Hello>(&datagram, header, &mut again),
        Kind::Cookie => again_by_body::<Cookie>(&datagram, header, &mut again),
        Kind::Open => again_by_body::<Open>(&datagram, header, &mut again),
        Kind::Accept => again_by_body::<Accept>(&datagram, header, &mut again),
        Kind::Refuse | Kind::Close => pack::bare(&mut again, header),
    }
    again.extend_from_slice(&datagram[again.len()..]);
    pack::seal(&mut again, header);
    assert_eq!(again, datagram);
}

fn again_by_body<T: Pod>(datagram: &[u8], header: Header, again: &mut Vec<u8>) {
    if let Ok(body) = unpack::body::<T>(datagram) {
        pack::control(again, header, &body, 0);
    }
}

/// So many bytes; zeros once the input is used up.
fn filled(input: &mut Unstructured<'_>, count: usize) -> Vec<u8> {
    let mut filled = bytes(input, count).to_vec();
    filled.resize(count, 0);
    filled
}
