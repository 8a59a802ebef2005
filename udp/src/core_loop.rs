//! The core loop: a state machine, a socket, and nothing else on this thread.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use proto::transmit::{Flush, Transmit};

use crate::clock::now_ns;
use crate::idle::{Idle, Rest};
use crate::receiver::MESSAGES_MAX;
use crate::sender::{Sender, SocketCounters};
use crate::socket::Socket;

/// What the loop runs.
pub trait Endpoint {
    /// Takes a datagram.
    fn handle_datagram(&mut self, now_ns: u64, from: SocketAddr, datagram: &[u8]);

    /// Does what time has made due. Called once a round, and must be cheap when nothing is.
    /// `is_drained`: nothing more is there to be received, so what has not come is late.
    fn handle_timeout(&mut self, now_ns: u64, is_drained: bool);

    /// When [`Self::handle_timeout`] has something to do again.
    fn poll_timeout(&self) -> Option<u64>;

    /// The next burst to send.
    fn poll_transmit(&mut self, now_ns: u64, flush: Flush) -> Option<Transmit<'_>>;

    /// Told once a round what the socket counted; returns whether to go on.
    fn goes_on(&mut self, now_ns: u64, socket: &SocketCounters) -> bool;
}

/// Longest sleep, so that a loop notices when it is told to end.
const SLEEP_NS_MAX: u64 = 50_000_000;

/// Runs an endpoint over a socket until it has enough.
pub fn run(socket: &mut Socket, mut idle: Idle, endpoint: &mut impl Endpoint) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(4);
    poll.registry().register(&mut socket.io, Token(0), Interest::READABLE)?;
    let Socket { io, receiver, sender, .. } = socket;
    loop {
        let now = now_ns();
        let mut work = 0;
        let mut is_drained = false;
        if !sender.is_blocked() {
            let messages = match receiver.fill(io, &sender.state, &mut sender.counters) {
                Err(error) if is_nothing(&error) => 0,
                result => result?,
            };
            is_drained = messages < MESSAGES_MAX;
            for index in 0..messages {
                let (from, datagrams) = receiver.message(index);
                for datagram in datagrams {
                    endpoint.handle_datagram(now, from, datagram);
                    work += 1 + transmit(io, sender, endpoint, now, Flush::Full);
                }
            }
        }
        endpoint.handle_timeout(now, is_drained);
        work += transmit(io, sender, endpoint, now, Flush::All);
        if !endpoint.goes_on(now, &sender.counters) {
            return poll.registry().deregister(io);
        }
        // Readiness is told once, at its edge: only an empty socket may be waited for.
        if sender.is_blocked() {
            wait_for_room(&mut poll, &mut events, io)?;
            sender.retry(io);
        } else if work > 0 {
            idle.worked();
        } else if idle.nothing(now_ns()) == Rest::Sleep {
            let rest = sleep(now, endpoint.poll_timeout());
            poll.poll(&mut events, Some(rest)).or_else(ignore_interruption)?;
            idle.woke();
        }
    }
}

/// Sends what the endpoint has, as far as the send buffer takes it; returns how much.
#[inline]
fn transmit(
    io: &UdpSocket,
    sender: &mut Sender,
    endpoint: &mut impl Endpoint,
    now_ns: u64,
    flush: Flush,
) -> usize {
    let mut sent = 0;
    while !sender.is_blocked()
        && let Some(transmit) = endpoint.poll_transmit(now_ns, flush)
    {
        sender.send(io, &transmit);
        sent += 1;
    }
    sent
}

/// Sleeps until the send buffer has room. Only then is it listened to: else each datagram
/// that leaves it would wake us.
fn wait_for_room(poll: &mut Poll, events: &mut Events, io: &mut UdpSocket) -> io::Result<()> {
    let both = Interest::READABLE | Interest::WRITABLE;
    poll.registry().reregister(io, Token(0), both)?;
    poll.poll(events, Some(Duration::from_nanos(SLEEP_NS_MAX))).or_else(ignore_interruption)?;
    poll.registry().reregister(io, Token(0), Interest::READABLE)
}

fn sleep(now_ns: u64, timeout_ns: Option<u64>) -> Duration {
    let until_ns = timeout_ns.unwrap_or(u64::MAX);
    Duration::from_nanos(until_ns.saturating_sub(now_ns).min(SLEEP_NS_MAX))
}

/// An empty socket, or an error of an earlier send that the kernel reports late.
fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}

fn ignore_interruption(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) }
}
