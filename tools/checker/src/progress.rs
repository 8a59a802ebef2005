//! Tells how far a check is, if it takes long.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use host::output::to_stderr;
use indicatif::{ProgressBar, ProgressStyle};

/// What takes less is over before anybody asks.
const PATIENCE: Duration = Duration::from_secs(2);

/// How far the threads of a check are, and when that was last told.
#[derive(Debug)]
pub struct CheckProgress {
    done: Vec<AtomicU64>,
    total: u64,
    began: Instant,
}

impl CheckProgress {
    /// Each of `threads` will come to `total`.
    #[must_use]
    pub fn new(threads: usize, total: u64) -> Self {
        let done = (0..threads).map(|_| AtomicU64::new(0)).collect();
        Self { done, total, began: Instant::now() }
    }

    /// A thread has come so far.
    pub fn set(&self, thread: usize, done: u64) {
        self.done[thread].store(done, Ordering::Relaxed);
    }

    /// Tells on stderr until `is_over`: a bar on a terminal, else a line every two seconds.
    pub fn tell_until(&self, is_over: impl Fn() -> bool) {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:24} {percent} %").expect("it is sound");
            ProgressBar::new(self.total).with_style(style)
        });
        let mut next = self.began + PATIENCE;
        while !is_over() {
            std::thread::park_timeout(Duration::from_millis(50));
            if Instant::now() < next {
                continue;
            }
            next += if bar.is_some() { Duration::from_millis(250) } else { PATIENCE };
            let slowest = self.done.iter().map(|done| done.load(Ordering::Relaxed)).min();
            let done = slowest.unwrap_or(self.total);
            match &bar {
                Some(bar) => bar.set_position(done),
                None => to_stderr(format_args!(
                    "lincheck: checked {} %",
                    done * 100 / self.total.max(1)
                )),
            }
        }
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
    }
}
