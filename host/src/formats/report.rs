//! The files of a run's folder, as the programs write them and `tools` read them.
//!
//! `docs/RESULTS.md` describes them for other readers. Every rate is per second, every
//! time of day is milliseconds since the Unix epoch, and 100 percent of CPU of a process
//! is one core, of a node all of its cores.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Named counters since the start of a process; the names are those of its totals.
pub type Counters = BTreeMap<String, u64>;

/// What a process and its machine used over one sampling interval.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU of the process; 100 is one core.
    pub cpu_pct: f64,
    /// Resident memory of the process.
    pub mem_bytes: u64,
    /// Resident memory of the process against the memory of the machine.
    pub mem_pct: f64,
    /// CPU of the whole machine; 100 is all of its cores.
    pub node_cpu_pct: f64,
    /// Memory of the whole machine that is not available.
    pub node_mem_pct: f64,
    /// Bytes that all interfaces of the machine received, loopback included.
    pub node_rx_bytes_per_s: f64,
    /// Bytes that all interfaces of the machine sent, loopback included.
    pub node_tx_bytes_per_s: f64,
}

/// One line of `server-N.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerSample {
    /// End of the interval.
    pub time_ms: u64,
    /// Length of the interval.
    pub interval_ms: f64,
    /// GETs executed.
    pub gets_per_s: f64,
    /// PUTs executed.
    pub puts_per_s: f64,
    /// Operations executed.
    pub ops_per_s: f64,
    /// UDP payload received by this server's sockets.
    pub rx_bytes_per_s: f64,
    /// UDP payload sent by this server's sockets.
    pub tx_bytes_per_s: f64,
    /// The larger of the two directions against the link (see `machine::link_bits_per_s`).
    pub net_pct: f64,
    /// CPU and memory.
    #[serde(flatten)]
    pub usage: Usage,
    /// Counters since the start.
    pub counters: Counters,
}

/// What a generator was doing when it took a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Running, not counted.
    Warmup,
    /// Running, counted.
    #[default]
    Run,
}

/// One line of `client-N.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientSample {
    /// End of the interval.
    pub time_ms: u64,
    /// Length of the interval.
    pub interval_ms: f64,
    /// What the generator was doing.
    pub phase: Phase,
    /// Operations answered.
    pub ops_per_s: f64,
    /// Median latency of the interval.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// Request datagrams sent again, since the start.
    pub retransmits: u64,
    /// Mutations whose outcome is not known, since the start.
    pub indeterminate: u64,
    /// GETs asked again in another datagram, since the start.
    #[serde(default)]
    pub gets_asked_again: u64,
    /// GETs that near caches answered, which are not among the operations.
    #[serde(default)]
    pub cache_hits_per_s: f64,
    /// UDP payload received.
    pub rx_bytes_per_s: f64,
    /// UDP payload sent.
    pub tx_bytes_per_s: f64,
    /// The larger of the two directions against the link.
    pub net_pct: f64,
    /// CPU and memory.
    #[serde(flatten)]
    pub usage: Usage,
}

/// Tag of a line of `client-N.hdr` whose histogram is of GETs alone.
pub const GET_TAG: &str = "get";
/// Tag of a line whose histogram is of PUTs alone.
pub const PUT_TAG: &str = "put";

/// Percentiles of a latency distribution, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Operations measured.
    pub count: u64,
    /// Arithmetic mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 90th percentile.
    pub p90_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// Largest.
    pub max_us: f64,
}

impl Latency {
    /// The percentiles of a histogram of nanoseconds.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            count: histogram.len(),
            mean_us: histogram.mean() / 1e3,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: histogram.max() as f64 / 1e3,
        }
    }
}

/// What the near caches of a generator answered; no other figure has these GETs in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NearCacheReport {
    /// Records that each thread keeps at most.
    pub entries: u64,
    /// Largest age of an answer.
    pub max_age_us: f64,
    /// GETs answered in the measured window.
    pub hits: u64,
    /// `hits` over the measured window.
    pub hits_per_s: f64,
}

