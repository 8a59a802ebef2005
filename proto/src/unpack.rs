//! Reading datagrams. Whatever the bytes are, the result is a value or a [`Malformed`]
//! (invariant 5): nothing here panics, allocates by a claimed length, or loops longer
//! than the datagram is.

use std::fmt;

use bytemuck::{AnyBitPattern, pod_read_unaligned};

use crate::limits::{ENTRIES_PER_DATAGRAM_MAX, KEY_BYTES_MAX, KEY_BYTES_MIN};
use crate::planted::{Fault, is_planted};
use crate::wire::{
    HEADER_BYTES, Header, Kind, MAGIC, Op, REPLY_ENTRY_BYTES, REQUEST_ENTRY_BYTES, Reason,
    ReplyEntry, RequestEntry, Status, VERSION, checksum,
};

/// Why bytes are no datagram of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than what its kind takes.
    Short,
    /// Not ours.
    Magic,
    /// Ours, of another version.
    OtherVersion(u8),
    /// Changed on the way.
    Checksum,
    /// A field has a value that this version does not know.
    Field,
    /// An entry does not fit in the datagram, or in the limits.
    Entry,
}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => formatter.write_str("the datagram is too short"),
            Self::Magic => formatter.write_str("the datagram is of another protocol"),
            Self::OtherVersion(version) => {
                write!(formatter, "the datagram is of protocol version {version}, not {VERSION}")
            }
            Self::Checksum => formatter.write_str("the checksum does not match"),
            Self::Field => formatter.write_str("a field has an unknown value"),
            Self::Entry => formatter.write_str("an entry does not fit"),
        }
    }
}

impl std::error::Error for Malformed {}

/// Reads and checks a header, and the checksum of the whole datagram.
#[inline]
pub fn header(datagram: &[u8]) -> Result<(Kind, Header), Malformed> {
    let header: Header = read(datagram, 0)?;
    if header.magic != MAGIC {
        return Err(Malformed::Magic);
    }
    if header.version != VERSION {
        return Err(Malformed::OtherVersion(header.version));
    }
    if header.checksum != checksum(datagram) && !is_planted(Fault::ChecksumIgnored) {
        return Err(Malformed::Checksum);
    }
    let kind = kind(header.kind).ok_or(Malformed::Field)?;
    if header.tag_bytes != 0 {
        return Err(Malformed::Field);
    }
    Ok((kind, header))
}

/// The header of a datagram that is long enough but of another version, to refuse it: the
/// fields that the versions share mean the same, the others nothing.
#[must_use]
pub fn unchecked_header(datagram: &[u8]) -> Header {
    read(datagram, 0).unwrap_or(Header::new(Kind::Refuse, 0, 0))
}

/// Reads the body of a datagram of the handshake.
pub fn body<T: AnyBitPattern>(datagram: &[u8]) -> Result<T, Malformed> {
    read(datagram, HEADER_BYTES)
}

/// The reason that a [`Kind::Refuse`] carries.
pub fn reason(header: &Header) -> Result<Reason, Malformed> {
    match header.flags {
        1 => Ok(Reason::Version),
        2 => Ok(Reason::UnknownSession),
        3 => Ok(Reason::Cookie),
        4 => Ok(Reason::SessionsFull),
        5 => Ok(Reason::SequenceTaken),
        _ => Err(Malformed::Field),
    }
}

/// Where an operation lies in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestSpan {
    /// What to do.
    pub op: Op,
    key_at: u16,
    key_bytes: u16,
    value_bytes: u16,
}

impl RequestSpan {
    /// The key, in the datagram that the span was read from.
    #[inline]
    #[must_use]
    pub fn key<'a>(&self, datagram: &'a [u8]) -> &'a [u8] {
        &datagram[usize::from(self.key_at)..][..usize::from(self.key_bytes)]
    }

    /// Where the operation ends.
    #[inline]
    #[must_use]
    pub fn end(&self) -> usize {
        usize::from(self.key_at) + usize::from(self.key_bytes) + usize::from(self.value_bytes)
    }

    /// The value, in the datagram that the span was read from.
    #[inline]
    #[must_use]
    pub fn value<'a>(&self, datagram: &'a [u8]) -> &'a [u8] {
        let at = usize::from(self.key_at) + usize::from(self.key_bytes);
        &datagram[at..][..usize::from(self.value_bytes)]
    }
}

/// The bytes of a request's entries, without what is behind them.
#[inline]
#[must_use]
pub fn entries<'a>(datagram: &'a [u8], spans: &[RequestSpan]) -> &'a [u8] {
    &datagram[HEADER_BYTES..spans.last().map_or(HEADER_BYTES, RequestSpan::end)]
}

