//! `summarize` from outside: a run's folder in, a report out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use host::report::{
    ClientReport, ClientSample, Latency, NearCacheReport, Phase, RunDescription, ServerSample,
    Summary, Usage,
};
use tempfile::TempDir;

/// When the synthetic runs start; they measure from their second to their fifth second.
const START_MS: u64 = 1_700_000_000_000;
const MEASURED_MS: [u64; 2] = [START_MS + 2000, START_MS + 5000];

fn usage(index: u64) -> Usage {
    Usage {
        cpu_pct: 10.0 * index as f64,
        mem_bytes: 1 << 20,
        mem_pct: 2.5,
        node_cpu_pct: 50.0,
        node_mem_pct: 40.0,
        node_rx_bytes_per_s: 1e6,
        node_tx_bytes_per_s: 2e6,
    }
}

fn lines<T: serde::Serialize>(samples: impl Iterator<Item = T>) -> String {
    samples.map(|sample| serde_json::to_string(&sample).unwrap() + "\n").collect()
}

/// Six seconds; the rates of the measured ones are 3, 4 and 5 times `unit`.
fn server_samples(unit: f64) -> String {
    lines((1..=6).map(|second| ServerSample {
        time_ms: START_MS + 1000 * second,
        interval_ms: 1000.0,
        ops_per_s: unit * second as f64,
        net_pct: second as f64,
        usage: usage(second),
        counters: BTreeMap::from([
            ("gets".to_owned(), 1000 * second),
            ("malformed".to_owned(), second),
            ("refused".to_owned(), 0),
        ]),
        ..ServerSample::default()
    }))
}

fn client_report() -> ClientReport {
    ClientReport {
        order: "strict".to_owned(),
        workload: "ycsb-b".to_owned(),
        theta: 0.99,
        records: 1000,
        value_size: 128,
        streams: 64,
        run_start_ms: MEASURED_MS[0],
        run_end_ms: MEASURED_MS[1],
        ops: 300,
        ops_per_s: 110.0,
        retransmits: 7,
        indeterminate: 2,
        latency: Latency { count: 300, p50_us: 150.0, p99_us: 297.0, ..Latency::default() },
        ..ClientReport::default()
    }
}

fn client_samples() -> String {
    lines((1..=6).map(|second| ClientSample {
        time_ms: START_MS + 1000 * second,
        interval_ms: 1000.0,
        phase: Phase::Run,
        usage: usage(2 * second),
        ..ClientSample::default()
    }))
}

/// A hundred operations each second, of 1, 2 … microseconds.
fn histogram_log() -> Vec<u8> {
    let mut log = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut writer = IntervalLogWriterBuilder::new()
        .with_max_value_divisor(1e6)
        .begin_log_with(&mut log, &mut serializer)
        .unwrap();
    for second in 0..6 {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        for us in 1..=100 {
            histogram.record(us * 1000).unwrap();
        }
        let start = Duration::from_millis(START_MS + 1000 * second);
        writer.write_histogram(&histogram, start, Duration::from_secs(1), None).unwrap();
    }
    log
}

/// A folder of results with one good run, `a`: ten servers and two clients.
fn results() -> TempDir {
    let results = tempfile::tempdir().unwrap();
    let run = results.path().join("a");
    fs::create_dir(&run).unwrap();
    let facts = RunDescription { servers: 10, clients: 2, ..RunDescription::default() };
    fs::write(run.join("run.json"), serde_json::to_string(&facts).unwrap()).unwrap();
    for server in 1..=10 {
        let name = format!("server-{server}.jsonl");
        fs::write(run.join(name), server_samples(f64::from(server))).unwrap();
    }
    for client in 1..=2 {
        let file = |extension| run.join(format!("client-{client}.{extension}"));
        fs::write(file("json"), serde_json::to_string(&client_report()).unwrap()).unwrap();
        fs::write(file("jsonl"), client_samples()).unwrap();
        fs::write(file("hdr"), histogram_log()).unwrap();
    }
    results
}

fn summarize(path: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_summarize")).arg(path).args(more).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn summary(results: &TempDir) -> Summary {
    serde_json::from_str(&stdout(&summarize(results.path(), &["--json"]))).unwrap()
}

/// Asserts exit status 2 and one line on stderr that holds `reason`.
fn assert_refused(output: &Output, reason: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.starts_with("summarize: error: "), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains(reason), "{told} does not tell: {reason}");
    assert!(output.stdout.is_empty());
}

