//! Records that one thread retired, to be handed over together ([`super::garbage`]).

use std::alloc::{Layout, alloc};
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use super::header::Header;
use super::sync::IN_MODEL;

/// Records that are handed over together, and their bytes.
const RECORDS_MAX: usize = if IN_MODEL { 1 } else { 128 };
const BYTES_MAX: usize = 64 << 10;

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

    /// Bytes of their cells.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The records that are in it.
    pub(super) fn records(&self) -> impl Iterator<Item = NonNull<Header>> + '_ {
        // SAFETY: `push` wrote so many.
        self.records[..self.len].iter().map(|record| unsafe { record.assume_init() })
    }

    /// Keeps only the records that `is_kept` says.
    pub(super) fn retain(&mut self, mut is_kept: impl FnMut(NonNull<Header>) -> bool) {
        let len = std::mem::take(&mut self.len);
        for at in 0..len {
            // SAFETY: `push` wrote so many.
            let record = unsafe { self.records[at].assume_init() };
            if is_kept(record) {
                self.records[self.len].write(record);
                self.len += 1;
            }
        }
    }

    /// Nothing is in it any more.
    pub(super) fn clear(&mut self) {
        (self.len, self.bytes) = (0, 0);
    }
}
