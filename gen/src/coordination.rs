//! What all threads of a run share: how far each has come, when the streams run, and what a
//! thread reports at its end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use host::report::Counters;
use proto::counters::ClientCounters;
use udp::counters::TransportCounters;

/// How often a thread looks whether the others have come as far.
pub const LOOK_NS: u64 = 1_000_000;
/// How long an interrupted run waits for what is outstanding.
pub const INTERRUPTED_NS: u64 = 1_000_000_000;

/// When the streams run, on the clock that all threads share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The streams begin.
    pub start_ns: u64,
    /// What comes back from here on counts.
    pub measure_ns: u64,
    /// The streams end.
    pub end_ns: u64,
}

/// How the threads of a run go together.
#[derive(Debug)]
pub struct Coordination {
    /// Threads whose sessions are open.
    pub connected: AtomicUsize,
    /// Lets the threads load.
    pub may_load: AtomicBool,
    /// Records written so far.
    pub loaded: AtomicUsize,
    /// Threads that have loaded their share.
    pub ready: AtomicUsize,
    /// Lets the streams run.
    pub window: OnceLock<Window>,
    /// Ends everything early.
    pub stop: Arc<AtomicBool>,
}

impl Coordination {
    /// No thread has come anywhere yet; `stop` ends everything early.
    #[must_use]
    pub fn new(stop: Arc<AtomicBool>) -> Self {
        Self {
            connected: AtomicUsize::new(0),
            may_load: AtomicBool::new(false),
            loaded: AtomicUsize::new(0),
            ready: AtomicUsize::new(0),
            window: OnceLock::new(),
            stop,
        }
    }

    /// Whether everything is to end early.
    #[must_use]
    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Ends everything early.
    pub fn end_early(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// The window, once it has begun.
    #[must_use]
    pub fn open_window(&self, now_ns: u64) -> Option<Window> {
        self.window.get().copied().filter(|window| now_ns >= window.start_ns)
    }
}

/// What a thread knows at its end.
#[derive(Debug, Default)]
pub struct ThreadReport {
    /// Its counters.
    pub client: ClientCounters,
    /// Those of its transport.
    pub transport: TransportCounters,
    /// Operations that were due and never sent, in open loop.
    pub backlog: u64,
    /// PUTs answered as executed, from the load to what came after the measured window.
    pub puts_answered: u64,
    /// GETs of streams that the near cache answered.
    pub cache_hits: u64,
    /// Datagrams that the kernel dropped because the socket's buffer was full.
    pub kernel_drops: u64,
    /// PUTs of the load phase that a server refused.
    pub load_refused: u64,
    /// What a baseline said when it first refused an operation.
    pub refusal: Option<String>,
    /// Sessions that were lost, by the worker they were with.
    pub lost_sessions: BTreeMap<SocketAddr, u64>,
    /// Counters of each worker that answered.
    pub servers: BTreeMap<SocketAddr, Counters>,
}
