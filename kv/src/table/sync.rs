//! Atomics, of the standard library or of loom's model checker.

#[cfg(not(loom))]
pub(super) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
#[cfg(not(loom))]
pub(super) use std::sync::{Mutex, MutexGuard};

#[cfg(loom)]
pub(super) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
#[cfg(loom)]
pub(super) use loom::sync::{Mutex, MutexGuard};

/// Lets others go on.
#[inline]
pub(super) fn relax() {
    #[cfg(not(loom))]
    std::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
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
