//! A client that asks a server directly and tells what it heard.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use proto::client::{Client, ClientConfig, Finished, Outcome};
use proto::handshake::Granted;
use proto::transmit::{Account, Flush, Path, Transmit};
use udp::core_loop::{CoreLoop, Endpoint, Round};
use udp::counters::TransportCounters;
use udp::socket::{Inbox, Socket};
use udp::transport::Transport as _;

use crate::DEADLINE;
use crate::random::entropy;

/// Longest wait before the clock is looked at again.
const WAIT_MAX: Duration = Duration::from_millis(20);

/// An operation to ask for.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Reads a key.
    Get(Vec<u8>),
    /// Writes a value to a key.
    Put(Vec<u8>, Vec<u8>),
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A GET found this version and value.
    Value(u64, Vec<u8>),
    /// A GET found no record.
    NotFound,
    /// A PUT wrote this version.
    Stored(u64),
    /// A PUT was refused: the memory is full.
    Full,
    /// Anything else.
    Other(String),
}

/// A session with one worker, in the core loop.
pub struct Connection {
    socket: Socket,
    core_loop: CoreLoop<Inbox>,
    asking: Asking,
    /// Every datagram that it sent.
    pub sent: Vec<Vec<u8>>,
}

impl Connection {
    /// Opens a session over loopback.
    #[must_use]
    pub fn open(server: SocketAddr) -> Self {
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        Self::open_from(loopback[usize::from(server.is_ipv6())], server)
    }

    /// Opens a session from an address of this host.
    #[must_use]
    pub fn open_from(here: IpAddr, server: SocketAddr) -> Self {
        let socket = Socket::bind(SocketAddr::new(here, 0)).expect("a free port");
        let (id, deadline_ns) = (entropy().to_le_bytes(), DEADLINE.as_nanos() as u64);
        let config = ClientConfig {
            handshake_timeout_ns: deadline_ns,
            answer_timeout_ns: deadline_ns,
            ..ClientConfig::default()
        };
        let id = std::array::from_fn(|at| id[at % id.len()]);
        let client = Client::new(socket.now_ns(), server, id, config);
        let core_loop = CoreLoop::new(&socket);
        let asking = Asking { client, ends: Vec::new(), sent: Vec::new() };
        let mut connection = Self { socket, core_loop, asking, sent: Vec::new() };
        connection.work_until(|asking| asking.client.granted().is_some());
        connection
    }

    /// The address that it is at.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.socket.address()
    }

    /// What the server granted it.
    #[must_use]
    pub const fn granted(&self) -> &Granted {
        self.asking.client.granted().expect("it is open")
    }

    /// Sends a datagram as it is, if there is room for it.
    pub fn send(&mut self, datagram: &[u8]) {
        let (path, account) = (Path::to(self.asking.client.server()), Account::Session);
        let segment_bytes = datagram.len();
        let burst = Transmit { path, account, bytes: datagram, segment_bytes };
        self.socket.send(self.socket.now_ns(), burst);
    }

    /// Asks for all of these at once, as far as the window allows, and returns their ends
    /// in the same order.
    pub fn ask_all(&mut self, asks: &[Ask]) -> Vec<Told> {
        self.asking.ends = vec![None; asks.len()];
        let mut next = 0;
        self.work_until(|Asking { client, ends, .. }| {
            while next < asks.len() {
                let is_taken = match &asks[next] {
                    Ask::Get(key) => client.get(next, key),
                    Ask::Put(key, value) => client.put(next, key, value),
                };
                if is_taken.is_err() {
                    break;
                }
                next += 1;
            }
            ends.iter().all(Option::is_some)
        });
        let ends = std::mem::take(&mut self.asking.ends);
        ends.into_iter().map(|end| end.expect("it was waited for")).collect()
    }

    /// Reads a key.
    pub fn get(&mut self, key: &[u8]) -> Told {
        self.ask_all(&[Ask::Get(key.to_vec())]).remove(0)
    }

    /// Writes a key.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Told {
        self.ask_all(&[Ask::Put(key.to_vec(), value.to_vec())]).remove(0)
    }

    fn work_until(&mut self, mut is_done: impl FnMut(&mut Asking) -> bool) {
        let Self { socket, core_loop, asking, sent } = self;
        let deadline = Instant::now() + DEADLINE;
        while !is_done(asking) {
            assert!(Instant::now() < deadline, "no answer: {:?}", asking.client.counters());
            assert_eq!(asking.client.ended(), None, "{:?}", asking.client.counters());
            let round = core_loop.round(socket, asking).expect("a socket of loopback");
            sent.append(&mut asking.sent);
            if let Round::Idle { timeout_ns } = round {
                let until_ns = timeout_ns.unwrap_or(u64::MAX);
                let rest = Duration::from_nanos(until_ns.saturating_sub(socket.now_ns()));
                socket.wait(rest.min(WAIT_MAX)).expect("a socket of loopback");
            }
        }
    }
}

/// What runs in the loop: a session, and the operations that it was asked for last.
struct Asking {
    client: Client<usize>,
    ends: Vec<Option<Told>>,
    sent: Vec<Vec<u8>>,
}

fn note(ends: &mut [Option<Told>], token: usize, outcome: &Outcome<'_>) {
    let earlier = ends[token].replace(told(outcome));
    assert_eq!(earlier, None, "each operation ends once");
}

impl Endpoint for Asking {
    fn handle_datagram(&mut self, now_ns: u64, path: Path, datagram: &[u8]) {
        let Self { client, ends, .. } = self;
        if path.remote == client.server() {
            client.handle_datagram(now_ns, datagram, |Finished { token, outcome, .. }| {
                note(ends, token, &outcome);
            });
        }
    }

    fn handle_timeout(&mut self, now_ns: u64, _is_drained: bool) {
        let Self { client, ends, .. } = self;
        client
            .handle_timeout(now_ns, |Finished { token, outcome, .. }| note(ends, token, &outcome));
    }

    fn poll_timeout(&self) -> Option<u64> {
        self.client.poll_timeout()
    }

    fn poll_transmit(&mut self, now_ns: u64, flush: Flush) -> Option<Transmit<'_>> {
        let burst = self.client.poll_transmit(now_ns, flush)?;
        self.sent.extend(burst.datagrams().map(<[u8]>::to_vec));
        Some(burst)
    }

    fn goes_on(&mut self, _now_ns: u64, _transport: &TransportCounters) -> bool {
        true
    }
}

fn told(outcome: &Outcome<'_>) -> Told {
    match *outcome {
        Outcome::Value { version, value } => Told::Value(version, value.to_vec()),
        Outcome::NotFound => Told::NotFound,
        Outcome::Stored { version } => Told::Stored(version),
        Outcome::Full => Told::Full,
        Outcome::TooLarge | Outcome::Indeterminate | Outcome::Unanswered => {
            Told::Other(format!("{outcome:?}"))
        }
    }
}
