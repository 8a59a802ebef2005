//! Tells once a second what the workers do.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use host::report::{Counters, ServerSample};
use host::sample::{Sampler, kernel_drops};
use host::time::unix_time_ms;
use proto::counters::ServerCounters;
use proto::store::Store as _;
use udp::sender::SocketCounters;

use crate::table::Table;
use crate::worker::{Published, WorkerCounters};

proto::counters! {
    /// What a server counts beside its workers and its table.
    ProcessCounters {
        /// Datagrams that the kernel dropped at the workers' sockets.
        kernel_drops: trouble,
    }
}

/// How often it looks whether to stop.
const LOOK: Duration = Duration::from_millis(20);
const INTERVAL: Duration = Duration::from_secs(1);

/// Tells what the workers do.
pub struct Reporter {
    samples: Option<File>,
    sampler: Sampler,
    ports: Vec<u16>,
    table: Arc<Table>,
    workers: Vec<Published>,
    started: Instant,
    last: (Instant, Counters),
}

impl Reporter {
    /// Samples go to a new file, if one is named.
    pub fn new(samples: Option<&Path>, ports: Vec<u16>, table: &Arc<Table>) -> Result<Self> {
        let samples = samples.map(|path| {
            File::create(path).with_context(|| format!("cannot write {}", path.display()))
        });
        let now = Instant::now();
        Ok(Self {
            samples: samples.transpose()?,
            sampler: Sampler::new()?,
            ports,
            table: table.clone(),
            workers: Vec::new(),
            started: now,
            last: (now, Counters::new()),
        })
    }

    /// Adds a worker.
    pub fn watch(&mut self, worker: Published) {
        self.workers.push(worker);
    }

    /// Tells each second, until it is stopped.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<()> {
        let mut next = Instant::now() + INTERVAL;
        self.last = (Instant::now(), self.counters());
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            if now < next {
                std::thread::sleep(LOOK.min(next - now));
                continue;
            }
            next += INTERVAL;
            self.tell(now)?;
        }
        Ok(())
    }

    /// Prints every counter that is not zero, and those that everybody asks for.
    pub fn totals(&self) {
        let counters = self.counters();
        let mut text = format!("kv totals after {:.1} s\n", self.started.elapsed().as_secs_f64());
        for (name, count) in &counters {
            if *count > 0 || ["gets", "puts", "malformed"].contains(&name.as_str()) {
                text.push_str(&format!("  {name} {count}\n"));
            }
        }
        // A closed pipe must not turn a clean end into a failure.
        let _ = io::stdout().write_all(text.as_bytes());
    }

    fn tell(&mut self, now: Instant) -> Result<()> {
        let counters = self.counters();
        let (then, before) = std::mem::replace(&mut self.last, (now, counters.clone()));
        let secs = (now - then).as_secs_f64();
        let grown = |name: &str| {
            let of = |counters: &Counters| counters.get(name).copied().unwrap_or(0);
            of(&counters).saturating_sub(of(&before))
        };
        let per_s = |name: &str| grown(name) as f64 / secs;
        let (gets_per_s, puts_per_s) = (per_s("gets"), per_s("puts"));
        let ops_per_s = gets_per_s + puts_per_s;
        let line = format!("get/s {gets_per_s:.0} put/s {puts_per_s:.0} ops/s {ops_per_s:.0}\n");
        let _ = io::stdout().write_all(line.as_bytes());
        let trouble: String = (trouble().filter(|name| grown(name) > 0))
            .map(|name| format!(" {name} +{}", grown(name)))
            .collect();
        if !trouble.is_empty() {
            eprintln!("kv: trouble:{trouble}");
        }
        let (rx_bytes_per_s, tx_bytes_per_s) = (per_s("bytes_received"), per_s("bytes_sent"));
        let sample = ServerSample {
            time_ms: unix_time_ms(),
            interval_ms: secs * 1e3,
            gets_per_s,
            puts_per_s,
            ops_per_s,
            rx_bytes_per_s,
            tx_bytes_per_s,
            net_pct: host::machine::net_pct(rx_bytes_per_s, tx_bytes_per_s),
            usage: self.sampler.sample()?,
            counters,
        };
        if let Some(file) = &mut self.samples {
            let mut line = serde_json::to_string(&sample)?;
            line.push('\n');
            file.write_all(line.as_bytes()).context("cannot write a sample")?;
        }
        Ok(())
    }

    fn counters(&self) -> Counters {
        let mut sum = WorkerCounters::default();
        for worker in &self.workers {
            let counters = *worker.lock().expect("nobody panics while holding it");
            sum.server.add(&counters.server);
            sum.socket.add(&counters.socket);
        }
        let gauges = (&*self.table).gauges();
        // Without /proc nobody can tell what the kernel dropped; the rest stays true.
        let drops = kernel_drops(&self.ports).unwrap_or(0);
        (sum.server.named().chain(sum.socket.named()).chain(gauges))
            .chain(ProcessCounters { kernel_drops: drops }.named())
            .map(|(name, count)| (name.to_owned(), count))
            .collect()
    }
}

/// The counters that are shown as soon as they grow.
fn trouble() -> impl Iterator<Item = &'static str> {
    [ServerCounters::TROUBLE, SocketCounters::TROUBLE, ProcessCounters::TROUBLE]
        .into_iter()
        .flatten()
        .copied()
}
