//! The buckets of an index, in one mapping on huge pages where the system grants them.
//!
//! The system fills fresh pages with zeros, which are empty buckets, and only when they are first
//! touched: so a large index is made at once.

use std::io;
use std::ops::Deref;

use super::bucket::Bucket;
#[cfg(not(any(loom, shuttle)))]
use super::region::leave_addresses;

/// Empty buckets.
#[derive(Debug)]
pub(super) struct BucketArray {
    #[cfg(not(any(loom, shuttle)))]
    map: memmap2::MmapRaw,
    #[cfg(any(loom, shuttle))]
    buckets: Box<[Bucket]>,
}

#[cfg(not(any(loom, shuttle)))]
impl BucketArray {
    /// So many buckets, if the system has memory to map for them.
    pub(super) fn new(buckets: usize) -> io::Result<Self> {
        let map = memmap2::MmapMut::map_anon(buckets * size_of::<Bucket>())?;
        leave_addresses()?;
        // Where huge pages are not to be had, small ones do.
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self { map: map.into() })
    }
}

#[cfg(not(any(loom, shuttle)))]
impl Deref for BucketArray {
    type Target = [Bucket];

    #[inline]
    fn deref(&self) -> &[Bucket] {
        let count = self.map.len() / size_of::<Bucket>();
        // SAFETY: the mapping is aligned to pages and lives as long as `self`, its bytes were
        // zero at first, which are empty buckets, and are only used as buckets.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast(), count) }
    }
}

/// In a model an atomic is more than its bytes.
#[cfg(any(loom, shuttle))]
impl BucketArray {
    pub(super) fn new(buckets: usize) -> io::Result<Self> {
        Ok(Self { buckets: (0..buckets).map(|_| Bucket::empty()).collect() })
    }
}

#[cfg(any(loom, shuttle))]
impl Deref for BucketArray {
    type Target = [Bucket];

    fn deref(&self) -> &[Bucket] {
        &self.buckets
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_no_memory_is_there_for_is_an_error() {
        // More than a processor can address.
        assert!(BucketArray::new(1 << 52).is_err());
    }
}