/// What `gen --json FILE` writes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientReport {
    /// `strict`, `shard` or `async`; `pipelined` of another store's connections.
    pub order: String,
    /// `ycsb-a`, `ycsb-b` or `ycsb-c`.
    pub workload: String,
    /// Skew of the Zipf distribution; 0 is uniform.
    pub theta: f64,
    /// Records of the workload.
    pub records: u64,
    /// Bytes of a key.
    pub key_size: u64,
    /// Bytes of a value.
    pub value_size: u64,
    /// Sequential workloads run side by side.
    pub streams: u64,
    /// Threads (and sockets) of the generator.
    pub threads: u64,
    /// GETs of one stream that may be outstanding together.
    pub batch: u64,
    /// Seed of the operations: `--seed` with it draws the same.
    pub seed: u64,
    /// The rate that was asked for in open loop; absent in closed loop.
    pub rate_ops_per_s: Option<f64>,
    /// Whether it was reached; absent in closed loop.
    #[serde(default)]
    pub rate_reached: Option<bool>,
    /// Operations that were due and never sent, in open loop.
    #[serde(default)]
    pub backlog: u64,
    /// Records written before the run.
    pub loaded: u64,
    /// Start of the measured window.
    pub run_start_ms: u64,
    /// End of the measured window.
    pub run_end_ms: u64,
    /// Whether it was told to end before its time; the figures are of what there was.
    #[serde(default)]
    pub interrupted: bool,
    /// Operations answered in the measured window.
    pub ops: u64,
    /// GETs among them.
    pub gets: u64,
    /// PUTs among them.
    pub puts: u64,
    /// GETs that found no record.
    pub not_found: u64,
    /// `ops` over the measured window.
    pub ops_per_s: f64,
    /// Request datagrams sent again.
    pub retransmits: u64,
    /// Mutations whose outcome is not known.
    pub indeterminate: u64,
    /// GETs given up unanswered.
    pub unanswered_gets: u64,
    /// Operations that a server refused (memory at its cap).
    pub refused: u64,
    /// Latency of all operations.
    pub latency: Latency,
    /// Latency of GETs.
    pub get_latency: Latency,
    /// Latency of PUTs.
    pub put_latency: Latency,
    /// Counters of the generator over its whole life.
    pub counters: Counters,
    /// What its near caches answered; absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near_cache: Option<NearCacheReport>,
    /// Sessions that were lost, by the worker's address: it did not answer, or forgot them.
    #[serde(default)]
    pub lost_sessions: BTreeMap<String, u64>,
    /// Counters of each server at the end, by address; a server that did not answer is absent.
    pub servers: BTreeMap<String, Counters>,
}

/// `run.json`: what was run, and on what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunDescription {
    /// Folder name.
    pub name: String,
    /// Start, ISO 8601 UTC.
    pub started: String,
    /// Command line.
    pub arguments: Vec<String>,
    /// Commit of the checkout, with `-dirty` if it was changed; empty if unknown.
    pub commit: String,
    /// Servers started.
    pub servers: u64,
    /// Generators started.
    pub clients: u64,
    /// Seed of the first generator; the next has one more, and so on. Absent if unknown.
    #[serde(default)]
    pub seed: Option<u64>,
    /// The machine.
    pub machine: MachineFacts,
}

/// Facts of the machine that a figure depends on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MachineFacts {
    /// Model name of the processor.
    pub cpu: String,
    /// Cores that the process may use.
    pub cores: u64,
    /// Kernel release.
    pub kernel: String,
    /// Memory.
    pub mem_bytes: u64,
    /// MTU of each interface, by name.
    pub mtu: BTreeMap<String, u64>,
    /// `net.core.rmem_max`: the cap of a socket's receive buffer.
    pub rmem_max_bytes: u64,
    /// `net.core.wmem_max`: the cap of a socket's send buffer.
    pub wmem_max_bytes: u64,
    /// Speed that utilization is measured against.
    pub link_bits_per_s: f64,
    /// Where that speed comes from: an interface's name, or `assumed`.
    pub link: String,
}

