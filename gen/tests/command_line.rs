//! What the generator says and how it ends, for whoever starts it.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use history::operation::Action;
use history::reader::Reader;
use host::report::ClientReport;
use proto::pack;
use proto::unpack;
use proto::wire::{Header, Kind, VERSION};
use testkit::DEADLINE;
use testkit::process::{Ended, Process, Signal, beside, run};
use testkit::server::Server;

const GEN: &str = env!("CARGO_BIN_EXE_gen");
/// Nobody needs to be there: the flags are refused before.
const NOWHERE: &str = "127.0.0.1:9";

fn generate(servers: &str, arguments: &[&str]) -> Ended {
    run(GEN.as_ref(), &[&["--servers", servers][..], arguments].concat())
}

/// A short run against a server.
fn short_run(server: &Server, arguments: &[&str]) -> Ended {
    let short = ["--records", "100", "--secs", "0.2", "--warmup", "0", "--load", "--pin", "none"];
    generate(&server.address.to_string(), &[&short[..], arguments].concat())
}

fn refuses(arguments: &[&str], reason: &str) {
    generate(NOWHERE, arguments).assert_refused(reason);
}

#[test]
fn skews_that_are_none_are_refused() {
    for theta in ["-1", "nan", "abc", "inf"] {
        refuses(&["--theta", theta], "theta must be a finite number, at least 0");
    }
}

#[test]
fn skews_from_uniform_to_beyond_one_work() {
    let server = Server::start(GEN, &[]);
    for theta in ["0", "1", "1.2"] {
        let ended = short_run(&server, &["--theta", theta]);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert!(ended.throughput() > 0.0, "{ended:?}");
    }
}

#[test]
fn workloads_are_named_in_any_case() {
    let server = Server::start(GEN, &[]);
    for workload in ["YCSB-A", "Ycsb-b", "ycsb-c"] {
        let ended = short_run(&server, &["--workload", workload]);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert!(ended.throughput() > 0.0, "the last line is the throughput");
        let name = workload.to_lowercase();
        assert!(ended.stdout.iter().any(|line| line.starts_with(&name)), "{ended:?}");
    }
}

#[test]
fn an_unknown_workload_is_answered_with_the_known_ones() {
    refuses(&["--workload", "ycsb-z"], "ycsb-a, ycsb-b, ycsb-c");
}

#[test]
fn counts_that_are_zero_or_absurd_are_refused_with_their_limits() {
    for flag in ["--records", "--streams", "--threads", "--batch"] {
        for count in ["0", "99999999999", "18446744073709551616", "many"] {
            let ended = generate(NOWHERE, &[flag, count]);
            ended.assert_refused(flag);
            ended.assert_refused("from 1 to ");
        }
    }
}

#[test]
fn a_rate_of_zero_is_refused() {
    for rate in ["0", "-5", "nan"] {
        refuses(&["--rate", rate], "operations a second");
    }
}

#[test]
fn datagrams_that_are_too_small_are_refused() {
    refuses(&["--mtu", "100"], "576");
}

#[test]
fn a_value_that_no_datagram_carries_is_refused_with_the_limit() {
    refuses(&["--value-size", "1425"], "the limit is 1424 bytes");
    refuses(&["--value-size", "1425", "--mtu", "576"], "the limit is 528 bytes");
}

#[test]
fn a_value_that_the_servers_datagrams_do_not_carry_is_refused_with_the_limit() {
    let server = Server::start(GEN, &["--mtu", "576"]);
    short_run(&server, &["--value-size", "1000"]).assert_refused("the limit is 528 bytes");
}

#[test]
fn unknown_flags_and_no_servers_are_refused() {
    refuses(&["--no-such-flag"], "--no-such-flag");
    run(GEN.as_ref(), &[]).assert_refused("--servers");
}

