//! The machines of a simulation: workers, generator threads and applications, each in the production's
//! core loop.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use generator::driver::Driver;
use proto::server::Server;
use proto::transmit::{Flush, Path, Transmit};
use udp::core_loop::{CoreLoop, Endpoint};
use udp::counters::TransportCounters;

use crate::applications::Application;
use crate::config::Config;
use crate::link::{Arrived, Link, Mail};
use crate::store::Watched;
use crate::trace::{Datagram, Trace, What};

/// What runs on a machine.
pub enum Runs {
    /// A worker, by its server and its number there.
    Worker {
        /// Which server.
        server: usize,
        /// The state machine.
        state: Box<Server>,
    },
    /// A thread, by its generator and its number there.
    Thread {
        /// Which generator.
        generator: usize,
        /// The state machine, until it is over.
        driver: Option<Box<Driver>>,
    },
    /// An application.
    Application(Option<Box<Application>>),
}

/// One socket and what runs behind it.
pub struct Machine {
    /// Its address.
    pub address: SocketAddr,
    /// Its process, for clock and pauses.
    pub process: usize,
    /// What runs.
    pub runs: Runs,
    /// Its transport, and the loop over it.
    pub link: Link,
    pub(super) core_loop: CoreLoop<Mail>,
    /// Works until then.
    pub busy_until_ns: u64,
    /// The next round that is planned.
    pub wake_ns: u64,
}

impl Machine {
    /// A machine that waits for its first round.
    #[must_use]
    pub fn new(address: SocketAddr, process: usize, runs: Runs, config: &Config) -> Self {
        let link = Link::new(config);
        Self {
            address,
            process,
            runs,
            core_loop: CoreLoop::new(&link),
            link,
            busy_until_ns: 0,
            wake_ns: u64::MAX,
        }
    }

    /// A datagram arrives; whether there was room for it.
    pub fn arrive(&mut self, arrived: Arrived) -> bool {
        !self.is_over() && self.link.arrive(arrived)
    }

    /// Another life begins, with nothing of the one before.
    pub fn restart(&mut self, runs: Runs, config: &Config) {
        self.runs = runs;
        self.link = Link::new(config);
        self.core_loop = CoreLoop::new(&self.link);
    }

    /// Whether nothing runs there any more.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.runs, Runs::Thread { driver: None, .. } | Runs::Application(None))
    }
}

/// Bytes from and to addresses that have opened no session, by worker and address.
pub type Unproved = BTreeMap<(SocketAddr, SocketAddr), (u64, u64)>;

/// A worker for one round: it finds the watched table, and everything that comes is noted.
pub(super) struct WorkerRound<'a> {
    pub(super) state: &'a mut Server,
    pub(super) store: Watched<'a>,
    pub(super) unproved: &'a mut Unproved,
    pub(super) datagrams: u64,
}

impl Endpoint for WorkerRound<'_> {
    fn handle_datagram(&mut self, now_ns: u64, path: Path, bytes: &[u8]) {
        let Self { state, store, .. } = self;
        let (from, worker) = (path.remote, store.worker);
        note_taken(store.trace, store.now_ns, from, worker, bytes);
        self.unproved.entry((worker, from)).or_default().0 += bytes.len() as u64;
        self.datagrams += 1;
        store.from = from;
        state.handle_datagram(now_ns, path, bytes, store);
    }

    fn handle_timeout(&mut self, now_ns: u64, _is_drained: bool) {
        self.state.handle_timeout(now_ns);
    }

    fn poll_timeout(&self) -> Option<u64> {
        self.state.poll_timeout()
    }

    fn poll_transmit(&mut self, _now_ns: u64, flush: Flush) -> Option<Transmit<'_>> {
        self.state.poll_transmit(flush)
    }

    fn goes_on(&mut self, _now_ns: u64, _transport: &TransportCounters) -> bool {
        true
    }
}

/// A thread or an application for one round: everything that comes is noted.
pub(super) struct Noted<'a, E> {
    pub(super) endpoint: &'a mut E,
    pub(super) trace: &'a mut Trace,
    pub(super) address: SocketAddr,
    pub(super) now_ns: u64,
}

impl<E: Endpoint> Endpoint for Noted<'_, E> {
    fn handle_datagram(&mut self, now_ns: u64, path: Path, bytes: &[u8]) {
        note_taken(self.trace, self.now_ns, path.remote, self.address, bytes);
        self.endpoint.handle_datagram(now_ns, path, bytes);
    }

    fn handle_timeout(&mut self, now_ns: u64, is_drained: bool) {
        self.endpoint.handle_timeout(now_ns, is_drained);
    }

    fn poll_timeout(&self) -> Option<u64> {
        self.endpoint.poll_timeout()
    }

    fn poll_transmit(&mut self, now_ns: u64, flush: Flush) -> Option<Transmit<'_>> {
        self.endpoint.poll_transmit(now_ns, flush)
    }

    fn goes_on(&mut self, now_ns: u64, transport: &TransportCounters) -> bool {
        self.endpoint.goes_on(now_ns, transport)
    }
}

fn note_taken(trace: &mut Trace, now_ns: u64, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
    trace.add(now_ns, to, What::Taken(Datagram::new(from, to, bytes)), bytes);
}
