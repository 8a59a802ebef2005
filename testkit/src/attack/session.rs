//! A session whose datagrams are made by hand.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use proto::client::{Client, ClientConfig};
use proto::transmit::Flush;
use proto::wire::Kind;

use super::limits::HANDSHAKE_MAX;
use crate::random::entropy;

/// A session whose datagrams are made by hand.
#[derive(Debug)]
pub struct RawSession {
    /// Connected to the server.
    pub socket: UdpSocket,
    /// Its id on the wire.
    pub id: u64,
    /// The datagram that opened it.
    pub open: Vec<u8>,
}

/// A client's id.
pub(super) fn client_id() -> [u8; 16] {
    let id = [entropy().to_le_bytes(), entropy().to_le_bytes()].concat();
    id.try_into().expect("16 bytes")
}

impl RawSession {
    /// Opens one from an address of this host.
    pub fn open(from: SocketAddr, server: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(from)?;
        socket.connect(server)?;
        Self::open_on(socket, server)
    }

    /// Opens one on a socket that is connected to the server.
    pub fn open_on(socket: UdpSocket, server: SocketAddr) -> io::Result<Self> {
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let mut session: Client<()> = Client::new(0, server, client_id(), ClientConfig::default());
        let began = Instant::now();
        let mut buffer = [0; 2048];
        let mut open = Vec::new();
        loop {
            let now_ns = began.elapsed().as_nanos() as u64;
            while let Some(burst) = session.poll_transmit(now_ns, Flush::All) {
                socket.send(burst.bytes)?;
                if proto::unpack::unchecked_header(burst.bytes).kind == Kind::Open as u8 {
                    open = burst.bytes.to_vec();
                }
            }
            if let Ok(length) = socket.recv(&mut buffer) {
                session.handle_datagram(now_ns, &buffer[..length], |_| {});
            }
            if let Some(granted) = session.granted() {
                return Ok(Self { id: granted.session, socket, open });
            }
            if let Some(ended) = session.ended() {
                return Err(io::Error::other(format!("no session: {ended:?}")));
            }
            if began.elapsed() > HANDSHAKE_MAX {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}
