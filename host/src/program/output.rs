//! Writing to stdout and stderr. Both may fail at any time: the reader is gone, the disk is
//! full. `println!` and `eprintln!` panic then, so no program uses them; clippy forbids them
//! (`print_stdout`, `print_stderr`). indicatif ignores a bar that it cannot draw.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;

/// Writes a line to stderr. A line that cannot be written is lost: nothing that a program
/// says about its work may end the work.
pub fn to_stderr(line: impl Display) {
    let _ = write_line(&mut io::stderr().lock(), line);
}

/// Writes text to stdout as it is.
pub fn to_stdout(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
}

/// Prints what a program was asked for. A reader that has seen enough (`… | head`) is no
/// error.
pub fn print(text: &str) -> anyhow::Result<()> {
    match to_stdout(text) {
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

/// One write, so that lines of several threads and processes stay whole.
fn write_line(to: &mut impl io::Write, line: impl Display) -> io::Result<()> {
    to.write_all(format!("{line}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps each write apart.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl io::Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_written_at_once() {
        let mut writes = Writes::default();
        write_line(&mut writes, format_args!("{} of {}", 1, 2)).unwrap();
        assert_eq!(writes.0, [b"1 of 2\n"]);
    }
}
