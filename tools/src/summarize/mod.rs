//! From a run's folder to its report.
//!
//! `find` chooses the folder; `folder` reads it, with `jsonl`, `hdr` and `plausible`;
//! `window` and `median` are how figures are taken; `build` takes them; `text` prints them
//! and the plots draw them.

mod build;
mod find;
mod folder;
mod hdr;
mod jsonl;
mod names;
mod plausible;
mod plot_latency;
mod plot_throughput;
mod text;
mod window;

use std::fs;
use std::path::Path;

use anyhow::Context;

/// What can be printed of a run.
#[derive(Debug)]
pub struct Report {
    /// `summary.json`.
    pub json: String,
    /// The report for a terminal.
    pub text: String,
}

/// Reads a run, writes `summary.json`, `summary.md` and the plots into its folder.
///
/// `path` is the folder of one run, or holds such folders: then `run` names one of them, and
/// without it the newest is taken.
pub fn summarize(path: &Path, run: Option<&str>) -> anyhow::Result<Report> {
    let folder = folder::read(&find::find(path, run)?)?;
    let window = window::measured(folder.clients.iter().map(|client| &client.report))?;
    let built = build::build(&folder, &window)?;

    let json = serde_json::to_string_pretty(&built.summary)? + "\n";
    let report = text::ReportText::new(&folder, &built);
    write(&folder.path.join("summary.json"), &json)?;
    write(&folder.path.join("summary.md"), &report.markdown())?;
    let plot = plot_throughput::draw(&folder.servers, &window)?;
    write(&folder.path.join("throughput.svg"), &plot)?;
    if let Some(histogram) = &built.histogram {
        let plot = plot_latency::draw(histogram)?;
        write(&folder.path.join("latency.svg"), &plot)?;
    }
    Ok(Report { json, text: report.terminal() })
}

fn write(path: &Path, content: &str) -> anyhow::Result<()> {
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
