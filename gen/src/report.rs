//! What a run came to, for people and for files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{
    IntervalLogWriter, IntervalLogWriterBuilder, IntervalLogWriterError, Tag,
};
use host::report::{ClientReport, Counters, GET_TAG, Latency, NearCacheReport, PUT_TAG};
use host::time::unix_time_ms;
use proto::counters::ClientCounters;
use udp::counters::TransportCounters;

use crate::coordination::ThreadReport;
use crate::flags::{Flags, STDOUT};
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
        /// GETs that near caches answered, from the start to the end.
        cache_hits,
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
    let sums = Sums::of(threads);
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
        rate_reached: (plan.rate.filter(|_| plan.measure_ns > 0))
            .map(|rate| is_reached(rate, run.ops() + run.cache_hits, secs)),
        backlog: sums.generator.backlog,
        loaded: loaded - sums.load_refused,
        run_start_ms: run_ms.0,
        run_end_ms: run_ms.1,
        interrupted,
        ops: run.ops(),
        gets: run.gets.len(),
        puts: run.puts.len(),
        not_found: run.not_found,
        ops_per_s: if secs > 0.0 { run.ops() as f64 / secs } else { 0.0 },
        retransmits: sums.client.retransmits,
        indeterminate: sums.client.indeterminate,
        unanswered_gets: sums.client.unanswered_gets,
        refused: run.refused,
        latency: Latency::of(&run.all()),
        get_latency: Latency::of(&run.gets),
        put_latency: Latency::of(&run.puts),
        counters: sums.named(),
        near_cache: plan.cache.map(|config| NearCacheReport {
            entries: config.entries as u64,
            max_age_us: config.max_age.as_secs_f64() * 1e6,
            hits: run.cache_hits,
            hits_per_s: if secs > 0.0 { run.cache_hits as f64 / secs } else { 0.0 },
        }),
        lost_sessions: sums.lost_sessions,
        servers: sums.servers,
    }
}

/// What the threads counted, added up.
#[derive(Default)]
struct Sums {
    client: ClientCounters,
    generator: GeneratorCounters,
    transport: TransportCounters,
    load_refused: u64,
    servers: BTreeMap<String, Counters>,
    lost_sessions: BTreeMap<String, u64>,
}

impl Sums {
    fn of(threads: &[ThreadReport]) -> Self {
        let mut sums = Self::default();
        for thread in threads {
            let ThreadReport { kernel_drops, backlog, puts_answered, cache_hits, .. } = *thread;
            sums.client.add(&thread.client);
            sums.generator.add(&GeneratorCounters {
                kernel_drops,
                backlog,
                puts_answered,
                cache_hits,
            });
            sums.transport.add(&thread.transport);
            sums.load_refused += thread.load_refused;
            for (address, of_server) in &thread.servers {
                sums.servers.insert(address.to_string(), of_server.clone());
            }
            for (address, sessions) in &thread.lost_sessions {
                *sums.lost_sessions.entry(address.to_string()).or_default() += sessions;
            }
        }
        sums
    }

    fn named(&self) -> Counters {
        (self.transport.named().chain(self.client.named()).chain(self.generator.named()))
            .map(|(name, count)| (name.to_owned(), count))
            .collect()
    }
}

/// Operations that were due and need not be answered, as a share of all.
const SHORTFALL_MAX: f64 = 0.01;
/// A stall at the end cannot be caught up: what becomes due in this time need not be answered
/// either. In five seconds and more it is less than the share above.
const STALL_SECS_MAX: f64 = 0.05;
/// But never more than this share, however short the run.
const STALL_MAX: f64 = 0.05;

/// Whether as many operations were answered as were due.
fn is_reached(rate: f64, ops: u64, secs: f64) -> bool {
    let due = rate * secs;
    // The last one may be under way.
    let missing_max =
        (due * SHORTFALL_MAX).max((rate * STALL_SECS_MAX).min(due * STALL_MAX)).max(1.0);
    due < 1.0 || (ops > 0 && ops as f64 >= due - missing_max)
}

/// The report for people; `throughput` is the last line.
#[must_use]
pub fn text(flags: &Flags, report: &ClientReport, load_secs: f64) -> String {
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
        text += &loop_text(report);
        let ClientReport { ops, gets, puts, not_found, refused, .. } = report;
        text +=
            &format!("ops {ops} gets {gets} puts {puts} not-found {not_found} refused {refused}\n");
        text += &cache_text(report);
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
    for (worker, sessions) in &report.lost_sessions {
        text += &format!("lost {worker}: {sessions} sessions\n");
    }
    if report.not_found > 0 && !flags.load {
        text += "hint: some GETs found nothing; write the records first with --load\n";
    }
    let throughput = if flags.secs > 0.0 {
        report.ops_per_s
    } else {
        report.loaded as f64 / load_secs.max(1e-9)
    };
    text + &format!("throughput {throughput:.0} ops/s\n")
}

