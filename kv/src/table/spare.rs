//! Memory of records that were freed, for the next ones of their size.
//!
//! Every write needs a new record, and frees an old one that is mostly as long. A thread
//! keeps what it freed last and takes it first: it is still in the cache, and the allocator
//! has no part in it.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::ptr::NonNull;

use super::bucket::TAG_SHIFT;

/// Sizes are rounded up to this, which is also their alignment. More would cost: asked for 160
/// bytes on 16, mimalloc gives 192.
const GRAIN_BYTES: usize = 8;
/// Longer records are left to the allocator.
const KEPT_BYTES_MAX: usize = 2048;
/// What a thread keeps at most.
const SPARE_BYTES_MAX: usize = 1 << 20;

/// Sizes that are kept, in grains, and 0.
const SIZES: usize = KEPT_BYTES_MAX / GRAIN_BYTES + 1;

struct Spare {
    /// By size, in grains.
    free: [Vec<NonNull<u8>>; SIZES],
    bytes: usize,
}

thread_local! {
    static SPARE: RefCell<Spare> =
        const { RefCell::new(Spare { free: [const { Vec::new() }; SIZES], bytes: 0 }) };
}

/// Memory of at least `bytes`, which is not 0, aligned to a grain.
pub(super) fn take(bytes: usize) -> NonNull<u8> {
    let layout = layout(bytes);
    // When a thread ends, its spare memory may be gone before its last record.
    let kept = SPARE.try_with(|spare| spare.borrow_mut().take(layout.size())).ok().flatten();
    kept.unwrap_or_else(|| {
        // SAFETY: the layout is not empty.
        let fresh = NonNull::new(unsafe { alloc(layout) });
        let fresh = fresh.unwrap_or_else(|| handle_alloc_error(layout));
        assert!(fresh.addr().get() >> TAG_SHIFT == 0, "a slot has no room for {fresh:?}");
        fresh
    })
}

/// Gives memory back.
///
/// # Safety
/// It came from [`take`] with as many bytes, and is used no more.
pub(super) unsafe fn give(memory: NonNull<u8>, bytes: usize) {
    let layout = layout(bytes);
    let is_kept = SPARE.try_with(|spare| spare.borrow_mut().keep(memory, layout.size()));
    if !is_kept.unwrap_or(false) {
        // SAFETY: by the caller's promise it was allocated with this very layout.
        unsafe { dealloc(memory.as_ptr(), layout) };
    }
}

impl Spare {
    #[inline]
    fn take(&mut self, bytes: usize) -> Option<NonNull<u8>> {
        let memory = self.free.get_mut(bytes / GRAIN_BYTES)?.pop()?;
        self.bytes -= bytes;
        Some(memory)
    }

    #[inline]
    fn keep(&mut self, memory: NonNull<u8>, bytes: usize) -> bool {
        let has_room = !cfg!(loom) && self.bytes + bytes <= SPARE_BYTES_MAX;
        let Some(free) = self.free.get_mut(bytes / GRAIN_BYTES).filter(|_| has_room) else {
            return false;
        };
        free.push(memory);
        self.bytes += bytes;
        true
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        for (grains, free) in self.free.iter_mut().enumerate() {
            for memory in free.drain(..) {
                // SAFETY: `give` kept it by its size, and nobody uses it.
                unsafe { dealloc(memory.as_ptr(), layout(grains * GRAIN_BYTES)) };
            }
        }
    }
}

fn layout(bytes: usize) -> Layout {
    let bytes = bytes.next_multiple_of(GRAIN_BYTES);
    Layout::from_size_align(bytes, GRAIN_BYTES).expect("records are small")
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_was_freed_last_is_taken_first_by_its_size() {
        let (one, other, longer) = (take(154), take(160), take(161));
        // SAFETY: they came from `take` with sizes that round to the same.
        unsafe {
            give(one, 153);
            give(longer, 161);
            give(other, 160);
        }
        let taken = [take(160), take(155), take(168)];
        assert_eq!(taken, [other, one, longer]);
        // SAFETY: as above.
        unsafe {
            taken.into_iter().zip([160, 155, 168]).for_each(|(memory, bytes)| give(memory, bytes));
        };
    }

    #[test]
    fn a_thread_keeps_no_more_than_it_may() {
        let records: Vec<_> = (0..2 * SPARE_BYTES_MAX / 1024).map(|_| take(1024)).collect();
        for record in records {
            // SAFETY: it came from `take` with this size.
            unsafe { give(record, 1024) };
        }
        let kept =
            SPARE.with_borrow(|spare| (spare.bytes, spare.free[1024 / GRAIN_BYTES].len() * 1024));
        assert_eq!(kept, (SPARE_BYTES_MAX, SPARE_BYTES_MAX));
    }
}
