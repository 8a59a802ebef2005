//! The core loop: a state machine, a transport, and nothing else on this thread.

use std::io;
use std::time::Duration;

use proto::transmit::{Flush, Path, Transmit};

use crate::counters::TransportCounters;
use crate::idle::{Idle, Rest, waited_ns};
use crate::transport::{Inbox, Transport};

/// What the loop runs.
pub trait Endpoint {
    /// Takes a datagram that came on `path`.
    fn handle_datagram(&mut self, now_ns: u64, path: Path, datagram: &[u8]);

    /// Does what time has made due. Called once a round, and must be cheap when nothing is.
    /// `is_drained`: nothing more is there to be received, so what has not come is late.
    fn handle_timeout(&mut self, now_ns: u64, is_drained: bool);

    /// When [`Self::handle_timeout`] has something to do again.
    fn poll_timeout(&self) -> Option<u64>;

    /// The next burst to send.
    fn poll_transmit(&mut self, now_ns: u64, flush: Flush) -> Option<Transmit<'_>>;

    /// Told once a round what the transport counted; returns whether to go on.
    fn goes_on(&mut self, now_ns: u64, transport: &TransportCounters) -> bool;

    /// Told that a round without work is over at `now_ns`, and the rest after it: time until here
    /// was not worked.
    fn rested(&mut self, _now_ns: u64) {}
}

/// What a round came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// Something came, or went.
    Worked,
    /// Nothing did. The next round may wait for a datagram, or for this time.
    Idle {
        /// When the endpoint has something to do by itself, if it knows.
        timeout_ns: Option<u64>,
    },
    /// The endpoint has enough.
    Over,
}

/// Longest sleep, so that a loop notices when it is told to end.
pub const SLEEP_NS_MAX: u64 = 50_000_000;
/// Waking up takes a good part of a shorter sleep: it is spun, where that is allowed.
const SLEEP_NS_MIN: u64 = 1_000_000;
/// How long timers may wait for the transport to be drained.
pub const UNDRAINED_NS_MAX: u64 = 20_000_000;

/// The state of a loop between its rounds.
#[derive(Debug)]
pub struct CoreLoop<I> {
    inbox: I,
    drained_ns: u64,
}

impl<I: Inbox> CoreLoop<I> {
    /// Before the first round.
    pub fn new(transport: &impl Transport<Inbox = I>) -> Self {
        Self { inbox: transport.inbox(), drained_ns: transport.now_ns() }
    }

    /// Runs an endpoint until it has enough: rounds, and rest between them. May be called
    /// again, with the same endpoint or another.
    pub fn run(
        &mut self,
        transport: &mut impl Transport<Inbox = I>,
        idle: &mut Idle,
        endpoint: &mut impl Endpoint,
    ) -> io::Result<()> {
        // How long nobody ran it says nothing about who else used this core.
        idle.woke();
        loop {
            match self.round(transport, endpoint)? {
                Round::Over => return Ok(()),
                Round::Worked => idle.worked(),
                Round::Idle { timeout_ns } => {
                    let mut now = transport.now_ns();
                    if idle.nothing(now, waited_ns) == Rest::Sleep {
                        let until_ns = timeout_ns.unwrap_or(u64::MAX);
                        let rest_ns = until_ns.saturating_sub(now).min(SLEEP_NS_MAX);
                        if rest_ns >= SLEEP_NS_MIN || !idle.may_spin_at(now) {
                            transport.wait(Duration::from_nanos(rest_ns))?;
                            idle.woke();
                            now = transport.now_ns();
                        }
                    }
                    endpoint.rested(now);
                }
            }
        }
    }

    /// Sends what the endpoint has, without a look at what came: for who begins something.
    pub fn send(
        &mut self,
        transport: &mut impl Transport<Inbox = I>,
        endpoint: &mut impl Endpoint,
        now_ns: u64,
    ) {
        transmit(transport, endpoint, now_ns, Flush::All);
    }

    /// Receives a burst, executes it, does what is due, and sends what came of it.
    pub fn round(
        &mut self,
        transport: &mut impl Transport<Inbox = I>,
        endpoint: &mut impl Endpoint,
    ) -> io::Result<Round> {
        let received = transport.receive(&mut self.inbox)?;
        // Read after the messages came: an answer is never dated before its arrival.
        let now = transport.now_ns();
        let mut work = transport.flush(now);
        for index in 0..received.messages {
            let (path, datagrams) = self.inbox.message(index);
            for datagram in datagrams {
                endpoint.handle_datagram(now, path, datagram);
                work += 1 + transmit(transport, endpoint, now, Flush::Full);
            }
        }
        // More is there than one round takes: for a while nobody can tell what is late from
        // what is lost, but timers must have their turn.
        let is_drained = received.is_drained || now - self.drained_ns > UNDRAINED_NS_MAX;
        if is_drained {
            self.drained_ns = now;
        }
        endpoint.handle_timeout(now, is_drained);
        work += transmit(transport, endpoint, now, Flush::All);
        Ok(match endpoint.goes_on(now, transport.counters()) {
            false => Round::Over,
            true if work > 0 || !received.is_drained => Round::Worked,
            true => Round::Idle { timeout_ns: endpoint.poll_timeout() },
        })
    }
}

/// Sends what the endpoint has; returns how many bursts.
#[inline]
fn transmit(
    transport: &mut impl Transport,
    endpoint: &mut impl Endpoint,
    now_ns: u64,
    flush: Flush,
) -> usize {
    let mut sent = 0;
    while let Some(burst) = endpoint.poll_transmit(now_ns, flush) {
        transport.send(now_ns, burst);
        sent += 1;
    }
    sent
}

/// Runs an endpoint over a transport until it has enough: rounds, and rest between them.
pub fn run(
    transport: &mut impl Transport,
    mut idle: Idle,
    endpoint: &mut impl Endpoint,
) -> io::Result<()> {
    CoreLoop::new(transport).run(transport, &mut idle, endpoint)
}
