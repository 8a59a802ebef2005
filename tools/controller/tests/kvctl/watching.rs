//! `stats` and `ping`.

use serde_json::Value;
use testkit::process::Signal;

use crate::running::{Talk, kvctl, server};

#[test]
fn stats_has_a_column_for_each_worker_and_the_sum() {
    let (_server, at) = server(&["--cores", "2"]);
    kvctl(&[&at, "put", "a", "b"]).assert_quiet(0);
    let stats = kvctl(&[&at, "stats"]);
    stats.assert_quiet(0);
    let puts: Vec<&str> = stats.text().lines().filter(|line| line.contains(" puts ")).collect();
    let figures: Vec<&str> = puts[0].split_whitespace().collect();
    assert_eq!((puts.len(), &figures[..2]), (1, &["puts", "1"][..]), "{stats:?}");
    let records = stats.text().lines().find(|line| line.contains(" records ")).unwrap();
    assert!(records.split_whitespace().skip(1).all(|records| records == "1"), "{records}");

    let stats: Value = serde_json::from_str(kvctl(&[&at, "--json", "stats"]).text()).unwrap();
    let workers = stats["servers"][0]["workers"].as_array().unwrap();
    let puts = workers.iter().filter_map(|worker| worker["counters"]["puts"].as_u64());
    assert_eq!((workers.len(), puts.sum::<u64>()), (2, 1), "{stats}");
}

#[test]
fn a_watch_prints_a_line_for_each_worker_and_ends_with_an_interrupt() {
    let (server, at) = server(&[]);
    let mut talk = Talk::start(&[&at, "stats", "--watch=20ms"]);
    for _ in 0..2 {
        let line = talk.hear();
        assert!(line.starts_with(&format!("{} ops/s 0, get/s 0", server.address)), "{line}");
        assert!(line.contains("sessions 1"), "{line}");
    }
    // What others do is seen.
    kvctl(&[&at, "put", "a", "b"]).assert_quiet(0);
    talk.hear_one(|line| !line.contains("put/s 0,"));
    talk.signal(Signal::INT);
    assert_eq!(talk.end().0, Some(0));
}

#[test]
fn a_watch_ends_after_a_count_and_has_json() {
    let (server, at) = server(&[]);
    let watched = kvctl(&[&at, "stats", "--watch=10ms", "--count=3", "--json"]);
    watched.assert_quiet(0);
    let lines: Vec<Value> =
        watched.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    let worker = &lines[2]["servers"][0]["workers"][0];
    assert_eq!(worker["worker"], server.address.to_string());
    assert!(worker["per_second"]["datagrams_received"].as_f64().unwrap() > 0.0, "{worker}");
    assert!(lines[2]["interval_s"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_watch_goes_on_when_its_server_is_back() {
    let (server, at) = server(&[]);
    let mut talk = Talk::start(&[&at, "--timeout=100ms", "stats", "--watch=20ms"]);
    talk.hear_one(|line| line.contains("ops/s"));
    server.process.signal(Signal::STOP);
    talk.hear_one(|line| line.contains("error: "));
    server.process.signal(Signal::CONT);
    talk.hear_one(|line| line.contains("ops/s"));
    talk.signal(Signal::TERM);
    talk.end();
}

#[test]
fn ping_prints_each_round_trip_and_the_percentiles_of_each_worker() {
    let (server, at) = server(&["--cores", "2"]);
    let pinged = kvctl(&[&at, "ping", "--count=3", "--interval=1ms"]);
    pinged.assert_quiet(0);
    let lines: Vec<&str> = pinged.text().lines().collect();
    assert_eq!(lines.len(), 3 * 2 + 1 + 2, "{pinged:?}");
    assert!(lines[0].starts_with("127.0.0.1:") && lines[0].ends_with(" µs"), "{pinged:?}");
    assert!(["p50 µs", "p99 µs", "min µs", "max µs"].iter().all(|name| lines[6].contains(name)));
    let first: Vec<&str> = lines[7].split_whitespace().collect();
    assert_eq!(first[..3], [server.address.to_string().as_str(), "3", "3"]);
    let times = first[3..].iter().map(|time| time.parse::<f64>().unwrap());
    assert!(times.is_sorted() && first.len() == 7, "{first:?}");

    let quiet = kvctl(&[&at, "ping", "--count=2", "--interval=1ms", "--quiet"]);
    assert_eq!(quiet.text().lines().count(), 3, "{quiet:?}");
    let pinged = kvctl(&[&at, "ping", "--count=2", "--interval=1ms", "--json"]);
    let told: Value = serde_json::from_str(pinged.text()).unwrap();
    assert_eq!(
        (&told["workers"][1]["sent"], &told["workers"][1]["answered"]),
        (&2.into(), &2.into())
    );
    assert!(told["workers"][0]["p99_us"].as_f64().unwrap() > 0.0, "{told}");
}

#[test]
fn an_interrupt_ends_a_ping_with_its_percentiles() {
    let (_server, at) = server(&[]);
    let mut talk = Talk::start(&[&at, "ping", "--count=0"]);
    assert!(talk.hear().contains(": 1 "));
    talk.signal(Signal::INT);
    let (status, left) = talk.end();
    assert_eq!(status, Some(0), "{left:?}");
    assert!(left[left.len() - 2].contains("p99 µs"), "{left:?}");
}
