//! A UDP socket set up for bursts.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use quinn_udp::{UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, Type};

use crate::loss::Loss;
use crate::receiver::Receiver;
use crate::sender::Sender;

/// What each buffer of a socket is asked to hold. The kernel grants less where
/// `net.core.rmem_max` or `wmem_max` is smaller.
const BUFFER_BYTES: usize = 8 << 20;

/// A bound socket, in its two directions.
#[derive(Debug)]
pub struct Socket {
    pub(crate) io: mio::net::UdpSocket,
    /// Takes bursts in.
    pub receiver: Receiver,
    /// Sends bursts out.
    pub sender: Sender,
    pub(crate) loss: Option<Loss>,
    address: SocketAddr,
    receive_buffer_bytes: usize,
    send_buffer_bytes: usize,
}

impl Socket {
    /// Binds a socket: non-blocking, don't-fragment, GSO and GRO where the kernel has them.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let raw = RawSocket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        raw.set_nonblocking(true)?;
        // What is granted is read back below; a refusal leaves the default.
        let _ = raw.set_recv_buffer_size(BUFFER_BYTES);
        let _ = raw.set_send_buffer_size(BUFFER_BYTES);
        raw.bind(&address.into())?;
        let io = UdpSocket::from(raw);
        let state = UdpSocketState::new(UdpSockRef::from(&io))?;
        let options = SockRef::from(&io);
        if address.is_ipv4() {
            // Nobody reads the type of service; a control message less for each burst.
            options.set_recv_tos_v4(false)?;
        }
        let receive_buffer_bytes = options.recv_buffer_size()?;
        let send_buffer_bytes = options.send_buffer_size()?;
        let address = io.local_addr()?;
        Ok(Self {
            receiver: Receiver::new(),
            sender: Sender::new(state),
            loss: None,
            io: mio::net::UdpSocket::from_std(io),
            address,
            receive_buffer_bytes,
            send_buffer_bytes,
        })
    }

    /// Binds `count` sockets on consecutive ports; with port 0 wherever that many are free.
    pub fn bind_consecutive(base: SocketAddr, count: u16) -> io::Result<Vec<Self>> {
        const ATTEMPTS: u32 = 64;
        let mut last_error = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..if base.port() == 0 { ATTEMPTS } else { 1 } {
            match Self::bind_all(base, count) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last_error = error,
                result => return result,
            }
        }
        Err(last_error)
    }

    fn bind_all(base: SocketAddr, count: u16) -> io::Result<Vec<Self>> {
        let first = Self::bind(base)?;
        let first_port = first.address.port();
        let mut sockets = vec![first];
        for index in 1..count {
            let port = first_port.checked_add(index).ok_or(io::ErrorKind::AddrInUse)?;
            sockets.push(Self::bind(SocketAddr::new(base.ip(), port))?);
        }
        Ok(sockets)
    }

    /// Drops a share of what arrives from now on.
    pub fn lose(&mut self, loss: Loss) {
        self.loss = Some(loss);
    }

    /// Where it is bound.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_ports_are_consecutive() {
        let sockets = Socket::bind_consecutive("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let ports: Vec<_> = sockets.iter().map(|socket| socket.address().port()).collect();
        assert_eq!(ports, [ports[0], ports[0] + 1, ports[0] + 2]);
    }

    #[test]
    fn a_port_in_use_is_an_error() {
        let first = Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = Socket::bind_consecutive(first.address(), 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn granted_buffers_are_read_back() {
        let socket = Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(socket.receive_buffer_bytes() > 0 && socket.send_buffer_bytes() > 0);
    }
}
