//! What each core runs: the server's state machine over the shared table.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use proto::counters::ServerCounters;
use proto::server::{Server, ServerConfig};
use proto::transmit::{Flush, Path, Transmit};
use udp::core_loop::Endpoint;
use udp::counters::TransportCounters;

use crate::table::Table;

/// How often a worker shows its counters.
const PUBLISH_NS: u64 = 1_000_000;

/// The counters of one worker.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerCounters {
    /// Of the protocol.
    pub server: ServerCounters,
    /// Of the transport beneath it.
    pub transport: TransportCounters,
}

/// Where a worker shows its counters to the others.
pub type Published = Arc<Mutex<WorkerCounters>>;

/// One worker.
pub struct Worker {
    server: Server,
    table: Arc<Table>,
    published: Published,
    publish_at_ns: u64,
    stop: Arc<AtomicBool>,
}

impl Worker {
    /// A worker that runs until `stop`.
    #[must_use]
    pub fn new(
        config: ServerConfig,
        table: Arc<Table>,
        published: Published,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self { server: Server::new(config), table, published, publish_at_ns: 0, stop }
    }
}

impl Endpoint for Worker {
    #[inline]
    fn handle_datagram(&mut self, now_ns: u64, path: Path, datagram: &[u8]) {
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
        self.server.poll_transmit(flush)
    }

    #[inline]
    fn goes_on(&mut self, now_ns: u64, transport: &TransportCounters) -> bool {
        let stops = self.stop.load(Ordering::Relaxed);
        if stops || now_ns >= self.publish_at_ns {
            self.publish_at_ns = now_ns + PUBLISH_NS;
            let counters =
                WorkerCounters { server: *self.server.counters(), transport: *transport };
            *self.published.lock().expect("nobody panics while holding it") = counters;
        }
        !stops
    }
}
