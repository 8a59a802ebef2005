//! What `kv --metrics` shows, and to whom.
#![forbid(unsafe_code)]

mod ask;
mod deploy;
mod exposition;
mod hostile;
mod scraped;

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ask::{answer, exchange, get};
use client::Connection;
use exposition::{Family, Format, parse};
use kv::observed::ProcessCounters;
use kv::table::TableGauges;
use kv::worker::TimeCounters;
use proto::counters::ServerCounters;
use proto::pack;
use proto::wire::{Header, Kind};
use testkit::DEADLINE;
use testkit::process::{Process, Signal, run};
use testkit::server::{Server, Totals};
use udp::counters::TransportCounters;

const KV: &str = env!("CARGO_BIN_EXE_kv");
const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0";
/// Longer than a worker takes to show its figures, and than shown figures stay.
const A_WHILE: Duration = Duration::from_millis(300);

/// A server, and where it shows its metrics.
fn start(arguments: &[&str]) -> (Server, SocketAddr) {
    let mut server = Server::start(KV, &[&["--metrics", "127.0.0.1:0"], arguments].concat());
    let address = shown_at(&mut server.process);
    (server, address)
}

/// Where a server says that it shows its metrics.
fn shown_at(process: &mut Process) -> SocketAddr {
    let line = process.wait_for_line("kv metrics http://", DEADLINE);
    let address = line.trim_start_matches("kv metrics http://").trim_end_matches("/metrics");
    address.parse().unwrap_or_else(|_| panic!("no address in '{line}'"))
}

fn connect(server: &Server) -> Connection {
    let mut client = Connection::connect(&[server.address]).expect("it answers");
    client.set_timeout(DEADLINE);
    client
}

/// The sum of a family's samples with this name.
fn sum(families: &std::collections::BTreeMap<String, Family>, name: &str) -> f64 {
    let of_name = |family: &Family| -> f64 {
        let samples = family.samples.iter().filter(|(sample, ..)| sample == name);
        samples.map(|(.., value)| value).sum()
    };
    families.values().map(of_name).sum()
}

#[test]
fn both_formats_are_valid_and_have_every_counter_of_the_glossary() {
    let (server, address) = start(&["--cores", "2"]);
    connect(&server).put(b"key", b"value").expect("it is stored");
    let kinds = [
        ("text/plain", Format::Text, "text/plain; version=0.0.4; charset=utf-8"),
        (
            OPEN_METRICS,
            Format::OpenMetrics,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ];
    for (accept, format, content_type) in kinds {
        let answer = get(address, "/metrics", accept);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(content_type)));
        let families = parse(&answer.body, format).unwrap_or_else(|why| panic!("{why}"));
        let per_worker = [ServerCounters::HELP, TransportCounters::HELP, TimeCounters::HELP];
        let of = |name: &str| {
            let name = match name.strip_suffix("_ns") {
                Some(name) => format!("kv_{name}_seconds"),
                None => format!("kv_{name}"),
            };
            families.get(&name).unwrap_or_else(|| panic!("{name} is missing"))
        };
        for (name, _) in per_worker.into_iter().flatten() {
            let family = of(name);
            let workers: Vec<_> = family.samples.iter().map(|(_, labels, _)| labels).collect();
            let worker = |number: &str| vec![("worker".to_owned(), number.to_owned())];
            assert_eq!(workers, [&worker("0"), &worker("1")], "{name}");
            assert_eq!(family.kind, "counter", "{name}");
        }
        for (name, _) in ProcessCounters::HELP {
            assert_eq!(of(name).kind, "counter", "{name}");
        }
        for (name, _) in TableGauges::HELP {
            assert_eq!(of(name).kind, "gauge", "{name}");
        }
    }
}

