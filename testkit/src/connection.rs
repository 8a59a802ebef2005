//! A client that asks a server directly and tells what it heard.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use proto::client::{Client, ClientConfig, Outcome};
use proto::transmit::Flush;

use crate::DEADLINE;
use crate::random::entropy;

/// Longest wait for a datagram before the clock is looked at again.
const WAIT_MAX: Duration = Duration::from_millis(20);
/// A read timeout of zero would be none at all.
const WAIT_MIN: Duration = Duration::from_micros(50);

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

/// A session with one worker.
#[derive(Debug)]
pub struct Connection {
    socket: UdpSocket,
    client: Client<usize>,
    began: Instant,
    /// Every datagram that it sent.
    pub sent: Vec<Vec<u8>>,
}

impl Connection {
    /// Opens a session.
    #[must_use]
    pub fn open(server: SocketAddr) -> Self {
        let here = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(here).expect("a free port");
        socket.connect(server).expect("a local address");
        let (id, deadline_ns) = (entropy().to_le_bytes(), DEADLINE.as_nanos() as u64);
        let config = ClientConfig {
            handshake_timeout_ns: deadline_ns,
            answer_timeout_ns: deadline_ns,
            ..ClientConfig::default()
        };
        let id = std::array::from_fn(|at| id[at % id.len()]);
        let client = Client::new(0, server, id, config);
        let mut connection = Self { socket, client, began: Instant::now(), sent: Vec::new() };
        connection.work_until(&mut [], |client, _| client.granted().is_some());
        connection
    }

    /// Asks for all of these at once, as far as the window allows, and returns their ends
    /// in the same order.
    pub fn ask_all(&mut self, asks: &[Ask]) -> Vec<Told> {
        let mut ends = vec![None; asks.len()];
        let mut next = 0;
        self.work_until(&mut ends, |client, ends| {
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

    fn work_until(
        &mut self,
        ends: &mut [Option<Told>],
        mut is_done: impl FnMut(&mut Client<usize>, &[Option<Told>]) -> bool,
    ) {
        let deadline = Instant::now() + DEADLINE;
        while !is_done(&mut self.client, ends) {
            assert!(Instant::now() < deadline, "no answer: {:?}", self.client.counters());
            assert_eq!(self.client.ended(), None, "{:?}", self.client.counters());
            self.work(ends);
        }
    }

    fn work(&mut self, ends: &mut [Option<Told>]) {
        let now_ns = self.began.elapsed().as_nanos() as u64;
        let mut note = |token: usize, outcome: Outcome<'_>| {
            let earlier = ends[token].replace(told(&outcome));
            assert_eq!(earlier, None, "each operation ends once");
        };
        self.client.handle_timeout(now_ns, &mut note);
        while let Some(transmit) = self.client.poll_transmit(now_ns, Flush::All) {
            for datagram in transmit.datagrams() {
                // A send that fails is a datagram lost.
                let _ = self.socket.send(datagram);
                self.sent.push(datagram.to_vec());
            }
        }
        let until_ns = self.client.poll_timeout().unwrap_or(u64::MAX);
        let wait = Duration::from_nanos(until_ns.saturating_sub(now_ns)).min(WAIT_MAX);
        self.socket.set_read_timeout(Some(wait.max(WAIT_MIN))).expect("it is not zero");
        let mut buffer = [0; 1 << 16];
        match self.socket.recv(&mut buffer) {
            Ok(length) => {
                let now_ns = self.began.elapsed().as_nanos() as u64;
                self.client.handle_datagram(now_ns, &buffer[..length], &mut note);
            }
            Err(error) => assert!(
                // The last is how the kernel reports that nobody has the port.
                matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused
                ),
                "{error}"
            ),
        }
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
