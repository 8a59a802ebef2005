//! A client and a server joined by hand under virtual time.
//!
//! Nothing is delivered unless a test does it: [`Pair::requests`] and [`Pair::replies`] take
//! what an end has to send, [`Pair::hand_to_server`] and [`Pair::hand_to_client`] deliver a datagram.
//! Not to deliver one is to lose it, to deliver it twice is to duplicate it, and to deliver
//! it later is to delay it.

// Each file of tests is a program of its own, and uses a part of this.
#![allow(dead_code)]

pub(crate) mod random;
pub(crate) mod store;
pub(crate) mod weather;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use proto::client::{Blocked, Client, ClientConfig, Finished, Outcome};
use proto::server::{Server, ServerConfig};
use proto::transmit::{Flush, Path};
use proto::unpack;
use proto::wire::{Header, Kind};

use store::MapStore;

/// When the tests begin: far enough from zero that a mistaken zero shows.
pub(crate) const START_NS: u64 = 1_000_000_000_000;

/// A request as it is when it goes again: the same but for its `attempt`.
pub(crate) fn sent_again(request: &[u8], attempt: u8) -> Vec<u8> {
    let (_, header) = unpack::header(request).expect("it is a valid datagram");
    let mut again = request.to_vec();
    proto::pack::seal(&mut again, Header { attempt, ..header });
    again
}

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

/// What became of each token. A token that comes back twice, or was never given, fails the
/// test at once.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    outstanding: BTreeSet<u32>,
    ended: BTreeMap<u32, End>,
}

impl Tokens {
    pub(crate) fn given(&mut self, token: u32) {
        assert!(!self.ended.contains_key(&token), "token {token} is used twice");
        assert!(self.outstanding.insert(token), "token {token} is used twice");
    }

    pub(crate) fn came_back(&mut self, token: u32, outcome: Outcome<'_>) {
        assert!(self.outstanding.remove(&token), "token {token} came back unasked: {outcome:?}");
        self.ended.insert(token, outcome.into());
    }

