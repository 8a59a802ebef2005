//! The memory of an index: buckets on huge pages, where the system grants them.
//!
//! Fresh pages are zero, which is an empty bucket, and are there when they are touched first:
//! so a large index is made at once.

use std::ops::{Deref, DerefMut};

use super::bucket::Bucket;

/// Empty buckets.
#[derive(Debug)]
pub(super) struct Pages {
    #[cfg(not(loom))]
    map: memmap2::MmapRaw,
    #[cfg(loom)]
    buckets: Box<[Bucket]>,
}

#[cfg(not(loom))]
impl Pages {
    /// So many buckets.
    ///
    /// # Panics
    /// If the system has no more memory to map, as allocations do.
    pub(super) fn new(buckets: usize) -> Self {
        let bytes = buckets * size_of::<Bucket>();
        let map = memmap2::MmapMut::map_anon(bytes)
            .unwrap_or_else(|error| panic!("no memory for an index of {bytes} bytes: {error}"));
        // Where huge pages are not to be had, small ones do.
        let _ = map.advise(memmap2::Advice::HugePage);
        Self { map: map.into() }
    }
}

#[cfg(not(loom))]
impl Deref for Pages {
    type Target = [Bucket];

    #[inline]
    fn deref(&self) -> &[Bucket] {
        let count = self.map.len() / size_of::<Bucket>();
        // SAFETY: the mapping is aligned to pages and lives as long as `self`, its bytes were
        // zero at first, which are empty buckets, and are only used as buckets.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast(), count) }
    }
}

#[cfg(not(loom))]
impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [Bucket] {
        let count = self.map.len() / size_of::<Bucket>();
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().cast(), count) }
    }
}

/// Under loom an atomic is more than its bytes.
#[cfg(loom)]
impl Pages {
    pub(super) fn new(buckets: usize) -> Self {
        Self { buckets: (0..buckets).map(|_| Bucket::empty()).collect() }
    }
}

#[cfg(loom)]
impl Deref for Pages {
    type Target = [Bucket];

    fn deref(&self) -> &[Bucket] {
        &self.buckets
    }
}

#[cfg(loom)]
impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [Bucket] {
        &mut self.buckets
    }
}
