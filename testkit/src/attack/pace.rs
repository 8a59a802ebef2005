//! Sending at a rate, until a time or a flag.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long it sleeps when it is ahead: what is due meanwhile goes out together.
const SLEEP: Duration = Duration::from_micros(200);
/// What was late for longer is not made up for: a flood that had no core is no burst later.
const LATE_MAX: Duration = Duration::from_millis(20);

/// Calls `send` so that `rate` datagrams a second go out; it returns how many it sent. Ends when
/// the time is over, or `ends` is set. Returns how long it took.
pub(super) fn at_rate(
    rate: u32,
    time: Duration,
    ends: &AtomicBool,
    mut send: impl FnMut() -> u64,
) -> Duration {
    let began = Instant::now();
    let late_max = LATE_MAX.as_secs_f64() * f64::from(rate);
    let mut sent = 0.0;
    loop {
        let passed = began.elapsed();
        if passed >= time || ends.load(Ordering::Relaxed) {
            return passed;
        }
        let due = passed.as_secs_f64() * f64::from(rate);
        if sent > due {
            thread::sleep(SLEEP.min(time - passed));
            continue;
        }
        sent = f64::max(sent, due - late_max) + send() as f64;
    }
}
