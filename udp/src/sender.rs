//! Bursts out: one `sendmsg` with GSO, or one for each datagram where GSO fails.

use std::io;
use std::net::SocketAddr;

use proto::transmit::Transmit;
use quinn_udp::{UdpSockRef, UdpSocketState};

proto::counters! {
    /// What happened to a socket beneath the protocol.
    SocketCounters {
        /// Messages received: up to 64 datagrams each.
        messages_received,
        /// Messages cut because they were longer than their buffer.
        messages_truncated: trouble,
        /// Datagrams that came and were dropped on purpose.
        datagrams_dropped: trouble,
        /// Calls that sent a burst.
        bursts_sent,
        /// Bursts that GSO could not send, and that went out datagram by datagram.
        gso_fallbacks: trouble,
        /// Times that the socket's send buffer was full.
        send_blocked: trouble,
        /// Datagrams that the kernel refused to send.
        send_errors: trouble,
    }
}

/// The sending side of a socket.
#[derive(Debug)]
pub struct Sender {
    pub(crate) state: UdpSocketState,
    pub(crate) counters: SocketCounters,
    /// What did not fit into the send buffer, until it does.
    blocked: Option<Blocked>,
    gso_works: bool,
    last_error: Option<i32>,
}

#[derive(Debug)]
struct Blocked {
    to: SocketAddr,
    bytes: Vec<u8>,
    segment_bytes: usize,
}

impl Sender {
    pub(crate) fn new(state: UdpSocketState) -> Self {
        let gso_works = state.max_gso_segments() > 1;
        Self {
            state,
            counters: SocketCounters::default(),
            blocked: None,
            gso_works,
            last_error: None,
        }
    }

    /// Whether a burst waits for room in the send buffer; nothing may be sent before it.
    #[must_use]
    pub(crate) const fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// Sends the burst that waits, if there is room now.
    pub(crate) fn retry(&mut self, io: &mio::net::UdpSocket) {
        if let Some(Blocked { to, bytes, segment_bytes }) = self.blocked.take() {
            self.send(io, &Transmit { to, bytes: &bytes, segment_bytes });
        }
    }

    /// Loses the burst that waits, if one does: the network is stuck.
    pub(crate) fn give_up_blocked(&mut self) {
        if let Some(Blocked { bytes, segment_bytes, .. }) = self.blocked.take() {
            self.counters.send_errors += bytes.len().div_ceil(segment_bytes) as u64;
        }
    }

    /// Sends a burst. What the send buffer has no room for is kept and sent later; what
    /// the kernel refuses is counted and lost, as on any network.
    #[inline]
    pub(crate) fn send(&mut self, io: &mio::net::UdpSocket, transmit: &Transmit<'_>) {
        assert!(!self.is_blocked(), "one burst waits at most");
        if transmit.segments() > 1 && self.gso_works {
            match self.call(io, transmit.to, transmit.bytes, Some(transmit.segment_bytes)) {
                Ok(()) => return,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.block(transmit);
                }
                Err(error) => self.note_gso_failure(&error),
            }
        }
        self.send_one_by_one(io, transmit);
    }

    /// A probe for GSO can pass and the send still fail, by the route or the device. The
    /// burst goes out again without it.
    fn note_gso_failure(&mut self, error: &io::Error) {
        self.counters.gso_fallbacks += 1;
        self.last_error = error.raw_os_error();
        self.gso_works = self.state.max_gso_segments() > 1;
    }

    fn send_one_by_one(&mut self, io: &mio::net::UdpSocket, transmit: &Transmit<'_>) {
        let mut at = 0;
        for datagram in transmit.datagrams() {
            match self.call(io, transmit.to, datagram, None) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.block(&Transmit { bytes: &transmit.bytes[at..], ..*transmit });
                }
                Err(error) => {
                    self.counters.send_errors += 1;
                    self.last_error = error.raw_os_error();
                }
            }
            at += datagram.len();
        }
    }

    fn block(&mut self, transmit: &Transmit<'_>) {
        self.counters.send_blocked += 1;
        self.blocked = Some(Blocked {
            to: transmit.to,
            bytes: transmit.bytes.to_vec(),
            segment_bytes: transmit.segment_bytes,
        });
    }

    #[inline]
    fn call(
        &mut self,
        io: &mio::net::UdpSocket,
        to: SocketAddr,
        bytes: &[u8],
        segment_bytes: Option<usize>,
    ) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination: to,
            ecn: None,
            contents: bytes,
            segment_size: segment_bytes,
            src_ip: None,
        };
        self.state.try_send(UdpSockRef::from(io), &transmit)?;
        self.counters.bursts_sent += 1;
        Ok(())
    }

    /// What happened so far.
    #[must_use]
    pub const fn counters(&self) -> &SocketCounters {
        &self.counters
    }

    /// The last error of the kernel's, as its number.
    #[must_use]
    pub const fn last_error(&self) -> Option<i32> {
        self.last_error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::Socket;

    #[test]
    fn a_burst_that_gso_cannot_send_goes_out_datagram_by_datagram() {
        // No kernel takes so many segments in one send: the probe passed, and it fails.
        const DATAGRAMS: usize = 1000;
        let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        let mut socket = Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        if !socket.sender.gso_works {
            eprintln!("not tested: this kernel has no GSO");
            return;
        }
        let bytes: Vec<u8> = (0..DATAGRAMS * 2).map(|at| (at / 2) as u8).collect();
        let to = receiver.local_addr().unwrap();
        // Less at a time than the smallest receive buffer holds.
        for part in bytes.chunks(400) {
            let Socket { io, sender, .. } = &mut socket;
            sender.send(io, &Transmit { to, bytes: part, segment_bytes: 2 });
            for expected in part.chunks(2) {
                let mut datagram = [0; 8];
                let length = receiver.recv(&mut datagram).unwrap();
                assert_eq!(&datagram[..length], expected);
            }
        }
        let counters = socket.sender.counters();
        assert!(counters.gso_fallbacks >= 1, "{counters:?}");
        assert_eq!((counters.send_errors, counters.send_blocked), (0, 0), "{counters:?}");
    }
}