#[test]
fn servers_that_cannot_be_found_are_named() {
    for name in ["localhost", "127.0.0.1:99999", ""] {
        generate(name, &[]).assert_refused(&format!("--servers: cannot connect: '{name}' is no"));
    }
    generate("no-such-host.invalid:7400", &[])
        .assert_refused("--servers: the system failed: cannot look up 'no-such-host.invalid:7400'");
    generate("127.0.0.1:0", &[]).assert_refused("127.0.0.1:0 has port 0");
    generate("127.0.0.1:7400,127.0.0.1:7400", &[]).assert_refused("twice");
    generate("127.0.0.1:7400,[::1]:7400", &[]).assert_refused("of two families");
}

#[test]
fn a_server_that_does_not_answer_is_named_with_the_time_waited() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("it is bound").to_string();
    let began = Instant::now();
    let ended = generate(&address, &["--connect-timeout", "0.5", "--records", "10"]);
    ended.assert_refused(&address);
    ended.assert_refused("in 0.5 s");
    assert!(began.elapsed() >= Duration::from_millis(500));
}

#[test]
fn a_server_of_another_version_is_named_with_both_versions() {
    const OTHER: u8 = VERSION + 1;
    let server = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    server.set_read_timeout(Some(DEADLINE)).expect("it is not zero");
    let address = server.local_addr().expect("it is bound").to_string();
    let answering = thread::spawn(move || {
        let mut buffer = [0; 1 << 16];
        let (length, client) = server.recv_from(&mut buffer).expect("a client comes");
        let (_, hello) = unpack::header(&buffer[..length]).expect("it is sound");
        let mut refusal = Vec::new();
        pack::bare(
            &mut refusal,
            Header { version: OTHER, ..Header::new(Kind::Refuse, hello.session, 0) },
        );
        server.send_to(&refusal, client).expect("it is sent");
    });
    let ended = generate(&address, &["--records", "10"]);
    answering.join().expect("it answered");
    ended.assert_refused(&address);
    ended.assert_refused(&format!("version {OTHER}"));
    ended.assert_refused(&format!("version {VERSION}"));
}

#[test]
fn the_help_tells_every_flag() {
    let ended = run(GEN.as_ref(), &["--help"]);
    assert_eq!((ended.status, ended.stderr.len()), (Some(0), 0));
    let help = ended.stdout.join("\n");
    for flag in [
        "servers",
        "target",
        "connections",
        "workload",
        "theta",
        "records",
        "key-size",
        "value-size",
        "streams",
        "threads",
        "batch",
        "batch-mtu",
        "order",
        "warmup",
        "secs",
        "rate",
        "load",
        "seed",
        "json",
        "hdr",
        "samples",
        "mtu",
        "window",
        "connect-timeout",
        "answer-timeout",
        "pin",
        "die-with-parent",
    ] {
        assert!(help.contains(&format!("--{flag}")), "--{flag} is not in the help");
    }
}

#[test]
fn an_open_loop_achieves_the_rate_that_it_offers() {
    let server = Server::start(GEN, &[]);
    let address = server.address.to_string();
    let long = ["--records", "100", "--secs", "2", "--warmup", "0", "--load", "--pin", "none"];
    let ended = generate(&address, &[&long[..], &["--rate", "1000"]].concat());
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!((800.0..1200.0).contains(&ended.throughput()), "{ended:?}");
}

/// A generator that has run for a second.
fn running(server: &Server, arguments: &[&str]) -> Process {
    let address = server.address.to_string();
    let long = ["--servers", &address, "--records", "100", "--load", "--warmup", "0"];
    let load = ["--workload", "ycsb-a", "--streams", "64", "--pin", "none"];
    let mut process = Process::start(GEN.as_ref(), &[&long[..], &load, arguments].concat());
    process.wait_for_line("gen: run 1/", DEADLINE);
    process
}

