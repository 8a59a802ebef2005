//! Tells what a run does while it goes on: a bar on a terminal, else a line a second.

use std::io::IsTerminal as _;
use std::time::Duration;

use host::output::to_stderr;
use indicatif::{ProgressBar, ProgressStyle};

/// Tells on stderr.
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A bar if stderr is a terminal.
    #[must_use]
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(1);
            let style = ProgressStyle::with_template("{bar:24} {msg}").expect("a sound template");
            bar.set_style(style);
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Self { bar }
    }

    /// Tells how far it is.
    pub fn tell(&self, done: f64, message: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(1000);
                bar.set_position((done.clamp(0.0, 1.0) * 1000.0) as u64);
                bar.set_message(message.to_owned());
            }
            None => to_stderr(format_args!("gen: {message}")),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
