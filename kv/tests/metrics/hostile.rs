//! Clients of the metrics' port that do their worst hold up nobody but themselves.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use client::Connection;
use testkit::DEADLINE;
use testkit::process::{Process, Signal};
use testkit::random::Random;
use testkit::server::{Server, free_port};

use super::ask::{connect, exchange, get};
use super::exposition::{Format, parse};
use super::{KV, connect as connect_client, shown_at, start, sum};

/// Far more than are served at once.
const MANY: usize = 200;
/// An answer takes a few milliseconds; this is for a busy machine.
const SOON: Duration = Duration::from_secs(5);

fn resident_bytes(server: &Server) -> u64 {
    host::sample::process_use(server.process.pid()).expect("it runs").mem_bytes
}

fn assert_answers_soon(address: SocketAddr) {
    let began = Instant::now();
    assert_eq!(get(address, "/metrics", "").status, 200);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[test]
fn many_that_are_slow_keep_nobody_else_from_an_answer() {
    let (server, address) = start(&[]);
    let before_bytes = resident_bytes(&server);
    let beginnings: [&[u8]; 3] =
        [b"", b"GET /metr", b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nx"];
    let mut slow: Vec<TcpStream> = Vec::new();
    for number in 0..MANY {
        let mut stream = connect(address);
        let _ = stream.write_all(beginnings[number % beginnings.len()]);
        slow.push(stream);
        if number % 50 == 0 {
            assert_answers_soon(address);
        }
    }
    assert_answers_soon(address);
    connect_client(&server).put(b"key", b"value").expect("and the store answers");
    let grown = resident_bytes(&server).saturating_sub(before_bytes);
    assert!(grown < 16 << 20, "{grown} bytes");
    let totals = server.end(Signal::TERM);
    assert_eq!(totals.ended.status, Some(0), "{totals:?}");
    assert!(totals.of("http_dropped") > 0, "it is counted: {totals:?}");
}

#[test]
fn those_that_do_not_read_keep_nobody_else_from_an_answer() {
    // With so many workers an answer is larger than what the buffers of a connection hold.
    let (server, address) = start(&["--cores", "64"]);
    // Its threads take their memory when they begin.
    let began = Instant::now();
    while get(address, "/readyz", "").status != 200 {
        assert!(began.elapsed() < SOON, "it is not ready");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_answers_soon(address);
    let before_bytes = resident_bytes(&server);
    let mut unread = Vec::new();
    for _ in 0..MANY {
        let mut stream = connect(address);
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: kv\r\n\r\n").expect("it is short");
        unread.push(stream);
    }
    assert_answers_soon(address);
    let grown = resident_bytes(&server).saturating_sub(before_bytes);
    assert!(grown < 64 << 20, "{grown} bytes");
    // Those that others did not drive out are let go when their time is over.
    let dropped = || {
        let families = parse(&get(address, "/metrics", "").body, Format::Text);
        sum(&families.expect("it is valid"), "kv_http_dropped_total")
    };
    let began = Instant::now();
    while dropped() < MANY as f64 {
        assert!(began.elapsed() < Duration::from_secs(30), "{}", dropped());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(server.end(Signal::TERM).ended.status, Some(0));
}

/// Where cores are short, datagrams go first.
#[test]
fn the_thread_that_answers_is_below_the_workers() {
    let (server, address) = start(&[]);
    assert_eq!(get(address, "/healthz", "").status, 200);
    let nice = |name: &str| {
        let threads = std::fs::read_dir(format!("/proc/{}/task", server.process.pid()));
        let stats = threads
            .expect("it runs")
            .flatten()
            .filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
        let stat = stats.into_iter().find(|stat| stat.contains(&format!("({name})")));
        let stat = stat.unwrap_or_else(|| panic!("no thread {name}"));
        // The name stands in parentheses; seventeen fields later follows the nice value.
        let (_, rest) = stat.rsplit_once(") ").expect("it has a name");
        rest.split(' ').nth(16).expect("it has a nice value").parse::<i32>().expect("a number")
    };
    assert!(nice("metrics") >= nice("worker-0") + 10, "{} {}", nice("metrics"), nice("worker-0"));
}

#[test]
fn without_descriptors_for_connections_the_store_answers_and_later_the_pages_do() {
    let port = free_port().to_string();
    let limited = "ulimit -n 20; exec \"$0\" \"$@\"";
    let flags = ["-c", limited, KV, "--port", &port, "--pin", "none", "--metrics", "127.0.0.1:0"];
    let mut process = Process::start("/bin/sh".as_ref(), &flags);
    let address = shown_at(&mut process);
    let many: Vec<_> = (0..MANY).map(|_| connect(address)).collect();
    let store = SocketAddr::from(([127, 0, 0, 1], port.parse().expect("it is a port")));
    let mut client = Connection::connect(&[store]).expect("it answers");
    client.put(b"key", b"value").expect("it is stored");
    drop(many);
    assert_answers_soon(address);
    process.signal(Signal::TERM);
    assert_eq!(process.wait_for_end(DEADLINE), Some(0));
}

#[test]
fn a_head_without_end_is_cut_off() {
    let (server, address) = start(&[]);
    let before_bytes = resident_bytes(&server);
    let mut stream = connect(address);
    stream.write_all(b"GET /metrics HTTP/1.1\r\nX: ").expect("it is short");
    let mut sent_bytes = 0_u64;
    while sent_bytes < 64 << 20 && stream.write_all(&[b'x'; 1 << 16]).is_ok() {
        sent_bytes += 1 << 16;
    }
    assert!(sent_bytes < 16 << 20, "{sent_bytes} bytes were taken");
    let grown = resident_bytes(&server).saturating_sub(before_bytes);
    assert!(grown < 16 << 20, "{grown} bytes");
    let many: String = (0..2000).map(|number| format!("x{number}: y\r\n")).collect();
    let answer = exchange(address, format!("GET / HTTP/1.1\r\n{many}\r\n").as_bytes());
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_answers_soon(address);
}

#[test]
fn a_body_is_never_taken_in() {
    let (server, address) = start(&[]);
    let before_bytes = resident_bytes(&server);
    let mut stream = connect(address);
    let head = "GET /metrics HTTP/1.1\r\nHost: kv\r\nContent-Length: 100000000\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("it is short");
    let mut sent_bytes = 0_u64;
    while sent_bytes < 100_000_000 && stream.write_all(&[0; 1 << 16]).is_ok() {
        sent_bytes += 1 << 16;
    }
    assert!(sent_bytes < 16 << 20, "{sent_bytes} bytes were taken");
    let grown = resident_bytes(&server).saturating_sub(before_bytes);
    assert!(grown < 16 << 20, "{grown} bytes");
    assert_answers_soon(address);
}

#[test]
fn any_bytes_are_answered_or_cut_off() {
    let mut random = Random::for_test("any_bytes_are_answered_or_cut_off");
    let (server, address) = start(&[]);
    let question = b"GET /metrics HTTP/1.1\r\nHost: kv\r\nAccept: */*;q=0.5\r\n\r\n";
    for _ in 0..200 {
        let mut bytes = if random.happens(50) {
            let length = random.index(300);
            random.bytes(length)
        } else {
            let mut bytes = question.to_vec();
            for _ in 0..=random.index(3) {
                let at = random.index(bytes.len());
                bytes[at] ^= 1 << random.index(8);
            }
            bytes
        };
        bytes.extend_from_slice(b"\r\n\r\n");
        let mut stream = connect(address);
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_answers_soon(address);
    assert_eq!(server.end(Signal::TERM).ended.status, Some(0));
}

#[test]
fn one_that_asks_for_nothing_is_let_go() {
    let (_server, address) = start(&[]);
    let mut stream = connect(address);
    let began = Instant::now();
    let _ = stream.read_to_end(&mut Vec::new());
    let waited = began.elapsed();
    assert!((Duration::from_secs(8)..Duration::from_secs(30)).contains(&waited), "{waited:?}");
}
