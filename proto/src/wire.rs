//! Every byte of a datagram. `docs/WIRE.md` is this file in prose, with an example.
//!
//! Little-endian throughout. Bytes 4 to 7, the magic, the version and the kind, are the same
//! in every version, so that any two versions can tell each other apart.

use bytemuck::{Pod, Zeroable};

#[cfg(target_endian = "big")]
compile_error!("the wire is little-endian, and its headers are read in place");

/// In every datagram: "KV".
pub const MAGIC: u16 = u16::from_le_bytes(*b"KV");
/// Version of the protocol. 1 had a CRC-32C for its checksum; in 2 no REQUEST was refused for its
/// sequence.
pub const VERSION: u8 = 3;

/// Size of [`Header`].
pub const HEADER_BYTES: usize = 32;
/// Size of [`RequestEntry`], before its key and value.
pub const REQUEST_ENTRY_BYTES: usize = 8;
/// Size of [`ReplyEntry`], before its value.
pub const REPLY_ENTRY_BYTES: usize = 16;
/// The checksum covers a datagram from this offset to its end.
pub const CHECKSUM_FROM: usize = 4;

/// Starts every datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Header {
    /// The low half of XXH3-64 (seed 0) of all that follows it, padding included.
    pub checksum: u32,
    /// [`MAGIC`].
    pub magic: u16,
    /// [`VERSION`].
    pub version: u8,
    /// A [`Kind`].
    pub kind: u8,
    /// The session; in a handshake the low half of the client's id; echoed by a refusal.
    pub session: u64,
    /// Request: its sequence number. Reply: what the entries' `sequence_delta` add to.
    pub sequence: u64,
    /// Request: [`FLAG_MUTATIONS_ONLY`]. Refusal: a [`Reason`]. Else zero.
    pub flags: u8,
    /// Request: how often it was sent before, at most 255. Reply: the same of the requests
    /// that it answers, so that a round trip is known for what it is. Else zero.
    pub attempt: u8,
    /// Entries that follow; what is left behind them is zero padding.
    pub entries: u16,
    /// Reply: request datagrams that the session may have outstanding. Else zero.
    pub credit: u16,
    /// Bytes of an authentication tag at the end of the datagram. Zero in this version.
    pub tag_bytes: u16,
}

/// A request that is sent again, whose GETs are answered already or asked elsewhere.
pub const FLAG_MUTATIONS_ONLY: u8 = 1;

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Client: I am here ([`Hello`], padded to the client's MTU).
    Hello = 1,
    /// Server: then prove your address with this ([`Cookie`]).
    Cookie = 2,
    /// Client: open a session ([`Open`], padded to the client's MTU).
    Open = 3,
    /// Server: here it is ([`Accept`], padded to the agreed MTU).
    Accept = 4,
    /// Client: operations.
    Request = 5,
    /// Server: their answers.
    Reply = 6,
    /// Server: no ([`Reason`] in `flags`; the header alone).
    Refuse = 7,
    /// Client: I am done with this session (the header alone, not answered).
    Close = 8,
}

/// Why a server refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// The datagram is of another protocol version.
    Version = 1,
    /// The session is unknown here, expired, or of another address.
    UnknownSession = 2,
    /// The cookie is too old, of another address, or of an earlier life of the server.
    Cookie = 3,
    /// The worker has all the sessions it can hold.
    SessionsFull = 4,
    /// Another request with mutations had the sequence of this one.
    SequenceTaken = 5,
}

/// Body of [`Kind::Hello`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Hello {
    /// Random; names this attempt to open a session.
    pub client_id: [u8; 16],
}

/// Body of [`Kind::Cookie`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Cookie {
    /// That of the [`Hello`].
    pub client_id: [u8; 16],
    /// The server's clock.
    pub issued_at_ns: u64,
    /// SipHash-2-4-128 of time, client id and address under a key of the server's own.
    pub mac: [u8; 16],
}

/// Body of [`Kind::Open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Open {
    /// That of the [`Hello`].
    pub client_id: [u8; 16],
    /// The [`Cookie`]'s.
    pub issued_at_ns: u64,
    /// The [`Cookie`]'s.
    pub mac: [u8; 16],
    /// Largest datagram that the client takes and sends.
    pub mtu_bytes: u32,
    /// Window that the client asks for.
    pub window: u32,
}

