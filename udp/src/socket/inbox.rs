//! Bursts in: one `recvmmsg`, each message up to 64 datagrams that the kernel joined (GRO).

use std::io::{self, IoSliceMut};

use proto::transmit::Path;
use quinn_udp::{RecvMeta, UdpSockRef};

use super::sender::Sender;
use crate::counters::TransportCounters;
use crate::transport;

/// Messages taken by one call. More would fall out of the second-level cache before they
/// are read.
pub(super) const MESSAGES_MAX: usize = 8;
/// Room for a message: a GRO read into a shorter buffer is cut.
const MESSAGE_BYTES: usize = 64 << 10;

/// Memory that a socket receives into.
#[derive(Debug)]
pub struct Inbox {
    buffers: Vec<u8>,
    meta: [RecvMeta; MESSAGES_MAX],
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            buffers: vec![0; MESSAGES_MAX * MESSAGE_BYTES],
            meta: [RecvMeta::default(); MESSAGES_MAX],
        }
    }

    /// Takes in what is there, up to a limit; returns how many messages.
    pub(super) fn fill(
        &mut self,
        socket: &Sender,
        counters: &mut TransportCounters,
    ) -> io::Result<usize> {
        let mut slices = self.buffers.chunks_exact_mut(MESSAGE_BYTES).map(IoSliceMut::new);
        let mut slices: [IoSliceMut<'_>; MESSAGES_MAX] =
            std::array::from_fn(|_| slices.next().expect("as many as there are"));
        let messages =
            match socket.state.recv(UdpSockRef::from(&socket.io), &mut slices, &mut self.meta) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                result => result?,
            };
        for meta in &self.meta[..messages] {
            counters.messages_received += 1;
            // No UDP message is longer than 65,507 bytes: a full buffer means a cut one.
            counters.messages_truncated += u64::from(meta.len == MESSAGE_BYTES);
        }
        Ok(messages)
    }
}

impl transport::Inbox for Inbox {
    #[inline]
    fn message(&self, index: usize) -> (Path, impl Iterator<Item = &[u8]>) {
        let meta = &self.meta[index];
        let bytes = &self.buffers[index * MESSAGE_BYTES..][..meta.len];
        // An empty datagram has no chunk, and has come all the same.
        let empty = bytes.is_empty().then_some(bytes);
        let path = Path { remote: meta.addr, local: meta.dst_ip };
        (path, bytes.chunks(meta.stride.max(1)).chain(empty))
    }
}