#[test]
fn the_report_begins_with_the_servers_in_order_and_the_total() {
    let text = stdout(&summarize(results().path(), &[]));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "server-1 median 4 op/s");
    assert_eq!(lines[1], "server-2 median 8 op/s");
    assert_eq!(lines[9], "server-10 median 40 op/s");
    assert_eq!(lines[10], "");
    assert_eq!(lines[11], "total 220 op/s");
    assert_eq!(lines[12], "answered 220 op/s");
    assert_eq!(lines[13], "");
}

#[test]
fn the_report_shows_use_latency_outcomes_and_trouble() {
    let text = stdout(&summarize(results().path(), &[]));
    let row = |name: &str, table: &str| {
        let (_, rows) = text.split_once(table).unwrap_or_else(|| panic!("no {table} in {text}"));
        let row = rows.lines().find(|row| row.starts_with(name)).unwrap();
        row.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("server-2", "use, medians"), "server-2 8 40.0 2.5 4.0 %");
    assert_eq!(row("client-2", "use, medians"), "client-2 110 80.0 2.5 0.0 %");
    assert_eq!(row("node", "use, medians"), "node 50.0 40.0 3.0 MB/s");
    assert!(row("client-1", "latency, µs").starts_with("client-1 150.0 0.0 297.0 "));
    assert!(row("all", "latency, µs").starts_with("all 50.0 90.0 99.0 100.0 "));
    assert_eq!(row("client-1", "retransmits"), "client-1 7 2 0 0 0");
    assert_eq!(row("malformed", "counters"), "malformed 6 6 6 6 6 6 6 6 6 6");
    assert!(!text.contains("\ngets "), "{text}");
    assert!(!text.contains("\nrefused "), "{text}");
    assert!(!text.contains("note: "), "{text}");
}

#[test]
fn the_summary_has_medians_of_the_measured_window() {
    let summary = summary(&results());
    assert_eq!(summary.name, "a");
    assert_eq!(summary.total_ops_per_s, 220.0);
    assert_eq!((summary.order.as_str(), summary.theta), ("strict", 0.99));
    assert_eq!((summary.streams, summary.secs), (128, 3.0));
    assert_eq!(summary.latency.count, 600);
    let server = &summary.servers[9];
    assert_eq!((server.name.as_str(), server.median_ops_per_s), ("server-10", 40.0));
    assert_eq!((server.cpu_pct, server.net_pct, server.mem_bytes), (40.0, 4.0, 1 << 20));
    assert_eq!(server.counters["malformed"], 6);
    let client = &summary.clients[0];
    assert_eq!((client.retransmits, client.indeterminate, client.p99_us), (7, 2, 297.0));
    assert_eq!(client.cpu_pct, 80.0);
    assert_eq!(summary.node.net_bytes_per_s, 3e6);
}

#[test]
fn summary_and_plots_are_left_in_the_folder() {
    let results = results();
    let run = results.path().join("a");
    let printed = stdout(&summarize(&run, &["--json"]));
    assert_eq!(fs::read_to_string(run.join("summary.json")).unwrap(), printed);
    let markdown = fs::read_to_string(run.join("summary.md")).unwrap();
    assert!(markdown.contains("**220 op/s** in total"), "{markdown}");
    assert!(markdown.contains("**220 op/s** answered"), "{markdown}");
    for plot in ["throughput.svg", "latency.svg"] {
        assert!(markdown.contains(plot), "{markdown}");
        let svg = fs::read_to_string(run.join(plot)).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{plot}");
    }
}

