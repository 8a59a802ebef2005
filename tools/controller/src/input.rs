//! Keys and values from arguments, files and stdin.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use proto::limits::{KEY_BYTES_MAX, KEY_BYTES_MIN};

use crate::escapes::{quoted, unescape, unhex};
use crate::failure::Failure;
use crate::flags::{Notation, STDIN};
use crate::limits::INPUT_BYTES_MAX;
use crate::output::Output;

/// The bytes of an argument.
pub(crate) fn argument(argument: &OsStr, notation: Notation) -> Result<Vec<u8>, Failure> {
    let bytes = argument.as_bytes();
    let meant = match notation {
        Notation { hex: true, .. } => unhex(bytes),
        Notation { escapes: true, .. } => unescape(bytes),
        _ => Ok(bytes.to_vec()),
    };
    meant.map_err(|error| Failure::new(format_args!("{}: {error}", quoted(bytes))))
}

/// A key that may be asked for.
pub(crate) fn key(key: Vec<u8>) -> Result<Vec<u8>, Failure> {
    check_key(&key).map_err(Failure::new)?;
    Ok(key)
}

/// Refuses a key that no store takes.
pub(crate) fn check_key(key: &[u8]) -> Result<(), String> {
    match key.len() {
        KEY_BYTES_MIN..=KEY_BYTES_MAX => Ok(()),
        0 => Err(format!("a key is empty: it has {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes")),
        bytes => Err(format!(
            "the key {} has {bytes} bytes: at most {KEY_BYTES_MAX} are possible",
            quoted(key)
        )),
    }
}

/// Whether a file is stdin.
pub(crate) fn is_stdin(file: &Path) -> bool {
    file == Path::new(STDIN)
}

/// All that a file holds, as a key or a value.
pub(crate) fn whole(file: &Path, output: &Output) -> Result<Vec<u8>, Failure> {
    if is_stdin(file) && io::stdin().is_terminal() && !output.stdin_is_taken() {
        output.tell("reading from the terminal: end with Ctrl-D at the beginning of a line");
    }
    let mut bytes = Vec::new();
    let read = open(file, output)?.take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(format_args!("cannot read {}: {error}", name(file))))?;
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        let name = name(file);
        return Err(Failure::new(format_args!("{name} holds more than {INPUT_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// Opens a file, or stdin.
pub(crate) fn open(file: &Path, output: &Output) -> Result<File, Failure> {
    if !is_stdin(file) {
        let opened = File::open(file);
        let cannot = |error| Failure::new(format_args!("cannot open {}: {error}", file.display()));
        return opened.map_err(cannot);
    }
    if output.stdin_is_taken() {
        return Err(Failure::new("stdin has commands: give an argument or another file"));
    }
    stdin()
}

/// Stdin, without a buffer that others share.
pub(crate) fn stdin() -> Result<File, Failure> {
    let stdin = io::stdin().as_fd().try_clone_to_owned().map(File::from);
    stdin.map_err(|error| Failure::new(format_args!("cannot read stdin: {error}")))
}

/// The name of a file in messages.
pub(crate) fn name(file: &Path) -> String {
    if is_stdin(file) { "stdin".to_owned() } else { file.display().to_string() }
}
