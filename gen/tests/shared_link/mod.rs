//! A server and generators on hosts that share a network.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use testkit::DEADLINE;
use testkit::hosts::{Host, Hosts};
use testkit::process::{Ended, Process, beside};

const GEN: &str = env!("CARGO_BIN_EXE_gen");
/// What a socket has where nobody has raised a limit.
const STOCK_BUFFER_BYTES: &str = "212992";

/// A server on host 0, and its address.
pub(crate) fn server(hosts: &Hosts, bind: &str) -> (Process, SocketAddr) {
    let kv = beside(GEN, "kv");
    let parent = std::process::id().to_string();
    let arguments = [
        ["--bind", bind].as_slice(),
        &["--port", "7400", "--records", "100000", "--memory", "256M"],
        &["--socket-buffer", STOCK_BUFFER_BYTES, "--die-with-parent", &parent],
    ]
    .concat();
    let mut process = hosts.host(0).start(&kv, &arguments);
    let _ = process.wait_for_line("kv ready ", DEADLINE);
    (process, SocketAddr::new(hosts.host(0).address().into(), 7400))
}

/// What a generator on a host came to: operations a second, and p99 in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) ops_per_s: f64,
    pub(crate) p99_us: f64,
}

/// Runs a generator on a host for so many seconds.
pub(crate) fn generate(host: Host<'_>, server: SocketAddr, secs: f64, more: &[&str]) -> Figures {
    let ended = run_generator(host, server, secs, more);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    Figures::of(&ended)
}

/// Runs a generator for so many seconds, which may lose a session, or find no server.
pub(crate) fn run_generator(host: Host<'_>, server: SocketAddr, secs: f64, more: &[&str]) -> Ended {
    let (server, secs) = (server.to_string(), secs.to_string());
    let arguments = [
        ["--servers", &server, "--records", "100000", "--streams", "256"].as_slice(),
        &["--warmup", "0.2", "--secs", &secs, "--json", "-"],
        more,
    ]
    .concat();
    host.start(Path::new(GEN), &arguments).wait(DEADLINE)
}

impl Figures {
    /// Those of a report.
    pub(crate) fn of(ended: &Ended) -> Self {
        let report: serde_json::Value =
            serde_json::from_str(&ended.stdout.join("\n")).expect("a report");
        Self {
            ops_per_s: report["ops_per_s"].as_f64().expect("a number"),
            p99_us: report["latency"]["p99_us"].as_f64().expect("a number"),
        }
    }
}

/// Of an odd number of figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Sets a flag, however its scope ends.
pub(crate) struct SetOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
