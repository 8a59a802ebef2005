//! The core loop: a state machine, a socket, and nothing else on this thread.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use proto::transmit::{Flush, Transmit};

use crate::clock::now_ns;
use crate::idle::{Idle, Rest, waited_ns};
use crate::loss::Loss;
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
/// The kernel sleeps by milliseconds; shorter waits are spun, where that is allowed.
const SLEEP_MIN: Duration = Duration::from_millis(1);
/// How long timers may wait for the socket to be drained.
const UNDRAINED_NS_MAX: u64 = 20_000_000;
/// How often, and how long each time, a full send buffer is waited for.
const BLOCKED_WAITS_MAX: u32 = 20;
const BLOCKED_WAIT: Duration = Duration::from_millis(10);

/// Runs an endpoint over a socket until it has enough.
pub fn run(socket: &mut Socket, mut idle: Idle, endpoint: &mut impl Endpoint) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(4);
    poll.registry().register(&mut socket.io, Token(0), Interest::READABLE)?;
    let Socket { io, receiver, sender, loss, .. } = socket;
    let mut drained_ns = now_ns();
    loop {
        let messages = match receiver.fill(io, &sender.state, &mut sender.counters) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            result => result?,
        };
        // Read after the messages came: an answer is never dated before its arrival.
        let now = now_ns();
        let mut work = 0;
        for index in 0..messages {
            let (from, datagrams) = receiver.message(index);
            for datagram in datagrams {
                if loss.as_mut().is_some_and(Loss::drops) {
                    sender.counters.datagrams_dropped += 1;
                    continue;
                }
                endpoint.handle_datagram(now, from, datagram);
                work += 1 + transmit(&mut poll, io, sender, endpoint, now, Flush::Full)?;
            }
        }
        // More is there than one round takes: for a while it tells what is late and what is
        // lost, but timers must have their turn.
        let is_drained = messages < MESSAGES_MAX || now - drained_ns > UNDRAINED_NS_MAX;
        if is_drained {
            drained_ns = now;
        }
        endpoint.handle_timeout(now, is_drained);
        work += transmit(&mut poll, io, sender, endpoint, now, Flush::All)?;
        if !endpoint.goes_on(now, &sender.counters) {
            return poll.registry().deregister(io);
        }
        // Readiness is told once, at its edge: only an empty socket may be waited for.
        if work > 0 {
            idle.worked();
        } else if idle.nothing(now_ns(), waited_ns) == Rest::Sleep {
            let rest = sleep(now, endpoint.poll_timeout());
            if rest >= SLEEP_MIN || !idle.may_spin_at(now) {
                poll.poll(&mut events, Some(rest)).or_else(ignore_interruption)?;
                idle.woke();
            }
        }
    }
}

/// Sends what the endpoint has; returns how many bursts. While the send buffer is full
/// nothing else is done, so that no more is executed than can be answered.
#[inline]
fn transmit(
    poll: &mut Poll,
    io: &mut UdpSocket,
    sender: &mut Sender,
    endpoint: &mut impl Endpoint,
    now_ns: u64,
    flush: Flush,
) -> io::Result<usize> {
    let mut sent = 0;
    while let Some(transmit) = endpoint.poll_transmit(now_ns, flush) {
        sender.send(io, &transmit);
        if sender.is_blocked() {
            wait_for_room(poll, io, sender)?;
        }
        sent += 1;
    }
    Ok(sent)
}

/// Waits until the send buffer takes the burst that is blocked, or gives the burst up after
/// a time. Only here is it listened to: else each datagram that leaves it would wake us.
#[cold]
fn wait_for_room(poll: &mut Poll, io: &mut UdpSocket, sender: &mut Sender) -> io::Result<()> {
    let mut events = Events::with_capacity(4);
    let both = Interest::READABLE | Interest::WRITABLE;
    poll.registry().reregister(io, Token(0), both)?;
    for _ in 0..BLOCKED_WAITS_MAX {
        poll.poll(&mut events, Some(BLOCKED_WAIT)).or_else(ignore_interruption)?;
        sender.retry(io);
        if !sender.is_blocked() {
            break;
        }
    }
    sender.give_up_blocked();
    poll.registry().reregister(io, Token(0), Interest::READABLE)
}

fn sleep(now_ns: u64, timeout_ns: Option<u64>) -> Duration {
    let until_ns = timeout_ns.unwrap_or(u64::MAX);
    let rest = Duration::from_nanos(until_ns.saturating_sub(now_ns).min(SLEEP_NS_MAX));
    // What is left of a millisecond would be rounded up to a whole one.
    if rest > SLEEP_MIN { Duration::from_millis(rest.as_millis() as u64) } else { rest }
}

fn ignore_interruption(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) }
}
