//! The folder that takes what was measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use host::report::RunDescription;
use serde::Serialize;

use crate::run_description::describe;

/// Folders of one name that may begin in the same second.
const SAME_NAME_MAX: u32 = 100;

/// A folder, and what is run into it.
#[derive(Debug)]
pub struct ResultsFolder {
    /// Where it is.
    pub path: PathBuf,
    /// What is run, and on what machine.
    pub run: RunDescription,
}

impl ResultsFolder {
    /// Makes the folder `out`, or `bench-results/<UTC time>-<label>`.
    pub fn new(out: Option<&Path>, label: &str) -> Result<Self> {
        let arguments =
            [format!("tools/{label}")].into_iter().chain(std::env::args().skip(1)).collect();
        let mut run = describe(String::new(), 0, 0, None, commit(), arguments);
        let path = match out {
            Some(out) => {
                make_empty(out)?;
                out.to_owned()
            }
            None => make_new(Path::new("bench-results"), &run.started, label)?,
        };
        let path = path.canonicalize().unwrap_or(path);
        run.name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { path, run })
    }

    /// Writes a file.
    pub fn write(&self, name: &str, content: &str) -> Result<()> {
        let file = self.path.join(name);
        fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Writes a file as JSON, and returns what it holds.
    pub fn write_json(&self, name: &str, content: &impl Serialize) -> Result<String> {
        let json = serde_json::to_string_pretty(content)? + "\n";
        self.write(name, &json)?;
        Ok(json)
    }

    /// The folder for what servers print.
    pub fn logs(&self) -> Result<PathBuf> {
        let logs = self.path.join("logs");
        fs::create_dir_all(&logs)
            .with_context(|| format!("cannot make the folder {}", logs.display()))?;
        Ok(logs)
    }

    /// A sentence about the machine, for reports.
    #[must_use]
    pub fn machine_text(&self) -> String {
        let RunDescription { started, commit, machine, .. } = &self.run;
        let commit = match commit.as_str() {
            "" => "an unknown commit".to_owned(),
            commit => format!("commit `{commit}`"),
        };
        let gib = machine.mem_bytes as f64 / f64::from(1 << 30);
        format!(
            "Started {started} at {commit} on {} cores of {}, {gib:.1} GiB, Linux {}, sockets of at most {} bytes.",
            machine.cores, machine.cpu, machine.kernel, machine.rmem_max_bytes
        )
    }
}

/// What is in it would be mixed up with what we write.
fn make_empty(out: &Path) -> Result<()> {
    let shown = out.display();
    fs::create_dir_all(out).with_context(|| format!("cannot make the folder {shown}"))?;
    let mut entries = fs::read_dir(out).with_context(|| format!("cannot read {shown}"))?;
    if entries.next().is_some() {
        bail!("the folder {shown} is not empty: choose another --out");
    }
    Ok(())
}

/// Of two that start in one second, one gets a number.
fn make_new(results: &Path, started: &str, label: &str) -> Result<PathBuf> {
    let time: String = started.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let shown = results.display();
    fs::create_dir_all(results).with_context(|| format!("cannot make the folder {shown}"))?;
    for number in 1..=SAME_NAME_MAX {
        let suffix = if number > 1 { format!("-{number}") } else { String::new() };
        let path = results.join(format!("{time}-{label}{suffix}"));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).context(format!("no folder can be made in {shown}")),
        }
    }
    bail!("{shown} has too many folders of the name {time}-{label}: choose an --out")
}

/// The commit of the checkout that holds this program; empty if there is none.
fn commit() -> String {
    let Ok(program) = std::env::current_exe() else { return String::new() };
    let Some(folder) = program.parent() else { return String::new() };
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return String::new() };
    let top = git(&["rev-parse", "--show-toplevel"]).unwrap_or_default();
    match git(&["-C", &top, "status", "--porcelain"]) {
        Some(changes) if changes.is_empty() => commit,
        _ => commit + "-dirty",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_one_second_get_numbers() {
        let results = tempfile::tempdir().unwrap();
        let make = || make_new(results.path(), "2025-11-22T08:14:33Z", "compare").unwrap();
        let names = [make(), make()].map(|path| path.file_name().unwrap().to_owned());
        assert_eq!(names, ["20251122T081433Z-compare", "20251122T081433Z-compare-2"]);
    }

    #[test]
    fn a_folder_that_holds_something_is_refused() {
        let out = tempfile::tempdir().unwrap();
        fs::write(out.path().join("compare.json"), "{}").unwrap();
        let error = ResultsFolder::new(Some(out.path()), "compare").unwrap_err().to_string();
        assert!(error.contains("is not empty: choose another --out"), "{error}");
    }
}
