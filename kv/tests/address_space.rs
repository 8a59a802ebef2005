//! A server that may have few addresses (`RLIMIT_AS`), as under `prlimit --as` or `ulimit -v`: it
//! says so and does not start, or it serves and refuses what it has no memory for. It never aborts.
#![forbid(unsafe_code)]
#![cfg(not(any(loom, shuttle)))]

use std::path::Path;

use client::{Client, Config, Error, Refusal};
use testkit::DEADLINE;
use testkit::process::{Process, Signal, run};
use testkit::random::Random;

const KV: &str = env!("CARGO_BIN_EXE_kv");
/// Records of a call.
const BATCH: u64 = 1024;

/// Starts it with so many addresses.
fn start(kib: u64, arguments: &str) -> Process {
    let parent = std::process::id();
    let command = format!(
        "ulimit -v {kib} && exec \"$0\" --port 0 --pin none --die-with-parent {parent} {arguments}"
    );
    Process::start(Path::new("/bin/sh"), &["-c", &command, KV])
}

/// Fills it with records of these sizes until it refuses most of a call, writes on for a while,
/// and ends it. Returns how many it took.
fn fill(mut server: Process, value_bytes: impl Fn(&mut Random) -> usize) -> u64 {
    let line = server.wait_for_line("kv ready ", DEADLINE);
    let address = line.split(' ').nth(2).and_then(|address| address.parse().ok());
    let config = Config::default().with_connect_timeout(DEADLINE).with_timeout(DEADLINE);
    let client = Client::connect_with(&[address.expect("an address")], &config).expect("it is up");
    let mut random = Random::for_test("address space");
    let (mut taken, mut calls, mut calls_left) = (0, 0, None);
    while calls_left != Some(0) {
        let records: Vec<_> = (calls * BATCH..(calls + 1) * BATCH)
            .map(|key: u64| (key.to_be_bytes(), vec![7; value_bytes(&mut random)]))
            .collect();
        let results = client.put_many(&records).wait().expect("it answers");
        for result in results.iter() {
            match result {
                Ok(_) => taken += 1,
                Err(Error::Refused(Refusal::MemoryFull)) => {}
                Err(error) => panic!("after {taken} records: {error}"),
            }
        }
        let is_refused = results.iter().filter(|result| result.is_err()).count() as u64 > BATCH / 2;
        calls += 1;
        calls_left = match calls_left {
            Some(left) => Some(left - 1),
            None => is_refused.then_some(calls / 8),
        };
    }
    assert!(client.get(&0_u64.to_be_bytes()).wait().expect("it answers").is_some());
    server.signal(Signal::TERM);
    let ended = server.wait(DEADLINE);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    taken
}

#[test]
fn within_512_mib_of_addresses_records_fill_the_table_and_are_refused_then() {
    let taken = fill(start(512 << 10, "--memory 128M"), |random| random.index(1400));
    assert!(taken > 100_000, "{taken}");
}

#[test]
fn the_index_leaves_addresses_to_the_rest_of_the_server() {
    // It grows as long as it may, and there are hardly more addresses than memory.
    let taken = fill(start(250 << 10, "--memory 48M --records 1000"), |_| 0);
    assert!(taken > 300_000, "{taken}");
}

#[test]
fn pages_leave_data_to_the_rest_of_the_server() {
    let parent = std::process::id();
    let command = format!(
        "ulimit -d {} && exec \"$0\" --port 0 --pin none --records 1000 --die-with-parent {parent}",
        240 << 10
    );
    let server = Process::start(Path::new("/bin/sh"), &["-c", &command, KV]);
    let taken = fill(server, |random| 1000 + random.index(400));
    assert!(taken > 10_000, "{taken}");
}

#[test]
fn a_table_that_there_are_no_addresses_for_is_refused() {
    // The first would leave some, too few for the rest of the server.
    for memory in ["--memory 350M", "--memory 500M", "--memory 600M", "--memory 100G", ""] {
        let limited = format!("ulimit -v {} && exec \"$0\" --port 0 {memory}", 512 << 10);
        let ended = run(Path::new("/bin/sh"), &["-c", &limited, KV]);
        ended.assert_refused("(--memory)");
    }
}
