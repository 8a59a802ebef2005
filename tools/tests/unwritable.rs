//! A report that cannot be written is an error, and a reader that has seen enough is none.

use std::fs;
use std::path::{Path, PathBuf};

use host::report::{ClientReport, ServerSample};
use tempfile::TempDir;
use testkit::process::{Ended, Sink, beside, run_into};

const SUMMARIZE: &str = env!("CARGO_BIN_EXE_summarize");
const RUNINFO: &str = env!("CARGO_BIN_EXE_runinfo");
const COMPARE: &str = env!("CARGO_BIN_EXE_compare");
const CURVES: &str = env!("CARGO_BIN_EXE_curves");
const RUNINFO_FLAGS: [&str; 8] =
    ["--name", "x", "--servers", "1", "--clients", "1", "--commit", ""];

fn assert_not_written(ended: &Ended) {
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let last = ended.stderr.last().unwrap_or_else(|| panic!("one line tells why: {ended:?}"));
    assert!(last.contains("error: cannot write to stdout: No space left on device"), "{last}");
}

/// The smallest run that there is a report of.
fn results() -> TempDir {
    let results = tempfile::tempdir().unwrap();
    let run = results.path().join("a");
    fs::create_dir(&run).unwrap();
    let sample = ServerSample { time_ms: 3000, interval_ms: 1000.0, ..ServerSample::default() };
    fs::write(run.join("server-1.jsonl"), serde_json::to_string(&sample).unwrap()).unwrap();
    let report = ClientReport { run_start_ms: 1000, run_end_ms: 5000, ..ClientReport::default() };
    fs::write(run.join("client-1.json"), serde_json::to_string(&report).unwrap()).unwrap();
    results
}

fn summarize(path: &Path, stdout: Sink, stderr: Sink) -> Ended {
    run_into(SUMMARIZE.as_ref(), &[path.to_str().unwrap()], stdout, stderr)
}

#[test]
fn a_report_on_a_full_disk_is_an_error() {
    let results = results();
    assert_not_written(&summarize(results.path(), Sink::Full, Sink::Lines));
    assert_not_written(&run_into(RUNINFO.as_ref(), &RUNINFO_FLAGS, Sink::Full, Sink::Lines));
    // Nobody reads the line either.
    for stderr in [Sink::Full, Sink::Closed] {
        assert_eq!(summarize(results.path(), Sink::Full, stderr).status, Some(1));
    }
}

#[test]
fn a_report_whose_reader_is_gone_ends_quietly() {
    let results = results();
    let runinfo = run_into(RUNINFO.as_ref(), &RUNINFO_FLAGS, Sink::Closed, Sink::Lines);
    for ended in [summarize(results.path(), Sink::Closed, Sink::Lines), runinfo] {
        assert_eq!((ended.status, ended.stderr.len()), (Some(0), 0), "{ended:?}");
    }
}

#[test]
fn a_summary_that_cannot_be_kept_is_printed_and_is_an_error() {
    let results = results();
    // Not a matter of permissions, which root has.
    fs::create_dir(results.path().join("a/summary.json")).unwrap();
    let ended = summarize(results.path(), Sink::Lines, Sink::Lines);
    assert_eq!((ended.status, ended.stderr.len()), (Some(1), 1), "{ended:?}");
    assert!(ended.stderr[0].contains("summary.json: Is a directory"), "{ended:?}");
    assert!(ended.stdout.iter().any(|line| line.starts_with("total ")), "{ended:?}");
}

/// What measures, with flags that make it short.
fn measure(program: &str, flags: &[&str], out: &Path, stdout: Sink, stderr: Sink) -> Ended {
    let (kv, generator) = (beside(program, "kv"), beside(program, "gen"));
    let path = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let (kv, generator, out) = (path(&kv), path(&generator), path(&out.to_owned()));
    let places = ["--kv", &kv, "--gen", &generator, "--out", &out, "--records", "1000"];
    run_into(program.as_ref(), &[&places[..], flags].concat(), stdout, stderr)
}

#[test]
fn who_cannot_tell_how_far_they_are_measure_to_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let short = ["--rounds", "1", "--secs", "0.2", "--warmup", "0"];
    let compare = [&short[..], &["--only", "kv-null", "--latency-rounds", "0"]].concat();
    let curves = ["--curve", "reads", "--quick"];
    for (program, flags, file) in
        [(COMPARE, &compare[..], "compare.json"), (CURVES, &curves, "reads.json")]
    {
        for (at, stderr) in [Sink::Full, Sink::Closed].into_iter().enumerate() {
            let out = folder.path().join(format!("{file}-{at}"));
            let ended = measure(program, flags, &out, Sink::Lines, stderr);
            assert_eq!(ended.status, Some(0), "{ended:?}");
            assert!(out.join(file).exists(), "{ended:?}");
        }
    }
    let out = folder.path().join("full");
    assert_not_written(&measure(COMPARE, &compare, &out, Sink::Full, Sink::Lines));
    assert!(out.join("compare.json").exists(), "its files are kept");
}
