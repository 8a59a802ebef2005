//! The sleep of a handle's thread, and how callers put off its end, or end it.

use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
use std::task::Waker;

use udp::alarm::Alarm;

use crate::limits::TICK_NS;

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

    /// Waits for the alarm.
    pub(crate) fn wait_for_alarm(&self) -> io::Result<()> {
        self.alarm.wait()
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

    /// The keeper is awake.
    pub(crate) fn is_over(&self) {
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
            self.put_off_from(until_ns, now_ns + 2 * TICK_NS);
        }
    }

    #[cold]
    fn put_off_from(&self, before_ns: u64, until_ns: u64) {
        // One that was set off just now goes off then; where it cannot be set, as it was before.
        if self.alarm.set(until_ns).is_ok() {
            // Unless the keeper has begun another sleep since.
            let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
            let _ = self.until_ns.compare_exchange(before_ns, until_ns, success, failure);
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
