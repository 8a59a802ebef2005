//! The figures of a server, as families of metrics.
//!
//! A counter of the glossary has its name there, after `kv_`, in seconds if it is in nanoseconds
//! there. Whatever the table tells in bytes is a kind of memory.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use proto::counters::ServerCounters;
use proto::limits::SESSIONS_PER_WORKER_MAX;
use udp::counters::TransportCounters;

use super::accept::Format;
use crate::observed::{Observed, ProcessCounters};
use crate::table::{Choice, TableGauges};
use crate::worker::{Histogram, TimeCounters, WorkerFigures};

/// What was decided at the start.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The table.
    pub table: Choice,
    /// What `--memory` allows, or its default.
    pub memory_cap_bytes: u64,
}

/// The counters of requests and sessions that were refused, and why.
const REFUSALS: [(&str, &str); 10] = [
    ("puts_refused", "memory"),
    ("sessions_refused", "sessions"),
    ("cookies_refused", "cookie"),
    ("opens_late", "late_open"),
    ("sequences_taken", "sequence_taken"),
    ("unknown_session", "unknown_session"),
    ("answers_limited", "answers"),
    ("repeats_limited", "repeats"),
    ("stats_dropped", "stats"),
    ("other_version", "version"),
];
/// Of the bucket table.
const BUCKET_BYTES: u64 = 64;

/// All figures of one instant.
#[derive(Debug)]
struct Figures {
    facts: Facts,
    workers: Vec<WorkerFigures>,
    kernel_drops: Option<Vec<u64>>,
    process: ProcessCounters,
    gauges: Vec<(&'static str, u64)>,
    used: Option<host::sample::ProcessUse>,
    threads: Vec<Option<host::sample::ThreadUse>>,
}

/// The figures of this instant in a format.
pub(super) fn render(observed: &Observed, facts: Facts, format: Format) -> String {
    let workers: Vec<_> = observed.workers().collect();
    let kernel_drops = observed.kernel_drops();
    let figures = Figures {
        facts,
        process: observed.process(kernel_drops.iter().flatten().sum()),
        kernel_drops,
        gauges: observed.gauges(),
        used: host::sample::process_use(std::process::id()).ok(),
        threads: workers.iter().map(|worker| host::sample::thread_use(worker.thread)).collect(),
        workers,
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(figures));
    let mut text = String::new();
    let encoded = match format {
        Format::OpenMetrics => prometheus_client::encoding::text::encode(&mut text, &registry),
        Format::Text => prometheus_client::encoding::prometheus_text::encode(&mut text, &registry),
    };
    encoded.expect("a string takes all, and no figure is out of range");
    text
}

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families { encoder };
        self.counters(&mut families)?;
        self.times(&mut families)?;
        self.histograms(&mut families)?;
        self.table(&mut families)?;
        self.process(&mut families)
    }
}

