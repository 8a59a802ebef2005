//! The sizes of cells: a page holds cells of one size.
//!
//! Sizes grow by 8 bytes up to 2 KiB. Above, a page is cut into 31, 30 … 1 cells. A class of its
//! own is for buckets that others overflow into: they don't move.

use super::sync::IN_MODEL;

/// A page, which is cut into cells.
pub(super) const PAGE_BYTES: usize = if IN_MODEL { 4 << 10 } else { 64 << 10 };
/// Sizes are rounded up to this, which is also their alignment.
const GRAIN_BYTES: usize = 8;
/// Up to this, sizes grow by grains.
const FINE_BYTES_MAX: usize = PAGE_BYTES / 32;
/// The last class of these.
const FINE_CLASS_MAX: usize = FINE_BYTES_MAX / GRAIN_BYTES;
/// The least that a cell has: no record is smaller.
pub(super) const CELL_BYTES_MIN: usize = 24;
/// What a bucket takes. In a model its atomics are more than their bytes.
pub(super) const BUCKET_CELL_BYTES: usize = if IN_MODEL { 512 } else { 64 };
/// Most cells of a page.
pub(super) const CELLS_MAX: usize = PAGE_BYTES / CELL_BYTES_MIN;

/// Which size cells have.
pub(super) type Class = usize;

/// Buckets of the index that others overflow into.
pub(super) const BUCKETS: Class = 0;
/// The smallest records.
pub(super) const FIRST: Class = CELL_BYTES_MIN / GRAIN_BYTES;
/// Classes, and two numbers between buckets and records that none has.
pub(super) const CLASSES: usize = FINE_CLASS_MAX + 32;

/// Bytes of a cell, by class.
static CELL_BYTES: [u32; CLASSES] = {
    let mut bytes = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        bytes[class] = bytes_of(class) as u32;
        class += 1;
    }
    bytes
};

/// The class of the smallest cells that hold a record of so many bytes, if there is one.
#[inline]
pub(super) const fn class_of(bytes: usize) -> Option<Class> {
    if bytes <= FINE_BYTES_MAX {
        let class = bytes.div_ceil(GRAIN_BYTES);
        return Some(if class < FIRST { FIRST } else { class });
    }
    coarse_class_of(bytes)
}

#[cold]
const fn coarse_class_of(bytes: usize) -> Option<Class> {
    let rounded = bytes.next_multiple_of(GRAIN_BYTES);
    if rounded > PAGE_BYTES { None } else { Some(FINE_CLASS_MAX + 32 - PAGE_BYTES / rounded) }
}

/// Bytes of a cell.
#[inline]
pub(super) fn cell_bytes(class: Class) -> usize {
    CELL_BYTES[class] as usize
}

/// Cells of a page.
#[inline]
pub(super) fn cells(class: Class) -> usize {
    PAGE_BYTES / cell_bytes(class)
}

const fn bytes_of(class: Class) -> usize {
    match class {
        BUCKETS => BUCKET_CELL_BYTES,
        1..=FINE_CLASS_MAX => class * GRAIN_BYTES,
        _ => PAGE_BYTES / (FINE_CLASS_MAX + 32 - class) / GRAIN_BYTES * GRAIN_BYTES,
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_the_smallest_cells_that_hold_it() {
        for bytes in 1..=PAGE_BYTES {
            let class = class_of(bytes).unwrap();
            assert!(class < CLASSES && cells(class) >= 1 && cells(class) <= CELLS_MAX);
            assert!(cell_bytes(class) >= bytes && cell_bytes(class).is_multiple_of(GRAIN_BYTES));
            let smaller = class - 1;
            let is_smallest = bytes <= CELL_BYTES_MIN || cell_bytes(smaller) < bytes;
            assert!(is_smallest, "{bytes} bytes in cells of {}", cell_bytes(class));
        }
        assert_eq!(class_of(PAGE_BYTES + 1), None);
    }

    #[test]
    fn a_page_is_cut_with_little_waste() {
        for class in FIRST..CLASSES {
            let wasted = PAGE_BYTES - cells(class) * cell_bytes(class);
            assert!(wasted * 32 < PAGE_BYTES, "{wasted} bytes of {}", cell_bytes(class));
        }
    }
}
