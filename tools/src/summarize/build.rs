//! The figures of a run.

use anyhow::bail;
use hdrhistogram::Histogram;
use host::report::{
    ClientReport, ClientSample, ClientSummary, Latency, NodeSummary, ServerSample, ServerSummary,
    Summary, Usage,
};

use super::folder::{ClientFiles, RunFolder, ServerFiles};
use super::hdr;
use super::window::{IntervalRate, MeasuredWindow};
use crate::median::median;

/// The figures, and the histogram that the latencies are from.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) summary: Summary,
    /// Absent if no generator logged one.
    pub(super) histogram: Option<Histogram<u64>>,
}

/// Takes the figures of the measured window.
pub(super) fn build(folder: &RunFolder, window: &MeasuredWindow) -> anyhow::Result<Built> {
    let Some(first) = folder.clients.first().map(|client| &client.report) else {
        bail!("no clients");
    };
    let mut notes = folder.notes.clone();
    note_differences(&folder.clients, &mut notes);
    if folder.clients.iter().any(|client| client.report.interrupted) {
        notes.push("the run was interrupted: this is what there was of it".to_owned());
    }

    let mut usages = Vec::new();
    let mut servers = Vec::new();
    for server in &folder.servers {
        let samples = select(window, &server.name, &server.samples, &mut notes);
        if samples.is_empty() {
            bail!("{} has no sample in the measured window", server.name);
        }
        usages.extend(samples.iter().map(|sample| &sample.usage));
        servers.push(summarize_server(server, &samples));
    }
    let mut clients = Vec::new();
    for client in &folder.clients {
        let samples = select(window, &client.name, &client.samples, &mut notes);
        usages.extend(samples.iter().map(|sample| &sample.usage));
        clients.push(summarize_client(client, &samples));
    }

    let histogram = merge(&folder.clients)?;
    let latency = match (&histogram, folder.clients.as_slice()) {
        (Some(histogram), _) => Latency::of(histogram),
        // Percentiles of several clients cannot be had from theirs, those of one are its own.
        (None, [only]) => only.report.latency.clone(),
        (None, _) => Latency::default(),
    };
    note_count(&folder.clients, &latency, &mut notes);
    let total_ops_per_s = servers.iter().map(|server| server.median_ops_per_s).sum();
    note_excess(total_ops_per_s, &clients, &mut notes);
    let streams = folder.clients.iter().map(|client| client.report.streams);
    let summary = Summary {
        name: folder.name.clone(),
        total_ops_per_s,
        order: first.order.clone(),
        workload: first.workload.clone(),
        theta: first.theta,
        records: first.records,
        value_size: first.value_size,
        streams: streams.fold(0, u64::saturating_add),
        secs: window.secs(),
        latency,
        servers,
        clients,
        node: summarize_node(&usages),
        verdict: folder.verdict.clone(),
        notes,
    };
    Ok(Built { summary, histogram })
}

/// Servers count what they execute. Where the generators got fewer answers, GETs were asked
/// again, and the figure to quote is the generators'.
fn note_excess(total_ops_per_s: f64, clients: &[ClientSummary], notes: &mut Vec<String>) {
    const TOLERANCE: f64 = 0.02;
    let answered_per_s: f64 = clients.iter().map(|client| client.ops_per_s).sum();
    if total_ops_per_s > answered_per_s * (1.0 + TOLERANCE) {
        notes.push(format!(
            "the clients got {answered_per_s:.0} op/s answered, less than the servers executed: \
             GETs were asked again, or the load was not steady"
        ));
    }
}

fn select<'a, T: IntervalRate>(
    window: &MeasuredWindow,
    name: &str,
    samples: &'a [T],
    notes: &mut Vec<String>,
) -> Vec<&'a T> {
    let selection = window.select(samples);
    if selection.overlap_only {
        notes.push(format!(
            "{name} has no sample wholly inside the measured window: its medians are of those that overlap it"
        ));
    }
    selection.samples
}

fn summarize_server(server: &ServerFiles, samples: &[&ServerSample]) -> ServerSummary {
    let of = |value: fn(&ServerSample) -> f64| median(samples.iter().map(|sample| value(sample)));
    ServerSummary {
        name: server.name.clone(),
        median_ops_per_s: of(|sample| sample.ops_per_s),
        cpu_pct: of(|sample| sample.usage.cpu_pct),
        mem_bytes: of(|sample| sample.usage.mem_bytes as f64) as u64,
        mem_pct: of(|sample| sample.usage.mem_pct),
        net_pct: of(|sample| sample.net_pct),
        counters: server.samples.last().map(|sample| sample.counters.clone()).unwrap_or_default(),
    }
}

fn summarize_client(client: &ClientFiles, samples: &[&ClientSample]) -> ClientSummary {
    let of = |value: fn(&ClientSample) -> f64| median(samples.iter().map(|sample| value(sample)));
    let report = &client.report;
    ClientSummary {
        name: client.name.clone(),
        ops_per_s: report.ops_per_s,
        retransmits: report.retransmits,
        indeterminate: report.indeterminate,
        p50_us: report.latency.p50_us,
        p99_us: report.latency.p99_us,
        p999_us: report.latency.p999_us,
        cpu_pct: of(|sample| sample.usage.cpu_pct),
        mem_pct: of(|sample| sample.usage.mem_pct),
        net_pct: of(|sample| sample.net_pct),
    }
}

fn summarize_node(usages: &[&Usage]) -> NodeSummary {
    let of = |value: fn(&Usage) -> f64| median(usages.iter().map(|usage| value(usage)));
    NodeSummary {
        cpu_pct: of(|usage| usage.node_cpu_pct),
        mem_pct: of(|usage| usage.node_mem_pct),
        net_bytes_per_s: of(|usage| usage.node_rx_bytes_per_s + usage.node_tx_bytes_per_s),
    }
}

fn merge(clients: &[ClientFiles]) -> anyhow::Result<Option<Histogram<u64>>> {
    let mut merged = hdr::empty();
    for histogram in clients.iter().filter_map(|client| client.histogram.as_ref()) {
        merged.add(histogram)?;
    }
    Ok((!merged.is_empty()).then_some(merged))
}

/// The summary has one workload, that of the first client.
fn note_differences(clients: &[ClientFiles], notes: &mut Vec<String>) {
    let workload = |report: &ClientReport| {
        (
            report.order.clone(),
            report.workload.clone(),
            report.theta.to_bits(),
            report.records,
            report.value_size,
        )
    };
    let mut workloads = clients.iter().map(|client| workload(&client.report));
    let first = workloads.next();
    if workloads.any(|other| Some(other) != first) {
        notes.push(format!(
            "the clients ran different workloads: order, workload, theta, records and value size are those of {}",
            clients[0].name
        ));
    }
}

/// A percentile over other operations than those counted would mislead.
fn note_count(clients: &[ClientFiles], latency: &Latency, notes: &mut Vec<String>) {
    const DIFFERENCE_MAX: f64 = 0.01;
    let ops = clients.iter().map(|client| client.report.ops).fold(0, u64::saturating_add);
    if latency.count.abs_diff(ops) as f64 > ops as f64 * DIFFERENCE_MAX {
        notes.push(format!(
            "the latency over all clients is of {} operations, they report {ops}",
            latency.count
        ));
    }
}
