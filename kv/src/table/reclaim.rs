//! When a record that was replaced may be freed: when no thread can see it any more.

use std::ptr::NonNull;

use super::bucket::Bucket;
use super::index::Index;
use super::record::{Header, free};

#[cfg(not(loom))]
pub(super) use crossbeam_epoch::{Guard, pin};

/// Frees a record later.
///
/// # Safety
/// The record was taken out of the table, by the caller alone, under `guard`.
#[cfg(not(loom))]
pub(super) unsafe fn retire(guard: &Guard, record: NonNull<Header>) {
    let record = record.as_ptr() as usize;
    // SAFETY: nobody can find the record any more, and those that found it before are
    // pinned. The closure may run on another thread: a record belongs to none.
    unsafe {
        guard.defer_unchecked(move || {
            if let Some(record) = NonNull::new(record as *mut Header) {
                // SAFETY: the caller's promise; the epoch's end is what it waits for.
                free(record);
            }
        });
    }
}

/// Frees an index later; its records are in another.
///
/// # Safety
/// The index came from a box, and was taken out of the table, by the caller alone, under `guard`.
#[cfg(not(loom))]
pub(super) unsafe fn retire_index(guard: &Guard, index: NonNull<Index>) {
    let index = index.as_ptr() as usize;
    // SAFETY: nobody can find it any more, and those that found it before are pinned.
    unsafe {
        guard.defer_unchecked(move || {
            // SAFETY: the caller's promise; the epoch's end is what it waits for.
            drop(Box::from_raw(index as *mut Index));
        });
    }
}

/// Frees what a bucket overflowed into, later; its records are in another index.
///
/// # Safety
/// The bucket was noted as moved, by the caller alone, under `guard`.
#[cfg(not(loom))]
pub(super) unsafe fn retire_chain(guard: &Guard, chain: NonNull<Bucket>) {
    let chain = chain.as_ptr() as usize;
    // SAFETY: who finds the bucket moved looks no further, and who found it before is pinned.
    unsafe {
        guard.defer_unchecked(move || {
            if let Some(chain) = NonNull::new(chain as *mut Bucket) {
                // SAFETY: the caller's promise; the epoch's end is what it waits for.
                Bucket::free_chain(chain);
            }
        });
    }
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