#[test]
fn the_figures_are_those_of_the_totals() {
    let (server, address) = start(&[]);
    let mut client = connect(&server);
    for number in 0..1000_u32 {
        client.put(&number.to_be_bytes(), b"value").expect("it is stored");
        assert!(client.get(&number.to_be_bytes()).expect("it is answered").is_some());
    }
    sleep(A_WHILE);
    let families = parse(&get(address, "/metrics", "").body, Format::Text).expect("it is valid");
    let of = |name: &str| sum(&families, name);
    assert_eq!((of("kv_gets_total"), of("kv_puts_total")), (1000.0, 1000.0));
    assert_eq!((of("kv_records"), of("kv_sessions")), (1000.0, 1.0));
    assert_eq!(of("kv_sessions_opened_total"), 1.0);
    // Of the time that passed, some was worked, and each round's is in the histogram.
    let rounds = of("kv_rounds_worked_total");
    assert!(rounds >= 100.0 && rounds == of("kv_round_seconds_count"), "{rounds}");
    let busy_s = of("kv_busy_seconds_total");
    assert!(busy_s > 0.0 && (busy_s - of("kv_round_seconds_sum")).abs() < 1e-9, "{busy_s}");
    assert!(of("kv_burst_received_datagrams_count") >= 2000.0);
    let received = of("kv_datagrams_received_total");
    assert_eq!(of("kv_burst_received_datagrams_sum"), received);
    assert_eq!(of("kv_burst_sent_datagrams_sum"), of("kv_datagrams_sent_total"));
    // A few were timed.
    assert!(of("kv_gets_timed_total") + of("kv_puts_timed_total") > 0.0);
    assert!(of("kv_requests_timed_seconds_total") > 0.0);
    assert!(of("process_resident_memory_bytes") > 1e6);
    let totals = server.end(Signal::TERM);
    assert_eq!(totals.ended.status, Some(0), "{totals:?}");
    assert_eq!((totals.of("gets"), totals.of("http_answered")), (1000, 1), "{totals:?}");
}

#[test]
fn a_worker_is_busy_only_while_it_works() {
    let (server, address) = start(&[]);
    let mut client = connect(&server);
    let busy_s = || {
        sleep(A_WHILE);
        let text = get(address, "/metrics", "").body;
        sum(&parse(&text, Format::Text).expect("it is valid"), "kv_busy_seconds_total")
    };
    let (before_s, began) = (busy_s(), Instant::now());
    for _ in 0..20 {
        client.get(b"key").expect("it is answered");
        sleep(Duration::from_millis(50));
    }
    let share = (busy_s() - before_s) / began.elapsed().as_secs_f64();
    assert!(share > 0.0 && share < 0.1, "{share}");
}

#[test]
fn what_was_refused_is_told_by_its_reason() {
    let (server, address) = start(&["--memory", "64K"]);
    let mut client = connect(&server);
    let refused =
        (0..2000_u32).filter(|n| client.put(&n.to_be_bytes(), &[0; 100]).is_err()).count();
    assert!(refused > 0, "or this shows nothing");
    sleep(A_WHILE);
    let families = parse(&get(address, "/metrics", "").body, Format::Text).expect("it is valid");
    let refusals = &families["kv_refusals"].samples;
    let of = |reason: &str| {
        let is_of = |(_, value): &(String, String)| value == reason;
        let (.., count) =
            refusals.iter().find(|(_, labels, _)| labels.iter().any(is_of)).expect("it is told");
        *count
    };
    assert_eq!((of("memory"), of("sessions")), (refused as f64, 0.0));
    assert_eq!(sum(&families, "kv_memory_limit_bytes"), 65_536.0);
    let kinds = &families["kv_memory_bytes"].samples;
    let records = kinds.iter().find(|(_, labels, _)| labels[0].1 == "records").expect("it is told");
    assert!(records.2 > 60_000.0 && kinds.len() >= 2, "{kinds:?}");
}