#[test]
fn a_server_that_starts_again_gets_new_sessions_and_nothing_of_the_old_ones() {
    let server = Server::start(GEN, &[]);
    let address = server.address;
    let folder = std::env::temp_dir().join(format!("gen-restart-{}.json", std::process::id()));
    let json = folder.to_str().unwrap();
    let generator = running(&server, &["--secs", "5", "--answer-timeout", "1", "--json", json]);
    server.process.signal(Signal::KILL);
    drop(server);
    let port = address.port().to_string();
    let mut again = Process::start(&beside(GEN, "kv"), &["--port", &port, "--pin", "none"]);
    again.wait_for_line("kv ready", DEADLINE);
    let ended = generator.wait(DEADLINE);
    assert_eq!(ended.status, Some(3), "{ended:?}");
    let report = std::fs::read_to_string(&folder).unwrap();
    std::fs::remove_file(&folder).unwrap();
    // The old session was refused or given up, and another one carried on to the end.
    for told in ["\"sessions_opened\": 2", "\"sessions_lost\": 1"] {
        assert!(report.contains(told), "{told}: {report}");
    }
    again.signal(Signal::TERM);
    let totals = again.wait(DEADLINE).stdout.join(" ");
    assert!(totals.contains("sessions_opened 1 "), "{totals}");
    assert!(totals.contains(" puts ") && !totals.contains(" puts 0 "), "{totals}");
}

#[test]
fn a_server_that_dies_leaves_puts_indeterminate_and_exit_status_3() {
    let server = Server::start(GEN, &[]);
    let generator = running(&server, &["--secs", "4", "--answer-timeout", "1"]);
    server.process.signal(Signal::KILL);
    let ended = generator.wait(DEADLINE);
    assert_eq!(ended.status, Some(3), "{ended:?}");
    assert!(ended.throughput() > 0.0, "what was answered before is reported: {ended:?}");
    let line = ended.stdout.iter().find(|line| line.starts_with("retransmits "));
    let line = line.unwrap_or_else(|| panic!("{ended:?}"));
    assert!(!line.contains("indeterminate 0 "), "PUTs were outstanding: {line}");
}

#[test]
fn an_interrupted_run_tells_what_it_has_and_exits_with_130() {
    let server = Server::start(GEN, &[]);
    let generator = running(&server, &["--secs", "600"]);
    generator.signal(Signal::INT);
    let ended = generator.wait(Duration::from_secs(10));
    assert_eq!(ended.status, Some(130), "{ended:?}");
    assert!(ended.throughput() > 0.0, "{ended:?}");
    assert!(ended.stdout.iter().any(|line| line.contains("indeterminate 0 ")), "{ended:?}");
}

#[test]
fn an_interrupted_wait_for_a_server_ends_at_once() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("it is bound").to_string();
    let generator = Process::start(
        GEN.as_ref(),
        &["--servers", &address, "--records", "10", "--connect-timeout", "600"],
    );
    silent.set_read_timeout(Some(DEADLINE)).expect("it is not zero");
    silent.recv_from(&mut [0; 1 << 16]).expect("it says hello");
    generator.signal(Signal::INT);
    let ended = generator.wait(Duration::from_secs(10));
    assert_eq!(ended.status, Some(130), "{ended:?}");
}

/// A run of two seconds in open loop.
fn open_loop(server: &Server, rate: &str, more: &[&str]) -> Ended {
    let flags = ["--records", "100", "--secs", "2", "--warmup", "0", "--load", "--pin", "none"];
    let flags = [&flags[..], &["--rate", rate], more].concat();
    generate(&server.address.to_string(), &flags)
}