    pub(crate) fn end(&self, token: u32) -> Option<&End> {
        self.ended.get(&token)
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    pub(crate) fn ended(&self) -> &BTreeMap<u32, End> {
        &self.ended
    }
}

pub(crate) fn client_address() -> SocketAddr {
    "10.0.0.1:4000".parse().unwrap()
}

pub(crate) fn other_address() -> SocketAddr {
    "10.0.0.66:4000".parse().unwrap()
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

pub(crate) fn with_window(window: usize) -> ClientConfig {
    ClientConfig { window, ..ClientConfig::default() }
}

/// A client, a server, the clock between them and what came of each token.
pub(crate) struct Pair {
    pub(crate) now_ns: u64,
    pub(crate) client: Client<u32>,
    pub(crate) server: Server,
    pub(crate) store: MapStore,
    pub(crate) tokens: Tokens,
    /// Timers that ran one after another without time having passed.
    standstill: u32,
}

/// More than any client needs at one instant.
const STANDSTILL_MAX: u32 = 1000;

impl Pair {
    /// A client that has sent nothing yet.
    pub(crate) fn connecting(client: ClientConfig, server: ServerConfig) -> Self {
        let worker = "10.0.0.2:7402".parse().unwrap();
        Self {
            now_ns: START_NS,
            client: Client::new(START_NS, worker, [3; 16], client),
            server: Server::new(server),
            store: MapStore::default(),
            tokens: Tokens::default(),
            standstill: 0,
        }
    }

    /// A session that has just opened.
    pub(crate) fn open(client: ClientConfig, server: ServerConfig) -> Self {
        let mut pair = Self::connecting(client, server);
        pair.settle();
        assert!(pair.client.granted().is_some(), "the session is open");
        pair
    }

    pub(crate) fn put(&mut self, token: u32, key: &[u8], value: &[u8]) {
        self.try_put(token, key, value).expect("there is room");
    }

    pub(crate) fn get(&mut self, token: u32, key: &[u8]) {
        self.try_get(token, key).expect("there is room");
    }

    pub(crate) fn try_put(&mut self, token: u32, key: &[u8], value: &[u8]) -> Result<(), Blocked> {
        self.client.put(token, key, value)?;
        self.tokens.given(token);
        Ok(())
    }

    pub(crate) fn try_get(&mut self, token: u32, key: &[u8]) -> Result<(), Blocked> {
        self.client.get(token, key)?;
        self.tokens.given(token);
        Ok(())
    }

    pub(crate) fn stats(&mut self, token: u32) {
        self.client.stats(token).expect("there is room");
        self.tokens.given(token);
    }

    /// Closes the session at the client's end.
    pub(crate) fn close(&mut self) {
        let Self { client, tokens, .. } = self;
        client.close(|Finished { token, outcome, .. }| tokens.came_back(token, outcome));
    }

    /// What the client has to send now.
    pub(crate) fn requests(&mut self) -> Vec<Vec<u8>> {
        let worker = self.client.server();
        let mut datagrams = Vec::new();
        while let Some(transmit) = self.client.poll_transmit(self.now_ns, Flush::All) {
            assert_eq!(transmit.path.remote, worker);
            datagrams.extend(transmit.datagrams().map(<[u8]>::to_vec));
        }
        datagrams
    }

    /// The one datagram that the client has to send now.
    pub(crate) fn request(&mut self) -> Vec<u8> {
        only(self.requests())
    }

    /// What the server has to send now, all of it to the client.
    pub(crate) fn replies(&mut self) -> Vec<Vec<u8>> {
        let datagrams = self.replies_to_anybody();
        assert!(datagrams.iter().all(|(to, _)| *to == client_address()));
        datagrams.into_iter().map(|(_, datagram)| datagram).collect()
    }

    /// The one datagram that the server has to send now.
    pub(crate) fn reply(&mut self) -> Vec<u8> {
        only(self.replies())
    }

    pub(crate) fn replies_to_anybody(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        server_sends(&mut self.server)
    }

    pub(crate) fn hand_to_server(&mut self, datagram: &[u8]) {
        self.hand_to_server_from(client_address(), datagram);
    }

    pub(crate) fn hand_to_server_from(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.server.handle_datagram(self.now_ns, Path::to(from), datagram, &mut self.store);
    }

    pub(crate) fn hand_to_client(&mut self, datagram: &[u8]) {
        let Self { now_ns, client, tokens, .. } = self;
        client.handle_datagram(*now_ns, datagram, |Finished { token, outcome, .. }| {
            tokens.came_back(token, outcome);
        });
    }

    /// Delivers a request to the server, and its answers to nobody.
    pub(crate) fn answers_to(&mut self, request: &[u8]) -> Vec<Vec<u8>> {
        self.hand_to_server(request);
        self.replies()
    }

    /// Delivers everything both ways until nobody has anything to send.
    pub(crate) fn settle(&mut self) {
        loop {
            let requests = self.requests();
            if requests.is_empty() {
                return;
            }
            for request in &requests {
                self.hand_to_server(request);
            }
            for reply in self.replies() {
                self.hand_to_client(&reply);
            }
        }
    }

    /// Lets time pass without looking at the timers in between.
    pub(crate) fn wait(&mut self, time_ns: u64) {
        self.now_ns += time_ns;
        self.run_timers();
    }

    /// Lets time pass until the client's next timer.
    pub(crate) fn wait_for_client(&mut self) {
        let due_ns = self.client.poll_timeout().expect("something is due");
        self.standstill = if due_ns > self.now_ns { 0 } else { self.standstill + 1 };
        assert!(self.standstill < STANDSTILL_MAX, "something is due, and nobody does it");
        self.now_ns = self.now_ns.max(due_ns);
        self.run_timers();
    }

    /// Lets time pass until the client sends something of its own accord.
    pub(crate) fn wait_for_requests(&mut self) -> Vec<Vec<u8>> {
        loop {
            self.wait_for_client();
            let requests = self.requests();
            if !requests.is_empty() {
                return requests;
            }
            assert_eq!(self.client.ended(), None, "an ended session sends nothing");
        }
    }

    fn run_timers(&mut self) {
        let Self { now_ns, client, server, tokens, .. } = self;
        client.handle_timeout(*now_ns, |Finished { token, outcome, .. }| {
            tokens.came_back(token, outcome);
        });
        server.handle_timeout(*now_ns);
    }

    /// Lets the client send into the void until its session ends; returns when that was.
    pub(crate) fn wait_in_silence(&mut self) -> u64 {
        while self.client.ended().is_none() {
            self.requests();
            self.wait_for_client();
        }
        self.now_ns
    }

    pub(crate) fn end(&self, token: u32) -> Option<&End> {
        self.tokens.end(token)
    }
}

/// Everything that a server has to send.
pub(crate) fn server_sends(server: &mut Server) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut datagrams = Vec::new();
    while let Some(transmit) = server.poll_transmit(Flush::All) {
        let to = transmit.path.remote;
        datagrams.extend(transmit.datagrams().map(|datagram| (to, datagram.to_vec())));
    }
    datagrams
}

/// The only one of some datagrams.
pub(crate) fn only(mut datagrams: Vec<Vec<u8>>) -> Vec<u8> {
    assert_eq!(datagrams.len(), 1, "one datagram");
    datagrams.remove(0)
}

/// The header of a datagram that is valid.
pub(crate) fn header_of(datagram: &[u8]) -> Header {
    unpack::header(datagram).expect("it is valid").1
}

pub(crate) fn kind_of(datagram: &[u8]) -> Kind {
    unpack::header(datagram).expect("it is valid").0
}

/// A version of the protocol that is not ours.
pub(crate) const OTHER_VERSION: u8 = proto::wire::VERSION + 1;

/// The same datagram as a program of another version would send it.
pub(crate) fn of_version(version: u8, datagram: &[u8]) -> Vec<u8> {
    let mut other = datagram.to_vec();
    other[6] = version;
    let checksum = proto::wire::checksum(&other);
    other[..4].copy_from_slice(&checksum.to_le_bytes());
    other
}