#[test]
fn who_was_limited_is_told_by_its_host() {
    let (server, address) = start(&[]);
    let socket = std::net::UdpSocket::bind(("127.0.0.1", 0)).expect("a port is free");
    socket.connect(server.address).expect("it is on this host");
    let mut unknown = Vec::new();
    pack::bare(&mut unknown, Header::new(Kind::Request, 7, 1));
    let deadline = Instant::now() + DEADLINE;
    let limited = loop {
        for _ in 0..20_000 {
            // The kernel may tell here that the server's buffer was full.
            let _ = socket.send(&unknown);
        }
        sleep(A_WHILE);
        let text = get(address, "/metrics", "").body;
        let families = parse(&text, Format::Text).expect("it is valid");
        if let Some(limited) = families.get("kv_limited_datagrams") {
            break limited.samples.clone();
        }
        assert!(Instant::now() < deadline, "nobody was limited: {text}");
    };
    let [(_, labels, count)] = &limited[..] else { panic!("{limited:?}") };
    assert!(labels.contains(&("host".to_owned(), "127.0.0.1".to_owned())), "{labels:?}");
    let totals = server.end(Signal::TERM);
    assert!(*count > 0.0 && totals.of("answers_limited") as f64 >= *count, "{count}, {totals:?}");
}

#[test]
fn health_and_readiness_are_told() {
    let (server, address) = start(&["--cores", "2"]);
    sleep(A_WHILE); // Each worker has had its first round.
    for path in ["/healthz", "/readyz"] {
        let answer = get(address, path, "");
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"), "{path}");
    }
    assert_eq!(server.end(Signal::TERM).ended.status, Some(0));
}

#[test]
fn other_pages_and_methods_are_refused() {
    let (_server, address) = start(&[]);
    assert_eq!(get(address, "/", "").status, 200);
    assert_eq!(get(address, "/metrics?collect[]=a", "").status, 200);
    for path in ["/metrics/", "/../metrics", "/none"] {
        assert_eq!(get(address, path, "").status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let question =
            format!("{method} /metrics HTTP/1.1\r\nHost: kv\r\nContent-Length: 0\r\n\r\n");
        let refused = answer(&exchange(address, question.as_bytes()));
        assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    let head = answer(&exchange(address, b"HEAD /metrics HTTP/1.1\r\nHost: kv\r\n\r\n"));
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn an_address_that_cannot_be_taken_is_refused_in_one_line() {
    let refuses = |address: &str, reason: &str| {
        let ended = run(KV.as_ref(), &["--port", "0", "--metrics", address]);
        ended.assert_refused(reason);
        assert!(ended.stdout.is_empty(), "it was never ready: {ended:?}");
    };
    let (_server, taken) = start(&[]);
    refuses(&taken.to_string(), &format!("--metrics: {taken} is in use"));
    // Of a network that is kept for documentation, RFC 5737.
    refuses("192.0.2.1:9400", "--metrics: 192.0.2.1 is not an address of this machine");
    for wrong in ["", "9400", ":9400", "127.0.0.1", "127.0.0.1:70000", "localhost:9400"] {
        refuses(wrong, "--metrics");
    }
}

#[test]
fn without_the_flag_nobody_listens() {
    let server = Server::start(KV, &[]);
    let sockets = std::fs::read_dir(format!("/proc/{}/fd", server.process.pid()));
    let sockets = sockets.expect("it runs").flatten().filter_map(|fd| fd.path().read_link().ok());
    let inodes: Vec<_> = sockets
        .filter_map(|link| {
            Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
        })
        .collect();
    let tcp = std::fs::read_to_string("/proc/net/tcp").expect("this is Linux");
    let is_own = |line: &str| {
        line.split_whitespace().nth(9).is_some_and(|inode| inodes.iter().any(|own| own == inode))
    };
    assert!(!tcp.lines().any(is_own), "{tcp}");
    let totals: Totals = server.end(Signal::TERM);
    assert_eq!(totals.of("http_answered"), 0);
}
