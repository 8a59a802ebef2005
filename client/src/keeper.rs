//! The thread of a handle: it drives the engine while no caller does, and otherwise looks each
//! millisecond whether one still does.

use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
use std::task::Waker;
use std::time::Duration;

use udp::alarm::Alarm;
use udp::clock;
use udp::socket::Watch;

use crate::engine::Engine;
use crate::limits::TICK_NS;

/// What the keeper does now.
pub(crate) enum Next {
    /// To look again.
    Look,
    /// To sleep until its alarm, because callers drive and put that off.
    Park,
    /// To wait for what comes, until this time.
    Watch { until_ns: u64 },
    /// All is over.
    End,
}

/// Keeps the engine until it is over.
pub(crate) fn run(engine: &Engine, mut watch: Watch) {
    engine.keep_by_this_thread();
    loop {
        match engine.keep() {
            Next::Look => {}
            Next::Park => {
                if let Err(error) = engine.sleep.alarm.wait() {
                    return engine.fail(error);
                }
            }
            Next::Watch { until_ns } => {
                let rest = Duration::from_nanos(until_ns.saturating_sub(clock::now_ns()));
                if let Err(error) = watch.wait(rest) {
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

/// The sleep of the keeper, and how others put off its end, or end it.
#[derive(Debug)]
pub(crate) struct Sleep {
    kind: AtomicU8,
    /// When it ends by itself.
    until_ns: AtomicU64,
    alarm: Alarm,
    /// Ends a wait for what comes.
    waker: Waker,
}

impl Sleep {
    pub(crate) const fn new(alarm: Alarm, waker: Waker) -> Self {
        let (kind, until_ns) = (AtomicU8::new(AWAKE), AtomicU64::new(0));
        Self { kind, until_ns, alarm, waker }
    }

    /// The keeper is about to sleep until its alarm. It looks for what ends its sleep after this.
    pub(crate) fn parks(&self, until_ns: u64) -> io::Result<()> {
        self.alarm.set(until_ns)?;
        self.begins(PARKED, until_ns);
        Ok(())
    }

    /// The keeper is about to wait for what comes. It looks for what ends its wait after this.
    pub(crate) fn watches(&self, until_ns: u64) {
        self.begins(WATCHING, until_ns);
    }

    fn begins(&self, kind: u8, until_ns: u64) {
        self.until_ns.store(until_ns, Ordering::Relaxed);
        self.kind.store(kind, Ordering::SeqCst);
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

    /// Callers drove a round at `now_ns`: the keeper need not look soon. The alarm is put off a
    /// tick at a time, because each time is a system call.
    #[inline]
    pub(crate) fn put_off(&self, now_ns: u64) {
        let until_ns = self.until_ns();
        if until_ns < now_ns + TICK_NS && self.kind.load(Ordering::Relaxed) == PARKED {
            self.put_off_to(now_ns + 2 * TICK_NS);
        }
    }

    #[cold]
    fn put_off_to(&self, until_ns: u64) {
        // One that was set off just now goes off then; where it cannot be set, as it was before.
        if self.alarm.set(until_ns).is_ok() {
            self.until_ns.store(until_ns, Ordering::Relaxed);
        }
    }

    /// Ends the sleep, of either kind.
    pub(crate) fn end(&self) {
        fence(Ordering::SeqCst);
        match self.kind.swap(AWAKE, Ordering::SeqCst) {
            PARKED => self.set_off(),
            WATCHING => self.waker.wake_by_ref(),
            _ => {}
        }
    }

    /// Ends a sleep in which nothing that comes is seen.
    pub(crate) fn end_if_parked(&self) {
        fence(Ordering::SeqCst);
        let kind = self.kind.compare_exchange(PARKED, AWAKE, Ordering::SeqCst, Ordering::SeqCst);
        if kind.is_ok() {
            self.set_off();
        }
    }

    fn set_off(&self) {
        // Where it cannot be, it goes off by itself.
        let _ = self.alarm.set(0);
    }
}
