//! Where the program's commands come from: the command line, a prompt, or stdin.

use std::io::{IsTerminal as _, stdin, stdout};

use crate::failure::Failure;
use crate::flags::{Command, Flags};
use crate::interrupt::Interrupt;
use crate::output::{Output, Source};
use crate::runner::{Runner, completions};
use crate::status::Status;
use crate::store::Store;
use crate::{commands_of_stdin, prompt};

/// Runs what the command line asks for.
#[must_use]
pub fn run(flags: &Flags) -> Status {
    let output = Output::new(Source::CommandLine, flags.json);
    let runner = |store, interrupt| Runner { store, json: flags.json, interrupt };
    let ended = match (&flags.command, Store::new(&flags.connection)) {
        // It asks no server.
        (Some(Command::Completions(flags)), _) => completions(flags.shell),
        (_, Err(failure)) => Err(failure),
        (Some(command), Ok(store)) => runner(store, Interrupt::default()).run(command, &output),
        (None, Ok(store)) if stdin().is_terminal() && stdout().is_terminal() => {
            prompt::run(runner(store, Interrupt::of_prompt()))
        }
        (None, Ok(store)) => commands_of_stdin::run(runner(store, Interrupt::default())),
    };
    ended.unwrap_or_else(|failure| {
        if let Failure::Told(_, message) = &failure {
            output.error(message);
        }
        failure.status(Status::Done)
    })
}
