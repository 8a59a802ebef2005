//! Writing to stdout and stderr. Both may fail at any time: the reader is gone, the disk is
//! full. Or nobody reads what fills a pipe: so an outlet writes what is said
//! about the work. `println!` and `eprintln!` panic then, so no program uses them; clippy forbids them
//! (`print_stdout`, `print_stderr`). indicatif ignores a bar that it cannot draw.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;
use std::sync::LazyLock;

use anyhow::Context as _;

use super::outlet::Outlet;

static STDOUT: LazyLock<Option<Outlet>> = LazyLock::new(|| Outlet::open(write_stdout).ok());
static STDERR: LazyLock<Option<Outlet>> = LazyLock::new(|| Outlet::open(write_stderr).ok());

/// Writes a line to stderr. A line that cannot be written is lost: nothing that a program
/// says about its work may end the work, or hold it up.
pub fn to_stderr(line: impl Display) {
    let line = format!("{line}\n");
    let _ = match &*STDERR {
        Some(outlet) => outlet.write(line),
        None => write_stderr(&line),
    };
}

/// Writes text about the work to stdout. An error if it is not written in a moment: it may be
/// written later then.
pub fn to_stdout(text: &str) -> io::Result<()> {
    match &*STDOUT {
        Some(outlet) => outlet.write(text.to_owned()),
        None => write_stdout(text),
    }
}

/// Writes the last text to stdout, as [`to_stdout`] does, and waits a moment for what is
/// before it too.
pub fn last_to_stdout(text: &str) -> io::Result<()> {
    match &*STDOUT {
        Some(outlet) => outlet.write_last(text.to_owned()),
        None => write_stdout(text),
    }
}

/// Texts that [`to_stdout`] and [`to_stderr`] were given and that will never be written.
#[must_use]
pub fn texts_lost() -> u64 {
    [&STDOUT, &STDERR].into_iter().filter_map(|outlet| outlet.as_ref()).map(Outlet::lost).sum()
}

/// Prints what a program was asked for, however long its reader takes. A reader that has seen
/// enough (`… | head`) is no error.
pub fn print(text: &str) -> anyhow::Result<()> {
    match write_stdout(text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to stdout"),
    }
}

/// How a program ends that has written what it was asked for: with 0, or with 1 and a line
/// that says what could not be written.
pub fn end(program: &str, written: anyhow::Result<()>) -> ExitCode {
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            to_stderr(format_args!("{program}: error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn write_stdout(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
}

/// One write, so that lines of several processes stay whole.
fn write_stderr(line: &str) -> io::Result<()> {
    io::stderr().lock().write_all(line.as_bytes())
}
