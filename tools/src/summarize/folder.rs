//! All of a run's folder, read.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use host::report::{ClientReport, ClientSample, RunDescription, ServerSample};

use super::hdr::{self, Histograms};
use super::{jsonl, names};

/// What a run left behind.
#[derive(Debug)]
pub(super) struct RunFolder {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) run: Option<RunDescription>,
    pub(super) servers: Vec<ServerFiles>,
    pub(super) clients: Vec<ClientFiles>,
    /// What the check of the run's history came to.
    pub(super) verdict: Option<String>,
    /// What a reader of the figures should know about the files.
    pub(super) notes: Vec<String>,
}

/// What a server left behind.
#[derive(Debug)]
pub(super) struct ServerFiles {
    pub(super) name: String,
    pub(super) samples: Vec<ServerSample>,
}

/// What a generator left behind.
#[derive(Debug)]
pub(super) struct ClientFiles {
    pub(super) name: String,
    pub(super) report: ClientReport,
    pub(super) samples: Vec<ClientSample>,
    /// Latencies in the measured window, if the generator logged them.
    pub(super) histograms: Option<Histograms>,
}

/// Reads the folder of a run.
pub(super) fn read(path: &Path) -> anyhow::Result<RunFolder> {
    // The folder's own name, where `path` is a link such as `latest`.
    let path = path.canonicalize().with_context(|| format!("cannot read {}", path.display()))?;
    let mut notes = Vec::new();
    let run = read_run(&path, &mut notes)?;
    let servers = read_servers(&path, &mut notes)?;
    let clients = read_clients(&path, &mut notes)?;
    if let Some(run) = &run {
        expect_all(&path, "server samples", servers.len(), run.servers)?;
        expect_all(&path, "client reports", clients.len(), run.clients)?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let verdict = read_verdict(&path)?;
    Ok(RunFolder { path, name, run, servers, clients, verdict, notes })
}

/// The lines of `verdict.txt`, if the run was checked.
fn read_verdict(path: &Path) -> anyhow::Result<Option<String>> {
    let file = path.join("verdict.txt");
    if !file.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&file);
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Some(text.trim_end().to_owned()))
}

fn read_run(path: &Path, notes: &mut Vec<String>) -> anyhow::Result<Option<RunDescription>> {
    let file = path.join("run.json");
    if file.exists() {
        return jsonl::read_one(&file).map(Some);
    }
    notes.push("run.json is missing: what ran, and on what, is not known".to_owned());
    Ok(None)
}

fn read_servers(path: &Path, notes: &mut Vec<String>) -> anyhow::Result<Vec<ServerFiles>> {
    let mut servers = Vec::new();
    for name in names::stems(path, "server-", "jsonl")? {
        let mut samples: Vec<ServerSample> =
            jsonl::read_lines(&path.join(format!("{name}.jsonl")), notes)?;
        samples.sort_by_key(|sample| sample.time_ms);
        servers.push(ServerFiles { name, samples });
    }
    if servers.is_empty() {
        bail!("{} has no server-*.jsonl", path.display());
    }
    Ok(servers)
}

fn read_clients(path: &Path, notes: &mut Vec<String>) -> anyhow::Result<Vec<ClientFiles>> {
    let mut names = Vec::new();
    for extension in ["json", "jsonl", "hdr"] {
        names.extend(names::stems(path, "client-", extension)?);
    }
    names.sort_by(|a, b| names::by_number(a).cmp(&names::by_number(b)));
    names.dedup();
    if names.is_empty() {
        bail!("{} has no client-*.json", path.display());
    }
    names.into_iter().map(|name| read_client(path, name, notes)).collect()
}

fn read_client(path: &Path, name: String, notes: &mut Vec<String>) -> anyhow::Result<ClientFiles> {
    let file = |extension: &str| path.join(format!("{name}.{extension}"));
    let report_file = file("json");
    if !report_file.exists() {
        bail!("{} is missing: the generator did not end as it should", report_file.display());
    }
    let report: ClientReport = jsonl::read_checked(&report_file)?;

    let samples_file = file("jsonl");
    let samples = if samples_file.exists() {
        jsonl::read_lines(&samples_file, notes)?
    } else {
        notes.push(format!("{name}.jsonl is missing: what {name} used is not known"));
        Vec::new()
    };

    let log_file = file("hdr");
    let histograms = if log_file.exists() {
        let measured_ms = report.run_start_ms as f64..=report.run_end_ms as f64;
        Some(hdr::read(&log_file, measured_ms, notes)?)
    } else {
        notes.push(format!("{name}.hdr is missing: its operations are in no histogram"));
        None
    };
    Ok(ClientFiles { name, report, samples, histograms })
}

/// Fewer files than processes would make figures that are too small.
fn expect_all(path: &Path, what: &str, found: usize, expected: u64) -> anyhow::Result<()> {
    if (found as u64) < expected {
        bail!("{} has {found} {what}, but run.json tells of {expected}", path.display());
    }
    Ok(())
}
