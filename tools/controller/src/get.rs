//! `get`: the values of keys.

use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde_json::json;

use crate::escapes::{escaped, quoted, unescape};
use crate::failure::Failure;
use crate::flags::GetFlags;
use crate::input::{self, argument};
use crate::interrupt::Interrupt;
use crate::json::{add_bytes, of_key};
use crate::limits::{BATCH_MAX, KEY_LINE_BYTES_MAX};
use crate::output::Output;
use crate::status::Status;
use crate::store::Store;
use client::Record;

/// Prints the values of keys.
pub(crate) fn get(
    flags: &GetFlags,
    store: &mut Store,
    output: &Output,
    interrupt: &Interrupt,
) -> Result<Status, Failure> {
    let mut getter = Getter { store, output, interrupt, is_alone: false, worst: Status::Done };
    if let Some(file) = &flags.keys_file {
        getter.get_of_file(file)?;
        return Ok(getter.worst);
    }
    let keys = match &flags.key_file {
        Some(file) => vec![input::key(input::whole(file, output)?)?],
        None => {
            let keys = flags.keys.iter().map(|key| input::key(argument(key, flags.notation)?));
            keys.collect::<Result<_, _>>()?
        }
    };
    getter.is_alone = keys.len() == 1;
    for keys in keys.chunks(BATCH_MAX) {
        getter.get(keys)?;
    }
    Ok(getter.worst)
}

struct Getter<'a> {
    store: &'a mut Store,
    output: &'a Output,
    interrupt: &'a Interrupt,
    /// Whether there is only one key, whose value is printed as it is.
    is_alone: bool,
    worst: Status,
}

impl Getter<'_> {
    fn get_of_file(&mut self, file: &Path) -> Result<(), Failure> {
        let name = input::name(file);
        let mut lines = BufReader::new(input::open(file, self.output)?);
        let (mut keys, mut number) = (Vec::new(), 0);
        loop {
            let mut line = Vec::new();
            let read =
                std::io::Read::take(&mut lines, KEY_LINE_BYTES_MAX).read_until(b'\n', &mut line);
            read.map_err(|error| Failure::new(format_args!("cannot read {name}: {error}")))?;
            number += 1;
            if line.is_empty() {
                return self.get(&keys);
            }
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let key = unescape(line).and_then(|key| input::check_key(&key).map(|()| key));
            match key {
                Ok(key) => keys.push(key),
                // The keys before the invalid line are read.
                Err(error) => {
                    self.get(&keys)?;
                    return Err(Failure::new(format_args!("{name}: line {number}: {error}")));
                }
            }
            if keys.len() == BATCH_MAX {
                self.get(&keys)?;
                keys.clear();
            }
        }
    }

    fn get(&mut self, keys: &[Vec<u8>]) -> Result<(), Failure> {
        let Some(first) = keys.first() else { return Ok(()) };
        if self.interrupt.has_come() {
            let message = format!("interrupted: from the key {} on none is read", quoted(first));
            return Err(Failure::Told(Status::Interrupted, message));
        }
        let answers = self.store.get_many(keys)?;
        for (key, answer) in keys.iter().zip(answers) {
            self.print(key, answer)?;
        }
        Ok(())
    }

    fn print(
        &mut self,
        key: &[u8],
        answer: Result<Option<Record>, Failure>,
    ) -> Result<(), Failure> {
        let mut object = of_key(key);
        match answer {
            Ok(Some(record)) if self.output.json => {
                object.insert("found".to_owned(), json!(true));
                add_bytes(&mut object, "value", &record.value);
                object.insert("version".to_owned(), json!(record.version.to_string()));
            }
            Ok(Some(record)) if self.is_alone => return self.output.value(&record.value),
            Ok(Some(record)) => {
                let (key, value) = (escaped(key), escaped(&record.value));
                return self.output.line(format_args!("{key}\t{value}"));
            }
            Ok(None) => {
                self.worst.add(Status::Negative);
                object.insert("found".to_owned(), json!(false));
                if !self.output.json {
                    self.output.tell(format_args!("the key {} is not found", quoted(key)));
                }
            }
            Err(Failure::Told(status, message)) => {
                self.worst.add(status);
                self.output.error(format_args!("the key {}: {message}", quoted(key)));
                object.insert("error".to_owned(), json!(message));
            }
            Err(closed) => return Err(closed),
        }
        if self.output.json { self.output.line(serde_json::Value::from(object)) } else { Ok(()) }
    }
}
