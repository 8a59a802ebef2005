//! Runs generators, applications and servers in a simulated world in which much goes wrong.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use host::flags::count;
use host::output::{print, to_stderr};
use serde_json::json;
use simulator::{report, run_seed};

const PROGRAM: &str = "sim";

/// Most seeds of one call.
const SEEDS_MAX: u64 = 1 << 40;
/// Most threads.
const JOBS_MAX: u64 = 1024;

/// Runs generators, applications and servers in a simulated world in which much goes wrong.
///
/// Every seed draws its own mix of lost, repeated, late, changed and cut datagrams, cut links,
/// stopped processes, restarted servers and clocks that jump, and its own sizes; and checks
/// that no answer was wrong, nothing executed twice, all came to an end in time, and the
/// counters add up. The same seed does the same again.
///
/// Exit status: 0 if everything held, 1 if it did not, 2 if a flag is wrong or the outcome
/// cannot be written.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version)]
struct Flags {
    /// How many seeds to run
    #[arg(long, value_name = "N", default_value = "100", value_parser = count::<u64>(SEEDS_MAX), allow_negative_numbers = true)]
    seeds: u64,

    /// The first of them
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed_start: u64,

    /// Run this seed alone, and tell what it drew and what it came to
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "seed_start"])]
    seed: Option<u64>,

    /// Print every event of the seed
    #[arg(long, requires = "seed", conflicts_with_all = ["seeds", "seed_start"])]
    trace: bool,

    /// Threads, each with seeds of its own; the default is one for each core
    #[arg(long, value_name = "N", value_parser = count::<usize>(JOBS_MAX), allow_negative_numbers = true)]
    jobs: Option<usize>,

    /// Print the outcome as JSON
    #[arg(long, conflicts_with = "seed")]
    json: bool,
}

fn main() -> ExitCode {
    let flags: Flags = host::flags::parse(PROGRAM);
    let (text, failure) = match flags.seed {
        Some(seed) => {
            let outcome = run_seed(seed, flags.trace);
            if let Some(error) = &outcome.print_error {
                host::flags::fail(PROGRAM, format_args!("cannot write the trace: {error}"));
            }
            (report::seed(&outcome), report::failure(&outcome))
        }
        None => many(&flags),
    };
    let printed = print(&text);
    if let Some(failure) = &failure {
        to_stderr(failure.trim_end());
    }
    if let Err(error) = printed {
        host::flags::fail(PROGRAM, format_args!("{error:#}"));
    }
    if failure.is_none() {
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}

fn many(flags: &Flags) -> (String, Option<String>) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let began = Instant::now();
    let totals = report::run_seeds(flags.seed_start, flags.seeds, flags.jobs.unwrap_or(cores));
    let failure = totals.failed.as_ref().and_then(report::failure);
    if !flags.json {
        return (totals.line(began.elapsed()) + "\n", failure);
    }
    let json = json!({
        "seed_start": flags.seed_start,
        "seeds": totals.seeds,
        "failures": totals.failures,
        "failed_seed": totals.failed.as_ref().map(|failed| failed.seed),
        "operations": totals.operations,
        "indeterminate": totals.indeterminate,
        "retransmits": totals.retransmits,
        "restarts": totals.restarts,
        "secs": began.elapsed().as_secs_f64(),
    });
    (format!("{json:#}\n"), failure)
}
