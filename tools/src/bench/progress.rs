//! Tells how far a program that measures is: a bar on a terminal, else a line for each step.

use std::io::IsTerminal as _;

use host::output::to_stderr;
use indicatif::{ProgressBar, ProgressStyle};

/// Tells on stderr.
#[derive(Debug)]
pub struct RoundsProgress {
    program: &'static str,
    bar: Option<ProgressBar>,
}

impl RoundsProgress {
    /// Of a program that is at its first step.
    #[must_use]
    pub fn new(program: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg} (about {eta})");
            bar.set_style(style.expect("a sound template"));
            bar
        });
        Self { program, bar }
    }

    /// Begins a part that has so many steps.
    pub fn begin(&self, steps: usize) {
        if let Some(bar) = &self.bar {
            bar.reset();
            bar.set_length(steps as u64);
        }
    }

    /// Tells of a step that is done.
    pub fn step(&self, message: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(message.to_owned());
                bar.inc(1);
            }
            None => to_stderr(format_args!("{}: {message}", self.program)),
        }
    }

    /// Tells of what has to stay on the screen.
    pub fn note(&self, message: &str) {
        let line = format!("{}: {message}", self.program);
        match &self.bar {
            Some(bar) => bar.println(line),
            None => to_stderr(line),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
