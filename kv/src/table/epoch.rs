//! Epoch-based reclamation: what was taken out of the table is dropped when no thread can see
//! it any more (Fraser 2004, by crossbeam).

#[cfg(not(shuttle))]
use std::ptr::NonNull;

#[cfg(not(any(loom, shuttle)))]
pub(super) use crossbeam_epoch::{Guard, pin};

/// Drops something when no thread can see it any more. `drop` runs on any thread.
///
/// # Safety
/// It was taken from where others find it, by the caller alone, under `guard`; and it belongs
/// to no thread.
#[cfg(not(any(loom, shuttle)))]
pub(super) unsafe fn retire<T>(
    guard: &Guard,
    retired: NonNull<T>,
    drop: impl FnOnce(NonNull<T>) + 'static,
) {
    let address = retired.as_ptr() as usize;
    // SAFETY: nobody can find it any more, and those that found it before are pinned.
    unsafe {
        guard.defer_unchecked(move || {
            if let Some(retired) = NonNull::new(address as *mut T) {
                drop(retired);
            }
        });
    }
}

/// Tells others of what this thread retired, and drops what can be dropped now.
#[cfg(not(any(loom, shuttle)))]
pub(super) fn flush(guard: &Guard) {
    guard.flush();
}

#[cfg(any(loom, shuttle))]
pub(super) fn flush(_guard: &Guard) {}

#[cfg(shuttle)]
pub(super) use super::shuttle_epoch::{Guard, pin, retire};

/// Under loom nothing is dropped before the test ends, so that the model is of the table's
/// own orders only; crossbeam has its own proofs.
#[cfg(loom)]
pub(super) struct Guard;

#[cfg(loom)]
pub(super) fn pin() -> Guard {
    Guard
}

#[cfg(loom)]
pub(super) unsafe fn retire<T>(
    _guard: &Guard,
    _retired: NonNull<T>,
    _drop: impl FnOnce(NonNull<T>) + 'static,
) {
}
