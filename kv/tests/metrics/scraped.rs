//! A real Prometheus scrapes a server.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::DEADLINE;
use testkit::process::{Process, while_none_starts};

use super::ask::get;
use super::{connect, start};

/// What Prometheus answers to a question, once it does.
fn ask(prometheus: SocketAddr, path: &str, is_there: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + DEADLINE;
    let mut last = Value::Null;
    while Instant::now() < deadline {
        // It begins to listen a moment after it was started.
        if std::net::TcpStream::connect(prometheus).is_ok() {
            // Not all that it says has a length; HTTP/1.0 has no chunks.
            let question = format!("GET {path} HTTP/1.0\r\n\r\n");
            let told = super::ask::exchange(prometheus, question.as_bytes());
            let body = super::ask::answer(&told).body;
            last = serde_json::from_str(&body).unwrap_or(Value::String(body));
            if is_there(&last) {
                return last;
            }
        }
        sleep(Duration::from_millis(100));
    }
    panic!("Prometheus does not tell {path}: {last}");
}

#[test]
fn a_real_prometheus_scrapes_it() {
    let mut version = Command::new("prometheus");
    if version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        eprintln!("not tested: prometheus is not installed (Debian: prometheus)");
        return;
    }
    let (server, address) = start(&["--cores", "2"]);
    let mut client = connect(&server);
    client.put(b"key", b"value").expect("it is stored");
    for _ in 0..41 {
        client.get(b"key").expect("it is answered");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: kv\n    static_configs:\n      \
         - targets: ['{address}']\n"
    );
    fs::write(&config, text).expect("it is written");
    let port = while_none_starts(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("it is bound").port()
    });
    let listens = SocketAddr::from(([127, 0, 0, 1], port));
    let arguments = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", folder.path().join("data").display()),
        format!("--web.listen-address={listens}"),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let _prometheus = Process::start("prometheus".as_ref(), &arguments);

    let targets =
        ask(listens, "/api/v1/targets", |told| told["data"]["activeTargets"][0]["health"] == "up");
    assert_eq!(targets["data"]["activeTargets"][0]["lastError"], "", "{targets}");
    let value = |query: &str, expected: &str| {
        let told = ask(listens, &format!("/api/v1/query?query={query}"), |told| {
            told["data"]["result"][0]["value"][1] == expected
        });
        assert_eq!(told["data"]["result"].as_array().map(Vec::len), Some(1), "{told}");
    };
    value("sum(kv_gets_total)", "41");
    value("sum(kv_puts_total)", "1");
    value("count(kv_busy_seconds_total)", "2");
    value("kv_records", "1");
    let bucket = "count(kv_round_seconds_bucket%7Ble=%22%2BInf%22%7D)";
    value(bucket, "2");
    let metadata = "/api/v1/metadata?metric=kv_round_seconds";
    let told = ask(listens, metadata, |told| told["data"]["kv_round_seconds"].is_array());
    assert_eq!(told["data"]["kv_round_seconds"][0]["type"], "histogram", "{told}");
    assert_eq!(get(address, "/healthz", "").status, 200);
}
