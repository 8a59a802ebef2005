//! The prompt: lines with a history, as in a shell.

use std::env;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use crate::failure::Failure;
use crate::flags::{Line, PROGRAM};
use crate::limits::HISTORY_LINES_MAX;
use crate::output::{Output, Source};
use crate::runner::{Led, Runner};
use crate::status::Status;

/// Runs lines until the user ends it. The user has seen what failed, so the status is 0.
pub(crate) fn run(mut runner: Runner) -> Result<Status, Failure> {
    let mut editor = editor().map_err(|error| failure(&error))?;
    let mut history = History::find();
    history.load(&mut editor);
    let prompt = prompt(&runner);
    loop {
        match editor.readline(&prompt) {
            Ok(line) => {
                history.add(&mut editor, &line);
                // Ctrl-C is noted from here on, and does not end the prompt.
                runner.interrupt.begin()?;
                match runner.run_line(line.as_bytes(), Source::Prompt) {
                    Ok(Led::To(_)) => {}
                    Ok(Led::ToTheEnd) | Err(_) => return Ok(Status::Done),
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => return Ok(Status::Done),
            Err(error) => return Err(failure(&error)),
        }
    }
}

fn editor() -> rustyline::Result<Editor<Commands, FileHistory>> {
    let config = Config::builder()
        .max_history_size(HISTORY_LINES_MAX)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Commands));
    Ok(editor)
}

fn failure(error: &ReadlineError) -> Failure {
    Failure::new(format_args!("cannot read from the terminal: {error}"))
}

fn prompt(runner: &Runner) -> String {
    match runner.store.servers() {
        [only] => format!("{only}> "),
        [first, others @ ..] => format!("{first}+{}> ", others.len()),
        [] => format!("{PROGRAM}> "),
    }
}

/// The file of earlier lines. The prompt works without it.
struct History {
    file: Option<PathBuf>,
}

impl History {
    fn find() -> Self {
        let folder =
            |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = folder("XDG_STATE_HOME")
            .or_else(|| folder("HOME").map(|home| home.join(".local").join("state")));
        Self { file: state.map(|state| state.join(PROGRAM).join("history")) }
    }

    /// A file that is not there has nothing to load, and one that cannot be read is told of
    /// when it cannot be written.
    fn load(&self, editor: &mut Editor<Commands, FileHistory>) {
        if let Some(file) = &self.file {
            let _ = editor.load_history(file);
        }
    }

    /// Keeps a line at once, so that a session that is killed keeps it too.
    fn add(&mut self, editor: &mut Editor<Commands, FileHistory>, line: &str) {
        if !editor.add_history_entry(line).unwrap_or(false) {
            return;
        }
        let Some(file) = &self.file else { return };
        let written = make_folder_of(file).map_err(ReadlineError::Io);
        if let Err(error) = written.and_then(|()| editor.append_history(file)) {
            let output = Output::new(Source::Prompt, false);
            output.tell(format_args!("lines are not kept in {}: {error}", file.display()));
            self.file = None;
        }
    }
}

/// Lines contain keys and values: other users may not read them.
fn make_folder_of(file: &Path) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Completes commands, and their flags.
struct Commands;

impl Helper for Commands {}
impl Highlighter for Commands {}
impl Validator for Commands {}

impl Hinter for Commands {
    type Hint = String;
}

impl Completer for Commands {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let before = &line[..position];
        let begin = before.rfind(' ').map_or(0, |blank| blank + 1);
        let command = before[..begin].split_whitespace().next();
        let candidates = candidates(command, &before[begin..]);
        Ok((begin, candidates.into_iter().map(|word| word + " ").collect()))
    }
}

/// The commands, or the flags of a command, that begin so.
fn candidates(command: Option<&str>, beginning: &str) -> Vec<String> {
    let mut line = Line::command();
    line.build();
    let names: Vec<String> = match command {
        None => line.get_subcommands().map(|command| command.get_name().to_owned()).collect(),
        Some(name) if beginning.starts_with('-') => {
            let command = line.find_subcommand(name);
            let flags = command.into_iter().flat_map(clap::Command::get_arguments);
            flags.filter_map(|flag| Some(format!("--{}", flag.get_long()?))).collect()
        }
        Some(_) => Vec::new(),
    };
    names.into_iter().filter(|name| name.starts_with(beginning)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_their_flags_are_completed() {
        assert_eq!(candidates(None, "p"), ["put", "ping"]);
        assert_eq!(candidates(None, "ex"), ["exit"]);
        assert_eq!(candidates(Some("get"), "--key"), ["--key-file", "--keys"]);
        assert_eq!(candidates(Some("get"), "a"), [""; 0]);
        assert_eq!(candidates(Some("none"), "--"), [""; 0]);
    }
}
