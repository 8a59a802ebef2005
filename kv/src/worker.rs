//! What each core runs: the server's state machine over the shared table.

mod figures;
mod histogram;
mod pace;
mod timed_store;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proto::server::{Server, ServerConfig};
use proto::transmit::{Flush, Path, Transmit};
use udp::clock;
use udp::core_loop::Endpoint;
use udp::counters::TransportCounters;

use crate::table::Table;
use pace::Pace;
use timed_store::{TimedStore, look_ns};

pub use figures::{Published, WorkerFigures};
pub use histogram::Histogram;
pub use pace::TimeCounters;

/// How often a worker shows its figures.
const PUBLISH_NS: u64 = 1_000_000;
/// One datagram in so many is timed. A prime, so that no pattern of the traffic hides from it.
const TIMED_SHARE: u32 = 251;

/// One worker.
pub struct Worker {
    server: Server,
    table: Arc<Table>,
    published: Arc<Published>,
    publish_at_ns: u64,
    stop: Arc<AtomicBool>,
    figures: WorkerFigures,
    pace: Pace,
    /// Messages and bursts when the round before ended.
    work: u64,
    /// Datagrams until one is timed.
    until_timed: u32,
    look_ns: u64,
}

impl Worker {
    /// A worker that runs until `stop`.
    #[must_use]
    pub fn new(
        config: ServerConfig,
        table: Arc<Table>,
        published: Arc<Published>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self {
            server: Server::new(config),
            table,
            published,
            publish_at_ns: 0,
            stop,
            figures: WorkerFigures::default(),
            pace: Pace::default(),
            work: 0,
            until_timed: TIMED_SHARE,
            look_ns: look_ns(),
        }
    }

    /// As `handle_datagram`, with a look at the clock before and after each part.
    #[cold]
    #[inline(never)]
    fn handle_timed(&mut self, now_ns: u64, path: Path, datagram: &[u8]) {
        self.until_timed = TIMED_SHARE;
        let mut store = TimedStore::new(&self.table, self.look_ns);
        let began_ns = clock::now_ns();
        self.server.handle_datagram(now_ns, path, datagram, &mut store);
        let spent_ns = clock::now_ns().saturating_sub(began_ns);
        if store.gets.operations + store.puts.operations == 0 {
            return; // No request, or one that was not executed.
        }
        let time = &mut self.figures.time;
        time.requests_timed += 1;
        time.requests_timed_ns += spent_ns.saturating_sub(store.own_ns() + self.look_ns);
        time.gets_timed += store.gets.operations;
        time.gets_timed_ns += store.gets.ns;
        time.puts_timed += store.puts.operations;
        time.puts_timed_ns += store.puts.ns;
    }

    /// A round has received at `now_ns`, and executed and sent what came of it.
    #[inline]
    fn note_round(&mut self, now_ns: u64, transport: &TransportCounters) {
        let received = self.server.counters().datagrams_received;
        if received != self.figures.server.datagrams_received {
            self.figures.received.add(received - self.figures.server.datagrams_received);
            self.figures.server.datagrams_received = received;
        }
        let work = transport.messages_received + transport.bursts_sent;
        if let Some(spent_ns) = self.pace.round(now_ns, work != self.work) {
            self.figures.time.rounds_worked += 1;
            self.figures.time.busy_ns += spent_ns;
            self.figures.rounds.add(spent_ns);
        }
        self.work = work;
    }

    #[cold]
    fn publish(&mut self, now_ns: u64, transport: &TransportCounters) {
        self.publish_at_ns = now_ns + PUBLISH_NS;
        if self.figures.thread == 0 {
            self.figures.thread = host::sample::thread_id();
        }
        self.published.publish(WorkerFigures {
            server: *self.server.counters(),
            transport: *transport,
            limited: *self.server.limited(),
            sessions: self.server.sessions() as u64,
            told_ns: now_ns,
            ..self.figures
        });
    }
}

impl Endpoint for Worker {
    #[inline]
    fn handle_datagram(&mut self, now_ns: u64, path: Path, datagram: &[u8]) {
        self.until_timed -= 1;
        if self.until_timed == 0 {
            return self.handle_timed(now_ns, path, datagram);
        }
        self.server.handle_datagram(now_ns, path, datagram, &mut &*self.table);
    }

    #[inline]
    fn handle_timeout(&mut self, now_ns: u64, _is_drained: bool) {
        self.server.handle_timeout(now_ns);
    }

    fn poll_timeout(&self) -> Option<u64> {
        self.server.poll_timeout()
    }

    #[inline]
    fn poll_transmit(&mut self, _now_ns: u64, flush: Flush) -> Option<Transmit<'_>> {
        // Asked until there is none, so the size of each burst is known at the next question.
        let sent = self.server.counters().datagrams_sent;
        if sent != self.figures.server.datagrams_sent {
            self.figures.sent.add(sent - self.figures.server.datagrams_sent);
            self.figures.server.datagrams_sent = sent;
        }
        self.server.poll_transmit(flush)
    }

    #[inline]
    fn goes_on(&mut self, now_ns: u64, transport: &TransportCounters) -> bool {
        self.note_round(now_ns, transport);
        let stops = self.stop.load(Ordering::Relaxed);
        if stops || now_ns >= self.publish_at_ns {
            self.publish(now_ns, transport);
        }
        !stops
    }

    #[inline]
    fn rested(&mut self, now_ns: u64) {
        self.pace.rested(now_ns);
    }
}
