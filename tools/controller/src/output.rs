//! Output to stdout and stderr. Nothing here panics when they are closed or the disk is full.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use host::output::to_stderr;

use crate::escapes::harmless;
use crate::failure::Failure;
use crate::flags::PROGRAM;

/// Where commands come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// One on the command line.
    CommandLine,
    /// A line of stdin, by its number.
    Stdin(u64),
    /// The prompt.
    Prompt,
}

/// Where a command's answers go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// Whether as JSON.
    pub json: bool,
    source: Source,
    is_terminal: bool,
}

impl Output {
    /// Answers to a command that comes from there.
    #[must_use]
    pub(crate) fn new(source: Source, json: bool) -> Self {
        Self { json, source, is_terminal: io::stdout().is_terminal() }
    }

    /// Whether somebody watches.
    #[must_use]
    pub(crate) const fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Whether stdin has commands and can have nothing else.
    #[must_use]
    pub(crate) fn stdin_is_taken(&self) -> bool {
        self.source != Source::CommandLine
    }

    /// Prints a value: to the byte, with a newline where more output may follow. At
    /// the prompt, control characters are escaped.
    pub(crate) fn value(&self, value: &[u8]) -> Result<(), Failure> {
        match self.source {
            Source::Prompt => self.line(harmless(value)),
            Source::CommandLine if !self.is_terminal => write(value),
            _ => write(&[value, b"\n"].concat()),
        }
    }

    /// Prints a line.
    pub(crate) fn line(&self, line: impl Display) -> Result<(), Failure> {
        write(format!("{line}\n").as_bytes())
    }

    /// Tells on stderr why something failed.
    pub(crate) fn error(&self, message: impl Display) {
        self.tell(format_args!("error: {message}"));
    }

    /// Tells on stderr.
    pub(crate) fn tell(&self, message: impl Display) {
        match self.source {
            Source::Stdin(line) => {
                to_stderr(format_args!("{PROGRAM}: command {line}: {message}"));
            }
            _ => to_stderr(format_args!("{PROGRAM}: {message}")),
        }
    }
}

/// Writes to stdout.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::new(format_args!("cannot write to stdout: {error}")),
    })
}
