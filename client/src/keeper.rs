//! The thread of a handle: it drives the engine while no caller does, and otherwise looks each
//! millisecond whether one still does.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
use std::task::Waker;
use std::thread::{self, Thread};
use std::time::Duration;

use udp::clock;
use udp::socket::Watch;

use crate::engine::Engine;

/// What the keeper does now.
pub(crate) enum Next {
    /// To look again.
    Look,
    /// To sleep until this time, or until it is told that callers do not drive any more.
    Park { until_ns: u64 },
    /// To wait for what comes, until this time.
    Watch { until_ns: u64 },
    /// All is over.
    End,
}

/// Keeps the engine until it is over.
pub(crate) fn run(engine: &Engine, mut watch: Watch) {
    engine.sleep.is_of_this_thread();
    loop {
        let next = engine.keep();
        let rest = |until_ns: u64| Duration::from_nanos(until_ns.saturating_sub(clock::now_ns()));
        match next {
            Next::Look => {}
            Next::Park { until_ns } => thread::park_timeout(rest(until_ns)),
            Next::Watch { until_ns } => {
                if let Err(error) = watch.wait(rest(until_ns)) {
                    return engine.fail(error);
                }
            }
            Next::End => return,
        }
        engine.sleep.is_over();
    }
}

const AWAKE: u8 = 0;
const PARKED: u8 = 1;
const WATCHING: u8 = 2;

/// The sleep of the keeper, and how others end it.
#[derive(Debug)]
pub(crate) struct Sleep {
    kind: AtomicU8,
    /// When it ends by itself.
    until_ns: AtomicU64,
    thread: OnceLock<Thread>,
    /// Ends a wait for what comes.
    waker: Waker,
}

impl Sleep {
    pub(crate) const fn new(waker: Waker) -> Self {
        Self {
            kind: AtomicU8::new(AWAKE),
            until_ns: AtomicU64::new(0),
            thread: OnceLock::new(),
            waker,
        }
    }

    fn is_of_this_thread(&self) {
        let _ = self.thread.set(thread::current());
    }

    /// The keeper is about to sleep, and looks for what ends its sleep after this.
    pub(crate) fn begins(&self, is_parked: bool, until_ns: u64) {
        self.until_ns.store(until_ns, Ordering::Relaxed);
        self.kind.store(if is_parked { PARKED } else { WATCHING }, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    fn is_over(&self) {
        self.kind.store(AWAKE, Ordering::SeqCst);
        self.until_ns.store(0, Ordering::Relaxed);
    }

    /// When the keeper looks again at the latest; zero while it is awake.
    #[inline]
    pub(crate) fn until_ns(&self) -> u64 {
        self.until_ns.load(Ordering::Relaxed)
    }

    /// Ends the sleep, of either kind.
    pub(crate) fn end(&self) {
        fence(Ordering::SeqCst);
        match self.kind.swap(AWAKE, Ordering::SeqCst) {
            PARKED => self.unpark(),
            WATCHING => self.waker.wake_by_ref(),
            _ => {}
        }
    }

    /// Ends a sleep in which nothing that comes is seen.
    pub(crate) fn end_if_parked(&self) {
        fence(Ordering::SeqCst);
        let kind = self.kind.compare_exchange(PARKED, AWAKE, Ordering::SeqCst, Ordering::SeqCst);
        if kind.is_ok() {
            self.unpark();
        }
    }

    fn unpark(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}