/// Reads all operations of a request into `spans`: all of them or, if one is wrong, none,
/// so that a request is never executed in part.
#[inline]
pub fn requests(
    datagram: &[u8],
    entries: u16,
    spans: &mut Vec<RequestSpan>,
) -> Result<(), Malformed> {
    spans.clear();
    if usize::from(entries) > ENTRIES_PER_DATAGRAM_MAX || datagram.len() > usize::from(u16::MAX) {
        return Err(Malformed::Entry);
    }
    let mut at = HEADER_BYTES;
    for _ in 0..entries {
        match request(datagram, &mut at) {
            Ok(span) => spans.push(span),
            Err(malformed) => {
                spans.clear();
                return Err(malformed);
            }
        }
    }
    Ok(())
}

#[inline]
fn request(datagram: &[u8], at: &mut usize) -> Result<RequestSpan, Malformed> {
    let entry: RequestEntry = read(datagram, *at).map_err(|_| Malformed::Entry)?;
    let op = Op::from_code(entry.op).ok_or(Malformed::Field)?;
    if entry.extensions != 0 {
        return Err(Malformed::Field);
    }
    let key_at = *at + REQUEST_ENTRY_BYTES;
    let key_bytes = usize::from(entry.key_bytes);
    let value_bytes = entry.value_bytes as usize;
    let lengths_fit = match op {
        Op::Get => (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key_bytes) && value_bytes == 0,
        Op::Put => (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key_bytes),
        Op::Stats => key_bytes == 0 && value_bytes == 0,
    };
    if !lengths_fit || value_bytes > datagram.len() {
        return Err(Malformed::Entry);
    }
    let end = key_at + key_bytes + value_bytes;
    if end > datagram.len() {
        return Err(Malformed::Entry);
    }
    *at = end;
    Ok(RequestSpan {
        op,
        key_at: key_at as u16,
        key_bytes: key_bytes as u16,
        value_bytes: value_bytes as u16,
    })
}

/// One answer of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The request's sequence.
    pub sequence: u64,
    /// Which operation of it.
    pub index: u16,
    /// How it ended.
    pub status: Status,
    /// Version of the record; 0 where there is none.
    pub version: u64,
    /// The value.
    pub value: &'a [u8],
}

/// The answers of a reply, up to the first that is wrong.
pub struct Answers<'a> {
    rest: &'a [u8],
    base: u64,
    left: u16,
}

/// Reads the answers of a reply one by one; each stands on its own.
#[must_use]
pub fn replies<'a>(datagram: &'a [u8], header: &Header) -> Answers<'a> {
    let rest = datagram.get(HEADER_BYTES..).unwrap_or_default();
    Answers { rest, base: header.sequence, left: header.entries }
}

impl<'a> Iterator for Answers<'a> {
    type Item = Result<Answer<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let answer = self.answer();
        if answer.is_err() {
            self.left = 0;
        }
        Some(answer)
    }
}

impl<'a> Answers<'a> {
    #[inline]
    fn answer(&mut self) -> Result<Answer<'a>, Malformed> {
        let (entry, rest) =
            self.rest.split_first_chunk::<REPLY_ENTRY_BYTES>().ok_or(Malformed::Entry)?;
        let entry: ReplyEntry = pod_read_unaligned(entry);
        let status = Status::from_code(entry.status).ok_or(Malformed::Field)?;
        if entry.extensions != 0 {
            return Err(Malformed::Field);
        }
        let (value, rest) =
            rest.split_at_checked(usize::from(entry.value_bytes)).ok_or(Malformed::Entry)?;
        self.rest = rest;
        Ok(Answer {
            sequence: self.base.wrapping_add_signed(i64::from(entry.sequence_delta)),
            index: entry.index,
            status,
            version: entry.version,
            value,
        })
    }
}

fn kind(code: u8) -> Option<Kind> {
    Some(match code {
        1 => Kind::Hello,
        2 => Kind::Cookie,
        3 => Kind::Open,
        4 => Kind::Accept,
        5 => Kind::Request,
        6 => Kind::Reply,
        7 => Kind::Refuse,
        8 => Kind::Close,
        _ => return None,
    })
}

#[inline]
fn read<T: AnyBitPattern>(bytes: &[u8], at: usize) -> Result<T, Malformed> {
    bytes.get(at..at + size_of::<T>()).map(pod_read_unaligned).ok_or(Malformed::Short)
}
