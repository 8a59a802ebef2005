//! `put`: writes a value to a key.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::escapes::quoted;
use crate::failure::Failure;
use crate::flags::{PutFlags, STDIN};
use crate::input::{self, argument};
use crate::json::of_key;
use crate::output::Output;
use crate::status::Status;
use crate::store::Store;

/// Writes a value to a key.
pub(crate) fn put(flags: &PutFlags, store: &mut Store, output: &Output) -> Result<Status, Failure> {
    let (key, value) = record(flags, output)?;
    let record = [(input::key(key)?, value)];
    let version = store.put_many(&record)?.remove(0)?;
    let [(key, _)] = &record;
    if output.json {
        let mut object = of_key(key);
        object.insert("stored".to_owned(), json!(true));
        object.insert("version".to_owned(), json!(version.to_string()));
        output.line(Value::from(object))?;
    } else if output.is_terminal() {
        output.line(format_args!("stored {}, version {version}", quoted(key)))?;
    }
    Ok(Status::Done)
}

/// The key and the value, from arguments, files or stdin.
fn record(flags: &PutFlags, output: &Output) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let PutFlags { key, value, file, key_file, notation } = flags;
    let wrong = |message: &str| Err(Failure::new(message));
    // With the key in a file, the only argument is the value.
    let (key, value) = match (key, value, key_file) {
        (Some(_), Some(_), Some(_)) => return wrong("there are both KEY and --key-file"),
        (value, None, Some(_)) => (None, value.as_ref()),
        (key, value, _) => (key.as_ref(), value.as_ref()),
    };
    if value.is_some() && file.is_some() {
        return wrong("there are both VALUE and --file");
    }
    let value_file = match value {
        Some(value) if value != STDIN => None,
        _ => Some(file.clone().unwrap_or_else(|| PathBuf::from(STDIN))),
    };
    if both_are_stdin(key_file.as_deref(), value_file.as_deref()) {
        return wrong("key and value cannot both be what stdin holds");
    }
    let key = match (key, key_file) {
        (Some(key), _) => argument(key, *notation)?,
        (None, Some(file)) => input::whole(file, output)?,
        (None, None) => return wrong("there is no KEY"),
    };
    let value = match (value_file, value) {
        (None, Some(value)) => argument(value, *notation)?,
        (file, _) => input::whole(&file.unwrap_or_else(|| PathBuf::from(STDIN)), output)?,
    };
    Ok((key, value))
}

fn both_are_stdin(key: Option<&Path>, value: Option<&Path>) -> bool {
    key.is_some_and(input::is_stdin) && value.is_some_and(input::is_stdin)
}
