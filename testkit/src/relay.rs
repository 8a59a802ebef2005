//! A relay between clients and servers, on one thread.
//!
//! Each server has a front, a socket that clients take for the server, and behind it each
//! client address has a socket of its own towards that server. So the server tells the
//! clients apart as if the relay were not there.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

/// How often the relay looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(20);
/// Datagrams of one socket before the others have their turn.
const DRAIN_MAX: usize = 64;

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a client to a server.
    ToServer,
    /// From a server to a client.
    ToClient,
}

/// A datagram on its way.
#[derive(Clone, Debug)]
pub struct Passage {
    /// The server's place in the list.
    pub server: usize,
    /// The client's own address.
    pub client: SocketAddr,
    /// Which way it goes.
    pub direction: Direction,
    /// The datagram.
    pub bytes: Vec<u8>,
}

/// What a relay does with the datagrams that come.
pub trait Network: Send + 'static {
    /// Takes a datagram, and hands out what leaves now. Nothing has left before it returns.
    fn carry(&mut self, now: Instant, passage: Passage, leaves: &mut Vec<Passage>);

    /// Hands out what was held back until now.
    fn release(&mut self, _now: Instant, _leaves: &mut Vec<Passage>) {}

    /// When [`Self::release`] has something to hand out.
    fn release_at(&self) -> Option<Instant> {
        None
    }
}

/// A relay under way.
#[derive(Debug)]
pub struct Relay<N> {
    /// The fronts, in the order of the servers.
    pub fronts: Vec<SocketAddr>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<N>>,
}

impl<N: Network> Relay<N> {
    /// Starts a relay before some servers.
    #[must_use]
    pub fn start(servers: &[SocketAddr], network: N) -> Self {
        let mut sockets = Sockets::new(servers).expect("there are free ports");
        let fronts = sockets.fronts().expect("they are bound");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            sockets.relay(network, &stopped).unwrap_or_else(|error| panic!("the relay: {error}"))
        });
        Self { fronts, stop, thread: Some(thread) }
    }

    /// The fronts, as `gen --servers` takes them.
    #[must_use]
    pub fn list(&self) -> String {
        self.fronts.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",")
    }

    /// Stops, and returns the network with what it has noted.
    #[must_use]
    pub fn stop(mut self) -> N {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it runs").join().expect("the relay did not panic")
    }
}

impl<N> Drop for Relay<N> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A socket that stands for a client, towards one server.
struct Back {
    socket: UdpSocket,
    server: usize,
    client: SocketAddr,
}

struct Sockets {
    poll: Poll,
    servers: Vec<SocketAddr>,
    fronts: Vec<UdpSocket>,
    backs: Vec<Back>,
    back_of: HashMap<(usize, SocketAddr), usize>,
}

impl Sockets {
    fn new(servers: &[SocketAddr]) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut fronts = Vec::new();
        for index in 0..servers.len() {
            let mut front = bind()?;
            poll.registry().register(&mut front, Token(index), Interest::READABLE)?;
            fronts.push(front);
        }
        let servers = servers.to_vec();
        Ok(Self { poll, servers, fronts, backs: Vec::new(), back_of: HashMap::new() })
    }

    fn fronts(&self) -> io::Result<Vec<SocketAddr>> {
        self.fronts.iter().map(UdpSocket::local_addr).collect()
    }

    fn relay<N: Network>(&mut self, mut network: N, stop: &AtomicBool) -> io::Result<N> {
        let mut events = Events::with_capacity(64);
        // Readiness is told once, at its edge: these may still have something to read.
        let mut readable: Vec<usize> = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            let until = network.release_at().unwrap_or(now + LOOK);
            let wait = if readable.is_empty() {
                until.saturating_duration_since(now).min(LOOK)
            } else {
                Duration::ZERO
            };
            self.poll.poll(&mut events, Some(wait))?;
            readable.extend(events.iter().map(|event| event.token().0));
            readable.sort_unstable();
            readable.dedup();
            let mut left = Vec::new();
            for &index in &readable {
                if self.drain(index, &mut network)? {
                    left.push(index);
                }
            }
            readable = left;
            let mut leaves = Vec::new();
            network.release(Instant::now(), &mut leaves);
            self.send(leaves)?;
        }
        Ok(network)
    }

    /// Relays what a socket has received; returns whether it may have more.
    fn drain(&mut self, index: usize, network: &mut impl Network) -> io::Result<bool> {
        let mut buffer = [0; 1 << 16];
        for _ in 0..DRAIN_MAX {
            let Some((length, passage)) = self.receive(index, &mut buffer) else {
                return Ok(false);
            };
            let passage = Passage { bytes: buffer[..length].to_vec(), ..passage };
            let mut leaves = Vec::new();
            network.carry(Instant::now(), passage, &mut leaves);
            self.send(leaves)?;
        }
        Ok(true)
    }

    fn receive(&self, index: usize, buffer: &mut [u8]) -> Option<(usize, Passage)> {
        let passage =
            |server, client, direction| Passage { server, client, direction, bytes: Vec::new() };
        if let Some(front) = self.fronts.get(index) {
            let (length, client) = front.recv_from(buffer).ok()?;
            return Some((length, passage(index, client, Direction::ToServer)));
        }
        let Back { socket, server, client } = &self.backs[index - self.fronts.len()];
        loop {
            match socket.recv(buffer) {
                Ok(length) => {
                    return Some((length, passage(*server, *client, Direction::ToClient)));
                }
                // A server that is gone; what comes behind the error is still good.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(_) => return None,
            }
        }
    }

    /// Sends; what the kernel does not take is lost, as on any network.
    fn send(&mut self, leaves: Vec<Passage>) -> io::Result<()> {
        for Passage { server, client, direction, bytes } in leaves {
            let _ = match direction {
                Direction::ToServer => {
                    let back = self.back(server, client)?;
                    self.backs[back].socket.send(&bytes)
                }
                Direction::ToClient => self.fronts[server].send_to(&bytes, client),
            };
        }
        Ok(())
    }

    fn back(&mut self, server: usize, client: SocketAddr) -> io::Result<usize> {
        if let Some(&back) = self.back_of.get(&(server, client)) {
            return Ok(back);
        }
        let back = self.backs.len();
        let mut socket = bind()?;
        socket.connect(self.servers[server])?;
        let token = Token(self.fronts.len() + back);
        self.poll.registry().register(&mut socket, token, Interest::READABLE)?;
        self.backs.push(Back { socket, server, client });
        self.back_of.insert((server, client), back);
        Ok(back)
    }
}

fn bind() -> io::Result<UdpSocket> {
    UdpSocket::bind("127.0.0.1:0".parse().expect("it is an address"))
}
