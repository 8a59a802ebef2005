//! Hosts that open more sessions than a worker has, and ask for something in some of them: they
//! keep nobody out.

use std::net::SocketAddr;

use proto::pack;
use proto::session_table::Rooms;
use proto::unpack;
use proto::wire::{Cookie, HEADER_BYTES, Header, Hello, Kind, Op, Open, client_nonce};

use crate::addresses::{hoarder_address, server_address};
use crate::config::Config;
use crate::random::Random;

/// Sessions that one of them begins to open with each worker at a time.
const SESSIONS: usize = 16;

/// What a worker has where they are: room for all but them.
const ROOMS: Rooms = Rooms { all: 64, per_address: 48 };

/// Sets their source of chance apart from the others of a seed.
const SEED: u64 = u64::from_be_bytes(*b"hoarders");

/// A datagram of one of them.
#[derive(Debug)]
pub struct Sent {
    /// From.
    pub from: SocketAddr,
    /// To.
    pub to: SocketAddr,
    /// What.
    pub bytes: Vec<u8>,
}

/// All of them.
#[derive(Debug)]
pub struct Hoarders {
    random: Random,
}

impl Hoarders {
    /// Draws whether and how often they open sessions.
    #[must_use]
    pub fn draw(seed: u64, config: &mut Config) -> Self {
        let mut random = Random::new(seed.wrapping_add(SEED));
        if random.below(8) == 0 && !config.is_calm() {
            config.hoards = random.between(4, 12);
            config.rooms = ROOMS;
        }
        Self { random }
    }

    /// One of them begins to open sessions with all workers of a server.
    pub fn begin(&mut self, config: &Config) -> Vec<Sent> {
        let from = hoarder_address(self.random.between(1, 2));
        let server = self.random.below(config.servers.into()) as usize;
        let workers = (0..config.workers).map(|worker| server_address(server, worker));
        let mut sent = Vec::new();
        for to in workers.flat_map(|worker| [worker; SESSIONS]) {
            let hello = Hello { client_id: self.random.bytes_16() };
            let header = Header::new(Kind::Hello, client_nonce(&hello.client_id), 0);
            let mut bytes = Vec::new();
            pack::control(&mut bytes, header, &hello, config.mtu_bytes);
            sent.push(Sent { from, to, bytes });
        }
        sent
    }

    /// One of them gets a datagram, and may answer.
    pub fn answer(
        &mut self,
        config: &Config,
        (from, to): (SocketAddr, SocketAddr),
        bytes: &[u8],
    ) -> Option<Sent> {
        let mut answer = Vec::new();
        match unpack::header(bytes).ok()? {
            (Kind::Cookie, _) => {
                let Cookie { client_id, issued_at_ns, mac } = unpack::body(bytes).ok()?;
                let mtu_bytes = config.mtu_bytes as u32;
                let open = Open { client_id, issued_at_ns, mac, mtu_bytes, window: 1 };
                let header = Header::new(Kind::Open, client_nonce(&client_id), 0);
                pack::control(&mut answer, header, &open, config.mtu_bytes);
            }
            (Kind::Accept, accept) if self.random.below(2) == 0 => {
                answer.resize(HEADER_BYTES, 0);
                pack::request_entry(&mut answer, Op::Get, b"hoarder", b"");
                let mut header = Header::new(Kind::Request, accept.sequence, 1);
                header.entries = 1;
                pack::seal(&mut answer, header);
            }
            _ => return None,
        }
        Some(Sent { from: to, to: from, bytes: answer })
    }
}
