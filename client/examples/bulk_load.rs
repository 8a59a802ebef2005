//! Writes the records of a file, a line `KEY<tab>VALUE` for each:
//! `cargo run --release --example bulk_load -- 127.0.0.1:7400 FILE`; without FILE from stdin.
//!
//! A key that stands in several lines gets one of their values, not always the last: what is
//! written together is concurrent.
//!
//! Exit status: 0 if all are stored, 1 if some are not, 2 if it could not start, 3 if nobody
//! knows of some whether they are.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what it does")]

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::process::ExitCode;
use std::time::Duration;
use std::{env, thread};

use anyhow::Context as _;
use client::{Config, Connection};
use indicatif::{ProgressBar, ProgressStyle};

/// Records that are written together, and share a deadline.
const BATCH: usize = 10_000;
const TIMEOUT: Duration = Duration::from_secs(2);
/// How often a record is tried that was not stored, but may be.
const TRIES: u32 = 4;
/// A server that is full or restarts needs some time.
const PAUSE: Duration = Duration::from_millis(100);

/// Failures that are shown; the others are only counted.
const SHOWN: u64 = 20;

/// Of a line, in bytes.
type Record = (Vec<u8>, Vec<u8>);

/// What has become of the lines.
#[derive(Debug, Default)]
struct Tally {
    stored: u64,
    not_stored: u64,
    indeterminate: u64,
    invalid: u64,
}

fn main() -> ExitCode {
    match load() {
        Ok(tally) => {
            let Tally { stored, not_stored, indeterminate, invalid } = tally;
            println!(
                "{stored} stored, {not_stored} not stored, {indeterminate} indeterminate, \
                 {invalid} invalid"
            );
            match (not_stored + invalid, indeterminate) {
                (0, 0) => ExitCode::SUCCESS,
                (_, 0) => ExitCode::from(1),
                _ => ExitCode::from(3),
            }
        }
        Err(error) => {
            eprintln!("bulk_load: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn load() -> anyhow::Result<Tally> {
    let mut arguments = env::args().skip(1);
    let servers = arguments.next().unwrap_or_else(|| "127.0.0.1:7400".to_owned());
    let (input, bytes): (Box<dyn Read>, _) = match arguments.next() {
        Some(path) => {
            let file = File::open(&path).with_context(|| path)?;
            let bytes = file.metadata()?.len();
            (Box::new(file), Some(bytes))
        }
        None => (Box::new(io::stdin()), None),
    };
    let config = Config::default().with_timeout(TIMEOUT);
    let mut connection = Connection::connect_with(&client::resolve(&servers)?, &config)?;
    println!("loading into {servers}");

    // It shows itself on a terminal only.
    let progress = bytes.map_or_else(ProgressBar::no_length, ProgressBar::new);
    let style = "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    progress.set_style(ProgressStyle::with_template(style).expect("a valid template"));

    let mut tally = Tally::default();
    let mut batch = Vec::with_capacity(BATCH);
    for (number, line) in (1_u64..).zip(BufReader::new(input).split(b'\n')) {
        let line = line.context("cannot read")?;
        progress.inc(line.len() as u64 + 1);
        match line.iter().position(|&byte| byte == b'\t') {
            Some(tab) => batch.push((line[..tab].to_vec(), line[tab + 1..].to_vec())),
            None => {
                tally.invalid += 1;
                progress.suspend(|| eprintln!("bulk_load: line {number} has no tab"));
            }
        }
        if batch.len() == BATCH {
            write(&mut connection, &mut tally, &progress, std::mem::take(&mut batch));
        }
    }
    write(&mut connection, &mut tally, &progress, batch);
    progress.finish();
    Ok(tally)
}

/// Writes records, and those again that were not stored, but may be.
fn write(
    connection: &mut Connection,
    tally: &mut Tally,
    progress: &ProgressBar,
    mut records: Vec<Record>,
) {
    let mut tries = 1..TRIES;
    while !records.is_empty() {
        let results = connection.put_many(&records);
        let may_try_again = tries.next().is_some();
        let mut again = Vec::new();
        for (record, result) in records.into_iter().zip(results) {
            match result {
                Ok(_) => tally.stored += 1,
                Err(error) if error.may_retry() && may_try_again => again.push(record),
                Err(error) => {
                    match error.is_indeterminate() {
                        true => tally.indeterminate += 1,
                        false => tally.not_stored += 1,
                    }
                    if tally.not_stored + tally.indeterminate <= SHOWN {
                        let key = String::from_utf8_lossy(&record.0);
                        progress.suspend(|| eprintln!("bulk_load: {key}: {error}"));
                    }
                }
            }
        }
        records = again;
        if !records.is_empty() {
            thread::sleep(PAUSE);
        }
    }
}
