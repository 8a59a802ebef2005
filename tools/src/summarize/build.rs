//! The figures of a run.

use anyhow::bail;
use hdrhistogram::Histogram;
use host::report::{
    ClientReport, ClientSample, ClientSummary, Latency, NodeSummary, ServerSample, ServerSummary,
    Summary, Usage,
};

use super::difference::{self, Difference};
use super::folder::{ClientFiles, RunFolder, ServerFiles};
use super::hdr::Histograms;
use super::window::{IntervalRate, MeasuredWindow};
use crate::median::median;

/// The figures, and the histograms that the latencies are from.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) summary: Summary,
    /// Absent if no generator logged one.
    pub(super) histograms: Option<Histograms>,
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

    let Medians { usages, rates, servers, clients } = take_medians(folder, window, &mut notes)?;
    let histograms = merge(&folder.clients)?;
    let latency_of = |merged: fn(&Histograms) -> &Histogram<u64>, report| {
        latency_of(histograms.as_ref().map(merged), &folder.clients, report)
    };
    let latency = latency_of(|merged| &merged.all, |report| &report.latency);
    note_count(&folder.clients, &latency, &mut notes);
    notes.extend(rates.note());
    let is_open = clients.iter().all(|client| client.rate_ops_per_s.is_some());
    let asked = clients.iter().filter_map(|client| client.rate_ops_per_s).sum();
    note_rates(&clients, &mut notes);
    note_near_caches(&folder.clients, &mut notes);
    let streams = folder.clients.iter().map(|client| client.report.streams);
    let summary = Summary {
        name: folder.name.clone(),
        total_ops_per_s: rates.total,
        answered_ops_per_s: rates.answered,
        rate_ops_per_s: is_open.then_some(asked),
        rate_reached: is_open
            .then(|| clients.iter().all(|client| client.rate_reached == Some(true))),
        backlog: clients.iter().map(|client| client.backlog).fold(0, u64::saturating_add),
        order: first.order.clone(),
        workload: first.workload.clone(),
        theta: first.theta,
        records: first.records,
        value_size: first.value_size,
        streams: streams.fold(0, u64::saturating_add),
        secs: window.secs(),
        latency,
        get_latency: latency_of(|merged| &merged.gets, |report| &report.get_latency),
        put_latency: latency_of(|merged| &merged.puts, |report| &report.put_latency),
        servers,
        clients,
        node: summarize_node(&usages),
        verdict: folder.verdict.clone(),
        notes,
    };
    Ok(Built { summary, histograms })
}

/// What is taken from the samples of the measured window.
struct Medians<'a> {
    usages: Vec<&'a Usage>,
    rates: Difference,
    servers: Vec<ServerSummary>,
    clients: Vec<ClientSummary>,
}

fn take_medians<'a>(
    folder: &'a RunFolder,
    window: &MeasuredWindow,
    notes: &mut Vec<String>,
) -> anyhow::Result<Medians<'a>> {
    let mut usages = Vec::new();
    let mut rates = Difference::default();
    let mut servers = Vec::new();
    for server in &folder.servers {
        let samples = select(window, &server.name, &server.samples, notes);
        if samples.is_empty() {
            bail!("{} has no sample in the measured window", server.name);
        }
        usages.extend(samples.iter().map(|sample| &sample.usage));
        rates.mean += difference::mean(&samples);
        servers.push(summarize_server(server, &samples));
    }
    let mut clients = Vec::new();
    for client in &folder.clients {
        let samples = select(window, &client.name, &client.samples, notes);
        usages.extend(samples.iter().map(|sample| &sample.usage));
        rates.asked_again += difference::asked_again(&samples);
        clients.push(summarize_client(client, &samples));
    }
    rates.total = servers.iter().map(|server| server.median_ops_per_s).sum();
    rates.answered = clients.iter().map(|client| client.ops_per_s).sum();
    Ok(Medians { usages, rates, servers, clients })
}

/// Percentiles of several clients cannot be had from theirs, those of one are its own.
fn latency_of(
    merged: Option<&Histogram<u64>>,
    clients: &[ClientFiles],
    report: fn(&ClientReport) -> &Latency,
) -> Latency {
    match (merged, clients) {
        (Some(merged), _) if !merged.is_empty() => Latency::of(merged),
        (_, [only]) => report(&only.report).clone(),
        _ => Latency::default(),
    }
}

/// A rate that was not reached must not look like success.
fn note_rates(clients: &[ClientSummary], notes: &mut Vec<String>) {
    for client in clients.iter().filter(|client| client.rate_reached == Some(false)) {
        notes.push(format!(
            "{} did not reach the rate that it was asked for: {:.0} of {:.0} op/s, {} operations \
             were due and never sent",
            client.name,
            client.ops_per_s,
            client.rate_ops_per_s.unwrap_or_default(),
            client.backlog
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
        get_latency: report.get_latency.clone(),
        put_latency: report.put_latency.clone(),
        seed: report.seed,
        rate_ops_per_s: report.rate_ops_per_s,
        rate_reached: report.rate_reached,
        backlog: report.backlog,
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

fn merge(clients: &[ClientFiles]) -> anyhow::Result<Option<Histograms>> {
    let mut merged = Histograms::empty();
    for histograms in clients.iter().filter_map(|client| client.histograms.as_ref()) {
        merged.add(histograms)?;
    }
    Ok((!merged.all.is_empty()).then_some(merged))
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

/// What crossed no wire is in no figure.
fn note_near_caches(clients: &[ClientFiles], notes: &mut Vec<String>) {
    for ClientFiles { name, report, .. } in clients {
        if let Some(cache) = &report.near_cache {
            notes.push(format!(
                "{name} answered {:.0} GETs a second from near caches, up to {:.3} ms old: they \
                 are in no figure",
                cache.hits_per_s,
                cache.max_age_us / 1e3
            ));
        }
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
