//! What the generator was asked to write and cannot is an error; what it says while it runs
//! ends nothing.
#![forbid(unsafe_code)]

use std::path::Path;

use host::report::{ClientReport, ClientSample};
use testkit::DEADLINE;
use testkit::process::{Ended, Process, Sink, run, run_into};
use testkit::server::Server;

const GEN: &str = env!("CARGO_BIN_EXE_gen");
const NO_SPACE: &str = "No space left on device";

/// A short run against a server of its own.
fn short_run(flags: &[&str], stdout: Sink, stderr: Sink) -> Ended {
    let server = Server::start(GEN, &[]);
    let address = server.address.to_string();
    let short = ["--servers", &address, "--records", "100", "--load", "--pin", "none"];
    let window = ["--secs", "1.2", "--warmup", "0"];
    run_into(GEN.as_ref(), &[&short[..], &window, flags].concat(), stdout, stderr)
}

/// It failed, and one line says of what.
fn assert_unwritten(ended: &Ended, of: &str) {
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let errors = ended.stderr.iter().filter(|line| line.starts_with("gen: error: "));
    let errors: Vec<_> = errors.collect();
    assert_eq!(errors.len(), 1, "{ended:?}");
    assert!(errors[0].contains(of) && errors[0].contains(NO_SPACE), "{ended:?}");
}

#[test]
fn files_on_a_full_disk_are_an_error_and_the_report_is_printed() {
    for flag in ["--json", "--hdr", "--samples"] {
        let ended = short_run(&[flag, "/dev/full"], Sink::Lines, Sink::Lines);
        assert_unwritten(&ended, "/dev/full");
        assert!(ended.throughput() > 0.0, "{ended:?}");
    }
}

#[test]
fn a_file_that_cannot_be_written_costs_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let hdr = folder.path().join("hdr");
    let files = ["--json", "/dev/full", "--samples", "/dev/full", "--hdr", hdr.to_str().unwrap()];
    let ended = short_run(&files, Sink::Full, Sink::Lines);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let errors = ended.stderr.iter().filter(|line| line.starts_with("gen: error: "));
    assert_eq!(errors.count(), 3, "stdout and two files: {ended:?}");
    assert!(std::fs::metadata(&hdr).unwrap().len() > 0);
}

#[test]
fn a_report_on_a_full_disk_is_an_error() {
    assert_unwritten(&short_run(&[], Sink::Full, Sink::Lines), "cannot write to stdout");
    // Nobody reads the line either.
    assert_eq!(short_run(&[], Sink::Full, Sink::Closed).status, Some(1));
}

#[test]
fn a_report_whose_reader_is_gone_is_no_error() {
    assert_eq!(short_run(&[], Sink::Closed, Sink::Lines).status, Some(0));
}

#[test]
fn progress_that_cannot_be_written_ends_nothing() {
    for stderr in [Sink::Full, Sink::Closed, Sink::Unread] {
        let ended = short_run(&[], Sink::Lines, stderr);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert!(ended.throughput() > 0.0, "{ended:?}");
    }
}

#[test]
fn a_hyphen_for_the_json_file_is_stdout_and_nothing_else_is_there() {
    let ended = short_run(&["--json", "-"], Sink::Lines, Sink::Lines);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let report: ClientReport = serde_json::from_str(&ended.stdout.join("\n")).unwrap();
    assert!(report.ops > 0, "{ended:?}");
    assert!(ended.stderr.last().unwrap().starts_with("throughput "), "{ended:?}");
    assert!(!Path::new("-").exists(), "no file has that name");
    assert_unwritten(&short_run(&["--json", "-"], Sink::Full, Sink::Lines), "stdout");
}

/// The limit on the size of files is what a full disk is without root.
#[test]
fn a_history_on_a_full_disk_is_an_error() {
    let server = Server::start(GEN, &[]);
    let address = server.address.to_string();
    let folder = tempfile::tempdir().unwrap();
    let limited = "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"";
    let flags = ["-c", limited, GEN, "--servers", &address, "--records", "100", "--load"];
    let more = ["--secs", "3", "--pin", "none", "--history", folder.path().to_str().unwrap()];
    let ended = run(Path::new("/bin/sh"), &[&flags[..], &more].concat());
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let errors: Vec<_> = ended.stderr.iter().filter(|line| line.contains("error")).collect();
    assert_eq!(errors.len(), 1, "{ended:?}");
    assert!(errors[0].contains("cannot write the history: File too large"), "{ended:?}");
}

#[test]
fn without_descriptors_to_read_proc_it_measures_and_misses_samples() {
    let server = Server::start(GEN, &[]);
    let address = server.address.to_string();
    let folder = tempfile::tempdir().unwrap();
    let samples = folder.path().join("samples");
    let flags = ["--servers", &address, "--records", "100", "--load", "--secs", "2.2"];
    for limit in 6..16 {
        let limited = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
        let more = ["--pin", "none", "--samples", samples.to_str().unwrap()];
        let shell = ["-c", &limited, GEN];
        let process = Process::start("/bin/sh".as_ref(), &[&shell[..], &flags, &more].concat());
        let ended = process.wait(DEADLINE);
        let has_started = ended.stderr.iter().any(|line| line.starts_with("gen: run "));
        if !has_started {
            assert!(ended.stderr[0].contains("Too many open files"), "{ended:?}");
            continue;
        }
        // With the fewest that it can run with, it cannot look at itself.
        assert!(ended.throughput() > 0.0, "{ended:?}");
        if ended.status == Some(1) {
            let last = ended.stderr.last().unwrap();
            assert!(last.contains("samples are missing"), "{ended:?}");
        } else {
            assert_eq!(ended.status, Some(0), "{ended:?}");
            let text = std::fs::read_to_string(&samples).unwrap();
            assert!(text.lines().all(|line| serde_json::from_str::<ClientSample>(line).is_ok()));
        }
        return;
    }
    panic!("it runs with no number of descriptors");
}
