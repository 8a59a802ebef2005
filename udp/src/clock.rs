//! The monotonic clock, the same for all processes of a machine.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since an arbitrary start, the same for all processes of this boot.
#[must_use]
#[inline]
pub fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}
