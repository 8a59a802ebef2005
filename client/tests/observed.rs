//! What the features `metrics` and `tracing` show. Both have one collector a process, so these
//! tests run one after the other.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use client::{CacheConfig, Client, Config, Connection, Error, Source, Why};
use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, SharedString, Unit,
};
use proto::unpack;
use proto::wire::Kind;
use testkit::DEADLINE;
use testkit::process::{Signal, any_program};
use testkit::relay::{Direction, Network, Passage, Relay};
use testkit::server::Server;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

const DOCUMENT: &str = include_str!("../../docs/CLIENT.md");

/// What was collected since the test began.
#[derive(Default)]
struct Collected {
    counts: BTreeMap<String, u64>,
    /// Of each histogram how many values there are, and their sum.
    seconds: BTreeMap<String, (u64, f64)>,
    described: Vec<String>,
    events: Vec<String>,
}

static COLLECTED: Mutex<Option<Collected>> = Mutex::new(None);

fn collect(note: impl FnOnce(&mut Collected)) {
    let mut collected = COLLECTED.lock().unwrap_or_else(PoisonError::into_inner);
    note(collected.get_or_insert_default());
}

/// Begins to collect, alone.
fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    static INSTALLED: OnceLock<()> = OnceLock::new();
    let one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    INSTALLED.get_or_init(|| {
        metrics::set_global_recorder(Recorder).unwrap();
        tracing_subscriber::registry().with(Events).init();
    });
    collect(|collected| *collected = Collected::default());
    one
}

// ------------------------------------------------------------------------ collectors

struct Recorder;

/// A metric with its labels.
struct Metric(String);

impl Metric {
    fn of(key: &Key) -> Arc<Self> {
        let mut name = key.name().to_owned();
        key.labels().for_each(|label| write!(name, " {}", label.value()).unwrap());
        Arc::new(Self(name))
    }
}

impl CounterFn for Metric {
    fn increment(&self, value: u64) {
        collect(|collected| *collected.counts.entry(self.0.clone()).or_default() += value);
    }

    fn absolute(&self, _value: u64) {
        unreachable!("counters only grow");
    }
}

impl HistogramFn for Metric {
    fn record(&self, value: f64) {
        collect(|collected| {
            let (count, sum) = collected.seconds.entry(self.0.clone()).or_default();
            (*count, *sum) = (*count + 1, *sum + value);
        });
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, key: KeyName, _unit: Option<Unit>, _text: SharedString) {
        collect(|collected| collected.described.push(key.as_str().to_owned()));
    }

    fn describe_gauge(&self, _key: KeyName, _unit: Option<Unit>, _text: SharedString) {
        unreachable!("there is none");
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, _text: SharedString) {
        assert_eq!(unit, Some(Unit::Seconds));
        collect(|collected| collected.described.push(key.as_str().to_owned()));
    }

    fn register_counter(&self, key: &Key, _metadata: &Metadata<'_>) -> Counter {
        Counter::from_arc(Metric::of(key))
    }

    fn register_gauge(&self, _key: &Key, _metadata: &Metadata<'_>) -> Gauge {
        unreachable!("there is none");
    }

    fn register_histogram(&self, key: &Key, _metadata: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Metric::of(key))
    }
}

struct Events;

/// An event as text: its message and its fields, without its worker.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "worker" => {}
            name => write!(self.fields, " {name}={value:?}").unwrap(),
        }
    }
}

impl<S: tracing::Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        if event.metadata().target() == "kv_client" {
            let mut text = Text::default();
            event.record(&mut text);
            let level = event.metadata().level();
            let text = format!("{level} {}{}", text.message, text.fields);
            collect(|collected| collected.events.push(text));
        }
    }
}

// ------------------------------------------------------------------------ what is expected

fn counts_are(expected: &[(&str, u64)]) {
    collect(|collected| {
        let expected = expected.iter().map(|&(name, count)| (format!("kv_client_{name}"), count));
        assert_eq!(collected.counts, expected.collect());
    });
}

