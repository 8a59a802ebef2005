//! A lock that nobody waits for: who does not get it does something else.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};

use super::sync::{AtomicBool, Ordering};

/// A value that one thread at a time has. On a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct TryLock<T> {
    is_locked: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the lock gives the value to one thread at a time.
unsafe impl<T: Send> Sync for TryLock<T> {}

/// The value, until it is dropped.
#[derive(Debug)]
pub(super) struct Locked<'a, T>(&'a TryLock<T>);

impl<T> TryLock<T> {
    pub(super) fn new(value: T) -> Self {
        Self { is_locked: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// The value, unless somebody has it.
    #[inline]
    pub(super) fn try_lock(&self) -> Option<Locked<'_, T>> {
        if self.is_locked.swap(true, Ordering::Acquire) { None } else { Some(Locked(self)) }
    }
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: `try_lock` made it, and until it is dropped nobody else makes another.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Locked<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and it is borrowed mutably.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Locked<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.is_locked.store(false, Ordering::Release);
    }
}
