//! From a run's folder to its report.
//!
//! `find` chooses the folder; `folder` reads it, with `jsonl`, `hdr` and `plausible`;
//! `window` and `median` are how figures are taken; `build` takes them, and `difference` accounts for what is executed and not answered; `text` puts them into
//! words and the plots draw them.

mod build;
mod difference;
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
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The report of a run, and the files that keep it.
#[derive(Debug)]
pub struct Report {
    /// `summary.json`.
    pub json: String,
    /// The report for a terminal.
    pub text: String,
    files: Vec<(PathBuf, String)>,
}

impl Report {
    /// Writes `summary.json`, `summary.md` and the plots into the run's folder.
    pub fn write(&self) -> anyhow::Result<()> {
        for (path, content) in &self.files {
            fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// Reads a run.
///
/// `path` is the folder of one run, or holds such folders: then `run` names one of them, and
/// without it the newest is taken.
pub fn summarize(path: &Path, run: Option<&str>) -> anyhow::Result<Report> {
    let folder = folder::read(&find::find(path, run)?)?;
    let window = window::measured(folder.clients.iter().map(|client| &client.report))?;
    let built = build::build(&folder, &window)?;

    let json = serde_json::to_string_pretty(&built.summary)? + "\n";
    let report = text::ReportText::new(&folder, &built);
    let mut contents = vec![
        ("summary.json", json.clone()),
        ("summary.md", report.markdown()),
        ("throughput.svg", plot_throughput::draw(&folder.servers, &window)?),
    ];
    if let Some(histograms) = &built.histograms {
        contents.push(("latency.svg", plot_latency::draw(&histograms.all)?));
    }
    let files = contents.into_iter().map(|(name, content)| (folder.path.join(name), content));
    Ok(Report { json, text: report.terminal(), files: files.collect() })
}
