//! When a record that was replaced may be freed: when no thread can see it any more.

use std::ptr::NonNull;

use super::bucket::Bucket;
use super::index::Index;
use super::record::{Header, free};

#[cfg(not(loom))]
pub(super) use crossbeam_epoch::{Guard, pin};

/// Hands something to `free` when no thread can see it any more.
///
/// # Safety
/// It was taken from where others find it, by the caller alone, under `guard`; it belongs to no
/// thread, for any may free it.
#[cfg(not(loom))]
unsafe fn later<T>(guard: &Guard, retired: NonNull<T>, free: impl FnOnce(NonNull<T>) + 'static) {
    let address = retired.as_ptr() as usize;
    // SAFETY: nobody can find it any more, and those that found it before are pinned.
    unsafe {
        guard.defer_unchecked(move || {
            if let Some(retired) = NonNull::new(address as *mut T) {
                free(retired);
            }
        });
    }
}

/// Frees a record later.
///
/// # Safety
/// The record was taken out of the table, by the caller alone, under `guard`.
#[cfg(not(loom))]
pub(super) unsafe fn retire(guard: &Guard, record: NonNull<Header>) {
    // SAFETY: the caller's promise; the epoch's end is what it waits for.
    unsafe { later(guard, record, |record| free(record)) }
}

/// Frees an index later; its records are in another.
///
/// # Safety
/// The index came from a box, and was taken out of the table, by the caller alone, under `guard`.
#[cfg(not(loom))]
pub(super) unsafe fn retire_index(guard: &Guard, index: NonNull<Index>) {
    // SAFETY: the caller's promise; the epoch's end is what it waits for.
    unsafe { later(guard, index, |index| drop(Box::from_raw(index.as_ptr()))) }
}

/// Frees what a bucket overflowed into, later; its records are in another index. Who finds the
/// bucket moved looks no further.
///
/// # Safety
/// The bucket was noted as moved, by the caller alone, under `guard`.
#[cfg(not(loom))]
pub(super) unsafe fn retire_chain(guard: &Guard, chain: NonNull<Bucket>) {
    // SAFETY: the caller's promise; the epoch's end is what it waits for.
    unsafe { later(guard, chain, |chain| Bucket::free_chain(chain)) }
}

/// Under loom nothing is freed before the test ends, so that the model is of the table's
/// own orders only; crossbeam has its own proofs.
#[cfg(loom)]
pub(super) struct Guard;

#[cfg(loom)]
pub(super) fn pin() -> Guard {
    Guard
}

#[cfg(loom)]
pub(super) unsafe fn retire(_guard: &Guard, _record: NonNull<Header>) {
    let _ = free;
}

#[cfg(loom)]
pub(super) unsafe fn retire_index(_guard: &Guard, _index: NonNull<Index>) {}

#[cfg(loom)]
pub(super) unsafe fn retire_chain(_guard: &Guard, _chain: NonNull<Bucket>) {}
