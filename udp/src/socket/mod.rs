//! Kernel sockets as a transport: UDP set up for bursts, and one epoll to wait for it.

mod inbox;
mod options;
mod rest;
mod sender;
mod waker;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::Waker;
use std::time::Duration;

use mio::{Interest, Token};
use proto::limits::STRANGERS_SHARE;
use proto::transmit::Transmit;
use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, Type};

use crate::clock;
use crate::counters::TransportCounters;
use crate::transport::{Received, Transport};
use crate::way_out::WayOut;
use inbox::MESSAGES_MAX;

pub use inbox::Inbox;
pub use rest::Watch;
pub use sender::Sender;

/// What each buffer of a socket is to hold unless told otherwise, as the kernel counts. It
/// grants less where `net.core.rmem_max` or `wmem_max` is less than half of this.
pub const BUFFER_BYTES_DEFAULT: usize = 16 << 20;
/// Longest wait while bursts wait for room: the kernel tells only when half of the buffer is
/// free.
pub const BACKLOG_WAIT: Duration = Duration::from_millis(1);

/// A bound socket.
#[derive(Debug)]
pub struct Socket {
    /// None: somebody else waits for it.
    watch: Option<Watch>,
    waker: Option<Waker>,
    way_out: WayOut<Sender>,
    counters: TransportCounters,
    address: SocketAddr,
    receive_buffer_bytes: usize,
    send_buffer_bytes: usize,
}

impl Socket {
    /// Binds a socket with buffers of the default size.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::bind_with(address, BUFFER_BYTES_DEFAULT)
    }

    /// Binds a socket: non-blocking, don't-fragment, GSO and GRO where the kernel has them.
    /// Bound to all addresses of the host, it knows to which of them each datagram came.
    /// `buffer_bytes`: what each of its two buffers is to hold, as the kernel counts.
    pub fn bind_with(address: SocketAddr, buffer_bytes: usize) -> io::Result<Self> {
        let mut io = bind_raw(address, buffer_bytes, false)?;
        let address = io.local_addr()?;
        let options = SockRef::from(&io);
        let receive_buffer_bytes = options.recv_buffer_size()?;
        let send_buffer_bytes = options.send_buffer_size()?;
        let watch = Watch::new()?;
        watch.registry().register(&mut io, Token(0), Interest::READABLE)?;
        Ok(Self {
            watch: Some(watch),
            waker: None,
            way_out: WayOut::new(sender(io, address, send_buffer_bytes)?),
            counters: TransportCounters::default(),
            address,
            receive_buffer_bytes,
            send_buffer_bytes,
        })
    }

    /// Binds `count` sockets on consecutive ports; with port 0 wherever that many are free.
    pub fn bind_consecutive(
        base: SocketAddr,
        count: u16,
        buffer_bytes: usize,
    ) -> io::Result<Vec<Self>> {
        const ATTEMPTS: u32 = 64;
        let mut last_error = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..if base.port() == 0 { ATTEMPTS } else { 1 } {
            match Self::bind_all(base, count, buffer_bytes) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last_error = error,
                result => return result,
            }
        }
        Err(last_error)
    }

    fn bind_all(base: SocketAddr, count: u16, buffer_bytes: usize) -> io::Result<Vec<Self>> {
        let first = Self::bind_with(base, buffer_bytes)?;
        let first_port = first.address.port();
        let mut sockets = vec![first];
        for index in 1..count {
            let port = first_port.checked_add(index).ok_or(io::ErrorKind::AddrInUse)?;
            sockets.push(Self::bind_with(SocketAddr::new(base.ip(), port), buffer_bytes)?);
        }
        Ok(sockets)
    }

    /// Gives answers to strangers a send buffer of their own, by a second socket on the same
    /// port, so that nobody without a session takes room from who has one, and that a busy
    /// link silences no handshake. Returns whether the kernel has it so; without it they may
    /// have a share of the buffer of all.
    ///
    /// Nothing is received there: the second socket is connected to itself, and a connected
    /// socket takes only what its peer sends. That the port is shared lasts for this call, so
    /// that no other process may bind it.
    pub fn part_strangers(&mut self) -> bool {
        let main = SockRef::from(&self.way_out.sink().io);
        let share = |on| main.set_reuse_port(on);
        let parted = share(true).and_then(|()| {
            let bytes = self.send_buffer_bytes / STRANGERS_SHARE;
            let io = bind_raw(self.address, bytes, true)?;
            let own_ip = match self.address {
                SocketAddr::V4(a) if a.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(a) if a.ip().is_unspecified() => Ipv6Addr::LOCALHOST.into(),
                address => address.ip(),
            };
            let mut itself = self.address;
            itself.set_ip(own_ip);
            io.connect(itself)?;
            SockRef::from(&io).set_reuse_port(false)?;
            let granted_bytes = SockRef::from(&io).send_buffer_size()?;
            sender(io, self.address, granted_bytes)
        });
        let unshared = share(false);
        match (parted, unshared) {
            (Ok(strangers), Ok(())) => self.way_out.part_strangers(strangers),
            _ => return false,
        }
        true
    }

    /// Parts the wait from the socket: from now on who has the watch waits, for no longer than
    /// [`Self::wait_max`], and the socket's own [`Transport::wait`] fails. The waker has to be
    /// made before.
    pub fn part_watch(&mut self) -> Option<Watch> {
        self.watch.take()
    }

    /// The longest wait: shorter than `timeout` while bursts wait for room.
    #[must_use]
    pub fn wait_max(&self, timeout: Duration) -> Duration {
        if self.way_out.has_backlog() { timeout.min(BACKLOG_WAIT) } else { timeout }
    }

    /// Where it is bound.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The last error of the kernel's when it was sent by, as its number.
    #[must_use]
    pub const fn last_send_error(&self) -> Option<i32> {
        self.way_out.sink().last_error()
    }

    /// The receive buffer that the kernel granted, in the kernel's own count: payload and
    /// bookkeeping together.
    #[must_use]
    pub const fn receive_buffer_bytes(&self) -> usize {
        self.receive_buffer_bytes
    }

    /// The send buffer that the kernel granted.
    #[must_use]
    pub const fn send_buffer_bytes(&self) -> usize {
        self.send_buffer_bytes
    }
}

