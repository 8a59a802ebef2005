//! Other stores, driven by the generator: what it reports of them and how it ends.
#![forbid(unsafe_code)]

mod fake_store;

use std::io::Write as _;
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use host::report::ClientReport;
use testkit::DEADLINE;
use testkit::process::{Ended, Process, Signal, run};
use testkit::server::Server;

use fake_store::{Act, Dialect, FakeStore};

const GEN: &str = env!("CARGO_BIN_EXE_gen");
const RECORDS: usize = 1000;

/// Every scheme, and what speaks it.
const SCHEMES: [(&str, Dialect); 4] = [
    ("memcached", Dialect::Memcached),
    ("memcached+udp", Dialect::MemcachedUdp),
    ("redis", Dialect::Redis),
    ("redis+mget", Dialect::Redis),
];

fn url(scheme: &str, store: &FakeStore) -> String {
    format!("{scheme}://{}", store.address)
}

fn arguments<'a>(target: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let always = ["--target", target, "--records", "1000", "--warmup", "0", "--pin", "none"];
    // A machine that is busy loses nothing, but may take its time.
    let patience: &[&str] =
        if more.contains(&"--answer-timeout") { &[] } else { &["--answer-timeout", "30"] };
    [&always[..], patience, more].concat()
}

fn generate(target: &str, more: &[&str]) -> Ended {
    run(GEN.as_ref(), &arguments(target, more))
}

/// A report of a run, and how the run ended.
fn report(name: &str, target: &str, more: &[&str]) -> (Ended, ClientReport) {
    let file = format!("gen-baselines-{name}-{}.json", std::process::id());
    let path = std::env::temp_dir().join(file);
    let json = path.to_str().expect("it is text");
    let ended = generate(target, &[more, &["--json", json]].concat());
    let report =
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    std::fs::remove_file(&path).expect("it was just read");
    let report = serde_json::from_str(&report);
    (ended.clone(), report.unwrap_or_else(|error| panic!("{error}: {ended:?}")))
}

fn assert_failed(ended: &Ended, reason: &str) {
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let errors: Vec<_> =
        ended.stderr.iter().filter(|line| line.starts_with("gen: error: ")).collect();
    assert_eq!(errors.len(), 1, "one line tells why: {ended:?}");
    assert!(errors[0].contains(reason), "'{reason}' is not in '{}'", errors[0]);
}

#[test]
fn every_operation_is_answered_in_every_protocol() {
    for (scheme, dialect) in SCHEMES {
        for workload in ["ycsb-a", "ycsb-b", "ycsb-c"] {
            let store = FakeStore::start(dialect);
            let more = ["--load", "--secs", "0.3", "--workload", workload, "--batch", "30"];
            let (ended, report) = report(scheme, &url(scheme, &store), &more);
            assert_eq!(ended.status, Some(0), "{scheme} {workload}: {ended:?}");
            assert_eq!((report.loaded, report.not_found, report.refused), (1000, 0, 0), "{scheme}");
            assert!(report.ops > 0 && report.ops == report.gets + report.puts, "{ended:?}");
            assert_eq!(report.puts == 0, workload == "ycsb-c", "{scheme} {workload}");
            assert_eq!((report.order.as_str(), report.streams, report.batch), ("pipelined", 1, 30));
            assert_eq!(store.state(|state| state.records.len()), RECORDS, "{scheme}");
            let heard = store.state(|state| state.heard.len() as u64);
            let answered = report.counters["operations_answered"];
            assert_eq!(heard, answered, "{scheme} {workload}: each was asked for once");
        }
    }
}

#[test]
fn connections_of_all_threads_share_several_stores_by_key() {
    for (scheme, dialect) in SCHEMES {
        let stores = [(); 3].map(|()| FakeStore::start(dialect));
        let target = stores.each_ref().map(|store| url(scheme, store)).join(",");
        let more = ["--load", "--secs", "0.3", "--threads", "2", "--connections", "3"];
        let ended = generate(&target, &[&more[..], &["--batch", "7"]].concat());
        assert_eq!(ended.status, Some(0), "{scheme}: {ended:?}");
        assert!(ended.stdout.iter().any(|line| line.ends_with(" not-found 0 refused 0")));
        let records = stores.map(|store| store.state(|state| state.records.len()));
        assert_eq!(records.iter().sum::<usize>(), RECORDS, "each is at one store: {records:?}");
        // Five standard deviations of a binomial with n = 1000 and p = 1/3.
        assert!(records.iter().all(|count| count.abs_diff(333) < 75), "{records:?}");
    }
}

