//! The examples, as somebody runs them who has just copied them.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use client::Connection;
use testkit::DEADLINE;
use testkit::process::{Process, Signal, any_program, run};
use testkit::server::Server;

/// An example. Cargo builds them before the tests of the whole package; where only this file
/// is run, one that is not there is built here.
fn example(name: &str) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one_at_a_time = ONE_AT_A_TIME.lock();
    let program = any_program();
    let folder = Path::new(&program).parent().unwrap();
    let wanted = folder.join("examples").join(name);
    if !wanted.exists() {
        let profile = if folder.ends_with("debug") { "dev" } else { "release" };
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "client", "--example", name])
            .args(["--profile", profile, "--target-dir"])
            .arg(folder.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(status.is_ok_and(|status| status.success()), "cannot build {name}");
    }
    wanted
}

fn kv(arguments: &[&str]) -> Server {
    Server::start(&any_program(), arguments)
}

#[test]
fn the_quick_start_reads_what_it_wrote() {
    let server = kv(&["--cores", "2"]);
    let ended = run(&example("quick_start"), &[&server.address.to_string()]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let expected = ["greeting: written as version 1", "greeting: hello", "farewell: not found"];
    assert_eq!(ended.stdout, expected);
}

#[test]
fn the_program_of_the_document_is_the_quick_start() {
    let document = include_str!("../../docs/CLIENT.md");
    let documented = document.split("```rust\n").nth(1).unwrap().split("```").next().unwrap();
    let program = include_str!("../examples/quick_start.rs");
    assert_eq!(program.split_once("\n\n").unwrap().1, documented);
}

#[test]
fn the_quick_start_says_so_if_it_is_told_no_server() {
    let ended = run(&example("quick_start"), &["localhost"]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stderr[0].contains("'localhost' is no HOST:PORT"), "{ended:?}");
}

// ---------------------------------------------------------------------- bulk_load

#[test]
fn the_bulk_load_stores_every_line_of_a_file() {
    let server = kv(&[]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    let lines: String = (0..25_000).map(|n| format!("key-{n}\tvalue {n}\n")).collect();
    fs::write(&path, lines).unwrap();
    let (servers, path) = (server.address.to_string(), path.to_str().unwrap().to_owned());
    let ended = run(&example("bulk_load"), &[&servers, &path]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(ended.last_line(), "25000 stored, 0 not stored, 0 indeterminate, 0 invalid");
    let mut connection = Connection::connect(&[server.address]).unwrap();
    for n in [0, 9_999, 10_000, 24_999] {
        let record = connection.get(format!("key-{n}").as_bytes()).unwrap().unwrap();
        assert_eq!(record.value, format!("value {n}"));
    }
}

#[test]
fn the_bulk_load_counts_what_is_refused_too_large_or_no_record() {
    let server = kv(&["--memory", "64K"]);
    let (mut load, mut stdin) =
        Process::start_fed(&example("bulk_load"), &[&server.address.to_string()]);
    let value = "v".repeat(1000);
    let mut lines: String = (0..1000).map(|n| format!("key-{n}\t{value}\n")).collect();
    lines.push_str(&format!("large\t{}\n", "v".repeat(2000)));
    lines.push_str("no record\n");
    stdin.write_all(lines.as_bytes()).unwrap();
    drop(stdin);
    let _ = load.wait_for_line("loading into ", DEADLINE);
    let ended = load.wait(DEADLINE);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let counts: Vec<u64> =
        ended.last_line().split(' ').filter_map(|word| word.parse().ok()).collect();
    let [stored, not_stored, indeterminate, invalid] = counts[..] else { panic!("{ended:?}") };
    assert!(stored > 0 && not_stored > 1, "{counts:?}");
    assert_eq!((stored + not_stored, indeterminate, invalid), (1001, 0, 1));
    let told = |text: &str| ended.stderr.iter().any(|line| line.contains(text));
    assert!(told("the server's memory is full") && told("line 1002 has no tab"), "{ended:?}");
    assert!(told("large: a value with this key has at most 1424 bytes"), "{ended:?}");
}

#[test]
fn the_bulk_load_says_of_which_records_nobody_knows_whether_they_are_stored() {
    let server = kv(&[]);
    let (mut load, mut stdin) =
        Process::start_fed(&example("bulk_load"), &[&server.address.to_string()]);
    let _ = load.wait_for_line("loading into ", DEADLINE);
    server.process.signal(Signal::STOP);
    stdin.write_all(b"one\t1\ntwo\t2\n").unwrap();
    drop(stdin);
    let ended = load.wait(DEADLINE);
    assert_eq!(ended.status, Some(3), "{ended:?}");
    assert_eq!(ended.last_line(), "0 stored, 0 not stored, 2 indeterminate, 0 invalid");
    assert!(ended.stderr[0].contains("one: indeterminate"), "{ended:?}");
}

// ------------------------------------------------------------------ session_cache

/// A session cache that serves HTTP.
struct Service {
    process: Process,
    address: SocketAddr,
}

/// What it answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Service {
    fn start(server: &Server) -> Self {
        let arguments = [&server.address.to_string(), "127.0.0.1:0"];
        let mut process = Process::start(&example("session_cache"), &arguments);
        let line = process.wait_for_line("listening on ", DEADLINE);
        let address = line.rsplit(' ').next().unwrap().parse().unwrap();
        Self { process, address }
    }

    fn ask(&self, method: &str, path: &str, cookie: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nCookie: {cookie}\r\n\
             Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("'{text}'"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// Logs in, and returns the cookie.
    fn log_in(&self, name: &str) -> String {
        let answer = self.ask("POST", "/login", "", name);
        assert_eq!(answer.status, 200, "{answer:?}");
        let cookie = answer.head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        cookie.unwrap().split(';').next().unwrap().to_owned()
    }

    fn me(&self, cookie: &str) -> Answer {
        self.ask("GET", "/me", cookie, "")
    }
}

#[test]
fn a_session_of_the_session_cache_begins_is_read_and_ends() {
    let server = kv(&["--cores", "2"]);
    let service = Service::start(&server);
    assert_eq!(service.me("").status, 401);
    assert_eq!(service.ask("POST", "/login", "", "").status, 400);
    let alice = service.log_in("alice");
    let bob = service.log_in("bob");
    for _ in 0..3 {
        assert_eq!(service.me(&format!("theme=dark; {alice}")).body, "alice\n");
        assert_eq!(service.me(&bob).body, "bob\n");
    }
    assert_eq!(service.ask("POST", "/logout", &alice, "").status, 200);
    assert_eq!(service.me(&alice).status, 401, "it reads its own write, near cache or not");
    assert_eq!(service.me(&bob).status, 200);
    let too_large = service.ask("POST", "/login", "", &"n".repeat(2000));
    assert_eq!(too_large.status, 413, "{too_large:?}");
}

#[test]
fn a_logout_from_no_session_writes_nothing() {
    let server = kv(&[]);
    let service = Service::start(&server);
    let log_out = |cookie| service.ask("POST", "/logout", cookie, "").status;
    assert_eq!([log_out(""), log_out("session=invented")], [401, 401]);
    let alice = service.log_in("alice");
    assert_eq!([log_out(&alice), log_out(&alice)], [200, 401]);
    let totals = server.end(Signal::TERM);
    assert_eq!((totals.of("puts"), totals.of("records")), (2, 1), "a login and its logout");
}

#[test]
fn services_share_their_sessions() {
    let server = kv(&[]);
    let services = [Service::start(&server), Service::start(&server)];
    let cookie = services[0].log_in("alice");
    assert_eq!(services[1].me(&cookie).body, "alice\n");
    assert_eq!(services[0].ask("POST", "/logout", &cookie, "").status, 200);
    // The other one's near cache may keep it for a second.
    while services[1].me(&cookie).status != 401 {}
}

#[test]
fn the_session_cache_says_which_requests_may_be_repeated_and_recovers() {
    let server = kv(&[]);
    let service = Service::start(&server);
    server.process.signal(Signal::STOP);
    // First: once calls were not answered, a session may have no room, and others are not sent.
    let written = service.ask("POST", "/login", "", "alice");
    assert_eq!(written.status, 504, "{written:?}");
    assert!(written.body.starts_with("indeterminate"), "{written:?}");
    let read = service.me("session=of-nobody");
    assert_eq!(read.status, 503, "{read:?}");
    assert!(read.head.contains("retry-after: 1"), "{read:?}");
    server.process.signal(Signal::CONT);
    let cookie = service.log_in("alice");
    assert_eq!(service.me(&cookie).status, 200);
}

#[test]
fn the_session_cache_leaves_its_servers_when_it_is_stopped() {
    let server = kv(&[]);
    let service = Service::start(&server);
    let _ = service.log_in("alice");
    service.process.signal(Signal::TERM);
    let ended = service.process.wait(DEADLINE);
    assert_eq!((ended.status, ended.last_line()), (Some(0), "stopped"), "{ended:?}");
    let totals = server.end(Signal::TERM);
    assert_eq!((totals.of("sessions_opened"), totals.of("sessions_closed")), (1, 1));
}