fn report_of(ended: &Ended) -> ClientReport {
    let report = serde_json::from_str(&ended.stdout.join("\n"));
    report.unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

#[test]
fn a_rate_that_is_reached_is_told_beside_what_was_asked_for() {
    let server = Server::start(GEN, &[]);
    // So few that the last one is due long before the end.
    let ended = open_loop(&server, "50", &[]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let line = ended.stdout.iter().find(|line| line.starts_with("open loop: "));
    let line = line.unwrap_or_else(|| panic!("{ended:?}"));
    assert!(line.starts_with("open loop: asked for 50 ops/s, "), "{line}");
    assert!(line.ends_with(" backlog 0: reached"), "{line}");
}

#[test]
fn a_rate_that_is_not_reached_is_exit_status_4() {
    let server = Server::start(GEN, &[]);
    let ended = open_loop(&server, "1e9", &["--json", "-"]);
    assert_eq!(ended.status, Some(4), "{ended:?}");
    let report = report_of(&ended);
    assert_eq!((report.rate_ops_per_s, report.rate_reached), (Some(1e9), Some(false)));
    assert!(report.ops > 0 && report.ops_per_s < 1e9 && report.backlog > 0, "{report:?}");
    for line in ["gen: the rate that was asked for was not reached: ", "open loop: asked for "] {
        assert!(ended.stderr.iter().any(|told| told.starts_with(line)), "{line}: {ended:?}");
    }
}

#[test]
fn a_short_stall_that_is_caught_up_is_a_rate_that_was_reached() {
    let server = Server::start(GEN, &[]);
    let generator = running(&server, &["--secs", "4", "--rate", "2000", "--json", "-"]);
    server.process.signal(Signal::STOP);
    thread::sleep(Duration::from_millis(300));
    server.process.signal(Signal::CONT);
    let ended = generator.wait(DEADLINE);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let report = report_of(&ended);
    assert_eq!(report.rate_reached, Some(true));
    assert!(report.latency.max_us > 100_000.0, "it stalled, or this shows nothing: {report:?}");
}

#[test]
fn what_became_due_while_the_generator_was_stopped_is_answered_or_in_the_backlog() {
    let server = Server::start(GEN, &[]);
    let generator = running(&server, &["--secs", "2", "--rate", "2000", "--json", "-"]);
    generator.signal(Signal::STOP);
    thread::sleep(Duration::from_millis(1500));
    generator.signal(Signal::CONT);
    let ended = generator.wait(DEADLINE);
    let report = report_of(&ended);
    // Some were answered after the end.
    assert!((3900..=4000).contains(&(report.ops + report.backlog)), "{report:?}");
    assert_eq!(report.rate_reached, Some(false), "or it was not stopped: {report:?}");
}

#[test]
fn an_outcome_that_is_not_known_comes_before_a_rate_that_was_not_reached() {
    let server = Server::start(GEN, &[]);
    let flags = ["--secs", "3", "--rate", "2000", "--answer-timeout", "1", "--json", "-"];
    let generator = running(&server, &flags);
    server.process.signal(Signal::KILL);
    let ended = generator.wait(DEADLINE);
    assert_eq!(ended.status, Some(3), "{ended:?}");
    assert_eq!(report_of(&ended).rate_reached, Some(false), "{ended:?}");
}

#[test]
fn a_closed_loop_is_told_and_reaches_no_rate() {
    let server = Server::start(GEN, &[]);
    let ended = short_run(&server, &[]);
    assert!(ended.stdout.contains(&"closed loop".to_owned()), "{ended:?}");
    let report = report_of(&short_run(&server, &["--json", "-"]));
    assert_eq!((report.rate_ops_per_s, report.rate_reached), (None, None));
}

/// What each stream did, in its order.
fn operations(folder: &Path) -> BTreeMap<u32, Vec<(u64, bool)>> {
    let mut streams: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for file in std::fs::read_dir(folder).expect("the folder of histories") {
        let file = std::fs::File::open(file.expect("an entry").path()).expect("a history");
        let mut reader = Reader::new(std::io::BufReader::new(file)).expect("a history");
        while let Some(operation) = reader.next().expect("a sound history") {
            let is_put = matches!(operation.action, Action::Stored(_) | Action::Indeterminate(_));
            streams.entry(operation.client).or_default().push((operation.key, is_put));
        }
    }
    streams
}

#[test]
fn a_run_is_repeated_by_the_seed_of_its_report() {
    let server = Server::start(GEN, &[]);
    let folders = [(); 3].map(|()| tempfile::tempdir().expect("a folder"));
    let run_into = |folder: &Path, more: &[&str]| {
        let history = folder.to_str().expect("it is text");
        // With one operation at a time, the history has them in their order.
        let flags = ["--streams", "4", "--batch", "1", "--workload", "ycsb-a", "--json", "-"];
        let flags = [&flags[..], &["--history", history], more].concat();
        let address = server.address.to_string();
        let short = ["--records", "1000", "--secs", "0.2", "--warmup", "0", "--pin", "none"];
        report_of(&generate(&address, &[&short[..], &flags].concat())).seed
    };
    let [first, again, other] = folders.each_ref().map(tempfile::TempDir::path);
    let seed = run_into(first, &[]);
    assert!(seed < 1 << 53, "every reader of JSON keeps it: {seed}");
    assert_eq!(run_into(again, &["--seed", &seed.to_string()]), seed);
    assert_ne!(run_into(other, &[]), seed, "another run draws another one");

    let [first, again, other] = [first, again, other].map(operations);
    assert_eq!(first.len(), 4, "each stream has a history");
    for (stream, operations) in &first {
        let again = &again[stream];
        let common = operations.len().min(again.len());
        assert!(common > 20, "or this shows nothing: {common}");
        assert_eq!(operations[..common], again[..common], "stream {stream}");
        assert_ne!(operations[..20], other[stream][..20], "stream {stream}");
    }
}

#[test]
fn a_server_that_does_not_answer_is_named_while_the_generator_connects() {
    let server = Server::start(GEN, &[]);
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("it is bound");
    let servers = format!("{},{address}", server.address);
    let flags = ["--servers", &servers, "--records", "10", "--connect-timeout", "600"];
    let mut generator = Process::start(GEN.as_ref(), &flags);
    generator.wait_for_line(&format!("gen: no answer from {address} for 2 s"), DEADLINE);
}

#[test]
fn a_server_that_falls_silent_is_named_while_the_run_goes_on_and_until_it_answers() {
    let servers = [Server::start(GEN, &[]), Server::start(GEN, &[])];
    let list = servers.each_ref().map(|server| server.address.to_string()).join(",");
    let flags = ["--servers", &list, "--records", "100", "--load", "--warmup", "0", "--secs", "8"];
    let mut generator = Process::start(GEN.as_ref(), &[&flags[..], &["--pin", "none"]].concat());
    generator.wait_for_line("gen: run 1/", DEADLINE);
    servers[1].process.signal(Signal::STOP);
    let silence = format!("no answer from {} for ", servers[1].address);
    loop {
        let line = generator.wait_for_line("gen: run ", DEADLINE);
        if line.contains(&silence) {
            break;
        }
    }
    servers[1].process.signal(Signal::CONT);
    let ended = generator.wait(DEADLINE);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let last = ended.stderr.iter().rfind(|line| line.starts_with("gen: run "));
    assert!(!last.expect("a line each second").contains("no answer"), "{ended:?}");
    let named = ended.stderr.iter().any(|line| line.contains(&servers[0].address.to_string()));
    assert!(!named, "the other one answered: {ended:?}");
}

#[test]
fn a_server_that_was_lost_is_named_in_the_report() {
    let server = Server::start(GEN, &[]);
    let address = server.address.to_string();
    let generator = running(&server, &["--secs", "4", "--answer-timeout", "1"]);
    server.process.signal(Signal::KILL);
    let ended = generator.wait(DEADLINE);
    let lost = format!("lost {address}: ");
    assert!(ended.stdout.iter().any(|line| line.starts_with(&lost)), "{ended:?}");
}
