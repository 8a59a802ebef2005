//! What the process has in memory, for a table that leaves its memory to an allocator: how long
//! records are together says little of what an allocator keeps.

use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// A thread looks again when it has written so much.
const LOOK_AFTER_BYTES: u64 = 1 << 20;
/// What writes that don't grow may take above the bound: no record is to be lost for them, and
/// the allocator has freed what they replace when it comes to that.
const BESIDE_BYTES: u64 = 32 << 20;

/// Resident memory above what there was at the start, against its bound.
#[derive(Debug)]
pub(super) struct Resident {
    /// Open already: descriptors may run out.
    statm: Option<File>,
    page_bytes: u64,
    at_start_bytes: u64,
    bytes: AtomicU64,
    bound_bytes: u64,
}

thread_local! {
    static WRITTEN: Cell<u64> = const { Cell::new(0) };
}

impl Resident {
    pub(super) fn new(bound_bytes: u64) -> Self {
        let statm = File::open("/proc/self/statm").ok();
        let mut new = Self {
            statm,
            page_bytes: rustix::param::page_size() as u64,
            at_start_bytes: 0,
            bytes: AtomicU64::new(0),
            bound_bytes,
        };
        new.at_start_bytes = new.now().unwrap_or(0);
        new
    }

    /// Whether so much may be written, for a record that grows or does not.
    pub(super) fn allows(&self, bytes: u64, grows: bool) -> bool {
        let written = WRITTEN.get() + bytes;
        WRITTEN.set(written % LOOK_AFTER_BYTES);
        if written >= LOOK_AFTER_BYTES
            && let Some(now) = self.now()
        {
            self.bytes.store(now.saturating_sub(self.at_start_bytes), Ordering::Relaxed);
        }
        let beside = if grows { 0 } else { BESIDE_BYTES };
        self.bytes.load(Ordering::Relaxed) <= self.bound_bytes + beside
    }

    /// Nothing if nobody tells.
    fn now(&self) -> Option<u64> {
        let mut text = [0; 128];
        let length = self.statm.as_ref()?.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(&text[..length]).ok()?;
        let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
        Some(pages * self.page_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LITTLE: u64 = 1 << 10;

    #[test]
    fn what_grows_is_refused_at_the_bound_and_what_does_not_above_it() {
        let resident = Resident::new(1 << 30);
        assert!(resident.now().unwrap() > 1 << 20, "a process has some memory");
        let at = |bytes, grows| {
            resident.bytes.store(bytes, Ordering::Relaxed);
            resident.allows(LITTLE, grows)
        };
        assert!(at(1 << 30, true) && !at((1 << 30) + 1, true));
        assert!(at((1 << 30) + BESIDE_BYTES, false) && !at((1 << 30) + BESIDE_BYTES + 1, false));
    }

    #[test]
    fn a_thread_looks_again_when_it_has_written_much() {
        let resident = Resident::new(1 << 40);
        resident.bytes.store(u64::MAX, Ordering::Relaxed);
        assert!(!resident.allows(LITTLE, false), "it has not looked");
        assert!(resident.allows(LOOK_AFTER_BYTES, false), "it has");
    }
}
