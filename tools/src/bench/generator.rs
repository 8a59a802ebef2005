//! Runs `gen`, and reads what it measured.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use host::report::ClientReport;
use host::sample::process_use;
use host::time::unix_time_ms;
use tempfile::TempDir;

use super::figures::Round;
use super::processes::{ChildProcess, StopSignal};

/// Exit statuses of `gen` with which there is a report: every operation was answered, the
/// outcome of some is not known, the rate was not reached. The round tells which it was.
const MEASURED: [i32; 3] = [0, 3, 4];

/// Runs one `gen` at a time.
#[derive(Debug)]
pub struct GeneratorProgram {
    program: PathBuf,
    scratch: TempDir,
    stop: StopSignal,
}

impl GeneratorProgram {
    /// The generator of this program.
    pub fn new(program: PathBuf, stop: StopSignal) -> Result<Self> {
        let scratch = tempfile::tempdir().context("cannot make a folder for temporary files")?;
        Ok(Self { program, scratch, stop })
    }

    /// Runs it with these flags against servers with these processes.
    pub fn run(&self, arguments: &[String], server_pids: &[u32]) -> Result<Round> {
        let report = self.scratch.path().join("report.json");
        // What an earlier run left must not be taken for this one's.
        if report.exists() {
            fs::remove_file(&report)?;
        }
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--json").arg(&report);
        command.args(["--die-with-parent", &std::process::id().to_string()]);
        let log = self.scratch.path().join("log");
        let mut process = ChildProcess::start("gen", command, &log, None)?;
        let mut spent = Spent::default();
        let status = self.stop.wait_for(|| {
            spent.look(server_pids);
            process.ended()
        })?;
        if !status.code().is_some_and(|code| MEASURED.contains(&code)) {
            // Told to end by the signal that tells us.
            self.stop.check()?;
            bail!("{}", process.last_line());
        }
        spent.look(server_pids);
        let json = fs::read(&report).context("gen left no report")?;
        let report: ClientReport =
            serde_json::from_slice(&json).context("gen left a report that cannot be read")?;
        let cpu_s = spent.between(report.run_start_ms, report.run_end_ms);
        Ok(Round::new(&report, cpu_s))
    }
}

/// CPU seconds of servers, as they grew.
#[derive(Debug, Default)]
struct Spent {
    /// Milliseconds since the epoch, and CPU seconds by then.
    seen: Vec<(u64, f64)>,
}

impl Spent {
    fn look(&mut self, pids: &[u32]) {
        // A server that is gone is told by the operations that fail.
        let cpu_s = pids.iter().filter_map(|&pid| process_use(pid).ok()).map(|used| used.cpu_s);
        self.seen.push((unix_time_ms(), cpu_s.sum()));
    }

    /// CPU seconds between two times: `gen` warms up before it measures.
    fn between(&self, start_ms: u64, end_ms: u64) -> f64 {
        self.at(end_ms) - self.at(start_ms)
    }

    fn at(&self, time_ms: u64) -> f64 {
        let next = self.seen.partition_point(|&(seen_ms, _)| seen_ms < time_ms);
        let (Some(&before), Some(&after)) =
            (self.seen.get(next.saturating_sub(1)), self.seen.get(next).or(self.seen.last()))
        else {
            return 0.0;
        };
        let length_ms = after.0.saturating_sub(before.0);
        if length_ms == 0 {
            return after.1;
        }
        let share = time_ms.saturating_sub(before.0) as f64 / length_ms as f64;
        before.1 + (after.1 - before.1) * share.min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_counted_in_the_measured_window_only() {
        let spent = Spent { seen: vec![(1000, 5.0), (2000, 6.0), (3000, 6.5), (4000, 9.0)] };
        assert_eq!(spent.between(2000, 3000), 0.5);
        assert_eq!(spent.between(1500, 2500), 0.75);
        assert_eq!(spent.between(0, 9000), 4.0);
        assert_eq!(Spent::default().between(0, 1), 0.0);
    }
}
