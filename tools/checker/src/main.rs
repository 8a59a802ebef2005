//! Says whether a history is linearizable.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use checker::check::{CheckRequest, check};
use checker::shown::{shown, shown_time};
use checker::{Verdict, Violation};
use clap::Parser;
use host::flags::{count, duration_ns};
use host::output::{print, to_stderr};
use serde_json::json;

const PROGRAM: &str = "lincheck";

/// Most threads.
const THREADS_MAX: u64 = 1024;

/// Says whether a history is linearizable.
///
/// Reads the histories that `gen --history` and `cluster.sh --verify` write, or CSV with the
/// columns client,key,op,value,start_ns,end_ns (op is get or put; an empty value on a get
/// means that nothing was found, an empty end that no answer came; keys start absent, and
/// puts of one key have distinct values).
///
/// A get that a near cache answered is judged as any other: a stale answer is not linearizable.
/// With --staleness such a get may have read what was current up to that time before its call,
/// but nothing older than what its own client had put by then. All other gets stay as strict
/// as ever.
///
/// Exit status: 0 if it is linearizable, 1 if it is not (with a counterexample), 2 if it
/// cannot be read or the verdict not be written.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version)]
struct Flags {
    /// History files, folders of them, folders of single runs (such as bench-results/latest),
    /// or CSV files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// How far each host's clock may be from the true time, such as 1ms: intervals are
    /// widened by it at both ends. Needed if the histories are of several hosts
    #[arg(long, value_name = "TIME", value_parser = duration_ns)]
    clock_error: Option<u64>,

    /// How old an answer of a near cache may be, such as 50ms: the --cache-max-age of the
    /// generators. CSV does not tell which gets a cache answered, so any may be so old
    #[arg(long, value_name = "TIME", value_parser = duration_ns)]
    staleness: Option<u64>,

    /// Take files without an end: their generators were killed. Of these, PUTs that are in no
    /// file may or may not have happened
    #[arg(long)]
    killed: bool,

    /// Threads; the default is one for each core
    #[arg(long, value_name = "N", value_parser = count::<usize>(THREADS_MAX), allow_negative_numbers = true)]
    threads: Option<usize>,

    /// Print the verdict as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let flags: Flags = host::flags::parse(PROGRAM);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let request = CheckRequest {
        paths: flags.paths,
        clock_error_ns: flags.clock_error,
        staleness_ns: flags.staleness,
        killed: flags.killed,
        threads: flags.threads.unwrap_or(cores),
    };
    let verdict = match check(&request) {
        Ok(verdict) => verdict,
        Err(error) => host::flags::fail(PROGRAM, error),
    };
    let text = if flags.json {
        as_json(&verdict, flags.staleness)
    } else {
        as_text(&verdict, flags.staleness)
    };
    if let Err(error) = print(&text) {
        // Status 1 would be a verdict.
        let verdict = text.lines().next().unwrap_or_default();
        host::flags::fail(PROGRAM, format_args!("{error:#}; the verdict is: {verdict}"));
    }
    if let Ok(verdict) = &verdict {
        tell_what_is_missing(verdict);
    }
    ExitCode::from(u8::from(verdict.is_err()))
}

/// A good verdict on less than somebody may think.
fn tell_what_is_missing(verdict: &Verdict) {
    match verdict.unanswered_gets {
        0 => {}
        1 => to_stderr(format_args!("{PROGRAM}: 1 unanswered get left out")),
        gets => to_stderr(format_args!("{PROGRAM}: {gets} unanswered gets left out")),
    }
    if verdict.operations == 0 {
        to_stderr(format_args!("{PROGRAM}: warning: nothing was checked"));
    }
}

fn as_text(verdict: &Result<Verdict, Violation>, staleness_ns: Option<u64>) -> String {
    match verdict {
        Ok(Verdict { operations, cached, keys, restarts, .. }) => {
            let mut text = format!("linearizable: {operations} operations, {keys} keys\n");
            text += &cached_text(*cached, staleness_ns);
            for lost in restarts {
                text += &format!(
                    "server {} started again {} times, and lost what {} keys held: each of its \
                     lives was checked by itself, from empty\n",
                    lost.server, lost.restarts, lost.lost_keys
                );
            }
            text
        }
        Err(Violation { key, text }) => {
            let key = key.as_ref().map(|key| format!(": key {}", shown(key))).unwrap_or_default();
            format!("not linearizable{key}\n{text}")
        }
    }
}

/// How old answers of near caches may have been; nothing if there are none.
fn cached_text(cached: u64, staleness_ns: Option<u64>) -> String {
    match staleness_ns {
        Some(ns) => {
            let time = shown_time(ns);
            format!("staleness {time}: no answer of a near cache is older ({cached} gets)\n")
        }
        None if cached > 0 => format!("no answer of a near cache is stale ({cached} gets)\n"),
        None => String::new(),
    }
}

fn as_json(verdict: &Result<Verdict, Violation>, staleness_ns: Option<u64>) -> String {
    let json = match verdict {
        Ok(Verdict { operations, cached, keys, unanswered_gets, restarts }) => {
            let restarts: Vec<_> = restarts
                .iter()
                .map(|lost| {
                    json!({
                        "server": lost.server,
                        "restarts": lost.restarts,
                        "lost_keys": lost.lost_keys,
                    })
                })
                .collect();
            json!({
                "linearizable": true,
                "operations": operations,
                "cached": cached,
                "staleness_ns": staleness_ns,
                "keys": keys,
                "unanswered_gets": unanswered_gets,
                "restarts": restarts,
            })
        }
        Err(Violation { key, text }) => {
            json!({
                "linearizable": false,
                "staleness_ns": staleness_ns,
                "key": key,
                "counterexample": text,
            })
        }
    };
    format!("{json:#}\n")
}
