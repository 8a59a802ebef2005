//! Epochs for random schedules: what was retired is dropped as soon as it may be, when the last
//! guard is gone that was there when it was retired. So whoever keeps what no guard of its own
//! protects reads what is free, which is poisoned.
//!
//! All threads of a schedule run on one thread of the system, one at a time.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ptr::NonNull;

#[derive(Default)]
struct Epochs {
    /// What happened before.
    clock: u64,
    /// When the guards began that are there.
    guards: BTreeSet<u64>,
    /// What was retired, and when.
    retired: Vec<(u64, Box<dyn FnOnce()>)>,
}

thread_local! {
    static EPOCHS: RefCell<Epochs> = RefCell::default();
}

/// What is retired while it is there is not dropped.
pub(super) struct Guard(u64);

pub(super) fn pin() -> Guard {
    EPOCHS.with_borrow_mut(|epochs| {
        epochs.clock += 1;
        epochs.guards.insert(epochs.clock);
        Guard(epochs.clock)
    })
}

/// As [`super::epoch`] says.
///
/// # Safety
/// As there.
pub(super) unsafe fn retire<T: 'static>(
    _guard: &Guard,
    retired: NonNull<T>,
    drop: impl FnOnce(NonNull<T>) + 'static,
) {
    EPOCHS.with_borrow_mut(|epochs| {
        epochs.clock += 1;
        epochs.retired.push((epochs.clock, Box::new(move || drop(retired))));
    });
}

impl Drop for Guard {
    fn drop(&mut self) {
        let now = EPOCHS.with_borrow_mut(|epochs| {
            epochs.guards.remove(&self.0);
            let oldest = epochs.guards.first().copied().unwrap_or(u64::MAX);
            epochs.retired.extract_if(.., |(when, _)| *when < oldest).collect::<Vec<_>>()
        });
        now.into_iter().for_each(|(_, drop)| drop());
    }
}