/// Body of [`Kind::Accept`]; the session's id is in the header's `sequence`, because its
/// `session` still echoes the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Accept {
    /// That of the [`Hello`].
    pub client_id: [u8; 16],
    /// Random; names this life of the server.
    pub incarnation: u64,
    /// Largest datagram of this session.
    pub mtu_bytes: u32,
    /// Slots of this session, a power of two.
    pub window: u32,
    /// Workers of the server, on consecutive ports.
    pub workers: u16,
    /// Which of them this one is; `port - worker` is the server's base port.
    pub worker: u16,
    /// Zero.
    pub reserved: u32,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Op {
    /// Read a record.
    Get = 1,
    /// Write a record.
    Put = 2,
    /// Read the worker's counters.
    Stats = 3,
}

impl Op {
    /// Whether it changes the store, and so must execute at most once.
    #[must_use]
    pub const fn is_mutation(self) -> bool {
        matches!(self, Self::Put)
    }

    /// The operation of a wire code. 4 to 15 are kept for DELETE, CAS and their kin.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Get),
            2 => Some(Self::Put),
            3 => Some(Self::Stats),
            _ => None,
        }
    }
}

/// Before each operation of a request; its key and then its value follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct RequestEntry {
    /// An [`Op`].
    pub op: u8,
    /// Zero; kept for fields between the entry and its key (expected version, TTL, part).
    pub extensions: u8,
    /// Bytes of the key.
    pub key_bytes: u16,
    /// Bytes of the value.
    pub value_bytes: u32,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// A GET found no record.
    NotFound = 1,
    /// A PUT was not executed: the store's memory is at its cap.
    Full = 2,
    /// A GET found a value that a datagram of this session cannot carry.
    TooLarge = 3,
}

impl Status {
    /// The status of a wire code.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Ok),
            1 => Some(Self::NotFound),
            2 => Some(Self::Full),
            3 => Some(Self::TooLarge),
            _ => None,
        }
    }
}

/// Before each answer of a reply; its value follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ReplyEntry {
    /// Sequence of the request less that of the reply's header.
    pub sequence_delta: i16,
    /// Which operation of that request, from 0.
    pub index: u16,
    /// A [`Status`].
    pub status: u8,
    /// Zero; kept for fields between the entry and its value (TTL, part).
    pub extensions: u8,
    /// Bytes of the value.
    pub value_bytes: u16,
    /// Version of the record; 0 where there is none.
    pub version: u64,
}

const _: () = {
    assert!(size_of::<Header>() == HEADER_BYTES);
    assert!(size_of::<RequestEntry>() == REQUEST_ENTRY_BYTES);
    assert!(size_of::<ReplyEntry>() == REPLY_ENTRY_BYTES);
    assert!(size_of::<Hello>() == 16);
    assert!(size_of::<Cookie>() == 40);
    assert!(size_of::<Open>() == 48);
    assert!(size_of::<Accept>() == 40);
};

impl Header {
    /// A header of this version with everything that its kind does not use at zero.
    #[must_use]
    pub const fn new(kind: Kind, session: u64, sequence: u64) -> Self {
        Self {
            checksum: 0,
            magic: MAGIC,
            version: VERSION,
            kind: kind as u8,
            session,
            sequence,
            flags: 0,
            attempt: 0,
            entries: 0,
            credit: 0,
            tag_bytes: 0,
        }
    }
}

/// The low half of XXH3-64 of a datagram, as its header carries it.
///
/// # Panics
/// If `datagram` is shorter than a header: callers check before.
#[must_use]
#[inline]
pub fn checksum(datagram: &[u8]) -> u32 {
    twox_hash::XxHash3_64::oneshot(&datagram[CHECKSUM_FROM..]) as u32
}

/// The low half of a client's id; echoed, it shows that an answer is not blind.
#[must_use]
pub fn client_nonce(client_id: &[u8; 16]) -> u64 {
    u64::from_le_bytes(client_id[..8].try_into().expect("it is longer"))
}
