//! The memory of all pages: one mapping, of which the system gives what is touched.

use std::io;
use std::ptr::NonNull;

use super::sync::IN_MODEL;

/// An address has at most so many bits: the others of a slot's word are for something else.
pub(super) const ADDRESS_BITS: u32 = 48;
/// Huge pages begin at such addresses.
const ALIGNMENT_BYTES: usize = if IN_MODEL { 64 } else { 2 << 20 };

/// What a table leaves of the addresses that the process may have (`RLIMIT_AS`): for stacks,
/// sessions and buffers, whose memory may not fail.
#[cfg(not(any(loom, shuttle)))]
const LEFT_BYTES: usize = 64 << 20;

/// Memory that is its owner's alone.
#[derive(Debug)]
pub(super) struct Region {
    base: NonNull<u8>,
    #[cfg(not(any(loom, shuttle)))]
    _map: memmap2::MmapRaw,
    #[cfg(any(loom, shuttle))]
    _memory: Box<[std::cell::UnsafeCell<u64>]>,
}

// SAFETY: it is memory, and says nothing of who may use which part of it.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// So many bytes, if the system has addresses for them.
    #[cfg(not(any(loom, shuttle)))]
    pub(super) fn new(bytes: usize, on_huge_pages: bool) -> io::Result<Self> {
        let reserved = bytes.checked_add(ALIGNMENT_BYTES).ok_or(io::ErrorKind::OutOfMemory)?;
        let map = memmap2::MmapOptions::new().len(reserved).no_reserve_swap().map_anon()?;
        if on_huge_pages {
            // Where huge pages are not to be had, small ones do.
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        leave_addresses()?;
        let map = memmap2::MmapRaw::from(map);
        let base = NonNull::new(map.as_mut_ptr()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base: aligned(base)?, _map: map })
    }

    #[cfg(any(loom, shuttle))]
    pub(super) fn new(bytes: usize, _on_huge_pages: bool) -> io::Result<Self> {
        let words = (bytes + ALIGNMENT_BYTES) / size_of::<u64>();
        let memory: Box<[_]> = (0..words).map(|_| std::cell::UnsafeCell::new(0)).collect();
        let base = NonNull::from(&memory[..]).cast();
        Ok(Self { base: aligned(base)?, _memory: memory })
    }

    /// What is at an offset, which is within it.
    #[inline]
    pub(super) fn at(&self, offset: usize) -> NonNull<u8> {
        // SAFETY: callers stay within what they asked for.
        unsafe { self.base.add(offset) }
    }

    /// The offset of what is in it.
    #[inline]
    pub(super) fn offset(&self, address: NonNull<u8>) -> usize {
        address.addr().get() - self.base.addr().get()
    }
}

/// An error if the process may have hardly any more addresses.
#[cfg(not(any(loom, shuttle)))]
pub(super) fn leave_addresses() -> io::Result<()> {
    memmap2::MmapOptions::new().len(LEFT_BYTES).no_reserve_swap().map_anon().map(drop)
}

fn aligned(base: NonNull<u8>) -> io::Result<NonNull<u8>> {
    let skipped = base.align_offset(ALIGNMENT_BYTES);
    if (base.addr().get() + skipped) >> (ADDRESS_BITS - 1) != 0 {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    // SAFETY: the memory is longer than what was asked for by an alignment.
    Ok(unsafe { base.add(skipped) })
}
