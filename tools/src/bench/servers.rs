//! Servers that are measured, from their start to the last round.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use host::sample::process_use;

use super::processes::{ChildProcess, StopSignal};

/// Time for a server to answer.
pub(super) const READY: Duration = Duration::from_secs(60);

/// A server that answers.
#[derive(Debug)]
pub struct RunningServer {
    process: ChildProcess,
    /// HOST:PORT.
    pub address: String,
    /// What it says that it is.
    pub version: String,
    /// Resident memory before the records came.
    pub empty_bytes: u64,
}

impl RunningServer {
    /// A server whose process answers.
    pub(super) fn new(process: ChildProcess, address: String, version: String) -> Result<Self> {
        let empty_bytes = process_use(process.pid())?.mem_bytes;
        Ok(Self { process, address, version, empty_bytes })
    }

    /// The number of its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its resident memory now.
    pub fn mem_bytes(&self) -> Result<u64> {
        Ok(process_use(self.pid())?.mem_bytes)
    }

    /// An error if it has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.process.ended()? {
            None => Ok(()),
            Some(status) => bail!("the server ended ({status}): {}", self.process.last_line()),
        }
    }
}

/// What a `kv` is started for.
#[derive(Clone, Debug)]
pub struct Kv {
    /// The program.
    pub program: PathBuf,
    /// `--table`; the default if there is none.
    pub table: Option<String>,
    /// Records to make room for.
    pub records: u64,
    /// Bytes of each value.
    pub value_size: u64,
    /// `--window`; the default if there is none.
    pub window: Option<usize>,
    /// The core of its worker; none leaves it to the kernel.
    pub core: Option<usize>,
}

impl Kv {
    /// Starts it with one worker, and waits until it answers.
    pub fn start(&self, name: &str, log: &Path, stop: &StopSignal) -> Result<RunningServer> {
        let mut command = Command::new(&self.program);
        command.args(["--port", "0", "--records", &self.records.to_string()]);
        command.args(["--memory", &(2 * self.memory_bytes()).to_string()]);
        let pin = self.core.map_or_else(|| "none".to_owned(), |core| core.to_string());
        command.args(["--pin", &pin, "--die-with-parent", &std::process::id().to_string()]);
        if let Some(table) = &self.table {
            command.args(["--table", table]);
        }
        if let Some(window) = self.window {
            command.args(["--window", &window.to_string()]);
        }
        let mut process = ChildProcess::start(name, command, log, None)?;
        let log = log.to_owned();
        let address = process.wait_for(stop, READY, || ready_address(&log))?;
        let version = version(&self.program, "--version").unwrap_or_default();
        RunningServer::new(process, address, version).with_context(|| format!("{name} is gone"))
    }

    /// About what its records take: the bound that docs/PERFORMANCE.md has.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        2 * self.records * (self.value_size + 8) + (64 << 20)
    }
}

fn ready_address(log: &Path) -> Option<String> {
    let printed = std::fs::read_to_string(log).ok()?;
    // A line that is not complete yet would cut the port.
    let line = printed.split_inclusive('\n').find(|line| line.starts_with("kv ready "))?;
    line.strip_suffix('\n')?.split(' ').nth(2).map(str::to_owned)
}

/// The first line that a program tells of itself.
pub(super) fn version(program: &Path, flag: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.lines().next()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_once_its_line_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        std::fs::write(&log, "kv: warning: x\nkv ready 127.0.0.1:74").unwrap();
        assert_eq!(ready_address(&log), None);
        std::fs::write(&log, "kv: warning: x\nkv ready 127.0.0.1:7400 cores=1\n").unwrap();
        assert_eq!(ready_address(&log), Some("127.0.0.1:7400".to_owned()));
    }
}
