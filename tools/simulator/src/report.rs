//! Runs many seeds, and tells of them.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use host::output::to_stderr;
use indicatif::{ProgressBar, ProgressStyle};

use crate::seed::{Outcome, run_seed};

/// What many seeds came to.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Seeds that were run.
    pub seeds: u64,
    /// Operations answered.
    pub operations: u64,
    /// PUTs whose outcome is not known.
    pub indeterminate: u64,
    /// Requests sent again.
    pub retransmits: u64,
    /// Times that a server started again.
    pub restarts: u64,
    /// Events.
    pub events: u64,
    /// The failure of the least seed that had one.
    pub failed: Option<Outcome>,
    /// Seeds that failed.
    pub failures: u64,
}

impl Totals {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.operations += outcome.sums.clients.operations_answered;
        self.indeterminate += outcome.sums.clients.indeterminate;
        self.retransmits += outcome.sums.clients.retransmits;
        self.restarts += outcome.restarts;
        self.events += outcome.events;
        if outcome.failure.is_some() {
            self.failures += 1;
            if self.failed.as_ref().is_none_or(|failed| outcome.seed < failed.seed) {
                self.failed = Some(outcome);
            }
        }
    }

    /// One line.
    #[must_use]
    pub fn line(&self, elapsed: Duration) -> String {
        let Self { seeds, operations, indeterminate, retransmits, restarts, failures, .. } = self;
        format!(
            "{seeds} seeds, {failures} failures: {operations} operations, {retransmits} \
             retransmits, {indeterminate} indeterminate, {restarts} restarts, in {:.1} s",
            elapsed.as_secs_f64()
        )
    }
}

/// Runs the seeds from `first` on, in `jobs` threads; after a failure no new ones are begun.
#[must_use]
pub fn run_seeds(first: u64, count: u64, jobs: usize) -> Totals {
    // A failure is told whole, with its seed: what the panic of a thread prints says less.
    std::panic::set_hook(Box::new(|_| {}));
    let next = AtomicU64::new(0);
    let totals = Mutex::new(Totals::default());
    let progress = Progress::new(count);
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    let outcome = run_seed(first.wrapping_add(index), false);
                    if outcome.failure.is_some() {
                        next.store(count, Ordering::Relaxed);
                    }
                    let mut totals = totals.lock().expect("adding does not panic");
                    totals.add(outcome);
                    progress.tell(&totals);
                }
            });
        }
    });
    let _ = std::panic::take_hook();
    progress.finish();
    totals.into_inner().expect("adding does not panic")
}

/// A bar on a terminal, else a line every two seconds.
struct Progress {
    bar: Option<ProgressBar>,
    began: Instant,
    told: Mutex<Instant>,
    count: u64,
}

impl Progress {
    fn new(count: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template("{bar:24} {pos}/{len} seeds, {per_sec}, {msg}");
            ProgressBar::new(count).with_style(style.expect("it is sound"))
        });
        Self { bar, began: Instant::now(), told: Mutex::new(Instant::now()), count }
    }

    fn tell(&self, totals: &Totals) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{} operations", totals.operations));
            bar.set_position(totals.seeds);
            return;
        }
        let mut told = self.told.lock().expect("telling does not panic");
        if told.elapsed() >= Duration::from_secs(2) {
            *told = Instant::now();
            to_stderr(format_args!(
                "sim: of {}: {}",
                self.count,
                totals.line(self.began.elapsed())
            ));
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A failure, with what is needed to see it again.
#[must_use]
pub fn failure(outcome: &Outcome) -> Option<String> {
    let (failure, tail) = outcome.failure.as_ref()?;
    let seed = outcome.seed;
    let mut text = format!("seed {seed} of commit {} failed: {}\n", commit(), failure.check);
    let _ = writeln!(text, "{}\n\nthe events before it:\n{tail}\n", failure.text.trim_end());
    let _ = writeln!(text, "replay: cargo run --release -p simulator -- --seed {seed}");
    Some(text)
}

/// What a seed drew, and what it came to.
#[must_use]
pub fn seed(outcome: &Outcome) -> String {
    let Outcome { seed, sums, events, digest, threads_failed, .. } = outcome;
    let mut text = format!("seed {seed}\n{:#?}\n", outcome.config);
    for (name, count) in sums.clients.named().filter(|&(_, count)| count > 0) {
        let _ = writeln!(text, "clients {name} {count}");
    }
    for (name, count) in sums.servers.named().filter(|&(_, count)| count > 0) {
        let _ = writeln!(text, "servers {name} {count}");
    }
    for (name, count) in sums.transport.named().filter(|&(_, count)| count > 0) {
        let _ = writeln!(text, "transports {name} {count}");
    }
    for (name, count) in &sums.ends {
        let _ = writeln!(text, "calls of applications {name} {count}");
    }
    let operations: usize = outcome.histories.iter().map(Vec::len).sum();
    let _ = writeln!(text, "threads that gave up {threads_failed}");
    let _ = writeln!(text, "recorded {operations} operations");
    let _ = writeln!(text, "events {events} digest {digest:016x}");
    text
}

/// The commit of the folder that this runs in.
fn commit() -> String {
    let told = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let commit = told.ok().filter(|output| output.status.success());
    let commit = commit.and_then(|output| String::from_utf8(output.stdout).ok());
    commit.map_or_else(|| "unknown".to_owned(), |commit| commit.trim().to_owned())
}
