//! Prints `run.json` for a run that starts now.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

const PROGRAM: &str = "runinfo";

/// Prints run.json for a run that starts now: what is run, and on what machine.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version)]
struct Flags {
    /// Name of the run's folder
    #[arg(long)]
    name: String,

    /// Servers started
    #[arg(long)]
    servers: u64,

    /// Generators started
    #[arg(long)]
    clients: u64,

    /// Seed of the first generator; the next has one more, and so on
    #[arg(long)]
    seed: Option<u64>,

    /// Commit of the checkout; empty if unknown
    #[arg(long)]
    commit: String,

    /// Command line of the run
    #[arg(last = true)]
    arguments: Vec<String>,
}

fn main() -> ExitCode {
    let flags: Flags = host::flags::parse(PROGRAM);
    let run = tools::run_description::describe(
        flags.name,
        flags.servers,
        flags.clients,
        flags.seed,
        flags.commit,
        flags.arguments,
    );
    let printed = serde_json::to_string_pretty(&run)
        .map_err(anyhow::Error::from)
        .and_then(|json| host::output::print(&format!("{json}\n")));
    host::output::end(PROGRAM, printed)
}
