//! `load`: writes the records of a file, many at a time.

use std::collections::HashSet;
use std::fs;
use std::io::{BufReader, Read};
use std::time::Instant;

use serde_json::{Value, json};

use crate::escapes::quoted;
use crate::failure::Failure;
use crate::flags::LoadFlags;
use crate::input;
use crate::interrupt::Interrupt;
use crate::json::of_key;
use crate::limits::{BATCH_MAX, FAILURES_NAMED_MAX, INDETERMINATE_KEYS_MAX};
use crate::load_progress::Progress;
use crate::output::Output;
use crate::records::{Entry, Record, Records, format_of};
use crate::status::Status;
use crate::store::Store;

/// Writes the records of a file.
pub(crate) fn load(
    flags: &LoadFlags,
    store: &mut Store,
    output: &Output,
    interrupt: &mut Interrupt,
) -> Result<Status, Failure> {
    interrupt.begin()?;
    let name = input::name(&flags.file);
    let file = interrupt.reader(input::open(&flags.file, output)?);
    let bytes = fs::metadata(&flags.file).ok().filter(fs::Metadata::is_file).map(|file| file.len());
    let progress = Progress::new(bytes);
    let reader = BufReader::new(progress.of_reading(file));
    let format = flags.format.unwrap_or_else(|| format_of(&flags.file));
    let mut records = Records::open(reader, format)
        .map_err(|error| Failure::new(format_args!("cannot load {name}: {error}")))?;
    let mut loader = Loader {
        flags,
        store,
        output,
        progress,
        began: Instant::now(),
        batch: Vec::new(),
        keys: HashSet::new(),
        tally: Tally::default(),
    };
    let ended = loader.load(&mut records, &name, interrupt);
    loader.progress.finish();
    match ended {
        Ok(()) if loader.tally.is_full() => output.error(format_args!(
            "the load ends: writes of more than {INDETERMINATE_KEYS_MAX} keys are indeterminate"
        )),
        Ok(()) => {}
        Err(Failure::Told(status, message)) => {
            loader.tally.worst.add(status);
            output.error(message);
        }
        Err(closed) => return Err(closed),
    }
    loader.print()?;
    Ok(loader.tally.worst)
}

/// A record that waits to be written, and the line where it began.
struct Waiting {
    line: u64,
    record: Record,
}

struct Loader<'a> {
    flags: &'a LoadFlags,
    store: &'a mut Store,
    output: &'a Output,
    progress: Progress,
    began: Instant,
    batch: Vec<Waiting>,
    /// The keys of the batch: two writes of one key are not under way together.
    keys: HashSet<Vec<u8>>,
    tally: Tally,
}

/// The results so far.
#[derive(Default)]
struct Tally {
    worst: Status,
    loaded: u64,
    loaded_bytes: u64,
    not_loaded: u64,
    /// Keys whose last write may still happen.
    indeterminate: HashSet<Vec<u8>>,
    indeterminate_records: u64,
    /// Every record before this line is stored.
    resume_line: Option<u64>,
    told: Vec<Value>,
    untold: u64,
}

