//! Atomics and locks: of the standard library, of loom's model checker, or of shuttle, which
//! tries schedules by chance.

#[cfg(not(any(loom, shuttle)))]
pub(super) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
#[cfg(not(any(loom, shuttle)))]
pub(super) use std::sync::{Mutex, MutexGuard};

#[cfg(shuttle)]
pub(super) use shuttle::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
#[cfg(shuttle)]
pub(super) use shuttle::sync::{Mutex, MutexGuard};

#[cfg(loom)]
pub(super) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
#[cfg(loom)]
pub(super) use loom::sync::{Mutex, MutexGuard};

/// Whether this is a model: its tables are small, so that few steps come to all that can happen.
pub(super) const IN_MODEL: bool = cfg!(any(loom, shuttle));

/// Lets others go on.
#[inline]
pub(super) fn relax() {
    #[cfg(not(any(loom, shuttle)))]
    std::hint::spin_loop();
    #[cfg(shuttle)]
    shuttle::thread::yield_now();
    #[cfg(loom)]
    loom::thread::yield_now();
}

/// Where others may go on, though nothing is shared: between the reading of an address and that of
/// what is there.
#[inline]
pub(super) fn between() {
    #[cfg(shuttle)]
    shuttle::thread::yield_now();
}

/// A plain value that is written before others can see it, and never after. Under loom each
/// read is checked to come after the write, so that an order that is too weak is found.
#[derive(Debug)]
pub(super) struct WriteOnce<T>(#[cfg(not(loom))] T, #[cfg(loom)] loom::cell::UnsafeCell<T>);

impl<T: Copy> WriteOnce<T> {
    #[cfg(not(loom))]
    #[inline]
    pub(super) fn new(value: T) -> Self {
        Self(value)
    }

    #[cfg(not(loom))]
    #[inline]
    pub(super) fn get(&self) -> T {
        self.0
    }

    #[cfg(loom)]
    pub(super) fn new(value: T) -> Self {
        Self(loom::cell::UnsafeCell::new(value))
    }

    #[cfg(loom)]
    pub(super) fn get(&self) -> T {
        // SAFETY: nobody writes it any more; loom checks just that.
        self.0.with(|value| unsafe { *value })
    }
}