/// What near caches answered, beside everything else.
fn cache_text(report: &ClientReport) -> String {
    let Some(cache) = &report.near_cache else { return String::new() };
    let NearCacheReport { entries, max_age_us, hits, hits_per_s } = cache;
    let gets = report.gets + hits;
    let hit_pct = *hits as f64 * 100.0 / gets.max(1) as f64;
    format!(
        "near cache entries {entries} max-age {max_age_us} us: hits {hits} ({hit_pct:.1} % of \
         {gets} gets), {hits_per_s:.0} hits/s, in no other figure\n"
    )
}

fn loop_text(report: &ClientReport) -> String {
    let ClientReport { rate_ops_per_s, rate_reached, ops_per_s, backlog, .. } = report;
    let Some(rate) = rate_ops_per_s else { return "closed loop\n".to_owned() };
    let reached = if *rate_reached == Some(true) { "reached" } else { "not reached" };
    let hits = report
        .near_cache
        .as_ref()
        .map_or_else(String::new, |cache| format!(" and {:.1} by near caches", cache.hits_per_s));
    format!(
        "open loop: asked for {rate} ops/s, {ops_per_s:.1} were answered{hits}, backlog \
         {backlog}: {reached}\n"
    )
}

/// The counters that are shown when they are not zero, but for those that always are.
fn trouble() -> impl Iterator<Item = &'static str> {
    [ClientCounters::TROUBLE, TransportCounters::TROUBLE, GeneratorCounters::TROUBLE]
        .into_iter()
        .flatten()
        .copied()
        .filter(|name| !["retransmits", "indeterminate", "unanswered_gets"].contains(name))
}

/// Writes the report as JSON; to stdout if the file is named [`STDOUT`].
pub fn write_json(path: &Path, report: &ClientReport) -> Result<()> {
    let json = serde_json::to_string_pretty(report)? + "\n";
    if path == Path::new(STDOUT) {
        return host::output::print(&json);
    }
    std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes the measured intervals as an HdrHistogram V2 log, values in nanoseconds.
pub fn write_hdr(path: &Path, intervals: &[Interval]) -> Result<()> {
    let first_ns = intervals.first().map_or(0, |interval| interval.start_ns);
    let start_ms = unix_time_ms().saturating_sub((udp::clock::now_ns() - first_ns) / 1_000_000);
    let start: SystemTime = UNIX_EPOCH + Duration::from_millis(start_ms);
    let cannot = || format!("cannot write {}", path.display());
    let mut file = BufWriter::new(File::create(path).with_context(cannot)?);
    let mut serializer = V2DeflateSerializer::new();
    let mut log: IntervalLogWriter<'_, '_, _, _> = IntervalLogWriterBuilder::new()
        .add_comment("latencies in nanoseconds: of all operations, and with a tag of GETs and PUTs")
        .with_start_time(start)
        .with_base_time(start)
        .with_max_value_divisor(1e6)
        .begin_log_with(&mut file, &mut serializer)
        .with_context(cannot)?;
    for interval in intervals {
        let since = Duration::from_nanos(interval.start_ns - first_ns);
        let length = Duration::from_nanos(interval.end_ns - interval.start_ns);
        for (histogram, tag) in [
            (&interval.all(), None),
            (&interval.gets, Tag::new(GET_TAG)),
            (&interval.puts, Tag::new(PUT_TAG)),
        ] {
            match log.write_histogram(histogram, since, length, tag) {
                Ok(()) => {}
                Err(IntervalLogWriterError::IoError(error)) => {
                    return Err(error).with_context(cannot);
                }
                Err(error) => bail!("{}: {error:?}", cannot()),
            }
        }
    }
    file.flush().with_context(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_reached_if_a_hundredth_at_most_is_missing() {
        assert!(is_reached(1000.0, 10_000, 10.0));
        assert!(is_reached(1000.0, 9_900, 10.0));
        assert!(!is_reached(1000.0, 9_899, 10.0));
        assert!(is_reached(1000.0, 12_000, 10.0), "what was late before the window is caught up");
    }

    #[test]
    fn a_short_run_may_be_behind_by_a_stall_at_its_end() {
        assert!(is_reached(1000.0, 1_950, 2.0));
        assert!(!is_reached(1000.0, 1_949, 2.0));
        assert!(is_reached(1000.0, 95, 0.1), "of a short run a twentieth at most");
        assert!(!is_reached(1000.0, 94, 0.1));
    }

    #[test]
    fn of_few_operations_the_last_may_be_under_way() {
        assert!(is_reached(1.0, 2, 3.0));
        assert!(!is_reached(1.0, 1, 3.0));
        assert!(!is_reached(1.0, 0, 1.0), "none is too few");
        assert!(is_reached(0.001, 0, 10.0), "but where none was due");
    }
}
