//! Prints the report of a run and writes it into the run's folder.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

const PROGRAM: &str = "summarize";

/// Prints the report of a run, and writes summary.json, summary.md and plots into its folder.
///
/// Exit status: 0; 1 if the report cannot be written; 2 if there is no such run or a file of
/// it cannot be read.
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

fn main() -> ExitCode {
    let flags: Flags = host::flags::parse(PROGRAM);
    let report = match tools::summarize::summarize(&flags.path, flags.run.as_deref()) {
        Ok(report) => report,
        Err(error) => host::flags::fail(PROGRAM, format_args!("{error:#}")),
    };
    // Whoever cannot keep the files may still read the report.
    let printed = host::output::print(if flags.json { &report.json } else { &report.text });
    host::output::end(PROGRAM, printed.and(report.write()))
}
