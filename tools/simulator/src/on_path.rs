//! One on the path, who sees what clients and servers send each other, and sends in the clients'
//! names: a request under a sequence that its client has not used yet, whose answer it takes
//! away, and an OPEN again when its session is closed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use proto::pack;
use proto::unpack;
use proto::wire::{Accept, HEADER_BYTES, Header, Kind, Op};

use crate::config::Config;
use crate::random::Random;

/// The record that forged requests write.
pub const FORGED_KEY: &[u8] = b"forged by one on the path";

/// Tells forged requests from those of clients, which are not sent again so many times.
const FORGED_ATTEMPT: u8 = 254;

/// A reply of so many is followed by a forged request.
const FORGED_ONE_IN: u64 = 8;

/// Sets its source of chance apart from the others of a seed.
const SEED: u64 = u64::from_be_bytes(*b"in_front");

/// What it sends: from a client to a server, after a while.
#[derive(Debug)]
pub struct Sent {
    /// In whose name.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// What.
    pub bytes: Vec<u8>,
    /// After so long.
    pub delay_ns: u64,
}

/// What it knows of a session.
#[derive(Clone, Copy, Debug)]
struct Session {
    /// Its client's name.
    client_id: [u8; 16],
    window: u64,
}

/// One on the path of every datagram.
#[derive(Debug)]
pub struct OnPath {
    random: Random,
    /// Requests that it forges yet.
    forgeries: u64,
    repeats_opens: bool,
    /// The OPENs by the names of their clients.
    opens: BTreeMap<[u8; 16], Vec<u8>>,
    sessions: BTreeMap<u64, Session>,
    /// The latest session of each client, by its worker and that one's life.
    opened: BTreeMap<(SocketAddr, u64, [u8; 16]), u64>,
    /// Sessions that their clients have closed.
    closed: BTreeSet<u64>,
}

impl OnPath {
    /// Draws what it will do.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed.wrapping_add(SEED));
        let is_there = random.below(4) == 0;
        Self {
            forgeries: if is_there { random.below(6) } else { 0 },
            repeats_opens: is_there,
            random,
            opens: BTreeMap::new(),
            sessions: BTreeMap::new(),
            opened: BTreeMap::new(),
            closed: BTreeSet::new(),
        }
    }

    /// Has nothing to do.
    pub fn rest(&mut self) {
        (self.forgeries, self.repeats_opens) = (0, false);
    }

    /// Whether it does anything.
    #[must_use]
    pub const fn is_there(&self) -> bool {
        self.repeats_opens
    }

    /// It sees a datagram of a client to a server.
    pub fn sees_request(
        &mut self,
        config: &Config,
        (from, to): (SocketAddr, SocketAddr),
        bytes: &[u8],
    ) -> Option<Sent> {
        let (kind, header) = unpack::header(bytes).ok()?;
        match kind {
            Kind::Open if self.repeats_opens => {
                let client_id = unpack::body(bytes).ok()?;
                self.opens.insert(client_id, bytes.to_vec());
                None
            }
            Kind::Close => {
                self.closed.insert(header.session);
                let Session { client_id, .. } = self.sessions.get(&header.session)?;
                let bytes = self.opens.get(client_id)?.clone();
                let delay_ns = self.random.below(8 * config.delay_ns);
                Some(Sent { from, to, bytes, delay_ns })
            }
            _ => None,
        }
    }

    /// It sees a datagram of a worker to a client. Returns whether it lets that pass.
    pub fn sees_answer(
        &mut self,
        (from, to): (SocketAddr, SocketAddr),
        bytes: &[u8],
        may_forge: bool,
    ) -> (bool, Option<Sent>) {
        match unpack::header(bytes) {
            Ok((Kind::Reply, Header { attempt: FORGED_ATTEMPT, .. })) => (false, None),
            Ok((Kind::Reply, header)) if may_forge && self.forgeries > 0 => {
                (true, self.forge(to, from, &header))
            }
            _ => (true, None),
        }
    }

    fn forge(&mut self, from: SocketAddr, to: SocketAddr, answer: &Header) -> Option<Sent> {
        let Session { window, .. } = self.sessions.get(&answer.session)?;
        if self.random.below(FORGED_ONE_IN) > 0 {
            return None;
        }
        self.forgeries -= 1;
        let mut bytes = vec![0; HEADER_BYTES];
        pack::request_entry(&mut bytes, Op::Put, FORGED_KEY, b"");
        let mut header = Header::new(Kind::Request, answer.session, answer.sequence + window);
        (header.attempt, header.entries) = (FORGED_ATTEMPT, 1);
        pack::seal(&mut bytes, header);
        Some(Sent { from, to, bytes, delay_ns: 0 })
    }

    /// It sees an ACCEPT. A client that has closed its session opens no other by the same name;
    /// if a worker does, says so.
    pub fn sees_accept(&mut self, worker: SocketAddr, bytes: &[u8]) -> Result<(), String> {
        let Ok((Kind::Accept, header)) = unpack::header(bytes) else { return Ok(()) };
        let Ok(Accept { client_id, incarnation, window, .. }) = unpack::body(bytes) else {
            return Ok(());
        };
        let session = header.sequence;
        self.sessions.insert(session, Session { client_id, window: window.into() });
        let before = self.opened.insert((worker, incarnation, client_id), session);
        match before.filter(|before| *before != session && self.closed.contains(before)) {
            None => Ok(()),
            Some(before) => Err(format!(
                "{worker} opened session {session:016x} for the client that had closed {before:016x}"
            )),
        }
    }
}
