//! Which process this is, without a system call for each question.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

/// Where the process keeps its number. A fork finds zero there, because the kernel wipes the
/// page. Null before the first question: no lock, because a fork may happen in the middle.
static MARK: AtomicPtr<AtomicU32> = AtomicPtr::new(null_mut());
/// Stands for the mark where the kernel cannot wipe it (before Linux 4.14): always zero.
static NO_MARK: AtomicU32 = AtomicU32::new(0);

/// The page holds no more than the mark; the kernel rounds its size up.
const PAGE_BYTES: usize = size_of::<AtomicU32>();

/// The number of this process. A fork is told another than the process that it comes from.
#[inline]
#[must_use]
pub fn id() -> u32 {
    let mark = MARK.load(Ordering::Acquire);
    // SAFETY: the pointer is null, or refers to an atomic that lives as long as the process.
    match unsafe { mark.as_ref() }.map_or(0, |mark| mark.load(Ordering::Relaxed)) {
        0 => mark_this(),
        id => id,
    }
}

#[cold]
fn mark_this() -> u32 {
    let id = std::process::id();
    let mut mark = MARK.load(Ordering::Acquire);
    if mark.is_null() {
        mark = wiped_on_fork().unwrap_or(&raw const NO_MARK as *mut AtomicU32);
        // Where two threads come here at once, the page of one is left unused.
        let set = MARK.compare_exchange(null_mut(), mark, Ordering::AcqRel, Ordering::Acquire);
        mark = set.map_or_else(|others| others, |_| mark);
    }
    if !std::ptr::eq(mark, &raw const NO_MARK) {
        // SAFETY: as in `id`, and it is not null.
        unsafe { &*mark }.store(id, Ordering::Relaxed);
    }
    id
}

fn wiped_on_fork() -> Option<*mut AtomicU32> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: no address is asked for, so the new mapping overlaps nothing.
    let page = unsafe { mmap_anonymous(null_mut(), PAGE_BYTES, access, MapFlags::PRIVATE) }.ok()?;
    // SAFETY: the mapping is that of above, and nobody has a reference into it yet. Later the
    // kernel writes zeros there only into the copy of a fork, before the fork runs.
    unsafe { madvise(page, PAGE_BYTES, Advice::LinuxWipeOnFork) }.ok()?;
    // It is zeroed, aligned, large enough, written through atomics only, and never unmapped.
    Some(page.cast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_its_number() {
        assert_eq!(id(), std::process::id());
        assert_eq!(id(), std::process::id());
    }
}