#[test]
fn a_seed_draws_the_same_operations_for_every_protocol() {
    let heard = SCHEMES.map(|(scheme, dialect)| {
        let store = FakeStore::start(dialect);
        let more = ["--seed", "5", "--secs", "0.3", "--workload", "ycsb-a", "--batch", "9"];
        let ended = generate(&url(scheme, &store), &more);
        assert_eq!(ended.status, Some(0), "{scheme}: {ended:?}");
        store.state(|state| state.heard[..900].to_vec())
    });
    assert!(heard[0].iter().any(|(_, is_put)| *is_put), "some write");
    assert!(heard.iter().all(|other| *other == heard[0]));
}

#[test]
fn keys_are_text_of_the_size_that_was_asked_for() {
    for (key_size, first) in [("8", "AAAAAAAA"), ("11", "kkkAAAAAAAA")] {
        let store = FakeStore::start(Dialect::Redis);
        let ended =
            generate(&url("redis", &store), &["--load", "--secs", "0", "--key-size", key_size]);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert_eq!(store.state(|state| state.records[first].len()), 128);
    }
}

#[test]
fn records_that_are_not_there_are_counted_and_no_failure() {
    for (scheme, dialect) in SCHEMES {
        let store = FakeStore::start(dialect);
        let more = ["--secs", "0.2", "--workload", "ycsb-c"];
        let (ended, report) = report(&format!("{scheme}-missing"), &url(scheme, &store), &more);
        assert_eq!(ended.status, Some(0), "{scheme}: {ended:?}");
        assert!(report.gets > 0, "{ended:?}");
        assert_eq!(report.not_found, report.gets, "{scheme}");
    }
}

#[test]
fn an_open_loop_achieves_the_rate_that_it_offers() {
    for (scheme, dialect) in SCHEMES {
        let store = FakeStore::start(dialect);
        let more = ["--load", "--secs", "1", "--rate", "2000", "--connections", "3"];
        let more = [&more[..], &["--batch", "20"]].concat();
        // A machine that stalls near the end of a short run reaches no rate.
        let mut runs = (0..5).map(|_| generate(&url(scheme, &store), &more));
        let reached = |ended: &Ended| ended.status != Some(4);
        let ended = runs.find(reached).expect("one run of five reaches its rate");
        assert_eq!(ended.status, Some(0), "{scheme}: {ended:?}");
        assert!((1600.0..2400.0).contains(&ended.throughput()), "{scheme}: {ended:?}");
    }
}

#[test]
fn what_became_due_while_the_generator_was_stopped_is_answered_or_in_the_backlog() {
    let store = FakeStore::start(Dialect::Redis);
    let target = url("redis", &store);
    let more = ["--load", "--secs", "2", "--rate", "2000", "--json", "-"];
    let mut generator = Process::start(GEN.as_ref(), &arguments(&target, &more));
    generator.wait_for_line("gen: run 1/2 s", DEADLINE);
    generator.signal(Signal::STOP);
    std::thread::sleep(Duration::from_millis(1500));
    generator.signal(Signal::CONT);
    let ended = generator.wait(DEADLINE);
    let report: ClientReport = serde_json::from_str(&ended.stdout.join("\n")).expect("a report");
    // Some were answered after the end.
    assert!((3900..=4000).contains(&(report.ops + report.backlog)), "{report:?}");
    assert_eq!(report.rate_reached, Some(false), "or it was not stopped: {report:?}");
}

