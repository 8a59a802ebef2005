//! What the programs that measure share: servers, the generator, rounds and the folder.
//!
//! `processes` starts programs that never outlive us; `servers` and `baselines` are what is
//! measured; `generator` is what measures, with the `flags` that all of it shares; `figures`
//! is what is kept of a round; `measurements` is what they all come to; `folder` is where it
//! goes.

pub mod baselines;
pub mod echo;
pub mod figures;
pub mod flags;
pub mod folder;
pub mod generator;
pub mod measurements;
pub mod processes;
pub mod progress;
pub mod servers;

use std::process::ExitCode;

use anyhow::Result;
use host::output::to_stderr;

/// As shells show a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Ends a program: prints what it came to with `print`, which returns what failed.
pub fn end<T>(
    program: &str,
    outcome: Result<T>,
    print: impl FnOnce(T) -> Result<Vec<String>>,
) -> ExitCode {
    match outcome.and_then(print) {
        Ok(failures) => {
            for failure in &failures {
                to_stderr(format_args!("{program}: error: {failure}"));
            }
            if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            to_stderr(format_args!("{program}: error: {error:#}"));
            let interrupted = error.is::<processes::Interrupted>();
            if interrupted { INTERRUPTED.into() } else { ExitCode::FAILURE }
        }
    }
}
