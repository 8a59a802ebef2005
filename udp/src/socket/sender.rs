//! Bursts out of one kernel socket: one `sendmsg` with GSO, or one for each datagram where
//! GSO fails.

use std::io;

use proto::limits::DATAGRAM_OVERHEAD_BYTES;
use proto::transmit::Transmit;
use quinn_udp::{UdpSockRef, UdpSocketState};

use super::options;
use crate::counters::TransportCounters;
use crate::way_out::Sink;

/// The sending side of a kernel socket.
#[derive(Debug)]
pub struct Sender {
    pub(super) io: mio::net::UdpSocket,
    pub(super) state: UdpSocketState,
    buffer_bytes: usize,
    gso_works: bool,
    /// Whether the kernel reports each send.
    reports: bool,
    last_error: Option<i32>,
}

impl Sender {
    pub(super) fn new(io: mio::net::UdpSocket, buffer_bytes: usize) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&io))?;
        let gso_works = state.max_gso_segments() > 1;
        Ok(Self { io, state, buffer_bytes, gso_works, reports: false, last_error: None })
    }

    /// The last error of the kernel's, as its number.
    #[must_use]
    pub const fn last_error(&self) -> Option<i32> {
        self.last_error
    }

    /// A probe for GSO can pass and the send still fail, by the route or the device. The
    /// burst goes out again without it.
    #[cold]
    fn note_gso_failure(&mut self, error: &io::Error, counters: &mut TransportCounters) {
        counters.gso_fallbacks += 1;
        self.last_error = error.raw_os_error();
        self.gso_works = self.state.max_gso_segments() > 1;
    }

    fn send_one_by_one<'a>(
        &mut self,
        burst: Transmit<'a>,
        counters: &mut TransportCounters,
    ) -> Option<Transmit<'a>> {
        let mut at = 0;
        for datagram in burst.datagrams() {
            match self.call(&Transmit { bytes: datagram, ..burst }, None, counters) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Some(Transmit { bytes: &burst.bytes[at..], ..burst });
                }
                Err(error) => {
                    counters.send_errors += 1;
                    self.last_error = error.raw_os_error();
                }
            }
            at += datagram.len();
        }
        None
    }

    #[inline]
    fn call(
        &self,
        burst: &Transmit<'_>,
        segment_bytes: Option<usize>,
        counters: &mut TransportCounters,
    ) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination: burst.path.remote,
            ecn: None,
            contents: burst.bytes,
            segment_size: segment_bytes,
            src_ip: burst.path.local,
        };
        self.state.try_send(UdpSockRef::from(&self.io), &transmit)?;
        counters.bursts_sent += 1;
        Ok(())
    }
}

/// Whether a burst may go where it failed to, datagram by datagram.
fn is_of_gso(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE))
}

impl Sink for Sender {
    #[inline]
    fn send<'a>(
        &mut self,
        burst: Transmit<'a>,
        counters: &mut TransportCounters,
    ) -> Option<Transmit<'a>> {
        if self.reports {
            self.set_reports(false);
            options::take_send_reports(&self.io);
        }
        self.send_burst(burst, counters)
    }

    /// Where the kernel does not report, everything passes for got through.
    #[cold]
    fn send_watched<'a>(
        &mut self,
        burst: Transmit<'a>,
        counters: &mut TransportCounters,
    ) -> (Option<Transmit<'a>>, bool) {
        if !self.reports && !self.set_reports(true) {
            return (self.send_burst(burst, counters), true);
        }
        // What is reported late, a neighbour having answered, is of an earlier send.
        options::take_send_reports(&self.io);
        let errors_before = counters.send_errors;
        let unsent = self.send_burst(burst, counters);
        let got_through = options::take_send_reports(&self.io);
        // What the kernel refused is not in the buffer.
        (unsent, got_through || counters.send_errors > errors_before)
    }

    fn charged_bytes(&self, burst: &Transmit<'_>) -> usize {
        let segments = burst.segments();
        let sends = if segments > 1 && self.gso_works { 1 } else { segments };
        burst.bytes.len() + sends * DATAGRAM_OVERHEAD_BYTES
    }

    fn held_bytes(&self) -> usize {
        // Where the kernel does not tell, a full buffer shows when it is full.
        options::unsent_bytes(&self.io).unwrap_or(0)
    }

    fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }
}

impl Sender {
    #[inline]
    fn send_burst<'a>(
        &mut self,
        burst: Transmit<'a>,
        counters: &mut TransportCounters,
    ) -> Option<Transmit<'a>> {
        if burst.segments() > 1 && self.gso_works {
            match self.call(&burst, Some(burst.segment_bytes), counters) {
                Ok(()) => return None,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(burst),
                Err(error) if is_of_gso(&error) => self.note_gso_failure(&error, counters),
                Err(error) => {
                    counters.send_errors += burst.segments() as u64;
                    self.last_error = error.raw_os_error();
                    return None;
                }
            }
        }
        self.send_one_by_one(burst, counters)
    }

    /// Returns whether the kernel agreed.
    #[cold]
    fn set_reports(&mut self, on: bool) -> bool {
        let is_set = options::set_send_reports(&self.io, on).is_ok();
        self.reports = on && is_set;
        is_set
    }
}

#[cfg(test)]
mod tests {
    use proto::transmit::{Account, Path};

    use super::*;
    use crate::socket::Socket;
    use crate::transport::Transport as _;

    #[test]
    fn a_burst_that_gso_cannot_send_goes_out_datagram_by_datagram() {
        // No kernel takes so many segments in one send: the probe passed, and it fails.
        const DATAGRAMS: usize = 1000;
        let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        let mut socket = Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        if !socket.way_out.sink().gso_works {
            eprintln!("not tested: this kernel has no GSO");
            return;
        }
        let bytes: Vec<u8> = (0..DATAGRAMS * 2).map(|at| (at / 2) as u8).collect();
        let path = Path::to(receiver.local_addr().unwrap());
        // Less at a time than the smallest receive buffer holds.
        for part in bytes.chunks(400) {
            let account = Account::Session;
            socket.send(0, Transmit { path, account, bytes: part, segment_bytes: 2 });
            for expected in part.chunks(2) {
                let mut datagram = [0; 8];
                let length = receiver.recv(&mut datagram).unwrap();
                assert_eq!(&datagram[..length], expected);
            }
        }
        let counters = socket.counters();
        assert!(counters.gso_fallbacks >= 1, "{counters:?}");
        assert_eq!((counters.send_errors, counters.send_blocked), (0, 0), "{counters:?}");
    }
}
