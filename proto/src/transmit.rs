//! What a state machine hands to its driver to send.

use std::net::SocketAddr;

/// Datagrams for one address, back to back: all of `segment_bytes` but the last, which
/// may be shorter. One GSO send carries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// Where to.
    pub to: SocketAddr,
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
}

/// Which transmissions a driver asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Only bursts that nothing more fits into: more input is at hand.
    Full,
    /// Everything: there is nothing more to wait for.
    All,
}
