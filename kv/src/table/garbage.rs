//! Records that were retired: they are handed over in bags, and freed when no thread can see them.

use std::alloc::{Layout, alloc};
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::Arc;

use super::cells::Cells;
use super::epoch::{Guard, flush, retire};
use super::record::{Header, class_of_record};
use super::sync::IN_MODEL;

/// Records that are handed over together, and their bytes.
const RECORDS_MAX: usize = if IN_MODEL { 1 } else { 128 };
const BYTES_MAX: usize = 64 << 10;
/// Empty bags that a shard keeps: as many as are usually waiting.
pub(super) const SPARE_BAGS: usize = 8;

/// Records of one thread.
#[derive(Debug)]
pub(super) struct Bag {
    len: usize,
    /// Of their cells.
    bytes: usize,
    records: [MaybeUninit<NonNull<Header>>; RECORDS_MAX],
}

// SAFETY: they were taken out of the table, so whoever has the bag is the one to free them.
unsafe impl Send for Bag {}

impl Bag {
    /// An empty one, if the system has memory for it.
    pub(super) fn new() -> Option<Box<Self>> {
        // SAFETY: it is not empty.
        let bag = NonNull::new(unsafe { alloc(Layout::new::<Self>()) })?.cast::<Self>();
        let empty = Self { len: 0, bytes: 0, records: [MaybeUninit::uninit(); RECORDS_MAX] };
        // SAFETY: it was allocated for just this.
        Some(unsafe {
            bag.write(empty);
            Box::from_raw(bag.as_ptr())
        })
    }

    #[inline]
    pub(super) fn push(&mut self, record: NonNull<Header>, bytes: usize) {
        self.records[self.len].write(record);
        self.len += 1;
        self.bytes += bytes;
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.len == RECORDS_MAX || self.bytes >= BYTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Frees records when no thread can see them any more.
#[cold]
#[inline(never)]
pub(super) fn hand_over(cells: &Arc<Cells>, bag: Box<Bag>, guard: &Guard) {
    let cells = cells.clone();
    cells.add_garbage(bag.bytes);
    let bag = NonNull::from(Box::leak(bag));
    // SAFETY: the bag was leaked above, and its records were taken out of the table.
    unsafe { retire(guard, bag, move |bag| free(&cells, Box::from_raw(bag.as_ptr()))) };
    flush(guard);
}

/// No thread can see them any more.
fn free(cells: &Cells, mut bag: Box<Bag>) {
    cells.sub_garbage(bag.bytes);
    let mut mine = cells.mine();
    let is_evacuating = cells.is_evacuating();
    let mut kept_back = 0;
    for at in 0..bag.len {
        // SAFETY: `push` wrote so many.
        let record = unsafe { bag.records[at].assume_init() };
        let cell = record.cast();
        if is_evacuating && cells.is_evacuated(cell) {
            bag.records[kept_back].write(record);
            kept_back += 1;
        } else {
            // SAFETY: it is still initialized.
            let class = unsafe { class_of_record(record) };
            mine.free(cell, class);
        }
    }
    if kept_back > 0 {
        // The pages of these are to empty.
        // SAFETY: they were written above.
        let records = bag.records[..kept_back].iter().map(|record| unsafe { record.assume_init() });
        cells.give(records.map(NonNull::cast));
    }
    (bag.len, bag.bytes) = (0, 0);
    mine.keep_bag(bag);
}
