//! Tells once a second what the workers do.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use host::output::{last_to_stdout, to_stderr, to_stdout};
use host::report::{Counters, ServerSample, Usage};
use host::sample::Sampler;
use host::sample_file::SampleFile;
use host::time::unix_time_ms;
use proto::counters::ServerCounters;
use udp::counters::TransportCounters;

use crate::observed::{Observed, ProcessCounters};
use crate::worker::TimeCounters;

/// How often it looks whether to stop.
const LOOK: Duration = Duration::from_millis(20);
const INTERVAL: Duration = Duration::from_secs(1);

/// Tells what the workers do.
pub struct Reporter {
    samples: Option<SampleFile>,
    sampler: Sampler,
    observed: Arc<Observed>,
    started: Instant,
    last: (Instant, Counters),
}

impl Reporter {
    /// Samples go to a new file, if one is named.
    pub fn new(samples: Option<&Path>, observed: Arc<Observed>) -> Result<Self> {
        let now = Instant::now();
        Ok(Self {
            samples: samples.map(SampleFile::create).transpose()?,
            sampler: Sampler::new(),
            observed,
            started: now,
            last: (now, Counters::new()),
        })
    }

    /// Tells each second, until it is stopped. What cannot be printed or sampled is lost,
    /// and service goes on.
    pub fn run(&mut self, stop: &AtomicBool) {
        let mut next = Instant::now() + INTERVAL;
        self.last = (Instant::now(), self.counters());
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            if now < next {
                std::thread::sleep(LOOK.min(next - now));
                continue;
            }
            let is_late = now - next > INTERVAL / 2;
            // Seconds in which the process was stopped are told of together, once.
            next = if is_late { now } else { next } + INTERVAL;
            self.tell(now);
        }
    }

    /// An error if samples that were asked for are missing.
    pub fn finish(&self) -> Result<()> {
        self.samples.as_ref().map_or(Ok(()), SampleFile::finish)
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
        let _ = last_to_stdout(&text);
    }

    fn tell(&mut self, now: Instant) {
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
        let _ = to_stdout(&line);
        let trouble: String = (trouble().filter(|name| grown(name) > 0))
            .map(|name| format!(" {name} +{}", grown(name)))
            .collect();
        if !trouble.is_empty() {
            to_stderr(format_args!("kv: trouble:{trouble}"));
        }
        let Some(samples) = &mut self.samples else { return };
        let (rx_bytes_per_s, tx_bytes_per_s) = (per_s("bytes_received"), per_s("bytes_sent"));
        let of_usage = |usage: Usage| ServerSample {
            time_ms: unix_time_ms(),
            interval_ms: secs * 1e3,
            gets_per_s,
            puts_per_s,
            ops_per_s,
            rx_bytes_per_s,
            tx_bytes_per_s,
            net_pct: host::machine::net_pct(rx_bytes_per_s, tx_bytes_per_s),
            usage,
            counters: counters.clone(),
        };
        if let Some(reason) = samples.append(self.sampler.sample().map(of_usage)) {
            to_stderr(format_args!("kv: warning: a sample is missing: {reason}"));
        }
    }

    fn counters(&self) -> Counters {
        let (mut server, mut transport, mut time) =
            (ServerCounters::default(), TransportCounters::default(), TimeCounters::default());
        for worker in self.observed.workers() {
            server.add(&worker.server);
            transport.add(&worker.transport);
            time.add(&worker.time);
        }
        // Without /proc nobody can tell what the kernel dropped; the rest stays true.
        let known = || self.last.1.get("kernel_drops").copied().unwrap_or(0);
        let drops = self.observed.kernel_drops().map_or_else(known, |drops| drops.iter().sum());
        (server.named().chain(transport.named()).chain(time.named()))
            .chain(self.observed.gauges())
            .chain(self.observed.process(drops).named())
            .map(|(name, count)| (name.to_owned(), count))
            .collect()
    }
}

/// The counters that are shown as soon as they grow.
fn trouble() -> impl Iterator<Item = &'static str> {
    [ServerCounters::TROUBLE, TransportCounters::TROUBLE, ProcessCounters::TROUBLE]
        .into_iter()
        .flatten()
        .copied()
}