#[test]
fn the_latest_run_is_taken_unless_one_is_named() {
    let results = results();
    let copy = results.path().join("b");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(results.path().join("a")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    assert_eq!(summary(&results).name, "b");
    std::os::unix::fs::symlink("a", results.path().join("latest")).unwrap();
    assert_eq!(summary(&results).name, "a");
    let named = stdout(&summarize(results.path(), &["--run", "b", "--json"]));
    assert!(named.contains("\"name\": \"b\""));
}

#[test]
fn servers_that_executed_more_than_was_answered_are_noted() {
    let results = results();
    let report = ClientReport { ops_per_s: 90.0, ..client_report() };
    let file = results.path().join("a/client-1.json");
    fs::write(file, serde_json::to_string(&report).unwrap()).unwrap();
    let notes = summary(&results).notes;
    assert!(notes[0].starts_with("the clients got 200 op/s answered"), "{notes:?}");
    let text = stdout(&summarize(results.path(), &[]));
    assert!(text.contains("\ntotal 220 op/s\nanswered 200 op/s\n"), "{text}");
    assert_eq!(summary(&results).answered_ops_per_s, 200.0);
}

/// Writes another report of the first client.
fn with_report(results: &TempDir, report: &ClientReport) {
    let file = results.path().join("a/client-1.json");
    fs::write(file, serde_json::to_string(report).unwrap()).unwrap();
}

#[test]
fn a_rate_that_was_not_reached_is_told_wherever_the_figures_are() {
    let results = results();
    let open =
        ClientReport { rate_ops_per_s: Some(110.0), rate_reached: Some(true), ..client_report() };
    for client in 1..=2 {
        let file = results.path().join(format!("a/client-{client}.json"));
        fs::write(file, serde_json::to_string(&open).unwrap()).unwrap();
    }
    let reached = summary(&results);
    assert_eq!((reached.rate_ops_per_s, reached.rate_reached), (Some(220.0), Some(true)));
    assert!(reached.notes.is_empty(), "{:?}", reached.notes);
    assert!(stdout(&summarize(results.path(), &[])).contains("open loop of 220 op/s, reached"));

    let slower = ClientReport {
        rate_ops_per_s: Some(150.0),
        rate_reached: Some(false),
        backlog: 77,
        ..client_report()
    };
    with_report(&results, &slower);
    let summary = summary(&results);
    assert_eq!((summary.rate_ops_per_s, summary.rate_reached), (Some(260.0), Some(false)));
    assert_eq!((summary.backlog, summary.clients[0].backlog), (77, 77));
    let note = "client-1 did not reach the rate that it was asked for: 110 of 150 op/s, 77 ";
    assert!(summary.notes[0].starts_with(note), "{:?}", summary.notes);
    let text = stdout(&summarize(results.path(), &[]));
    let markdown = fs::read_to_string(results.path().join("a/summary.md")).unwrap();
    for report in [text, markdown] {
        assert!(report.contains("open loop of 260 op/s, not reached"), "{report}");
        assert!(report.contains(note), "{report}");
    }
}

#[test]
fn what_near_caches_answered_is_noted_and_in_no_figure() {
    let results = results();
    let before = summary(&results);
    let near_cache =
        NearCacheReport { entries: 9, max_age_us: 50_000.0, hits: 7_000, hits_per_s: 2_345.6 };
    with_report(&results, &ClientReport { near_cache: Some(near_cache), ..client_report() });
    let note = "client-1 answered 2346 GETs a second from near caches, up to 50.000 ms old: they \
                are in no figure";
    let after = summary(&results);
    assert_eq!(after.notes, [note]);
    assert_eq!(Summary { notes: Vec::new(), ..after }, before);
    let negative = NearCacheReport { hits_per_s: -1.0, ..NearCacheReport::default() };
    with_report(&results, &ClientReport { near_cache: Some(negative), ..client_report() });
    assert_refused(&summarize(results.path(), &[]), "near_cache.hits_per_s");
}

#[test]
fn a_closed_loop_is_told() {
    let results = results();
    assert!(stdout(&summarize(results.path(), &[])).contains(", closed loop, 3.0 s measured."));
    let summary = summary(&results);
    assert_eq!((summary.rate_ops_per_s, summary.rate_reached), (None, None));
}

#[test]
fn gets_and_puts_have_latencies_of_their_own() {
    let results = results();
    let of = |count, p50_us| Latency { count, p50_us, ..Latency::default() };
    let report =
        ClientReport { get_latency: of(290, 140.0), put_latency: of(10, 190.0), ..client_report() };
    with_report(&results, &report);
    let text = stdout(&summarize(results.path(), &[]));
    let row = |table: &str| {
        let (_, rows) = text.split_once(table).unwrap_or_else(|| panic!("no {table} in {text}"));
        rows.lines().find(|row| row.starts_with("client-1")).unwrap().to_owned()
    };
    assert!(row("GETs, µs").contains(" 140.0 "), "{text}");
    assert!(row("PUTs, µs").contains(" 190.0 "), "{text}");
    let summary = summary(&results);
    assert_eq!(summary.clients[0].get_latency.p50_us, 140.0);
    assert_eq!(summary.clients[0].put_latency.count, 10);
}

#[test]
fn histograms_of_gets_and_of_puts_are_merged_over_the_clients() {
    let results = results();
    for client in 1..=2 {
        let mut log = Vec::new();
        let mut serializer = V2DeflateSerializer::new();
        let mut writer =
            IntervalLogWriterBuilder::new().begin_log_with(&mut log, &mut serializer).unwrap();
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        histogram.record(1000 * client).unwrap();
        let (start, second) = (Duration::from_millis(START_MS + 3000), Duration::from_secs(1));
        for tag in [None, Tag::new("get"), Tag::new("put")] {
            writer.write_histogram(&histogram, start, second, tag).unwrap();
        }
        fs::write(results.path().join(format!("a/client-{client}.hdr")), log).unwrap();
    }
    let summary = summary(&results);
    for latency in [summary.latency, summary.get_latency, summary.put_latency] {
        assert_eq!((latency.count, latency.max_us), (2, 2.0));
    }
}

#[test]
fn an_interrupted_run_is_noted() {
    let results = results();
    let report = ClientReport { interrupted: true, ..client_report() };
    let file = results.path().join("a/client-2.json");
    fs::write(file, serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(summary(&results).notes, ["the run was interrupted: this is what there was of it"]);
}

#[test]
fn a_cut_last_line_is_noted_in_the_report() {
    let results = results();
    let file = results.path().join("a/server-3.jsonl");
    let samples = fs::read_to_string(&file).unwrap();
    fs::write(&file, &samples[..samples.len() - 40]).unwrap();
    let text = stdout(&summarize(results.path(), &[]));
    assert!(text.contains("note: server-3.jsonl:6 is cut short"), "{text}");
    let notes = summary(&results).notes;
    assert_eq!(notes, ["server-3.jsonl:6 is cut short and left out"]);
}

#[test]
fn a_run_shorter_than_a_sample_takes_what_overlaps_and_says_so() {
    let results = results();
    for client in 1..=2 {
        let report = ClientReport {
            run_start_ms: START_MS + 2100,
            run_end_ms: START_MS + 2900,
            ..client_report()
        };
        let file = results.path().join(format!("a/client-{client}.json"));
        fs::write(file, serde_json::to_string(&report).unwrap()).unwrap();
    }
    let summary = summary(&results);
    assert_eq!(summary.servers[0].median_ops_per_s, 3.0);
    assert!(summary.notes.iter().any(|note| note.starts_with("server-1 has no sample wholly")));
}

#[test]
fn a_log_that_is_missing_is_noted() {
    let results = results();
    fs::remove_file(results.path().join("a/client-2.hdr")).unwrap();
    fs::remove_file(results.path().join("a/client-2.jsonl")).unwrap();
    let summary = summary(&results);
    assert_eq!(summary.latency.count, 300);
    assert_eq!(summary.notes.len(), 3, "{:?}", summary.notes);
}

#[test]
fn what_cannot_be_found_is_told_in_one_line() {
    let results = results();
    assert_refused(&summarize(&results.path().join("x"), &[]), "no such folder");
    assert_refused(&summarize(results.path(), &["--run", "nosuch"]), "which has a");
    assert_refused(&summarize(&results.path().join("a/run.json"), &[]), "is not a folder");
    let empty = tempfile::tempdir().unwrap();
    assert_refused(&summarize(empty.path(), &[]), "holds no runs");
    assert_refused(&summarize(empty.path(), &["--jason"]), "unexpected argument '--jason'");
}

#[test]
fn a_file_that_is_missing_or_wrong_is_named() {
    let cases = [
        ("client-2.json", None, "client-2.json is missing"),
        ("server-7.jsonl", None, "9 server samples, but run.json tells of 10"),
        ("server-7.jsonl", Some(""), "server-7 has no sample"),
        ("server-7.jsonl", Some("\n{\"time_ms\": 1,\n{}\n"), "server-7.jsonl:2: "),
        ("server-7.jsonl", Some("NaN\n"), "server-7.jsonl:1: "),
        ("client-1.jsonl", Some("{}\n"), "client-1.jsonl:1: missing field"),
        ("client-1.json", Some("{\"order\":"), "client-1.json:1: "),
        ("client-1.hdr", Some("1.0,1.0,1.0,AAAA\n"), "client-1.hdr:1: "),
        ("run.json", Some("[]"), "run.json:1: "),
    ];
    for (name, content, reason) in cases {
        let results = results();
        let file = results.path().join("a").join(name);
        match content {
            Some(content) => fs::write(&file, content).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        assert_refused(&summarize(results.path(), &[]), reason);
    }
}

#[test]
fn clients_that_never_measured_together_are_refused() {
    let results = results();
    let report = ClientReport {
        run_start_ms: MEASURED_MS[1],
        run_end_ms: MEASURED_MS[1] + 3000,
        ..client_report()
    };
    let file = results.path().join("a/client-1.json");
    fs::write(file, serde_json::to_string(&report).unwrap()).unwrap();
    assert_refused(&summarize(results.path(), &[]), "never measured at the same time");
}
