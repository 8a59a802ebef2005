//! Who is where: servers, generators, applications and strangers each have a network of their own.

use std::net::{IpAddr, SocketAddr};

const SERVERS: u8 = 0;
const GENERATORS: u8 = 1;
const APPLICATIONS: u8 = 2;
const HOARDERS: u8 = 3;
const STRANGERS: u8 = 9;

/// Where a worker is.
#[must_use]
pub fn server_address(server: usize, worker: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, SERVERS, server as u8 + 1], 7400 + worker))
}

/// Where a generator's thread is.
#[must_use]
pub fn thread_address(generator: usize, thread: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, GENERATORS, generator as u8 + 1], 9000 + thread as u16))
}

/// Where an application is.
#[must_use]
pub fn application_address(application: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, APPLICATIONS, application as u8 + 1], 5000))
}

/// Where one is who has no business with the servers.
#[must_use]
pub fn stranger_address(number: u64) -> SocketAddr {
    SocketAddr::from(([10, 0, STRANGERS, number as u8], 666))
}

/// Where one is who hoards sessions.
#[must_use]
pub fn hoarder_address(number: u64) -> SocketAddr {
    SocketAddr::from(([10, 0, HOARDERS, number as u8], 5000))
}

/// Whether one is there who hoards sessions.
#[must_use]
pub fn is_hoarder(address: SocketAddr) -> bool {
    network(address) == HOARDERS
}

/// Whether a server is there.
#[must_use]
pub fn is_server(address: SocketAddr) -> bool {
    network(address) == SERVERS
}

/// Whether an application is there.
#[must_use]
pub fn is_application(address: SocketAddr) -> bool {
    network(address) == APPLICATIONS
}

/// Whether it is one of ours, and no stranger's.
#[must_use]
pub fn is_genuine(address: SocketAddr) -> bool {
    network(address) != STRANGERS
}

fn network(address: SocketAddr) -> u8 {
    match address.ip() {
        IpAddr::V4(ip) => ip.octets()[2],
        IpAddr::V6(_) => STRANGERS,
    }
}
