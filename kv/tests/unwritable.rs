//! What the server cannot write or read about itself never ends its service.
#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use client::{Config, Connection};
use testkit::DEADLINE;
use testkit::process::{Process, Signal, Sink, run_into};
use testkit::server::{Server, free_port};

const KV: &str = env!("CARGO_BIN_EXE_kv");
/// Longer than the server takes to report once.
const A_REPORT: Duration = Duration::from_millis(1200);

/// A server that writes nowhere, and the address that it was told to take.
fn start_into(arguments: &[&str], stdout: Sink, stderr: Sink) -> (Process, SocketAddr) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let port = address.port().to_string();
    let given = ["--port", &port, "--records", "1000", "--pin", "none"];
    let arguments = [&given[..], arguments].concat();
    (Process::start_into(KV.as_ref(), &arguments, stdout, stderr), address)
}

fn assert_serves(address: SocketAddr) {
    let config = Config::default().with_connect_timeout(DEADLINE).with_timeout(DEADLINE);
    let mut client = Connection::connect_with(&[address], &config).expect("it answers");
    client.put(b"key", b"value").expect("it is stored");
    assert!(client.get(b"key").expect("it is answered").is_some());
}

/// It warns at its start, of more workers than cores, and is given something to complain of.
fn serves_without(stdout: Sink, stderr: Sink) {
    let cores = std::thread::available_parallelism().expect("this machine has cores").get();
    let workers = (cores + 1).to_string();
    let (mut process, address) = start_into(&["--cores", &workers], stdout, stderr);
    assert_serves(address);
    let attacker = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    attacker.send_to(&[0], address).expect("a local address");
    std::thread::sleep(2 * A_REPORT);
    assert_serves(address);
    process.signal(Signal::TERM);
    assert_eq!(process.wait_for_end(DEADLINE), Some(0), "{stdout:?} {stderr:?}");
}

#[test]
fn a_stderr_on_a_full_disk_does_not_end_it() {
    serves_without(Sink::Lines, Sink::Full);
}

#[test]
fn a_stderr_that_nobody_reads_does_not_end_it() {
    serves_without(Sink::Lines, Sink::Closed);
}

#[test]
fn a_stdout_on_a_full_disk_does_not_end_it() {
    serves_without(Sink::Full, Sink::Lines);
}

#[test]
fn a_stdout_that_nobody_reads_does_not_end_it() {
    serves_without(Sink::Closed, Sink::Closed);
}

