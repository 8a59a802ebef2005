//! The socket of a client.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use udp::clock;
use udp::socket::Socket;

use crate::calls::Calls;
use crate::config::Config;
use crate::entropy::Entropy;
use crate::error::Error;
use crate::near_cache::NearCache;
use crate::observe;

/// A socket on any free port, and the calls that begin to connect over it.
pub(crate) fn open<T>(
    servers: &[SocketAddr],
    config: &Config,
    cache: Option<Arc<NearCache>>,
) -> Result<(Socket, Calls<T>), Error> {
    config.check(servers)?;
    observe::describe();
    let server = servers[0];
    // A socket of loopback needs not be told to which of the host's addresses answers come.
    let ip = match server.ip() {
        ip if servers.iter().all(|server| server.ip() == ip) && ip.is_loopback() => ip,
        ip if ip.is_ipv4() => Ipv4Addr::UNSPECIFIED.into(),
        _ => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = Socket::bind_with(SocketAddr::new(ip, 0), config.socket_buffer_bytes)?;
    let sessions = config.of_sessions(server, socket.receive_buffer_bytes());
    let calls = Calls::new(clock::now_ns(), servers, sessions, Entropy::System, cache)?;
    Ok((socket, calls))
}