/// One server in `summary.json`: medians over the measured window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerSummary {
    /// `server-1`, `server-2`, …
    pub name: String,
    /// Operations.
    pub median_ops_per_s: f64,
    /// CPU; 100 is one core.
    pub cpu_pct: f64,
    /// Memory of the process.
    pub mem_bytes: u64,
    /// Memory of the process against that of the machine.
    pub mem_pct: f64,
    /// Network of the process against the link.
    pub net_pct: f64,
    /// Counters at the end.
    pub counters: Counters,
}

/// One generator in `summary.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientSummary {
    /// `client-1`, `client-2`, …
    pub name: String,
    /// Operations of the measured window over its length.
    pub ops_per_s: f64,
    /// Request datagrams sent again.
    pub retransmits: u64,
    /// Mutations whose outcome is not known.
    pub indeterminate: u64,
    /// Median latency.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// Latency of GETs.
    #[serde(default)]
    pub get_latency: Latency,
    /// Latency of PUTs.
    #[serde(default)]
    pub put_latency: Latency,
    /// Seed of its operations.
    #[serde(default)]
    pub seed: u64,
    /// The rate that was asked for in open loop; absent in closed loop.
    #[serde(default)]
    pub rate_ops_per_s: Option<f64>,
    /// Whether it was reached; absent in closed loop.
    #[serde(default)]
    pub rate_reached: Option<bool>,
    /// Operations that were due and never sent.
    #[serde(default)]
    pub backlog: u64,
    /// CPU, median; 100 is one core.
    pub cpu_pct: f64,
    /// Memory against that of the machine, median.
    pub mem_pct: f64,
    /// Network against the link, median.
    pub net_pct: f64,
}

/// A machine in `summary.json`: medians over the measured window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeSummary {
    /// CPU; 100 is all cores.
    pub cpu_pct: f64,
    /// Memory not available.
    pub mem_pct: f64,
    /// Bytes received and sent by all interfaces.
    pub net_bytes_per_s: f64,
}

/// `summary.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Folder name.
    pub name: String,
    /// Sum of the servers' medians: what was executed.
    pub total_ops_per_s: f64,
    /// What the generators were answered in a second of their measured time, summed up.
    #[serde(default)]
    pub answered_ops_per_s: f64,
    /// The rate that all generators together were asked for; absent if one ran a closed loop.
    #[serde(default)]
    pub rate_ops_per_s: Option<f64>,
    /// Whether every generator reached its own; absent if one ran a closed loop.
    #[serde(default)]
    pub rate_reached: Option<bool>,
    /// Operations that were due and never sent, of all generators.
    #[serde(default)]
    pub backlog: u64,
    /// `strict`, `shard` or `async`.
    pub order: String,
    /// `ycsb-a`, `ycsb-b` or `ycsb-c`.
    pub workload: String,
    /// Skew of the Zipf distribution.
    pub theta: f64,
    /// Records.
    pub records: u64,
    /// Bytes of a value.
    pub value_size: u64,
    /// Streams of all generators.
    pub streams: u64,
    /// Length of the measured window.
    pub secs: f64,
    /// Latency over all generators, merged from their histograms.
    pub latency: Latency,
    /// Of GETs alone.
    #[serde(default)]
    pub get_latency: Latency,
    /// Of PUTs alone.
    #[serde(default)]
    pub put_latency: Latency,
    /// Servers.
    pub servers: Vec<ServerSummary>,
    /// Generators.
    pub clients: Vec<ClientSummary>,
    /// The machine.
    pub node: NodeSummary,
    /// What the check of the run's history came to; none if there was no check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// What a reader of these figures should know: files that were cut, samples that were short.
    pub notes: Vec<String>,
}
