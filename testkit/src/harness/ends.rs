//! A client and a server joined by hand under virtual time: nothing is delivered unless a
//! harness does it. What either end sends is sound, and each token comes back once: this
//! is looked at here, whatever a harness does.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use proto::client::{Blocked, Client, ClientConfig, Finished, Outcome};
use proto::limits::MTU_BYTES_MAX;
use proto::server::{Server, ServerConfig};
use proto::transmit::{Flush, Path};
use proto::unpack;
use proto::wire::Kind;

use super::store::Remembering;

/// When everything begins: far enough from zero that a mistaken zero shows.
pub(crate) const START_NS: u64 = 1_000_000_000_000;
/// More rounds than anything takes that ends.
const ROUNDS_MAX: usize = 1000;

/// How an operation ended, with a value of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Value(u64, Vec<u8>),
    NotFound,
    TooLarge,
    Stored(u64),
    Full,
    Indeterminate,
    Unanswered,
}

impl From<Outcome<'_>> for End {
    fn from(outcome: Outcome<'_>) -> Self {
        match outcome {
            Outcome::Value { version, value } => Self::Value(version, value.to_vec()),
            Outcome::NotFound => Self::NotFound,
            Outcome::TooLarge => Self::TooLarge,
            Outcome::Stored { version } => Self::Stored(version),
            Outcome::Full => Self::Full,
            Outcome::Indeterminate { .. } => Self::Indeterminate,
            Outcome::Unanswered => Self::Unanswered,
        }
    }
}

/// Tokens that came back at one time, and how.
pub(crate) type Ends = Vec<(u32, End)>;

pub(crate) fn client_address() -> SocketAddr {
    ([10, 0, 0, 1], 4000).into()
}

/// Of somebody who has no session.
pub(crate) fn stranger() -> SocketAddr {
    ([10, 0, 0, 66], 4000).into()
}

pub(crate) fn server_config() -> ServerConfig {
    ServerConfig {
        mtu_bytes: 1472,
        window: 256,
        workers: 4,
        worker: 2,
        receive_buffer_bytes: 1 << 20,
        rooms: proto::session_table::Rooms::default(),
        incarnation: 0x1ca4,
        secret: [7; 16],
        rates: proto::limits::ANSWER_RATES,
    }
}

pub(crate) fn client_of(now_ns: u64, client_id: [u8; 16], config: ClientConfig) -> Client<u32> {
    Client::new(now_ns, ([10, 0, 0, 2], 7402).into(), client_id, config)
}

/// Both ends, the clock between them, and the tokens under way.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) now_ns: u64,
    pub(crate) client: Client<u32>,
    pub(crate) server: Server,
    pub(crate) store: Remembering,
    outstanding: BTreeSet<u32>,
}

impl Pair {
    pub(crate) fn new(client: Client<u32>, server: ServerConfig) -> Self {
        Self {
            now_ns: START_NS,
            client,
            server: Server::new(server),
            store: Remembering::default(),
            outstanding: BTreeSet::new(),
        }
    }

    /// Tokens that have not come back.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Asks for an operation under a token that was not used before.
    pub(crate) fn ask(
        &mut self,
        token: u32,
        ask: impl FnOnce(&mut Client<u32>) -> Result<(), Blocked>,
    ) -> Result<(), Blocked> {
        ask(&mut self.client)?;
        assert!(self.outstanding.insert(token), "token {token} is used twice");
        Ok(())
    }

    /// What the client has to send.
    pub(crate) fn requests(&mut self, flush: Flush) -> Vec<Vec<u8>> {
        let mut datagrams: Vec<Vec<u8>> = Vec::new();
        while let Some(transmit) = self.client.poll_transmit(self.now_ns, flush) {
            datagrams.extend(transmit.datagrams().map(<[u8]>::to_vec));
            assert!(datagrams.len() < ROUNDS_MAX, "a client stops sending");
        }
        for datagram in &datagrams {
            let (kind, header) = unpack::header(datagram).expect("a client sends what is sound");
            if kind == Kind::Request {
                let read = unpack::requests(datagram, header.entries, &mut Vec::new());
                read.expect("a client sends what is sound");
            }
        }
        datagrams
    }

    /// What the server has to send, and to whom.
    pub(crate) fn replies(&mut self, flush: Flush) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut datagrams = Vec::new();
        while let Some(transmit) = self.server.poll_transmit(flush) {
            let to = transmit.path.remote;
            datagrams.extend(transmit.datagrams().map(|datagram| (to, datagram.to_vec())));
        }
        for (_, datagram) in &datagrams {
            assert!(datagram.len() <= MTU_BYTES_MAX);
            let (kind, header) = unpack::header(datagram).expect("a server sends what is sound");
            if kind == Kind::Reply {
                let mut answers = unpack::replies(datagram, &header);
                assert!(answers.all(|answer| answer.is_ok()), "a server sends what is sound");
            }
        }
        datagrams
    }

    pub(crate) fn hand_to_server(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.server.handle_datagram(self.now_ns, Path::to(from), datagram, &mut self.store);
    }

    pub(crate) fn hand_to_client(&mut self, datagram: &[u8]) -> Ends {
        self.collect(|client, now_ns, ends| {
            client.handle_datagram(now_ns, datagram, |Finished { token, outcome, .. }| {
                ends.push((token, outcome.into()));
            });
        })
    }

    pub(crate) fn run_client_timers(&mut self) -> Ends {
        self.collect(|client, now_ns, ends| {
            client.handle_timeout(now_ns, |Finished { token, outcome, .. }| {
                ends.push((token, outcome.into()));
            });
        })
    }

    pub(crate) fn close(&mut self) -> Ends {
        self.collect(|client, _, ends| {
            client.close(|Finished { token, outcome, .. }| ends.push((token, outcome.into())));
        })
    }

    fn collect(&mut self, act: impl FnOnce(&mut Client<u32>, u64, &mut Ends)) -> Ends {
        let mut ends = Ends::new();
        act(&mut self.client, self.now_ns, &mut ends);
        for (token, end) in &ends {
            assert!(self.outstanding.remove(token), "token {token} came back unasked: {end:?}");
        }
        if self.client.ended().is_some() {
            assert!(self.outstanding.is_empty(), "a session that ended gives back every token");
        }
        ends
    }

    /// Delivers everything both ways until nobody has anything to send.
    pub(crate) fn settle(&mut self) -> Ends {
        let mut ends = Ends::new();
        for _ in 0..ROUNDS_MAX {
            let requests = self.requests(Flush::All);
            for request in &requests {
                self.hand_to_server(client_address(), request);
            }
            let replies = self.replies(Flush::All);
            if requests.is_empty() && replies.is_empty() {
                return ends;
            }
            for (to, reply) in replies {
                if to == client_address() {
                    ends.extend(self.hand_to_client(&reply));
                }
            }
        }
        panic!("both ends go on for ever without time passing");
    }
}
