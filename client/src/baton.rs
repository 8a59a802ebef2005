//! Who drives the engine of a handle: a caller that waits, the keeper, or nobody.
//!
//! The baton only tells who should drive, so that all others can leave it to them: the engine's
//! lock is what keeps them apart. So a baton may be taken from who does not go on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// The lower bits tell who has it; the upper ones count how often it changed hands.
#[derive(Debug)]
pub(crate) struct Baton(AtomicU64);

/// One caller's possession of the baton.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold(u64);

/// Who has the baton.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The keeper looks after what is outstanding.
    Nobody = 0,
    /// A caller that waits.
    Caller = 1,
    /// The thread of the handle.
    Keeper = 2,
}

const WHO_BITS: u64 = 0b11;

/// Who has it next.
const fn next(state: u64, who: Who) -> u64 {
    (state | WHO_BITS).wrapping_add(1) | who as u64
}

const fn who(state: u64) -> Who {
    match state & WHO_BITS {
        0 => Who::Nobody,
        1 => Who::Caller,
        _ => Who::Keeper,
    }
}

impl Baton {
    /// The keeper has it.
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(Who::Keeper as u64))
    }

    #[inline]
    pub(crate) fn who(&self) -> Who {
        who(self.0.load(Ordering::SeqCst))
    }

    /// A caller takes it, unless another has it.
    #[inline]
    pub(crate) fn take(&self) -> Option<Hold> {
        let state = self.0.load(Ordering::SeqCst);
        if who(state) == Who::Caller {
            return None;
        }
        let taken = next(state, Who::Caller);
        let was = self.0.compare_exchange(state, taken, Ordering::SeqCst, Ordering::SeqCst);
        was.is_ok().then_some(Hold(taken))
    }

    /// Whether a caller still has it.
    #[inline]
    pub(crate) fn is_held(&self, hold: Hold) -> bool {
        self.0.load(Ordering::SeqCst) == hold.0
    }

    /// A caller gives it away; returns whether it still had it.
    #[inline]
    pub(crate) fn give(&self, hold: Hold, to: Who) -> bool {
        let given = next(hold.0, to);
        self.0.compare_exchange(hold.0, given, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// If nobody has it, the keeper does from now on; returns whether it was so.
    pub(crate) fn leave_to_keeper(&self) -> bool {
        let state = self.0.load(Ordering::SeqCst);
        let left = next(state, Who::Keeper);
        who(state) == Who::Nobody
            && self.0.compare_exchange(state, left, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// The keeper takes it, whoever has it.
    pub(crate) fn seize(&self) {
        let seized = |state| (who(state) != Who::Keeper).then(|| next(state, Who::Keeper));
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, seized);
    }
}

/// A caller that waits while another drives, and is woken when that one ends. There is one at a
/// time: where it is of no use, the keeper drives.
#[derive(Debug, Default)]
pub(crate) struct StandIn {
    is_there: AtomicBool,
    slot: Mutex<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Numbers those that stood in.
    last: u64,
    waker: Option<Waker>,
}

impl StandIn {
    #[inline]
    pub(crate) fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Relaxed)
    }

    /// Stands in, if nobody else does; returns the number. Who then finds the baton given away
    /// has to see to it: it may have been before.
    pub(crate) fn enter(&self, waker: &Waker) -> Option<u64> {
        let waker = waker.clone();
        let mut slot = self.slot();
        if slot.waker.is_some() {
            drop(slot);
            return None;
        }
        slot.last += 1;
        slot.waker = Some(waker);
        self.is_there.store(true, Ordering::Relaxed);
        Some(slot.last)
    }

    /// The caller of this number does not stand in any more; returns whether it still did.
    pub(crate) fn leave(&self, number: u64) -> bool {
        let mut slot = self.slot();
        let waker = if slot.last == number { slot.waker.take() } else { None };
        if waker.is_some() {
            self.is_there.store(false, Ordering::Relaxed);
        }
        drop(slot);
        // Dropped without a lock: it runs code of the caller.
        waker.is_some()
    }

    /// Who stands in, for the last time.
    pub(crate) fn take(&self) -> Option<Waker> {
        let mut slot = self.slot();
        self.is_there.store(false, Ordering::Relaxed);
        slot.waker.take()
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        // Each change is whole.
        let slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        fence(Ordering::SeqCst);
        slot
    }
}