impl Loader<'_> {
    fn load(
        &mut self,
        records: &mut Records<impl Read>,
        name: &str,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        let mut line_read = self.flags.from_line - 1;
        loop {
            let next = records.next();
            let next = match next {
                Ok(next) => next,
                Err(error) => {
                    self.write()?;
                    self.tally.resume_from(line_read + 1);
                    return Err(Failure::new(format_args!("cannot read {name}: {error}")));
                }
            };
            if interrupt.has_come() {
                self.write()?;
                self.tally.worst.add(Status::Interrupted);
                self.tally.resume_from(line_read + 1);
                return Ok(());
            }
            let Some(Entry { line, record }) = next else { return self.write() };
            if line < self.flags.from_line {
                continue;
            }
            line_read = line;
            let must_stop = match record {
                Ok(record) => self.add(line, record)?,
                Err(reason) => {
                    self.write()?;
                    self.fail(line, None, Status::Failed, &reason);
                    !self.flags.goes_on
                }
            };
            if must_stop || self.tally.must_stop(self.flags.goes_on) {
                return Ok(());
            }
        }
    }

    /// Takes a record; returns whether the load is to stop.
    fn add(&mut self, line: u64, record: Record) -> Result<bool, Failure> {
        if self.keys.contains(&record.0) {
            self.write()?;
        }
        let value_bytes_max = self.store.value_bytes_max(record.0.len());
        let reason = if record.1.len() > value_bytes_max {
            let bytes = record.1.len();
            Some(format!("the value has {bytes} bytes: at most {value_bytes_max} are possible"))
        } else if self.tally.indeterminate.contains(&record.0) {
            // It could still overtake this one.
            Some("an earlier write of this key is indeterminate".to_owned())
        } else {
            None
        };
        if let Some(reason) = reason {
            self.write()?;
            self.fail(line, Some(&record.0), Status::Failed, &reason);
            return Ok(!self.flags.goes_on);
        }
        if self.tally.must_stop(self.flags.goes_on) {
            return Ok(true);
        }
        self.keys.insert(record.0.clone());
        self.batch.push(Waiting { line, record });
        if self.batch.len() == BATCH_MAX {
            self.write()?;
        }
        Ok(false)
    }

    /// Writes the waiting records, and counts the results.
    fn write(&mut self) -> Result<(), Failure> {
        self.keys.clear();
        let (lines, records): (Vec<u64>, Vec<Record>) =
            self.batch.drain(..).map(|Waiting { line, record }| (line, record)).unzip();
        let Some(&first) = lines.first() else { return Ok(()) };
        if self.flags.check {
            self.tally.loaded += records.len() as u64;
            return Ok(());
        }
        let answers = self.store.put_many(&records);
        let answers = match answers {
            Ok(answers) => answers,
            Err(failure) => {
                self.tally.not_loaded += lines.len() as u64;
                self.tally.resume_from(first);
                return Err(failure);
            }
        };
        for ((line, (key, value)), answer) in lines.into_iter().zip(records).zip(answers) {
            match answer {
                Ok(_) => {
                    self.tally.loaded += 1;
                    self.tally.loaded_bytes += (key.len() + value.len()) as u64;
                }
                Err(Failure::Told(status, message)) => {
                    self.fail(line, Some(&key), status, &message);
                }
                Err(closed) => return Err(closed),
            }
        }
        self.progress.tell(self.tally.loaded, self.began.elapsed());
        Ok(())
    }

    /// Counts a record that was not written, or may not have been.
    fn fail(&mut self, line: u64, key: Option<&[u8]>, status: Status, reason: &str) {
        self.tally.worst.add(status);
        self.tally.resume_from(line);
        if status == Status::Indeterminate {
            self.tally.indeterminate_records += 1;
            self.tally.indeterminate.extend(key.map(<[u8]>::to_vec));
        } else {
            self.tally.not_loaded += 1;
        }
        if self.tally.told.len() == FAILURES_NAMED_MAX {
            self.tally.untold += 1;
            return;
        }
        let whose = key.map(|key| format!("the key {}: ", quoted(key))).unwrap_or_default();
        self.progress.aside(|| self.output.error(format_args!("line {line}: {whose}{reason}")));
        let mut object = key.map(of_key).unwrap_or_default();
        object.insert("line".to_owned(), json!(line));
        object.insert("indeterminate".to_owned(), json!(status == Status::Indeterminate));
        object.insert("error".to_owned(), json!(reason));
        self.tally.told.push(Value::from(object));
    }

    /// Prints the results.
    fn print(&self) -> Result<(), Failure> {
        let Tally { loaded, loaded_bytes, not_loaded, indeterminate_records, resume_line, .. } =
            &self.tally;
        let seconds = self.began.elapsed().as_secs_f64();
        if self.tally.untold > 0 {
            self.output.tell(format_args!("{} more records are not named", self.tally.untold));
        }
        if self.output.json {
            return self.output.line(json!({
                "loaded": loaded,
                "bytes": loaded_bytes,
                "not_loaded": not_loaded,
                "indeterminate": indeterminate_records,
                "seconds": seconds,
                "from_line": resume_line,
                "failures": self.tally.told,
            }));
        }
        if let Some(line) = resume_line {
            let verb = if self.flags.check { "sound" } else { "stored" };
            self.output.tell(format_args!(
                "{loaded} records are {verb}, {not_loaded} are not, {indeterminate_records} may \
                 be; all before line {line} are: go on with --from-line {line}"
            ));
        }
        if self.flags.check {
            return self.output.line(format_args!("{loaded} records are sound"));
        }
        self.output.line(format_args!(
            "loaded {loaded} records, {:.1} MB in {seconds:.1} s ({:.0} records/s)",
            *loaded_bytes as f64 / 1e6,
            *loaded as f64 / seconds.max(1e-9)
        ))
    }
}

impl Tally {
    /// Whether something has failed that ends the load.
    fn must_stop(&self, goes_on: bool) -> bool {
        let has_failed = self.not_loaded + self.indeterminate_records > 0;
        (has_failed && !goes_on) || self.is_full()
    }

    /// Whether more keys are indeterminate than are kept.
    fn is_full(&self) -> bool {
        self.indeterminate.len() > INDETERMINATE_KEYS_MAX
    }

    /// From this line on it is to be loaded again, if not from an earlier one.
    fn resume_from(&mut self, line: u64) {
        self.resume_line = Some(self.resume_line.map_or(line, |earlier| earlier.min(line)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_goes_on_until_too_many_keys_are_indeterminate() {
        let mut tally = Tally { not_loaded: 1, ..Tally::default() };
        assert!(tally.must_stop(false) && !tally.must_stop(true));
        let keys = 0..INDETERMINATE_KEYS_MAX;
        tally.indeterminate = keys.map(|key| key.to_string().into_bytes()).collect();
        assert!(!tally.must_stop(true));
        tally.indeterminate.insert(b"one more".to_vec());
        assert!(tally.must_stop(true));
    }
}
