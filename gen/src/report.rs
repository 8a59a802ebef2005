//! What a run came to, for people and for files.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriter, IntervalLogWriterBuilder};
use host::report::{ClientReport, Counters, Latency};
use host::time::unix_time_ms;
use proto::counters::ClientCounters;
use udp::counters::TransportCounters;

use crate::coordination::ThreadReport;
use crate::flags::Flags;
use crate::plan::Plan;
use crate::recorder::Interval;

proto::counters! {
    /// What a generator counts beside its sessions and its transport.
    GeneratorCounters {
        /// Datagrams that the kernel dropped at its sockets.
        kernel_drops: trouble,
        /// Operations that were due at the end of an open loop, and not sent.
        backlog: trouble,
        /// PUTs that were answered, from the start to the end, refused ones not among them.
        puts_answered,
    }
}

/// The report of a run. `run` is all that was measured; `loaded` is of
/// the load phase, `run_ms` tells when the run was.
#[must_use]
pub fn client_report(
    plan: &Plan,
    run: &Interval,
    loaded: u64,
    run_ms: (u64, u64),
    threads: &[ThreadReport],
    interrupted: bool,
) -> ClientReport {
    let mut client = ClientCounters::default();
    let mut generator = GeneratorCounters::default();
    let mut counters = Counters::new();
    let mut servers = std::collections::BTreeMap::new();
    for thread in threads {
        client.add(&thread.client);
        for (name, count) in thread.transport.named() {
            *counters.entry(name.to_owned()).or_default() += count;
        }
        let ThreadReport { kernel_drops, backlog, puts_answered, .. } = *thread;
        generator.add(&GeneratorCounters { kernel_drops, backlog, puts_answered });
        for (address, of_server) in &thread.servers {
            servers.insert(address.to_string(), of_server.clone());
        }
    }
    counters.extend(
        client.named().chain(generator.named()).map(|(name, count)| (name.to_owned(), count)),
    );
    let secs = (run.end_ns - run.start_ns) as f64 / 1e9;
    ClientReport {
        order: plan.order.to_string(),
        workload: plan.workload.mix().to_string(),
        theta: plan.workload.zipf().theta(),
        records: plan.workload.records(),
        key_size: plan.keys.key_size() as u64,
        value_size: plan.values.value_size() as u64,
        streams: plan.streams as u64,
        threads: plan.threads as u64,
        batch: u64::from(plan.batch),
        seed: plan.seed,
        rate_ops_per_s: plan.rate,
        loaded: loaded - threads.iter().map(|thread| thread.load_refused).sum::<u64>(),
        run_start_ms: run_ms.0,
        run_end_ms: run_ms.1,
        interrupted,
        ops: run.ops(),
        gets: run.gets.len(),
        puts: run.puts.len(),
        not_found: run.not_found,
        ops_per_s: if secs > 0.0 { run.ops() as f64 / secs } else { 0.0 },
        retransmits: client.retransmits,
        indeterminate: client.indeterminate,
        unanswered_gets: client.unanswered_gets,
        refused: run.refused,
        latency: Latency::of(&run.all()),
        get_latency: Latency::of(&run.gets),
        put_latency: Latency::of(&run.puts),
        counters,
        servers,
    }
}

/// Prints the report for people; `throughput` is the last line.
pub fn print(flags: &Flags, report: &ClientReport, load_secs: f64) {
    let mut text = String::new();
    if report.loaded > 0 {
        let (records, rate) = (report.loaded, report.loaded as f64 / load_secs.max(1e-9));
        text += &format!("loaded {records} records in {load_secs:.2} s ({rate:.0} puts/s)\n");
    }
    if flags.secs > 0.0 {
        let ClientReport { workload, theta, order, streams, batch, seed, .. } = report;
        text += &format!(
            "{workload} theta {theta} {order} streams {streams} batch {batch} seed {seed}\n"
        );
        let ClientReport { ops, gets, puts, not_found, refused, .. } = report;
        text +=
            &format!("ops {ops} gets {gets} puts {puts} not-found {not_found} refused {refused}\n");
        for (name, latency) in
            [("all", &report.latency), ("get", &report.get_latency), ("put", &report.put_latency)]
        {
            let Latency { p50_us, p90_us, p99_us, p999_us, max_us, .. } = latency;
            text += &format!(
                "latency {name} us: p50 {p50_us:.1} p90 {p90_us:.1} p99 {p99_us:.1} p99.9 \
                 {p999_us:.1} max {max_us:.1}\n"
            );
        }
    }
    let ClientReport { retransmits, indeterminate, unanswered_gets, .. } = report;
    text += &format!(
        "retransmits {retransmits} indeterminate {indeterminate} unanswered-gets {unanswered_gets}\n"
    );
    let trouble: String = trouble()
        .filter_map(|name| Some((name, *report.counters.get(name)?)))
        .filter(|&(_, count)| count > 0)
        .map(|(name, count)| format!(" {name} {count}"))
        .collect();
    if !trouble.is_empty() {
        text += &format!("trouble:{trouble}\n");
    }
    if report.not_found > 0 && !flags.load {
        text += "hint: some GETs found nothing; write the records first with --load\n";
    }
    let throughput = if flags.secs > 0.0 {
        report.ops_per_s
    } else {
        report.loaded as f64 / load_secs.max(1e-9)
    };
    text += &format!("throughput {throughput:.0} ops/s\n");
    // A closed pipe must not turn a good run into a failure.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// The counters that are shown when they are not zero, but for those that always are.
fn trouble() -> impl Iterator<Item = &'static str> {
    [ClientCounters::TROUBLE, TransportCounters::TROUBLE, GeneratorCounters::TROUBLE]
        .into_iter()
        .flatten()
        .copied()
        .filter(|name| !["retransmits", "indeterminate", "unanswered_gets"].contains(name))
}

/// Writes the report as JSON.
pub fn write_json(path: &Path, report: &ClientReport) -> Result<()> {
    let file = create(path)?;
    serde_json::to_writer_pretty(file, report)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Writes the measured intervals as an HdrHistogram V2 log, values in nanoseconds.
pub fn write_hdr(path: &Path, intervals: &[Interval]) -> Result<()> {
    let first_ns = intervals.first().map_or(0, |interval| interval.start_ns);
    let start_ms = unix_time_ms().saturating_sub((udp::clock::now_ns() - first_ns) / 1_000_000);
    let start: SystemTime = UNIX_EPOCH + Duration::from_millis(start_ms);
    let mut file = create(path)?;
    let mut serializer = V2DeflateSerializer::new();
    let mut log: IntervalLogWriter<'_, '_, _, _> = IntervalLogWriterBuilder::new()
        .add_comment("latencies of all operations, in nanoseconds")
        .with_start_time(start)
        .with_base_time(start)
        .with_max_value_divisor(1e6)
        .begin_log_with(&mut file, &mut serializer)
        .context("cannot begin the histogram log")?;
    for interval in intervals {
        let since = Duration::from_nanos(interval.start_ns - first_ns);
        let length = Duration::from_nanos(interval.end_ns - interval.start_ns);
        log.write_histogram(&interval.all(), since, length, None)
            .map_err(|error| anyhow::anyhow!("cannot write {}: {error:?}", path.display()))?;
    }
    file.flush().with_context(|| format!("cannot write {}", path.display()))
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(BufWriter::new(file))
}
