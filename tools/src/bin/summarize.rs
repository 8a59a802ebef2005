//! Prints the report of a run and writes it into the run's folder.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use clap::Parser;

const PROGRAM: &str = "summarize";

/// Prints the report of a run, and writes summary.json, summary.md and plots into its folder.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version)]
struct Flags {
    /// Folder that holds the runs' folders, or the folder of one run
    #[arg(default_value = "bench-results")]
    path: PathBuf,

    /// Run to summarize, by its folder's name; the newest if absent
    #[arg(long, value_name = "NAME")]
    run: Option<String>,

    /// Print summary.json instead of the report
    #[arg(long)]
    json: bool,
}

fn main() {
    let flags: Flags = host::flags::parse(PROGRAM);
    let printed =
        tools::summarize::summarize(&flags.path, flags.run.as_deref()).and_then(|report| {
            host::output::print(if flags.json { &report.json } else { &report.text })
        });
    if let Err(error) = printed {
        host::flags::fail(PROGRAM, format_args!("{error:#}"));
    }
}
