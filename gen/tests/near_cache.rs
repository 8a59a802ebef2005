//! `gen --cache`: what near caches answer is counted apart from what crossed the wire, keeps
//! the order of its stream, and is told in the history.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use history::operation::{Action, Operation};
use history::reader::Reader;
use host::report::{ClientReport, ClientSample, Phase};
use testkit::process::{Ended, Signal, run};
use testkit::server::Server;

const GEN: &str = env!("CARGO_BIN_EXE_gen");
const CACHE: &[&str] = &["--cache", "100", "--cache-max-age", "10s"];

fn generate(server: &Server, arguments: &[&str]) -> Ended {
    let address = server.address.to_string();
    let short = ["--servers", &address, "--records", "100", "--warmup", "0", "--pin", "none"];
    let ended = run(GEN.as_ref(), &[&short[..], CACHE, arguments].concat());
    assert_eq!(ended.status, Some(0), "{ended:?}");
    ended
}

fn report_of(ended: &Ended) -> ClientReport {
    serde_json::from_str(&ended.stdout.join("\n")).expect("a report")
}

/// The operations of each stream of each thread, by start and end.
fn operations(folder: &Path) -> BTreeMap<(usize, u32), Vec<Operation>> {
    let mut streams: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (thread, file) in fs::read_dir(folder).expect("the folder of histories").enumerate() {
        let file = File::open(file.expect("an entry").path()).expect("a history");
        let mut reader = Reader::new(BufReader::new(file)).expect("a history");
        while let Some(operation) = reader.next().expect("a sound history") {
            streams.entry((thread, operation.client)).or_default().push(operation);
        }
    }
    for operations in streams.values_mut() {
        operations.sort_by_key(|operation| (operation.start_ns, operation.end_ns));
    }
    streams
}

#[test]
fn hits_are_in_figures_of_their_own_and_in_no_other() {
    let server = Server::start(GEN, &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let samples = folder.path().join("samples");
    let samples = samples.to_str().expect("it is text");
    let flags = ["--load", "--secs", "1.5", "--streams", "8", "--read-pct", "95"];
    let ended = generate(&server, &[&flags[..], &["--json", "-", "--samples", samples]].concat());
    let report = report_of(&ended);
    let cache = report.near_cache.as_ref().expect("it has one");
    assert_eq!((cache.entries, cache.max_age_us), (100, 1e7));
    assert!(cache.hits > report.gets / 2, "or this shows nothing: {report:?}");
    assert!((cache.hits_per_s * 1.5 - cache.hits as f64).abs() < 2.0, "{report:?}");
    assert_eq!(report.ops, report.gets + report.puts);
    assert_eq!(report.latency.count, report.ops, "no latency of a hit");
    assert!((report.ops_per_s * 1.5 - report.ops as f64).abs() < 2.0, "{report:?}");
    assert!(report.counters["cache_hits"] >= cache.hits, "{report:?}");
    let totals = server.end(Signal::TERM);
    assert!(totals.of("gets") < 2 * report.gets, "only those crossed the wire: {report:?}");

    let text = ended.stderr.iter().find(|line| line.starts_with("near cache entries 100 "));
    let text = text.unwrap_or_else(|| panic!("{ended:?}"));
    assert!(text.contains(&format!("max-age 10000000 us: hits {} (", cache.hits)), "{text}");
    assert!(text.ends_with(" hits/s, in no other figure"), "{text}");
    let throughput = format!("throughput {:.0} ops/s", report.ops_per_s);
    assert!(ended.stderr.contains(&throughput), "{ended:?}");
    assert!(ended.stderr.iter().any(|line| line.contains(" cache hits/s")), "{ended:?}");

    let samples = fs::read_to_string(samples).expect("they were written");
    let samples = samples.lines().map(|line| serde_json::from_str(line).expect("a sample"));
    let of_run: Vec<ClientSample> =
        samples.filter(|sample: &ClientSample| sample.phase == Phase::Run).collect();
    let sum: f64 =
        of_run.iter().map(|sample| sample.cache_hits_per_s * sample.interval_ms / 1e3).sum();
    assert!((sum - cache.hits as f64).abs() < 2.0, "{sum} {report:?}");
}

#[test]
fn without_a_cache_nothing_is_told_of_one() {
    let server = Server::start(GEN, &[]);
    let address = server.address.to_string();
    let flags = ["--servers", &address, "--records", "10", "--load", "--secs", "0.2"];
    let ended = run(GEN.as_ref(), &[&flags[..], &["--json", "-", "--warmup", "0"]].concat());
    assert_eq!(report_of(&ended).near_cache, None);
    let told = ended.stdout.iter().chain(&ended.stderr).find(|line| line.contains("near"));
    assert_eq!(told, None);
}

/// In `strict` and `shard` order no PUT overlaps with another operation of its stream, on the
/// only server that there is.
#[test]
fn hits_keep_the_order_of_their_stream() {
    let server = Server::start(GEN, &[]);
    for order in ["strict", "shard", "async"] {
        let folder = tempfile::tempdir().expect("a folder");
        let history = folder.path().to_str().expect("it is text");
        let flags = ["--load", "--secs", "0.5", "--streams", "20", "--workload", "ycsb-a"];
        let threads = ["--threads", "2", "--order", order, "--history", history, "--json", "-"];
        let ended = generate(&server, &[&flags[..], &threads].concat());
        let report = report_of(&ended);
        let mut hits = 0;
        for ((_, stream), operations) in operations(folder.path()) {
            let (mut last_end_ns, mut last_put_end_ns) = (0, 0);
            for operation in operations {
                let is_put = !matches!(operation.action, Action::Found(_) | Action::NotFound);
                let waits_for_ns = if is_put { last_end_ns } else { last_put_end_ns };
                assert!(
                    operation.start_ns > waits_for_ns || order == "async" || stream == u32::MAX,
                    "{order} {stream}: {operation:?} before {waits_for_ns}"
                );
                last_end_ns = last_end_ns.max(operation.end_ns);
                if is_put {
                    last_put_end_ns = last_put_end_ns.max(operation.end_ns);
                }
                hits += u64::from(operation.is_cached);
            }
        }
        assert_eq!(hits, report.counters["cache_hits"], "{order}");
        assert!(hits > 0, "or this shows nothing: {report:?}");
    }
}

#[test]
fn a_rate_is_reached_by_what_crossed_the_wire_and_hits_together() {
    let server = Server::start(GEN, &[]);
    let flags = ["--load", "--secs", "2", "--workload", "ycsb-c", "--rate", "2000"];
    let ended = generate(&server, &flags);
    let line = ended.stdout.iter().find(|line| line.starts_with("open loop: "));
    let line = line.unwrap_or_else(|| panic!("{ended:?}"));
    assert!(line.contains(" by near caches, ") && line.ends_with(": reached"), "{line}");
    assert!(ended.throughput() < 1000.0, "{ended:?}");
}

#[test]
fn a_cache_that_this_machine_cannot_hold_is_refused() {
    let flags = ["--servers", "127.0.0.1:9", "--records", "4000000000", "--theta", "0"];
    let cache = ["--threads", "256", "--cache", "4000000000", "--cache-max-age", "1s"];
    run(GEN.as_ref(), &[flags, cache].concat()).assert_refused("keep fewer records");
}
