//! The speed gate: how many instructions the hot functions take, against how many they took.
//!
//! `cargo bench -p testkit --bench instructions [-- --record]`. Instructions, unlike times,
//! are the same on a busy machine; what they don't show is waiting for memory, for which
//! there are the other benchmarks. Each workload runs in a process of its own under
//! callgrind, which counts while [`workloads`] says so; [`recorded`] is what is compared.

#![expect(clippy::print_stdout, reason = "a benchmark that cannot print may fail")]

mod callgrind;
mod recorded;
mod workloads;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser;
use recorded::{Recorded, Taken};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/instructions.json");
const RECORD: &str = "cargo bench -p testkit --bench instructions -- --record";

/// Counts the instructions of the hot functions with callgrind, and compares them with the
/// recorded ones: at most 3 % more or less, and at most 5 % above those of the anchor, an
/// earlier commit.
///
/// Counts are of one compiler, one valgrind and one machine: where one of them is not the
/// recorded one, it says so, prints the counts, and passes. Ends with 1 if a count has
/// changed, and 2 if nothing could be counted.
#[derive(Debug, Parser)]
#[command(name = "instructions", bin_name = "cargo bench -p testkit --bench instructions --")]
struct Flags {
    /// Write the counts down as the recorded ones. The commit says why they changed.
    #[arg(long)]
    record: bool,

    /// What callgrind runs.
    #[arg(long, hide = true, value_name = "NAME")]
    workload: Option<String>,

    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let flags: Flags = host::flags::parse("instructions");
    if let Some(name) = &flags.workload {
        workloads::run(name);
        return ExitCode::SUCCESS;
    }
    let passed = if flags.record { record() } else { compare() };
    match passed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => host::flags::fail("instructions", format_args!("{error:#}")),
    }
}

fn record() -> Result<bool> {
    let mut instructions = BTreeMap::new();
    for name in workloads::names() {
        let count = callgrind::count(name)?;
        println!("{name:<44} {count:>10}");
        instructions.insert(name.to_owned(), count);
    }
    let Recorded { anchor, .. } = Recorded::read(Path::new(RECORDED))?;
    Recorded { taken: taken()?, instructions, anchor }.write(Path::new(RECORDED))?;
    println!("recorded; say in the commit why they changed");
    Ok(true)
}

fn compare() -> Result<bool> {
    let recorded = Recorded::read(Path::new(RECORDED))
        .with_context(|| format!("nothing to compare with (record it: {RECORD})"))?;
    let anchor = format!("since {}", recorded.anchor.commit);
    println!(
        "{:<44} {:>10} {:>10} {:>8} {anchor:>15}",
        "instructions", "recorded", "now", "change"
    );
    let (mut changed, mut above_anchor) = (Vec::new(), Vec::new());
    for name in workloads::names() {
        let now = callgrind::count(name)?;
        let before = recorded.instructions.get(name);
        let [before, change] = match (before, recorded.change_pct(name, now)) {
            (Some(before), Some(change_pct)) => [before.to_string(), format!("{change_pct:+.2} %")],
            _ => ["-", "new"].map(str::to_owned),
        };
        let since = recorded.change_since_anchor_pct(name, now);
        let since = since.map_or_else(|| "-".to_owned(), |pct| format!("{pct:+.2} %"));
        println!("{name:<44} {before:>10} {now:>10} {change:>8} {since:>15}");
        if !recorded.is_near_anchor(name, now) {
            above_anchor.push(name);
        }
        if !recorded.is_kept(name, now) {
            changed.push(name);
        }
    }
    if let Some(difference) = recorded.taken.difference(&taken()?) {
        println!("not compared, because {difference}; to record these: {RECORD}");
        return Ok(true);
    }
    changed.extend(recorded.not_among(&workloads::names()));
    if !changed.is_empty() {
        println!(
            "changed by more than {} %, or new, or gone: {}\n\
             if that is meant, record it, and say in the commit why: {RECORD}",
            recorded::CHANGE_PCT_MAX,
            changed.join("; ")
        );
    }
    if !above_anchor.is_empty() {
        println!(
            "more than {} % above commit {}: {}; recording anew does not mend this",
            recorded::ABOVE_ANCHOR_PCT_MAX,
            recorded.anchor.commit,
            above_anchor.join("; ")
        );
    }
    Ok(changed.is_empty() && above_anchor.is_empty())
}

/// What counts depend on besides the code.
fn taken() -> Result<Taken> {
    Ok(Taken {
        compiler: version_of("rustc")?,
        valgrind: version_of("valgrind")?,
        machine: callgrind::machine()?,
    })
}

fn version_of(program: &str) -> Result<String> {
    let output = Command::new(program).arg("--version").output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
