//! Free lists: the memory of freed records, for the next records of their size.
//!
//! Every write allocates a record and frees another that is mostly as long. Each thread has
//! a list for each size, last in, first out: what was freed last is still in the cache, and
//! the allocator has no part in it.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::ptr::NonNull;

/// An address has at most so many bits: the others of a slot's word are for something else.
pub(super) const ADDRESS_BITS: u32 = 48;
/// Sizes are rounded up to this, which is also their alignment. More would cost: asked for 160
/// bytes on 16, mimalloc gives 192.
const GRAIN_BYTES: usize = 8;
/// Longer memory goes back to the allocator.
const RECORD_BYTES_MAX: usize = 2048;
/// What the lists of a thread hold at most.
const LISTED_BYTES_MAX: usize = 1 << 20;

/// Sizes that have a list, in grains, and 0.
const SIZES: usize = RECORD_BYTES_MAX / GRAIN_BYTES + 1;

struct FreeLists {
    /// One for each size, in grains.
    by_size: [Vec<NonNull<u8>>; SIZES],
    bytes: usize,
}

thread_local! {
    static FREE_LISTS: RefCell<FreeLists> =
        const { RefCell::new(FreeLists { by_size: [const { Vec::new() }; SIZES], bytes: 0 }) };
}

/// Memory of at least `bytes`, which is not 0, aligned to a grain.
pub(super) fn allocate(bytes: usize) -> NonNull<u8> {
    let layout = layout(bytes);
    // When a thread ends, its lists may be gone before its last record.
    let listed = FREE_LISTS.try_with(|lists| lists.borrow_mut().pop(layout.size())).ok().flatten();
    listed.unwrap_or_else(|| {
        // SAFETY: the layout is not empty.
        let fresh = NonNull::new(unsafe { alloc(layout) });
        let fresh = fresh.unwrap_or_else(|| handle_alloc_error(layout));
        assert!(fresh.addr().get() >> ADDRESS_BITS == 0, "a word has no room for {fresh:?}");
        fresh
    })
}

/// Frees memory.
///
/// # Safety
/// It came from [`allocate`] with as many bytes, and is used no more.
pub(super) unsafe fn free(memory: NonNull<u8>, bytes: usize) {
    let layout = layout(bytes);
    let is_listed = FREE_LISTS.try_with(|lists| lists.borrow_mut().push(memory, layout.size()));
    if !is_listed.unwrap_or(false) {
        // SAFETY: by the caller's promise it was allocated with this very layout.
        unsafe { dealloc(memory.as_ptr(), layout) };
    }
}

impl FreeLists {
    #[inline]
    fn pop(&mut self, bytes: usize) -> Option<NonNull<u8>> {
        let memory = self.by_size.get_mut(bytes / GRAIN_BYTES)?.pop()?;
        self.bytes -= bytes;
        Some(memory)
    }

    #[inline]
    fn push(&mut self, memory: NonNull<u8>, bytes: usize) -> bool {
        let has_room = !cfg!(loom) && self.bytes + bytes <= LISTED_BYTES_MAX;
        let Some(list) = self.by_size.get_mut(bytes / GRAIN_BYTES).filter(|_| has_room) else {
            return false;
        };
        list.push(memory);
        self.bytes += bytes;
        true
    }
}

impl Drop for FreeLists {
    fn drop(&mut self) {
        for (grains, list) in self.by_size.iter_mut().enumerate() {
            for memory in list.drain(..) {
                // SAFETY: `free` put it there by its size, and nobody uses it.
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
    fn what_was_freed_last_is_allocated_first_by_its_size() {
        let (one, other, longer) = (allocate(154), allocate(160), allocate(161));
        // SAFETY: they came from `allocate` with sizes that round to the same.
        unsafe {
            free(one, 153);
            free(longer, 161);
            free(other, 160);
        }
        let allocated = [allocate(160), allocate(155), allocate(168)];
        assert_eq!(allocated, [other, one, longer]);
        // SAFETY: as above.
        unsafe {
            allocated
                .into_iter()
                .zip([160, 155, 168])
                .for_each(|(memory, bytes)| free(memory, bytes));
        };
    }

    #[test]
    fn the_lists_of_a_thread_hold_no_more_than_they_may() {
        let records: Vec<_> = (0..2 * LISTED_BYTES_MAX / 1024).map(|_| allocate(1024)).collect();
        for record in records {
            // SAFETY: it came from `allocate` with this size.
            unsafe { free(record, 1024) };
        }
        let kept = FREE_LISTS
            .with_borrow(|lists| (lists.bytes, lists.by_size[1024 / GRAIN_BYTES].len() * 1024));
        assert_eq!(kept, (LISTED_BYTES_MAX, LISTED_BYTES_MAX));
    }
}