#[test]
fn a_connection_that_is_closed_ends_the_run_and_tells_what_was_outstanding() {
    for (scheme, dialect) in SCHEMES.into_iter().filter(|(_, d)| *d != Dialect::MemcachedUdp) {
        let act = |command| if command > 3000 { Act::Close } else { Act::Answer };
        let store = FakeStore::acting(dialect, act);
        let more = ["--load", "--secs", "60", "--workload", "ycsb-a"];
        let ended = generate(&url(scheme, &store), &more);
        assert_failed(&ended, &format!("{scheme}://{}: ", store.address));
        assert_failed(&ended, "connection");
        assert_failed(&ended, " operations were outstanding, ");
        assert_failed(&ended, " of them PUTs, each of which may or may not have happened");
    }
}

#[test]
fn an_answer_that_is_not_the_protocol_ends_the_run() {
    for (scheme, dialect) in SCHEMES.into_iter().filter(|(_, d)| *d != Dialect::MemcachedUdp) {
        for after in [0, 1500] {
            let act = move |command| if command > after { Act::Babble } else { Act::Answer };
            let store = FakeStore::acting(dialect, act);
            let ended = generate(&url(scheme, &store), &["--load", "--secs", "60"]);
            assert_failed(&ended, "it sent 'What do you mean?");
        }
    }
}

#[test]
fn a_value_of_another_size_ends_the_run_with_what_to_do() {
    for (scheme, dialect) in SCHEMES {
        let store = FakeStore::start(dialect);
        let target = url(scheme, &store);
        let loaded = generate(&target, &["--load", "--secs", "0", "--value-size", "64"]);
        assert_eq!(loaded.status, Some(0), "{loaded:?}");
        let ended = generate(&target, &["--secs", "60"]);
        assert_failed(&ended, "a value of 64 bytes where 128 are expected");
    }
}

#[test]
fn a_store_that_is_not_there_is_named_with_what_to_do() {
    // The port is free again when this is dropped.
    let free = || TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    for (scheme, _) in SCHEMES {
        let target = format!("{scheme}://{}", free().expect("a free port"));
        let ended = generate(&target, &[]);
        ended.assert_refused(&format!("cannot connect to {target} (Connection refused"));
        ended.assert_refused("start it");
    }
}

#[test]
fn a_store_that_takes_no_more_connections_ends_the_run() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let target = format!("redis://{}", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        for mut connection in listener.incoming().map_while(Result::ok) {
            let _ = connection.write_all(b"-ERR max number of clients reached\r\n");
        }
    });
    let began = Instant::now();
    let ended = generate(&target, &["--secs", "60"]);
    // It depends on how soon the store says it.
    assert!(matches!(ended.status, Some(1 | 2)), "{ended:?}");
    let errors = ended.stderr.iter().filter(|line| line.starts_with("gen: error: ")).count();
    assert_eq!(errors, 1, "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "it waits for no timeout: {ended:?}");
}

#[test]
fn a_store_that_is_silent_from_the_start_is_named_with_the_time_waited() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let target = format!("memcached+udp://{}", silent.local_addr().expect("it is bound"));
    generate(&target, &["--connect-timeout", "0.3"]).assert_refused("no answer in 0.3 s");
}

#[test]
fn a_store_that_falls_silent_ends_the_run() {
    for (scheme, dialect) in SCHEMES.into_iter().filter(|(_, d)| *d != Dialect::MemcachedUdp) {
        let act = |command| if command > 1500 { Act::Silence } else { Act::Answer };
        let store = FakeStore::acting(dialect, act);
        let more = ["--load", "--secs", "60", "--answer-timeout", "0.3"];
        let ended = generate(&url(scheme, &store), &more);
        assert_failed(&ended, "did not answer in 0.3 s; ");
    }
}

#[test]
fn answers_lost_over_udp_are_counted_and_end_in_exit_status_3() {
    let act = |command| match command {
        ..=1000 => Act::Answer,
        _ if command % 20 == 0 => Act::Silence,
        _ => Act::Answer,
    };
    let store = FakeStore::acting(Dialect::MemcachedUdp, act);
    let target = url("memcached+udp", &store);
    let more = ["--load", "--secs", "1", "--workload", "ycsb-a", "--answer-timeout", "0.01"];
    let (ended, report) = report("lost", &target, &more);
    assert_eq!(ended.status, Some(3), "{ended:?}");
    assert!(report.unanswered_gets > 0 && report.indeterminate > 0, "{ended:?}");
    assert_eq!(report.not_found, 0, "what is lost is not taken for what is not there");
    assert!(report.ops > 100, "it goes on: {ended:?}");
    assert_eq!(report.retransmits, 0);
}

