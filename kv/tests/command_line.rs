//! What the server says and how it ends, for whoever starts it.
#![forbid(unsafe_code)]

use std::path::Path;

use client::{Connection, Version};
use testkit::DEADLINE;
use testkit::process::{Process, Signal, beside, run};
use testkit::server::Server;

const KV: &str = env!("CARGO_BIN_EXE_kv");

fn refuses(arguments: &[&str], reason: &str) {
    let ended = run(KV.as_ref(), arguments);
    ended.assert_refused(reason);
    assert!(ended.stdout.is_empty(), "it was never ready: {ended:?}");
}

#[test]
fn a_port_in_use_is_refused() {
    let server = Server::start(KV, &[]);
    let port = server.address.port();
    refuses(&["--port", &port.to_string()], "in use");
    if let Some(before) = port.checked_sub(1) {
        let arguments = ["--port", &before.to_string(), "--cores", "2"];
        refuses(&arguments, &format!("a port from {before} to {port} of 127.0.0.1 is in use"));
    }
}

#[test]
fn ports_beyond_the_last_are_refused() {
    refuses(&["--port", "65535", "--cores", "2"], "the last port is 65535");
}

#[test]
fn an_index_that_there_is_no_memory_for_is_refused() {
    let limited = "ulimit -v 400000 && exec \"$0\" --port 0 --records 100000000 --memory 100G";
    let ended = run(Path::new("/bin/sh"), &["-c", limited, KV]);
    ended.assert_refused("no memory for an index of 100000000 records (--records)");
}

#[test]
fn it_tells_its_bound_on_memory_and_where_that_comes_from() {
    let line = |limits: &str| {
        let command = format!("{limits} && exec \"$0\" --port 0 --records 1000 --pin none");
        let mut process = Process::start("/bin/sh".as_ref(), &["-c", &command, KV]);
        let line = process.wait_for_line("kv memory ", DEADLINE);
        process.wait_for_line("kv ready ", DEADLINE);
        line
    };
    let address_space = "80 % of 1024000000, the limit on its address space (RLIMIT_AS)";
    assert_eq!(line("ulimit -v 1000000"), format!("kv memory 819200000 bytes: {address_space}"));
    let data = "80 % of 512000000, the limit on its data (RLIMIT_DATA)";
    assert_eq!(line("ulimit -d 500000"), format!("kv memory 409600000 bytes: {data}"));
}

#[test]
fn an_address_of_another_machine_is_refused() {
    // Of a network that is kept for documentation, RFC 5737.
    refuses(&["--bind", "192.0.2.1", "--port", "0"], "192.0.2.1 is not an address of this machine");
    refuses(&["--bind", "nowhere"], "--bind");
}

#[test]
fn worker_counts_that_are_zero_or_absurd_are_refused() {
    for cores in ["0", "513", "65536", "99999999999999999999", "many"] {
        refuses(&["--port", "0", "--cores", cores], "--cores");
    }
}

#[test]
fn wrong_flags_are_refused_by_their_names() {
    refuses(&["--no-such-flag"], "--no-such-flag");
    refuses(&["--mtu", "100"], "--mtu");
    refuses(&["--window", "3"], "a power of two from 1 to 256");
    refuses(&["--memory", "much"], "--memory");
    refuses(&["--port", "70000"], "--port");
    refuses(&["--pin", "9999", "--port", "0"], "--pin names core 9999");
    refuses(&["stray"], "stray");
}

#[test]
fn the_help_tells_every_flag() {
    let ended = run(KV.as_ref(), &["--help"]);
    assert_eq!((ended.status, ended.stderr.len()), (Some(0), 0));
    let help = ended.stdout.join("\n");
    for flag in [
        "bind",
        "port",
        "cores",
        "pin",
        "mtu",
        "window",
        "memory",
        "records",
        "samples",
        "metrics",
        "die-with-parent",
    ] {
        assert!(help.contains(&format!("--{flag}")), "--{flag} is not in the help");
    }
}

#[test]
fn signals_end_it_cleanly_with_its_totals() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = Server::start(KV, &[]);
        let mut client = Connection::connect(&[server.address]).expect("it answers");
        client.set_timeout(DEADLINE);
        assert_eq!(client.put(b"key", b"value").map(Version::number), Ok(1));
        let record = client.get(b"key").expect("it is answered").expect("it is there");
        assert_eq!((record.version.number(), &record.value[..]), (1, &b"value"[..]));
        assert_eq!(client.get(b"none"), Ok(None));
        let totals = server.end(signal);
        assert_eq!(totals.ended.status, Some(0), "{totals:?}");
        assert_eq!((totals.of("puts"), totals.of("gets")), (1, 2), "{totals:?}");
        assert_eq!((totals.of("gets_not_found"), totals.of("malformed")), (1, 0), "{totals:?}");
    }
}

#[test]
fn it_tells_each_second_what_it_does() {
    let mut server = Server::start(KV, &[]);
    let line = server.process.wait_for_line("get/s ", DEADLINE);
    assert_eq!(line, "get/s 0 put/s 0 ops/s 0");
}

#[test]
fn more_workers_than_cores_are_warned_of_and_work() {
    let cores = std::thread::available_parallelism().expect("this machine has cores").get();
    let workers = (4 * cores).max(8).to_string();
    let server = Server::start(KV, &["--cores", &workers]);
    let generator = beside(KV, "gen");
    let ended = run_against(&generator, &server);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.throughput() > 0.0, "{ended:?}");
    let totals = server.end(Signal::TERM);
    assert_eq!(totals.ended.status, Some(0), "{totals:?}");
    assert_eq!((totals.of("records"), totals.of("malformed")), (1000, 0));
    let warnings = totals.ended.stderr.iter().filter(|line| line.contains("warning"));
    let warnings: Vec<_> = warnings.collect();
    assert_eq!(warnings.len(), 1, "{totals:?}");
    assert!(warnings[0].contains(&format!("{workers} workers share")), "{totals:?}");
}

fn run_against(generator: &Path, server: &Server) -> testkit::process::Ended {
    let address = server.address.to_string();
    let arguments = [
        ["--servers", &address],
        ["--records", "1000"],
        ["--secs", "1"],
        ["--warmup", "0"],
        ["--streams", "64"],
        ["--pin", "none"],
    ];
    let mut arguments = arguments.concat();
    arguments.push("--load");
    Process::start(generator, &arguments).wait(DEADLINE)
}
