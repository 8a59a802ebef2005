//! Behind a network that drops 30 % of the datagrams each way, doubles 10 % and reorders
//! 15 %, nothing is lost and nothing happens twice (invariants 1 and 3).
#![forbid(unsafe_code)]

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

use client::{Config, Connection, Version};
use host::report::ClientReport;
use proto::unpack;
use proto::wire::{Kind, Op};
use testkit::DEADLINE;
use testkit::networks::Lossy;
use testkit::process::{Process, Signal, run};
use testkit::random::Random;
use testkit::relay::{Network, Passage, Relay};
use testkit::server::Server;

const GEN: &str = env!("CARGO_BIN_EXE_gen");
const RECORDS: u64 = 500;

#[test]
fn in_every_order_each_put_is_executed_once() {
    // Side by side: most of their time goes by in waiting for what was dropped.
    thread::scope(|scope| {
        for order in ["strict", "shard", "async"] {
            scope.spawn(move || each_put_happens_once(order));
        }
    });
}

fn each_put_happens_once(order: &str) {
    let servers = [Server::start(GEN, &[]), Server::start(GEN, &[])];
    let addresses = servers.each_ref().map(|server| server.address);
    let relay = Relay::start(&addresses, Lossy::new(Random::for_test(order)));
    let report = run_generator(order, &relay.list());
    relay.stop().assert_it_was_lossy();
    assert!(report.retransmits > 0, "what was dropped is sent again");

    let versions: u64 = versions(&addresses).iter().sum();
    let totals = servers.map(|server| server.end(Signal::TERM));
    let sum = |name| -> u64 { totals.iter().map(|totals| totals.of(name)).sum() };
    // Two sums of what was executed, and the generator's of what it was told.
    assert_eq!(versions, sum("puts"), "each PUT made one version");
    assert_eq!(versions, report.counters["puts_answered"], "each PUT answered was executed once");
    assert!(report.counters["puts_answered"] >= report.loaded + report.puts);
    assert!(sum("requests_duplicate") > 0, "requests came twice, or this shows nothing");
    assert!(sum("mutations_suppressed") > 0, "PUTs came twice, or this shows nothing");
}

#[expect(clippy::print_stdout, reason = "a test shows it where it fails")]
fn run_generator(order: &str, servers: &str) -> ClientReport {
    let json = format!("{}/lossy-{order}.json", env!("CARGO_TARGET_TMPDIR"));
    let records = RECORDS.to_string();
    let arguments = [
        ["--servers", servers],
        ["--order", order],
        ["--workload", "ycsb-a"],
        ["--records", &records],
        // Three fill a datagram, so that a run takes many.
        ["--value-size", "400"],
        ["--streams", "16"],
        ["--secs", "2"],
        ["--warmup", "0"],
        ["--pin", "none"],
        ["--json", &json],
        // At such a loss a datagram may need many attempts: these leave it enough.
        ["--connect-timeout", "30"],
        ["--answer-timeout", "30"],
    ];
    let mut arguments = arguments.concat();
    arguments.push("--load");
    let ended = Process::start(GEN.as_ref(), &arguments).wait(DEADLINE);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let text = fs::read_to_string(&json).expect("it was written");
    let report: ClientReport = serde_json::from_str(&text).expect("it is a report");
    assert_eq!((report.loaded, report.not_found), (RECORDS, 0), "{ended:?}");
    assert_eq!((report.indeterminate, report.unanswered_gets), (0, 0), "{ended:?}");
    println!("{order}: {:?}", ended.stdout);
    // How many is a matter of luck: some waits for what was dropped take a second.
    assert!(report.ops > 0, "it went on: {ended:?}");
    report
}

/// The version of each record, read from the servers themselves.
fn versions(servers: &[SocketAddr]) -> Vec<u64> {
    let keys: Vec<_> = (0..RECORDS).map(u64::to_be_bytes).collect();
    let read = connect(servers).get_many(&keys);
    let versions = read.into_iter().map(|read| {
        let record = read.expect("it is answered").expect("it is there");
        record.version.number()
    });
    versions.collect()
}

/// A connection whose calls wait as long as a test does.
fn connect(servers: &[SocketAddr]) -> Connection {
    let config = Config::default().with_connect_timeout(DEADLINE).with_timeout(DEADLINE);
    Connection::connect_with(servers, &config).expect("they answer")
}

/// A network that loses every question for counters.
struct WithoutStats;

impl Network for WithoutStats {
    fn carry(&mut self, _now: Instant, passage: Passage, leaves: &mut Vec<Passage>) {
        let (kind, header) = unpack::header(&passage.bytes).expect("they speak the protocol");
        let mut spans = Vec::new();
        if kind == Kind::Request {
            unpack::requests(&passage.bytes, header.entries, &mut spans).expect("it is one");
        }
        if spans.iter().all(|span| span.op != Op::Stats) {
            leaves.push(passage);
        }
    }
}

#[test]
fn servers_that_do_not_tell_their_counters_make_no_operation_unanswered() {
    let server = Server::start(GEN, &[]);
    let relay = Relay::start(&[server.address], WithoutStats);
    let list = relay.list();
    let ended = run(GEN.as_ref(), &["--servers", &list, "--load", "--records", "9", "--secs", "0"]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
}

#[test]
fn a_writer_sees_every_version_once_and_in_order() {
    const KEYS: u8 = 24;
    const ROUNDS: u64 = 15;
    let server = Server::start(GEN, &[]);
    let relay = Relay::start(&[server.address], Lossy::new(Random::for_test("writer")));
    let mut writer = connect(&relay.fronts);
    // Three values fill a datagram, so that a round takes many.
    let value = |key: u8, round: u64| [&[key; 400][..], &round.to_le_bytes()].concat();
    for round in 1..=ROUNDS {
        let puts: Vec<_> = (0..KEYS).map(|key| ([key], value(key, round))).collect();
        for (key, version) in (0..KEYS).zip(writer.put_many(&puts)) {
            assert_eq!(version.map(Version::number), Ok(round), "key {key}");
        }
    }
    let mut reader = connect(&[server.address]);
    for key in 0..KEYS {
        let record = reader.get(&[key]).expect("it is answered").expect("it is there");
        assert_eq!((record.version.number(), record.value), (ROUNDS, value(key, ROUNDS).into()));
    }
    relay.stop().assert_it_was_lossy();
    let totals = server.end(Signal::TERM);
    assert_eq!(totals.of("puts"), u64::from(KEYS) * ROUNDS);
    assert!(totals.of("mutations_suppressed") > 0, "PUTs came twice, or this shows nothing");
}