#[test]
fn refused_records_fail_a_load_and_are_told_with_the_reason() {
    for (scheme, dialect) in SCHEMES.into_iter().filter(|(_, d)| *d != Dialect::MemcachedUdp) {
        let act = |command| if command > 900 { Act::Refuse } else { Act::Answer };
        let store = FakeStore::acting(dialect, act);
        let ended = generate(&url(scheme, &store), &["--load", "--secs", "0"]);
        let said = if dialect == Dialect::Redis { "-OOM" } else { "SERVER_ERROR out of memory" };
        let said = said.trim_start_matches('-');
        assert_failed(&ended, &format!("100 records were refused: '{said}"));
    }
}

#[test]
fn refused_operations_of_a_run_are_counted() {
    for (scheme, dialect) in SCHEMES.into_iter().filter(|(_, d)| *d != Dialect::MemcachedUdp) {
        let act = |command| match command {
            ..=1000 => Act::Answer,
            _ if command % 5 == 0 => Act::Refuse,
            _ => Act::Answer,
        };
        let store = FakeStore::acting(dialect, act);
        let more = ["--load", "--secs", "0.3", "--workload", "ycsb-a"];
        let (ended, report) = report(&format!("{scheme}-refused"), &url(scheme, &store), &more);
        assert_eq!(ended.status, Some(0), "{scheme}: {ended:?}");
        assert!(report.refused > 0 && report.ops > 0, "{scheme}: {ended:?}");
        assert_eq!(report.not_found, 0, "{scheme}");
        assert!(ended.stderr.iter().any(|line| line.contains("operations were refused: '")));
    }
}

#[test]
fn a_run_of_which_everything_was_refused_fails() {
    for (scheme, dialect) in SCHEMES.into_iter().filter(|(_, d)| *d != Dialect::MemcachedUdp) {
        let store = FakeStore::acting(dialect, |_| Act::Refuse);
        let ended = generate(&url(scheme, &store), &["--secs", "0.3", "--read-pct", "0"]);
        assert_failed(&ended, "every operation was refused: '");
    }
}

#[test]
fn an_interrupted_run_tells_what_it_has_and_exits_with_130() {
    for (scheme, dialect) in SCHEMES {
        let store = FakeStore::start(dialect);
        let target = url(scheme, &store);
        let all = arguments(&target, &["--load", "--secs", "600"]);
        let mut process = Process::start(GEN.as_ref(), &all);
        process.wait_for_line("gen: run 1/", DEADLINE);
        process.signal(Signal::INT);
        let ended = process.wait(Duration::from_secs(10));
        assert_eq!(ended.status, Some(130), "{ended:?}");
        assert!(ended.throughput() > 0.0, "{ended:?}");
        assert!(ended.stdout.iter().any(|line| line.contains("indeterminate 0 ")), "{ended:?}");
    }
}

#[test]
fn the_scheme_kv_is_the_same_as_servers() {
    let server = Server::start(GEN, &[]);
    let target = format!("kv://{}", server.address);
    let more = ["--load", "--secs", "0.2", "--streams", "8", "--order", "async"];
    let ended = generate(&target, &more);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.stdout.iter().any(|line| line.contains(" async streams 8 batch 1024 ")));
    generate(&target, &["--connections", "2"]).assert_refused("--connections is for other stores");
}

#[test]
fn flags_that_have_no_meaning_are_refused() {
    let here = "redis://127.0.0.1:9";
    for flags in [
        &["--order", "strict"][..],
        &["--window", "64"],
        &["--mtu", "1472"],
        &["--history", "/nonexistent"],
        &["--cache", "100", "--cache-max-age", "50ms"],
        &["--streams", "1024"],
        &["--batch-mtu"],
    ] {
        let reason = format!("{} has no meaning for redis://", flags[0]);
        generate(here, flags).assert_refused(&reason);
    }
    let udp = "memcached+udp://127.0.0.1:9";
    generate(udp, &["--mtu", "576"]).assert_refused("cannot connect");
    generate(udp, &["--mtu", "576", "--value-size", "560"]).assert_refused("takes a datagram of");
    generate(here, &["--key-size", "7"]).assert_refused("text of at least 8 bytes");
    generate("memcached://127.0.0.1:9", &["--key-size", "251"]).assert_refused("at most 250 bytes");
    generate(here, &["--value-size", "1048576"]).assert_refused("it is at most 1047552");
    generate(here, &["--batch", "16385"]).assert_refused("it is at most 16384");
    generate(here, &["--connections", "0"]).assert_refused("from 1 to 1024");
}

