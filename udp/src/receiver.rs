//! Bursts in: one `recvmmsg`, each message up to 64 datagrams that the kernel joined (GRO).

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use quinn_udp::{RecvMeta, UdpSockRef};

use crate::sender::SocketCounters;

/// Messages taken by one call. More would fall out of the second-level cache before they
/// are read.
pub(crate) const MESSAGES_MAX: usize = 8;
/// Room for a message: a GRO read into a shorter buffer is cut.
const MESSAGE_BYTES: usize = 64 << 10;

/// Memory that a socket receives into.
#[derive(Debug)]
pub struct Receiver {
    buffers: Vec<u8>,
    meta: [RecvMeta; MESSAGES_MAX],
}

impl Receiver {
    pub(crate) fn new() -> Self {
        Self {
            buffers: vec![0; MESSAGES_MAX * MESSAGE_BYTES],
            meta: [RecvMeta::default(); MESSAGES_MAX],
        }
    }

    /// Takes in what is there, up to a limit; returns how many messages, and that none is
    /// [`io::ErrorKind::WouldBlock`].
    pub(crate) fn fill(
        &mut self,
        io: &mio::net::UdpSocket,
        state: &quinn_udp::UdpSocketState,
        counters: &mut SocketCounters,
    ) -> io::Result<usize> {
        let mut slices = self.buffers.chunks_exact_mut(MESSAGE_BYTES).map(IoSliceMut::new);
        let mut slices: [IoSliceMut<'_>; MESSAGES_MAX] =
            std::array::from_fn(|_| slices.next().expect("as many as there are"));
        let messages = state.recv(UdpSockRef::from(io), &mut slices, &mut self.meta)?;
        for meta in &self.meta[..messages] {
            counters.messages_received += 1;
            // No UDP message is longer than 65,507 bytes: a full buffer means a cut one.
            counters.messages_truncated += u64::from(meta.len == MESSAGE_BYTES);
        }
        Ok(messages)
    }

    /// One message of those taken in last: its sender and its datagrams.
    #[inline]
    pub(crate) fn message(&self, index: usize) -> (SocketAddr, impl Iterator<Item = &[u8]>) {
        let meta = &self.meta[index];
        let bytes = &self.buffers[index * MESSAGE_BYTES..][..meta.len];
        // An empty datagram has no chunk, and has come all the same.
        let empty = bytes.is_empty().then_some(bytes);
        (meta.addr, bytes.chunks(meta.stride.max(1)).chain(empty))
    }
}
