//! The memory of all pages: one reservation of addresses, of which the system is asked for memory
//! bit by bit, and gives what is touched.

use std::io;
use std::ptr::NonNull;

#[cfg(not(any(loom, shuttle)))]
use rustix::mm::{
    Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap_anonymous, mprotect, munmap,
};

use super::sync::IN_MODEL;

/// An address has at most so many bits: the others of a slot's word are for something else.
pub(super) const ADDRESS_BITS: u32 = 48;
/// Huge pages begin at such addresses.
const ALIGNMENT_BYTES: usize = if IN_MODEL { 4 << 10 } else { 2 << 20 };

/// Memory is asked for in such parts.
pub(super) const COMMIT_BYTES: usize = ALIGNMENT_BYTES;
/// What a table leaves of the addresses and the data that the process may have (`RLIMIT_AS`,
/// `RLIMIT_DATA`): for stacks, sessions and buffers, whose memory may not fail.
#[cfg(not(any(loom, shuttle)))]
const LEFT_BYTES: usize = 32 << 20;

/// Memory that is its owner's alone.
#[derive(Debug)]
pub(super) struct Region {
    base: NonNull<u8>,
    #[cfg(not(any(loom, shuttle)))]
    reserved: Reservation,
    #[cfg(any(loom, shuttle))]
    _memory: Box<[std::cell::UnsafeCell<u64>]>,
}

// SAFETY: it is memory, and says nothing of who may use which part of it.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

/// Addresses that nothing else is mapped to.
#[cfg(not(any(loom, shuttle)))]
#[derive(Debug)]
struct Reservation {
    address: NonNull<u8>,
    bytes: usize,
}

#[cfg(not(any(loom, shuttle)))]
impl Reservation {
    fn new(bytes: usize) -> io::Result<Self> {
        // SAFETY: the kernel chooses the addresses, so nothing is there.
        let address = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )?
        };
        let address = NonNull::new(address.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { address, bytes })
    }
}

#[cfg(not(any(loom, shuttle)))]
impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: it is this one's own, and its owner is gone. That it fails harms nobody.
        let _ = unsafe { munmap(self.address.as_ptr().cast(), self.bytes) };
    }
}

impl Region {
    /// So many bytes, if the system has addresses for them; none of them is memory yet.
    #[cfg(not(any(loom, shuttle)))]
    pub(super) fn new(bytes: usize, on_huge_pages: bool) -> io::Result<Self> {
        let bytes = bytes.checked_next_multiple_of(ALIGNMENT_BYTES);
        let bytes = bytes.and_then(|bytes| bytes.checked_add(ALIGNMENT_BYTES));
        let reserved = Reservation::new(bytes.ok_or(io::ErrorKind::OutOfMemory)?)?;
        leave_addresses()?;
        if on_huge_pages {
            let Reservation { address, bytes } = reserved;
            // Where huge pages are not to be had, small ones do.
            // SAFETY: it is this one's own, and the advice changes nothing of what it holds.
            let _ = unsafe { madvise(address.as_ptr().cast(), bytes, Advice::LinuxHugepage) };
        }
        Ok(Self { base: aligned(reserved.address)?, reserved })
    }

    /// Asks for memory for some bytes from an offset on, within what was asked for at first and
    /// rounded up to [`COMMIT_BYTES`]; an error if the process may have no more.
    #[cfg(not(any(loom, shuttle)))]
    pub(super) fn commit(&self, offset: usize, bytes: usize) -> io::Result<()> {
        let end = self.base.addr().get() + offset + bytes;
        assert!(end <= self.reserved.address.addr().get() + self.reserved.bytes, "it is its own");
        let flags = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: it is this one's own, and what could be read and written before still can.
        unsafe { mprotect(self.at(offset).as_ptr().cast(), bytes, flags)? };
        leave_addresses()
    }

    #[cfg(any(loom, shuttle))]
    pub(super) fn commit(&self, _offset: usize, _bytes: usize) -> io::Result<()> {
        Ok(())
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
