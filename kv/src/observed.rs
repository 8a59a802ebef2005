//! What there is to see of a server while it runs: its workers, its table, its process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use host::output::texts_lost;
use host::sample::kernel_drops_by_port;
use proto::store::Store as _;

use crate::table::Table;
use crate::worker::{Published, WorkerFigures};

proto::counters! {
    /// What a server counts beside its workers and its table.
    ProcessCounters {
        /// Datagrams that the kernel dropped at the workers' sockets.
        kernel_drops: trouble,
        /// Lines for stdout and stderr that could not be written.
        lines_lost,
        /// Questions on the port of --metrics that were answered.
        http_answered,
        /// Connections to that port that ended without their answer: too slow, too many, no HTTP.
        http_dropped: trouble,
    }
}

/// What the port of `--metrics` has seen.
#[derive(Debug, Default)]
pub struct HttpCounters {
    /// Questions answered.
    pub answered: AtomicU64,
    /// Connections that ended without their answer.
    pub dropped: AtomicU64,
}

/// A server, for those that look at it.
#[derive(Debug)]
pub struct Observed {
    /// Of each worker's socket.
    ports: Vec<u16>,
    table: Arc<Table>,
    workers: Vec<Arc<Published>>,
    /// Of the port of `--metrics`.
    pub http: HttpCounters,
}

impl Observed {
    /// A server with a worker on each of these ports.
    #[must_use]
    pub fn new(ports: Vec<u16>, table: Arc<Table>) -> Self {
        let workers = ports.iter().map(|_| Arc::default()).collect();
        Self { ports, table, workers, http: HttpCounters::default() }
    }

    /// Where a worker shows its figures.
    #[must_use]
    pub fn published(&self, worker: usize) -> Arc<Published> {
        self.workers[worker].clone()
    }

    /// What each worker showed last.
    pub fn workers(&self) -> impl Iterator<Item = WorkerFigures> {
        self.workers.iter().map(|worker| worker.read())
    }

    /// The gauges of the table.
    #[must_use]
    pub fn gauges(&self) -> Vec<(&'static str, u64)> {
        (&*self.table).gauges()
    }

    /// What the kernel dropped at each worker's socket; none if nobody tells, as without /proc.
    #[must_use]
    pub fn kernel_drops(&self) -> Option<Vec<u64>> {
        kernel_drops_by_port(&self.ports).ok()
    }

    /// The counters of the process.
    #[must_use]
    pub fn process(&self, kernel_drops: u64) -> ProcessCounters {
        ProcessCounters {
            kernel_drops,
            lines_lost: texts_lost(),
            http_answered: self.http.answered.load(Ordering::Relaxed),
            http_dropped: self.http.dropped.load(Ordering::Relaxed),
        }
    }
}
