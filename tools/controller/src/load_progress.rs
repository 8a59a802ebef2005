//! How far a load is: a bar on a terminal, else nothing.

use std::io::{IsTerminal as _, Read};
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

/// How often the bar moves.
const TICK: Duration = Duration::from_millis(100);

/// Tells on stderr.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Of a file with so many bytes, if that is known.
    pub(crate) fn new(bytes: Option<u64>) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden() };
        }
        let (bar, template) = match bytes {
            Some(bytes) => (ProgressBar::new(bytes), "{bar:24} {percent:>3} %  {msg}, {eta} left"),
            None => (ProgressBar::new_spinner(), "{spinner} {bytes} read  {msg}"),
        };
        bar.set_style(ProgressStyle::with_template(template).expect("a sound template"));
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    /// A reader whose progress it is.
    pub(crate) fn of_reading<R: Read>(&self, reader: R) -> impl Read + use<R> {
        self.bar.wrap_read(reader)
    }

    /// Tells how many records are written, and how fast.
    pub(crate) fn tell(&self, records: u64, since: Duration) {
        let rate = records as f64 / since.as_secs_f64().max(1e-9);
        let rate = HumanCount(rate as u64);
        self.bar.set_message(format!("{} records, {rate}/s", HumanCount(records)));
    }

    /// Tells something else meanwhile.
    pub(crate) fn aside(&self, tell: impl FnOnce()) {
        self.bar.suspend(tell);
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
