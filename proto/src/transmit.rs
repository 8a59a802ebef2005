//! What a state machine hands to its driver to send, and both ends of the way that it takes.

use std::net::{IpAddr, SocketAddr};

/// Both ends of a datagram's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path {
    /// The other end.
    pub remote: SocketAddr,
    /// Our own address, if the socket is bound to all of the host's: an answer leaves from
    /// the address that was asked. None where the socket has only one.
    pub local: Option<IpAddr>,
}

impl Path {
    /// The way to or from `remote` of a socket that has one address.
    #[must_use]
    pub const fn to(remote: SocketAddr) -> Self {
        Self { remote, local: None }
    }
}

/// Whose share of a send buffer a burst takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// Of an address that has proved itself: it has a session.
    Session,
    /// Of one that may be made up. All of them together have one small share.
    Stranger,
}

/// Datagrams for one address, back to back: all of `segment_bytes` but the last, which
/// may be shorter. One GSO send carries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// Where to, and where from.
    pub path: Path,
    /// Whose share of the send buffer it takes.
    pub account: Account,
    /// The datagrams.
    pub bytes: &'a [u8],
    /// Size of each datagram but the last.
    pub segment_bytes: usize,
}

impl<'a> Transmit<'a> {
    /// How many datagrams there are.
    #[must_use]
    pub const fn segments(&self) -> usize {
        self.bytes.len().div_ceil(self.segment_bytes)
    }

    /// The datagrams, one by one.
    pub fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.bytes.chunks(self.segment_bytes)
    }

    /// The first datagram and, if there are more, the others.
    #[must_use]
    pub fn split_first(self) -> (Self, Option<Self>) {
        let (first, rest) = self.bytes.split_at(self.segment_bytes.min(self.bytes.len()));
        let rest = (!rest.is_empty()).then_some(Self { bytes: rest, ..self });
        (Self { bytes: first, ..self }, rest)
    }
}

/// Which transmissions a driver asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Only bursts that nothing more fits into: more input is at hand.
    Full,
    /// Everything: there is nothing more to wait for.
    All,
}