impl Transport for Socket {
    type Inbox = Inbox;

    fn inbox(&self) -> Inbox {
        Inbox::new()
    }

    #[inline]
    fn receive(&mut self, inbox: &mut Inbox) -> io::Result<Received> {
        let messages = inbox.fill(self.way_out.sink(), &mut self.counters)?;
        // Readiness is told once, at its edge: only an empty socket may be waited for.
        Ok(Received { messages, is_drained: messages < MESSAGES_MAX })
    }

    #[inline]
    fn send(&mut self, now_ns: u64, burst: Transmit<'_>) {
        self.way_out.send(now_ns, burst, &mut self.counters);
    }

    #[inline]
    fn flush(&mut self, now_ns: u64) -> usize {
        self.way_out.flush(now_ns, &mut self.counters)
    }

    /// Room is listened for only here, and only while the buffer is full: else each datagram
    /// that leaves it would wake us.
    fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        let timeout = self.wait_max(timeout);
        let Self { watch, way_out, .. } = self;
        let watch = watch.as_mut().ok_or(io::ErrorKind::Unsupported)?;
        if !way_out.is_full() {
            return watch.wait(timeout);
        }
        let io = &mut way_out.sink_mut().io;
        watch.registry().reregister(io, Token(0), Interest::READABLE | Interest::WRITABLE)?;
        let waited = watch.wait(timeout);
        watch.registry().reregister(io, Token(0), Interest::READABLE)?;
        waited
    }

    fn waker(&mut self) -> io::Result<Waker> {
        if self.waker.is_none() {
            let watch = self.watch.as_ref().ok_or(io::ErrorKind::Unsupported)?;
            self.waker = Some(waker::waker(watch.registry())?);
        }
        Ok(self.waker.clone().expect("just made"))
    }

    fn counters(&self) -> &TransportCounters {
        &self.counters
    }

    #[inline]
    fn now_ns(&self) -> u64 {
        clock::now_ns()
    }
}

fn bind_raw(
    address: SocketAddr,
    buffer_bytes: usize,
    shares_port: bool,
) -> io::Result<mio::net::UdpSocket> {
    let raw = RawSocket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    raw.set_nonblocking(true)?;
    // The kernel doubles what it is asked for, to have room for its bookkeeping. What it
    // grants is read back by the caller; a refusal leaves the default.
    let _ = raw.set_recv_buffer_size(buffer_bytes / 2);
    let _ = raw.set_send_buffer_size(buffer_bytes / 2);
    raw.set_reuse_port(shares_port)?;
    raw.bind(&address.into())?;
    Ok(mio::net::UdpSocket::from_std(raw.into()))
}

/// Sets up what is sent and received by a bound socket.
fn sender(
    io: mio::net::UdpSocket,
    address: SocketAddr,
    send_buffer_bytes: usize,
) -> io::Result<Sender> {
    let sender = Sender::new(io, send_buffer_bytes)?;
    // Each thing that nobody reads is a control message less for each burst.
    options::set_timestamps(&sender.io, false)?;
    let is_wildcard = address.ip().is_unspecified();
    if address.is_ipv4() {
        SockRef::from(&sender.io).set_recv_tos_v4(false)?;
        options::set_packet_info_v4(&sender.io, is_wildcard)?;
    } else {
        options::set_packet_info_v6(&sender.io, is_wildcard)?;
    }
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_ports_are_consecutive() {
        let sockets =
            Socket::bind_consecutive("127.0.0.1:0".parse().unwrap(), 3, BUFFER_BYTES_DEFAULT)
                .unwrap();
        let ports: Vec<_> = sockets.iter().map(|socket| socket.address().port()).collect();
        assert_eq!(ports, [ports[0], ports[0] + 1, ports[0] + 2]);
    }

    #[test]
    fn a_port_in_use_is_an_error() {
        let first = Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = Socket::bind_consecutive(first.address(), 1, BUFFER_BYTES_DEFAULT).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn granted_buffers_are_read_back() {
        const BYTES: usize = 100_000;
        let socket = Socket::bind_with("127.0.0.1:0".parse().unwrap(), BYTES).unwrap();
        assert_eq!((socket.receive_buffer_bytes(), socket.send_buffer_bytes()), (BYTES, BYTES));
    }
}
