//! Runs commands: one that was read already, or one that a line has.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use clap::{CommandFactory as _, Parser as _};

use crate::failure::Failure;
use crate::flags::{Command, Flags, Line, LineCommand, PROGRAM};
use crate::get::get;
use crate::interrupt::Interrupt;
use crate::load::load;
use crate::output::{Output, Source, write};
use crate::ping::ping;
use crate::put::put;
use crate::stats::stats;
use crate::status::Status;
use crate::store::Store;
use crate::watch::watch;
use crate::words::words;

/// The state that commands share.
pub(crate) struct Runner {
    pub(crate) store: Store,
    /// Whether all answers are JSON.
    pub(crate) json: bool,
    pub(crate) interrupt: Interrupt,
}

/// The result of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Led {
    /// A command ran so; or there was none.
    To(Status),
    /// Nothing more is to be done.
    ToTheEnd,
}

impl Runner {
    /// Runs the command of a line, and reports its errors. The only failure is that stdout is
    /// closed.
    pub(crate) fn run_line(&mut self, line: &[u8], source: Source) -> Result<Led, Failure> {
        let output = Output::new(source, self.json);
        match self.try_line(line, output) {
            Err(Failure::Told(status, message)) => {
                output.error(message);
                Ok(Led::To(status))
            }
            led => led,
        }
    }

    fn try_line(&mut self, line: &[u8], mut output: Output) -> Result<Led, Failure> {
        let words = words(line).map_err(Failure::new)?;
        if words.is_empty() {
            return Ok(Led::To(Status::Done));
        }
        match Line::try_parse_from(words.into_iter().map(OsString::from_vec)) {
            Ok(Line { command: LineCommand::Exit, .. }) => Ok(Led::ToTheEnd),
            Ok(Line { command: LineCommand::Command(command), json }) => {
                output.json |= json;
                self.run(&command, &output).map(Led::To)
            }
            Err(error) if !error.use_stderr() => {
                write(error.render().to_string().as_bytes())?;
                Ok(Led::To(Status::Done))
            }
            Err(error) => {
                let reason = host::flags::reason(&error);
                Err(Failure::new(format_args!("{reason} (see 'help')")))
            }
        }
    }

    /// Runs a command.
    pub(crate) fn run(&mut self, command: &Command, output: &Output) -> Result<Status, Failure> {
        let Self { store, interrupt, .. } = self;
        match command {
            Command::Get(flags) => get(flags, store, output, interrupt),
            Command::Put(flags) => put(flags, store, output),
            Command::Stats(flags) => match flags.watch {
                Some(every) => watch(every, flags.count, store, output, interrupt),
                None => stats(store, output),
            },
            Command::Ping(flags) => ping(flags, store, output, interrupt),
            Command::Load(flags) => load(flags, store, output, interrupt),
            Command::Completions(flags) => completions(flags.shell),
        }
    }
}

/// Prints a script that lets a shell complete commands.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<Status, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Flags::command(), PROGRAM, &mut script);
    write(&script)?;
    Ok(Status::Done)
}