#[test]
fn targets_are_of_one_kind_and_instead_of_servers() {
    generate("redis://127.0.0.1:9,kv://127.0.0.1:8", &[]).assert_refused("--target mixes");
    generate("redis://127.0.0.1:9,redis://127.0.0.1:9", &[]).assert_refused("twice");
    generate("http://127.0.0.1:9", &[]).assert_refused("memcached+udp://, redis://, redis+mget://");
    generate("redis://127.0.0.1", &[])
        .assert_refused("--target: cannot connect: '127.0.0.1' is no HOST:PORT");
    generate("redis://127.0.0.1:9", &["--servers", "127.0.0.1:9"]).assert_refused("--servers");
}

#[test]
fn a_store_that_does_not_answer_is_named_while_it_is_waited_for() {
    // The kernel takes connections and what comes in them; nobody reads it.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("it is bound");
    let target = format!("redis://{address}");
    let mut generator = Process::start(GEN.as_ref(), &arguments(&target, &["--load"]));
    for _ in 0..2 {
        generator.wait_for_line(&format!("gen: no answer from {address} for "), DEADLINE);
    }
}

#[test]
fn an_open_loop_that_a_store_is_too_slow_for_is_exit_status_4() {
    let store = FakeStore::start(Dialect::Redis);
    let flags = ["--secs", "1", "--rate", "1e9"];
    let (ended, report) = report("slow", &url("redis", &store), &flags);
    assert_eq!(ended.status, Some(4), "{ended:?}");
    assert_eq!(report.rate_reached, Some(false), "{ended:?}");
}

/// The program of that name, if it is installed; tells if it is not.
#[expect(clippy::print_stdout, reason = "a test says what it skips")]
fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|p| p.is_file());
    if found.is_none() {
        println!("skipped: {name} is not installed");
    }
    found
}

/// Runs against a store that is started on a port that was free, and ended.
fn assert_real_store_answers(schemes: &[&str], name: &str, flags: impl Fn(&str) -> Vec<String>) {
    let Some(program) = installed(name) else { return };
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.expect("a free port");
    let mut store = Command::new(program)
        .args(flags(&address.port().to_string()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
    let began = Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        assert!(began.elapsed() < DEADLINE, "{name} does not answer");
        std::thread::sleep(Duration::from_millis(10));
    }
    let runs: Vec<_> = schemes
        .iter()
        .map(|scheme| {
            let load = if scheme.contains("udp") { &[][..] } else { &["--load"] };
            let more = ["--secs", "0.5", "--workload", "ycsb-a"];
            generate(&format!("{scheme}://{address}"), &[&more[..], load].concat())
        })
        .collect();
    store.kill().and_then(|()| store.wait()).expect("it is our child");
    for ended in runs {
        assert_eq!(ended.status, Some(0), "{ended:?}");
        let found_all = |line: &String| line.ends_with(" not-found 0 refused 0");
        assert!(ended.stdout.iter().any(found_all), "{ended:?}");
    }
}

#[test]
fn memcached_itself_answers() {
    assert_real_store_answers(&["memcached", "memcached+udp"], "memcached", |port| {
        let flags = ["-u", "nobody", "-l", "127.0.0.1", "-t", "1", "-p", port, "-U", port];
        flags.map(str::to_owned).to_vec()
    });
}

#[test]
fn redis_itself_answers() {
    assert_real_store_answers(&["redis", "redis+mget"], "redis-server", |port| {
        let flags = ["--port", port, "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"];
        flags.map(str::to_owned).to_vec()
    });
}