impl Figures {
    fn by_worker<T>(
        &self,
        of: impl Fn(&WorkerFigures) -> T,
    ) -> impl Iterator<Item = ([(&'static str, String); 1], T)> {
        let workers = self.workers.iter().enumerate();
        workers.map(move |(number, worker)| ([("worker", number.to_string())], of(worker)))
    }

    /// Those that each worker counts.
    fn counters(&self, families: &mut Families<'_>) -> fmt::Result {
        macro_rules! each {
            ($field:ident: $kind:ty) => {
                for (at, (name, help)) in <$kind>::HELP.iter().enumerate() {
                    let value = |worker: &WorkerFigures| {
                        worker.$field.named().nth(at).expect("each counter has its help").1
                    };
                    families.counter(name, help, self.by_worker(value))?;
                }
            };
        }
        each!(server: ServerCounters);
        each!(transport: TransportCounters);
        each!(time: TimeCounters);
        let refusals = self.by_worker(|worker| worker.server).flat_map(|([label], server)| {
            REFUSALS.map(|(counter, reason)| {
                let count = server.named().find(|(name, _)| *name == counter);
                (
                    [label.clone(), ("reason", reason.to_owned())],
                    count.map_or(0, |(_, count)| count),
                )
            })
        });
        families.counter("refusals", "What was refused, by the reason.", refusals)?;
        let limited = self.by_worker(|worker| worker.limited).flat_map(|([label], limited)| {
            let hosts = limited.hosts().collect::<Vec<_>>().into_iter();
            hosts.map(move |(host, count)| {
                ([label.clone(), ("host", host.to_string())], count as f64)
            })
        });
        let mut limited = limited.peekable();
        // A family without a value is not valid.
        if limited.peek().is_some() {
            families.gauge(
                "kv_limited_datagrams",
                "Datagrams of the hosts that were limited most; at most so many.",
                limited,
            )?;
        }
        let sessions = self.by_worker(|worker| worker.sessions as f64);
        families.gauge("kv_sessions", "Sessions open.", sessions)?;
        let most = self.by_worker(|_| SESSIONS_PER_WORKER_MAX as f64);
        families.gauge("kv_sessions_limit", "Sessions that a worker may have open.", most)
    }

    /// What the kernel tells of the workers' threads and sockets.
    fn times(&self, families: &mut Families<'_>) -> fmt::Result {
        let known = || self.by_worker(|_| ()).map(|(label, ())| label).zip(&self.threads);
        let known = || known().filter_map(|(label, used)| Some((label, (*used)?)));
        families.counter(
            "worker_cpu_ns",
            "Seconds that the worker's thread ran; one that spins runs all the time.",
            known().map(|(label, used)| (label, used.cpu_ns)),
        )?;
        families.counter(
            "worker_waited_ns",
            "Seconds that the worker's thread waited for a core that another had.",
            known().map(|(label, used)| (label, used.waited_ns)),
        )?;
        let drops = self.kernel_drops.iter().flatten().copied();
        let labels = self.by_worker(|_| ()).map(|(label, ())| label);
        families.counter(
            "kernel_drops",
            help(ProcessCounters::HELP, "kernel_drops"),
            labels.zip(drops),
        )
    }

    fn histograms(&self, families: &mut Families<'_>) -> fmt::Result {
        families.histogram(
            "kv_round_seconds",
            "Time of the rounds of the core loop that worked.",
            1e-9,
            self.by_worker(|worker| worker.rounds),
        )?;
        families.histogram(
            "kv_burst_received_datagrams",
            "Datagrams that a round received together.",
            1.0,
            self.by_worker(|worker| worker.received),
        )?;
        families.histogram(
            "kv_burst_sent_datagrams",
            "Datagrams of a burst to one address.",
            1.0,
            self.by_worker(|worker| worker.sent),
        )
    }

    fn table(&self, families: &mut Families<'_>) -> fmt::Result {
        for (name, value) in &self.gauges {
            let help = help(TableGauges::HELP, name);
            families.gauge(&format!("kv_{name}"), help, [(NoLabels, *value as f64)])?;
        }
        let kinds = memory_kinds(&self.gauges);
        let kinds = kinds.map(|(kind, bytes)| ([("kind", kind)], bytes as f64));
        families.gauge("kv_memory_bytes", "Memory of the table, by what it is for.", kinds)?;
        let cap = self.facts.memory_cap_bytes as f64;
        families.gauge("kv_memory_limit_bytes", "What --memory allows.", [(NoLabels, cap)])
    }

    fn process(&self, families: &mut Families<'_>) -> fmt::Result {
        let by_name = ProcessCounters::HELP.iter().zip(self.process.named());
        for ((name, help), (_, value)) in by_name.filter(|((name, _), _)| *name != "kernel_drops") {
            families.counter(name, help, [(NoLabels, value)])?;
        }
        if let Some(used) = self.used {
            let cpu = families.begin(
                "process_cpu_seconds",
                "CPU time of all threads.",
                MetricType::Counter,
            )?;
            encode(cpu, [(NoLabels, used.cpu_s)], counter_seconds)?;
            let resident = [(NoLabels, used.mem_bytes as f64)];
            families.gauge("process_resident_memory_bytes", "Resident memory.", resident)?;
        }
        let facts = [
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("table", format!("{:?}", self.facts.table).to_lowercase()),
        ];
        families.gauge("kv_build_info", "What runs here.", [(facts, 1.0)])
    }
}

/// What the table tells in bytes, by what it is for.
fn memory_kinds(gauges: &[(&'static str, u64)]) -> impl Iterator<Item = (String, u64)> {
    let told = gauges.iter().filter_map(|(name, bytes)| {
        let kind = match name.strip_suffix("_bytes")? {
            "record" => "records",
            "page" => "pages",
            "free_page" => "free_pages",
            kind => kind,
        };
        Some((kind.to_owned(), *bytes))
    });
    let tells_index = gauges.iter().any(|(name, _)| *name == "index_bytes");
    let index = gauges.iter().filter(move |(name, _)| *name == "buckets" && !tells_index);
    told.chain(index.map(|(_, buckets)| ("index".to_owned(), buckets * BUCKET_BYTES)))
}

fn help(of: &[(&str, &'static str)], name: &str) -> &'static str {
    of.iter().find(|(declared, _)| *declared == name).map_or("", |(_, help)| help)
}

/// Where families are written to.
struct Families<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Families<'_> {
    fn begin<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.encoder.encode_descriptor(name, help, None, kind)
    }

    /// A counter of the project; one in nanoseconds is shown in seconds.
    fn counter<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        match name.strip_suffix("_ns") {
            Some(name) => {
                let name = format!("kv_{name}_seconds");
                let help = help.replace("Nanoseconds", "Seconds");
                let family = self.begin(&name, &help, MetricType::Counter)?;
                let seconds = values.into_iter().map(|(labels, ns)| (labels, ns as f64 / 1e9));
                encode(family, seconds, counter_seconds)
            }
            None => {
                let name = format!("kv_{name}");
                let family = self.begin(&name, help, MetricType::Counter)?;
                encode(family, values, |mut metric, value| {
                    metric.encode_counter::<NoLabelSet, _, f64>(&value, None)
                })
            }
        }
    }

    fn gauge<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        let family = self.begin(name, help, MetricType::Gauge)?;
        encode(family, values, |mut metric, value| metric.encode_gauge(&value))
    }

    /// `unit`: what a value of the histogram is in that of the family.
    fn histogram<L: EncodeLabelSet, const FROM: u32, const BUCKETS: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: f64,
        values: impl IntoIterator<Item = (L, Histogram<FROM, BUCKETS>)>,
    ) -> fmt::Result {
        let family = self.begin(name, help, MetricType::Histogram)?;
        encode(family, values, |mut metric, histogram| {
            let buckets = histogram.buckets().map(|(bound, count)| (bound * unit, count));
            let buckets: Vec<_> = buckets.collect();
            let sum = histogram.sum() as f64 * unit;
            metric.encode_histogram::<NoLabelSet>(sum, histogram.count(), &buckets, None)
        })
    }
}

fn counter_seconds(mut metric: MetricEncoder<'_>, seconds: f64) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, _, f64>(&seconds, None)
}

/// Writes each value of a family, with its labels.
fn encode<L: EncodeLabelSet, T>(
    mut family: MetricEncoder<'_>,
    values: impl IntoIterator<Item = (L, T)>,
    one: impl Fn(MetricEncoder<'_>, T) -> fmt::Result,
) -> fmt::Result {
    for (labels, value) in values {
        one(family.encode_family(&labels)?, value)?;
    }
    Ok(())
}

/// The labels of what there is once.
struct NoLabels;

impl EncodeLabelSet for NoLabels {
    fn encode(&self, _: &mut prometheus_client::encoding::LabelSetEncoder<'_>) -> fmt::Result {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_table_tells_in_bytes_is_a_kind_of_memory() {
        let kinds = |gauges: &[_]| memory_kinds(gauges).collect::<Vec<_>>();
        let today = kinds(&[("records", 1), ("record_bytes", 100), ("buckets", 2)]);
        assert_eq!(today, [("records".to_owned(), 100), ("index".to_owned(), 128)]);
        let told = kinds(&[("garbage_bytes", 3), ("buckets", 2), ("index_bytes", 200)]);
        assert_eq!(told, [("garbage".to_owned(), 3), ("index".to_owned(), 200)]);
    }

    #[test]
    fn each_reason_to_refuse_is_a_counter_of_the_server() {
        for (counter, _) in REFUSALS {
            assert!(ServerCounters::HELP.iter().any(|(name, _)| *name == counter), "{counter}");
        }
    }
}