fn wait_for(what: &str, is_there: impl Fn(&Collected) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut found = false;
        collect(|collected| found = is_there(collected));
        if found {
            return;
        }
        assert!(Instant::now() < deadline, "no {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn wait_for_event(event: &str) {
    wait_for(event, |collected| collected.events.iter().any(|text| text.contains(event)));
}

// ------------------------------------------------------------------------------- tests

#[test]
fn each_operation_is_counted_with_its_result() {
    let _alone = alone();
    let server = Server::start(&any_program(), &[]);
    let config = Config::default().with_cache(CacheConfig::new(100, DEADLINE));
    let mut connection = Connection::connect_with(&[server.address], &config).unwrap();
    connection.put(b"one", b"1").unwrap();
    for source in [Source::Server, Source::Cache] {
        assert_eq!(connection.get(b"one").unwrap().unwrap().source, source);
    }
    assert_eq!(connection.get(b"two"), Ok(None));
    assert!(connection.put(b"", b"no key").is_err());
    assert_eq!(connection.put_many(&[("three", "3"), ("four", "4")]).len(), 2);
    assert_eq!(connection.get_many(&["one", "three", "five"]).len(), 3);
    let mut pipeline = connection.pipeline();
    pipeline.get(b"four");
    pipeline.put(b"five", &[0; 2000]);
    assert_eq!(pipeline.run().len(), 2);
    assert_eq!(connection.stats().unwrap().len() + connection.ping().unwrap().len(), 2);
    counts_are(&[
        ("cache_hits_total", 2),
        ("cache_misses_total", 5),
        ("calls_total get found", 5),
        ("calls_total get not_found", 2),
        ("calls_total ping answered", 1),
        ("calls_total put stored", 3),
        ("calls_total put too_large", 2),
        ("calls_total stats answered", 1),
        ("sessions_opened_total", 1),
    ]);
    collect(|collected| {
        let counts: Vec<_> = collected
            .seconds
            .iter()
            .map(|(name, &(count, sum))| {
                assert!(sum > 0.0 && sum < DEADLINE.as_secs_f64(), "{name}: {sum}");
                (name.strip_prefix("kv_client_call_seconds ").unwrap(), count)
            })
            .collect();
        assert_eq!(counts, [("get", 5), ("ping", 1), ("put", 5), ("stats", 1)], "but two hits");
    });
}

#[test]
fn calls_of_a_handle_are_counted_wherever_they_end() {
    let _alone = alone();
    let server = Server::start(&any_program(), &[]);
    let config = Config::default().with_cache(CacheConfig::new(100, DEADLINE));
    let client = Client::connect_with(&[server.address], &config).unwrap();
    client.put(b"one", b"1").wait().unwrap();
    // What is read in the round in which the write was answered is not kept.
    while client.get(b"one").wait().unwrap().unwrap().source != Source::Cache {}
    collect(|collected| *collected = Collected::default());
    client.put(b"zero", b"0").wait().unwrap();
    assert_eq!(client.get(b"zero").wait().unwrap().unwrap().source, Source::Server);
    assert_eq!(client.get(b"one").wait().unwrap().unwrap().source, Source::Cache);
    assert_eq!(client.put_many(&[("two", "2"), ("three", "3")]).wait().unwrap().len(), 2);
    assert_eq!(client.get_many(&["two", "four"]).wait().unwrap().len(), 2);
    let too_many = vec!["key"; 65_537];
    assert!(client.get_many(&too_many).wait().is_err());
    client.stats().wait().unwrap();
    client.ping().wait().unwrap();
    server.process.signal(Signal::STOP);
    let hurried = client.with_timeout(Duration::from_millis(200));
    assert_eq!(hurried.put(b"one", b"2").wait(), Err(Error::Indeterminate(Why::Deadline)));
    assert_eq!(hurried.get(b"four").wait(), Err(Error::Unanswered(Why::Deadline)));
    server.process.signal(Signal::CONT);
    collect(|collected| {
        collected.counts.retain(|name, _| name.contains("calls"));
        let &(count, seconds) = &collected.seconds["kv_client_call_seconds put"];
        assert_eq!(count, 4);
        assert!(seconds >= 0.2, "the late one lasted for {seconds} s");
    });
    counts_are(&[
        ("calls_total get found", 3),
        ("calls_total get not_found", 1),
        ("calls_total get too_large", 1),
        ("calls_total get unanswered", 1),
        ("calls_total ping answered", 1),
        ("calls_total put indeterminate", 1),
        ("calls_total put stored", 3),
        ("calls_total stats answered", 1),
    ]);
}

/// Does to the datagrams what it is told at the time.
struct Meddler(Arc<AtomicU8>);

const PASS: u8 = 0;
const DROP: u8 = 1;
/// What a server sends seems to be of another version, but for its refusals.
const OTHER_VERSION: u8 = 2;

impl Network for Meddler {
    fn carry(&mut self, _now: Instant, mut passage: Passage, leaves: &mut Vec<Passage>) {
        let (kind, _) = unpack::header(&passage.bytes).unwrap();
        let is_changed = passage.direction == Direction::ToClient && kind != Kind::Refuse;
        match self.0.load(Ordering::Relaxed) {
            DROP => return,
            OTHER_VERSION if is_changed => passage.bytes[6] = 99,
            _ => {}
        }
        leaves.push(passage);
    }
}

#[test]
fn a_session_that_is_lost_refused_and_opened_again_is_told() {
    let _alone = alone();
    let server = Server::start(&any_program(), &[]);
    let meddling = Arc::new(AtomicU8::new(PASS));
    let relay = Relay::start(&[server.address], Meddler(meddling.clone()));
    let client = Client::connect(&relay.fronts).unwrap().with_timeout(DEADLINE);
    wait_for_event("INFO session opened incarnation=");

    meddling.store(DROP, Ordering::Relaxed);
    let read = client.get(b"key");
    let port = server.address.port();
    drop(server);
    let _server = Server::start_on(port, &any_program(), &[]);
    meddling.store(OTHER_VERSION, Ordering::Relaxed);
    wait_for_event("WARN session lost why=\"forgotten\"");
    wait_for_event("INFO session reopening");
    let refused = Err(Error::OtherVersion { server: relay.fronts[0], theirs: 99 });
    assert_eq!(read.wait(), refused, "it was asked again");
    wait_for_event("WARN session refused why=\"other version\"");
    meddling.store(PASS, Ordering::Relaxed);
    while client.get(b"key").wait() == refused {}
    collect(|collected| {
        let opened = collected.events.iter().filter(|text| text.contains("session opened"));
        assert_eq!(opened.count(), 2, "{:?}", collected.events);
        assert!(collected.counts["kv_client_asked_again_total"] >= 1);
        assert!(collected.counts["kv_client_sessions_refused_total"] >= 1);
        assert_eq!(collected.counts["kv_client_sessions_opened_total"], 2);
    });
}

#[test]
fn a_server_that_starts_again_has_forgotten_its_sessions() {
    let _alone = alone();
    let server = Server::start(&any_program(), &[]);
    let port = server.address.port();
    let mut connection = Connection::connect(&[server.address]).unwrap();
    connection.set_timeout(DEADLINE);
    drop(server);
    let _server = Server::start_on(port, &any_program(), &[]);
    assert_eq!(connection.get(b"key"), Ok(None));
    wait_for_event("WARN session lost why=\"forgotten\"");
    collect(|collected| assert_eq!(collected.counts["kv_client_sessions_lost_total"], 1));
}

#[test]
fn calls_that_are_late_withdrawn_or_not_taken_are_told() {
    let _alone = alone();
    let server = Server::start(&any_program(), &[]);
    let client = Client::connect(&[server.address]).unwrap();
    server.process.signal(Signal::STOP);
    let hurried = client.with_timeout(Duration::from_millis(200));
    assert!(hurried.put(b"key", b"value").wait().is_err());
    wait_for_event("DEBUG call late operation=Put");
    // More than a window.
    let records = vec![("key", [0; 100]); 60_000];
    let results = hurried.put_many(&records).wait().unwrap();
    assert!(results.contains(&Err(Error::NotExecuted(Why::Deadline))), "it waited for room");
    wait_for_event("DEBUG call withdrawn operation=Put");
    // More than the line.
    let unhurried = client.with_timeout(DEADLINE);
    let many = [(); 5].map(|()| unhurried.put_many(&records));
    wait_for_event("DEBUG line full waiting=");
    drop((many, unhurried, hurried, client));
}

#[test]
fn each_metric_and_event_has_a_line_in_the_document() {
    let _alone = alone();
    let server = Server::start(&any_program(), &[]);
    let _connection = Connection::connect(&[server.address]).unwrap();
    let section = DOCUMENT.split("\n## Metrics and events\n").nth(1).unwrap();
    let mut documented: Vec<_> = (section.lines())
        .filter_map(|line| line.strip_prefix("| `kv_client_")?.split('`').next())
        .map(|name| format!("kv_client_{name}"))
        .collect();
    documented.sort();
    collect(|collected| {
        collected.described.sort();
        assert_eq!(collected.described, documented);
    });
}