#[test]
fn full_pipes_that_somebody_holds_open_hold_up_neither_service_nor_end() {
    let cores = std::thread::available_parallelism().expect("this machine has cores").get();
    let workers = (cores + 1).to_string();
    let (mut process, address) = start_into(&["--cores", &workers], Sink::Unread, Sink::Unread);
    assert_serves(address);
    std::thread::sleep(2 * A_REPORT);
    assert_serves(address);
    process.signal(Signal::TERM);
    let asked = Instant::now();
    assert_eq!(process.wait_for_end(DEADLINE), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

#[test]
fn what_was_not_told_while_the_process_was_stopped_is_told_once() {
    let file = std::env::temp_dir().join(format!("kv-stopped-{}.jsonl", std::process::id()));
    let samples = ["--samples", file.to_str().expect("it is text")];
    let mut server = Server::start(KV, &samples);
    server.process.wait_for_line("get/s ", DEADLINE);
    server.process.signal(Signal::STOP);
    std::thread::sleep(Duration::from_secs(3));
    server.process.signal(Signal::CONT);
    std::thread::sleep(A_REPORT);
    assert_eq!(server.end(Signal::TERM).ended.status, Some(0));
    let samples = std::fs::read_to_string(&file).expect("it was written");
    std::fs::remove_file(&file).expect("it is there");
    let interval_ms = |line: &str| {
        let (_, rest) = line.split_once("\"interval_ms\":").expect("each sample has it");
        let number = rest.split(',').next().expect("split yields something");
        number.parse::<f64>().expect("it is a number")
    };
    let intervals: Vec<_> = samples.lines().map(interval_ms).collect();
    assert!(intervals.iter().any(|&ms| ms >= 2500.0), "{intervals:?}");
    assert!(intervals.iter().all(|&ms| ms >= 500.0), "rates of no time are noise: {intervals:?}");
}

#[test]
fn a_ready_line_that_cannot_be_written_is_told_on_stderr() {
    for stdout in [Sink::Full, Sink::Closed, Sink::Unread] {
        let (mut process, address) = start_into(&[], stdout, Sink::Lines);
        let line = process.wait_for_line("kv: warning: ready at ", DEADLINE);
        assert!(line.contains(&address.to_string()), "{line}");
        assert_serves(address);
    }
}

#[test]
fn samples_on_a_full_disk_are_missed_and_told_of_and_service_goes_on() {
    let mut server = Server::start(KV, &["--samples", "/dev/full"]);
    server.process.wait_for_line("kv: warning: a sample is missing: cannot write", DEADLINE);
    std::thread::sleep(A_REPORT);
    assert_serves(server.address);
    let totals = server.end(Signal::TERM);
    // They were asked for, so their absence is an error, at the end.
    assert_eq!(totals.ended.status, Some(1), "{totals:?}");
    assert_eq!(totals.of("puts"), 1, "{totals:?}");
    let warnings = totals.ended.stderr.iter().filter(|line| line.contains("is missing"));
    assert_eq!(warnings.count(), 1, "one complaint is enough: {totals:?}");
    let last = totals.ended.stderr.last().expect("the error");
    assert!(last.starts_with("kv: error: /dev/full: ") && last.contains("missing"), "{last}");
}

/// The limit on the size of files is what a full disk is without root: a part of a line is
/// written, and then no more.
#[test]
fn a_disk_that_fills_up_leaves_whole_samples() {
    let file = std::env::temp_dir().join(format!("kv-full-{}.jsonl", std::process::id()));
    let limited = "trap '' XFSZ; ulimit -f 4; exec \"$0\" \"$@\"";
    let path = file.to_str().expect("it is text");
    let flags = ["-c", limited, KV, "--port", "0", "--pin", "none", "--samples", path];
    let mut process = Process::start("/bin/sh".as_ref(), &flags);
    process.wait_for_line("kv ready ", DEADLINE);
    process.wait_for_line("kv: warning: a sample is missing: cannot write", DEADLINE);
    std::thread::sleep(A_REPORT);
    process.signal(Signal::TERM);
    assert_eq!(process.wait_for_end(DEADLINE), Some(1), "{process:?}");
    let samples = std::fs::read_to_string(&file).expect("there were samples");
    std::fs::remove_file(&file).expect("it is there");
    assert!(samples.ends_with("}\n") && samples.lines().all(|line| line.starts_with('{')));
}

#[test]
fn without_descriptors_to_read_proc_it_serves() {
    let file = std::env::temp_dir().join(format!("kv-nofile-{}.jsonl", std::process::id()));
    let path = file.to_str().expect("it is text");
    // Fewer than 6 are not enough for the standard ones, a socket, its queue and its waker.
    for limit in ["6", "7"] {
        for samples in [&[][..], &["--samples", path]] {
            let limited = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
            let port = free_port().to_string();
            let flags = ["-c", &limited, KV, "--port", &port, "--pin", "none"];
            let mut process = Process::start(Path::new("/bin/sh"), &[&flags[..], samples].concat());
            let line = process.wait_for_line("kv", DEADLINE);
            if line.starts_with("kv: error: ") {
                // It could not start, and said so: not even the samples' file could be opened.
                assert!(line.contains("Too many open files"), "{line}");
                assert_eq!(process.wait_for_end(DEADLINE), Some(2), "{process:?}");
                continue;
            }
            std::thread::sleep(A_REPORT);
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().unwrap()));
            assert_serves(address);
            process.signal(Signal::TERM);
            let status = process.wait_for_end(DEADLINE);
            let is_complete = samples.is_empty();
            assert!(status == Some(0) || (status == Some(1) && !is_complete), "{process:?}");
        }
    }
    let _ = std::fs::remove_file(&file);
}

#[test]
fn a_help_that_cannot_be_written_is_an_error() {
    for flag in ["--help", "--version"] {
        let ended = run_into(KV.as_ref(), &[flag], Sink::Full, Sink::Lines);
        assert_eq!(ended.status, Some(1), "{ended:?}");
        assert!(ended.stderr[0].starts_with("kv: error: cannot write to stdout"), "{ended:?}");
        let ended = run_into(KV.as_ref(), &[flag], Sink::Closed, Sink::Lines);
        assert_eq!((ended.status, ended.stderr.len()), (Some(0), 0), "{ended:?}");
    }
}
