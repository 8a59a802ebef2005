//! The machines of a simulation: workers and generator threads, each in the production's
//! core loop, as far as one round of it.

use std::collections::VecDeque;
use std::net::SocketAddr;

use generator::driver::Driver;
use proto::limits::DATAGRAM_OVERHEAD_BYTES;
use proto::server::Server;
use proto::transmit::Flush;
use udp::core_loop::Endpoint as _;
use udp::sender::SocketCounters;

use crate::store::Watched;

/// Datagrams that one round takes.
const DATAGRAMS_PER_ROUND: usize = 64;

/// A datagram that waits in a socket.
#[derive(Debug)]
pub struct Arrived {
    /// Where it is from.
    pub from: SocketAddr,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether they are others than were sent.
    pub is_damaged: bool,
}

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
}

/// One socket and what runs behind it.
pub struct Machine {
    /// Its address.
    pub address: SocketAddr,
    /// Its process, for clock and pauses.
    pub process: usize,
    /// What runs.
    pub runs: Runs,
    /// Unread datagrams.
    inbox: VecDeque<Arrived>,
    inbox_bytes: usize,
    inbox_bytes_max: usize,
    /// Works until then.
    pub busy_until_ns: u64,
    /// The next round that is planned.
    pub wake_ns: u64,
}

impl Machine {
    /// A machine that waits for its first round.
    #[must_use]
    pub fn new(
        address: SocketAddr,
        process: usize,
        runs: Runs,
        receive_buffer_bytes: usize,
    ) -> Self {
        Self {
            address,
            process,
            runs,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            inbox_bytes_max: receive_buffer_bytes,
            busy_until_ns: 0,
            wake_ns: u64::MAX,
        }
    }

    /// A datagram arrives; whether there was room for it.
    pub fn arrive(&mut self, arrived: Arrived) -> bool {
        let bytes = arrived.bytes.len() + DATAGRAM_OVERHEAD_BYTES;
        if self.is_over() || self.inbox_bytes + bytes > self.inbox_bytes_max {
            return false;
        }
        self.inbox_bytes += bytes;
        self.inbox.push_back(arrived);
        true
    }

    /// Forgets what has arrived.
    pub fn empty_inbox(&mut self) {
        self.inbox.clear();
        self.inbox_bytes = 0;
    }

    /// Whether datagrams wait.
    #[must_use]
    pub fn has_mail(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Whether nothing runs there any more.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.runs, Runs::Thread { driver: None, .. })
    }

    /// The datagrams of one round.
    pub fn take_mail(&mut self) -> Vec<Arrived> {
        let count = self.inbox.len().min(DATAGRAMS_PER_ROUND);
        let mail: Vec<Arrived> = self.inbox.drain(..count).collect();
        self.inbox_bytes -=
            mail.iter().map(|a| a.bytes.len() + DATAGRAM_OVERHEAD_BYTES).sum::<usize>();
        mail
    }

    /// When its state machine wants to be called, on its own clock.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        match &self.runs {
            Runs::Worker { state, .. } => state.poll_timeout(),
            Runs::Thread { driver, .. } => driver.as_ref()?.poll_timeout(),
        }
    }
}

/// Datagrams that a round sends.
pub type Sent = Vec<(SocketAddr, Vec<u8>)>;

/// One round of a worker.
pub fn round_of_worker(
    state: &mut Server,
    clock_ns: u64,
    mail: &[Arrived],
    store: &mut Watched<'_>,
) -> Sent {
    let mut sent = Sent::new();
    let mut transmit = |state: &mut Server, flush| {
        while let Some(transmit) = state.poll_transmit(flush) {
            sent.extend(transmit.datagrams().map(|bytes| (transmit.to, bytes.to_vec())));
        }
    };
    for arrived in mail {
        store.from = arrived.from;
        state.handle_datagram(clock_ns, arrived.from, &arrived.bytes, store);
        transmit(state, Flush::Full);
    }
    state.handle_timeout(clock_ns);
    transmit(state, Flush::All);
    sent
}

/// One round of a thread; whether it goes on.
pub fn round_of_thread(driver: &mut Driver, clock_ns: u64, mail: &[Arrived]) -> (Sent, bool) {
    let mut sent = Sent::new();
    let mut transmit = |driver: &mut Driver, flush| {
        while let Some(transmit) = driver.poll_transmit(clock_ns, flush) {
            sent.extend(transmit.datagrams().map(|bytes| (transmit.to, bytes.to_vec())));
        }
    };
    for arrived in mail {
        driver.handle_datagram(clock_ns, arrived.from, &arrived.bytes);
        transmit(driver, Flush::Full);
    }
    driver.handle_timeout(clock_ns, true);
    transmit(driver, Flush::All);
    let goes_on = driver.goes_on(clock_ns, &SocketCounters::default());
    (sent, goes_on)
}
