//! This program itself, run by valgrind.

use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail};

use super::workloads::MACHINE;

/// Instructions of a workload's counted part.
pub(crate) fn count(workload: &str) -> Result<u64> {
    let output = run(workload)?;
    let told = String::from_utf8_lossy(&output.stderr);
    let collected = told.lines().find_map(|line| line.split_once("Collected :"));
    let count = collected.and_then(|(_, count)| count.trim().parse().ok());
    match count {
        Some(count) if count > 0 => Ok(count),
        _ => bail!("callgrind counted nothing for '{workload}': {}", told.trim()),
    }
}

/// What the processor that valgrind pretends to be can do.
pub(crate) fn machine() -> Result<String> {
    let output = run(MACHINE)?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn run(workload: &str) -> Result<Output> {
    let program = std::env::current_exe().context("cannot find this program itself")?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        // Nothing but what this function calls, whatever its name is made into.
        .arg("--toggle-collect=*counted_part*")
        .arg(program)
        .args(["--workload", workload])
        .output()
        .context("cannot run valgrind (apt-get install valgrind)")?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        bail!("'{workload}' ended with {}: {}", output.status, told.trim());
    }
    Ok(output)
}
