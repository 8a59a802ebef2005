//! Which folder is meant.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The folder of the run that `path` and `run` mean.
pub(super) fn find(path: &Path, run: Option<&str>) -> anyhow::Result<PathBuf> {
    let shown = path.display();
    if !path.exists() {
        bail!("no such folder: {shown}");
    }
    if !path.is_dir() {
        bail!("{shown} is not a folder");
    }
    if is_run(path) {
        if let Some(run) = run {
            bail!("{shown} is the folder of a run itself, --run {run} cannot be in it");
        }
        return Ok(path.to_owned());
    }

    let runs = newest_first(path).with_context(|| format!("cannot read {shown}"))?;
    match run.filter(|run| *run != "latest") {
        Some(run) if runs.iter().any(|name| name == run) => Ok(path.join(run)),
        Some(run) if runs.is_empty() => bail!("no run {run} in {shown}: it holds no runs"),
        Some(run) => bail!("no run {run} in {shown}, which has {}", some_of(&runs)),
        None => {
            let latest = path.join("latest");
            if is_run(&latest) {
                return Ok(latest);
            }
            // The link may point to what was since deleted, or was not copied along.
            match runs.first() {
                Some(newest) => Ok(path.join(newest)),
                None => bail!("{shown} holds no runs"),
            }
        }
    }
}

fn is_run(folder: &Path) -> bool {
    let Ok(mut entries) = fs::read_dir(folder) else {
        return false;
    };
    entries.any(|entry| {
        entry.is_ok_and(|entry| {
            entry.file_name().to_str().is_some_and(|name| {
                name == "run.json" || (name.starts_with("server-") && name.ends_with(".jsonl"))
            })
        })
    })
}

/// Folder names begin with the time of the run, so the last by name is the newest.
fn newest_first(path: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && name != "latest"
            && is_run(&entry.path())
        {
            names.push(name);
        }
    }
    names.sort_by(|a, b| b.cmp(a));
    Ok(names)
}

fn some_of(runs: &[String]) -> String {
    const SHOWN_MAX: usize = 10;
    let shown = runs.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join(", ");
    match runs.len().saturating_sub(SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(runs: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for run in runs {
            fs::create_dir(folder.path().join(run)).unwrap();
            fs::write(folder.path().join(run).join("run.json"), "{}").unwrap();
        }
        folder
    }

    #[test]
    fn without_a_link_the_last_by_name_is_the_newest() {
        let folder = results(&["2025-01-02-a", "2025-01-10-b", "2024-12-31-c"]);
        // Neither a stray folder nor a file is a run.
        fs::create_dir(folder.path().join("published")).unwrap();
        fs::write(folder.path().join("README.md"), "").unwrap();
        let found = find(folder.path(), None).unwrap();
        assert_eq!(found, folder.path().join("2025-01-10-b"));
    }

    #[test]
    fn the_link_decides_what_is_the_latest() {
        let folder = results(&["1", "2"]);
        let latest = folder.path().join("latest");
        std::os::unix::fs::symlink("1", &latest).unwrap();
        assert_eq!(find(folder.path(), None).unwrap(), latest);
        assert_eq!(find(folder.path(), Some("latest")).unwrap(), latest);
    }

    #[test]
    fn a_link_to_nothing_is_passed_over() {
        let folder = results(&["1", "2"]);
        std::os::unix::fs::symlink("gone", folder.path().join("latest")).unwrap();
        assert_eq!(find(folder.path(), None).unwrap(), folder.path().join("2"));
    }

    #[test]
    fn a_run_that_is_not_there_is_told_with_ten_that_are() {
        let names: Vec<String> = (10..22).map(|n| format!("run-{n}")).collect();
        let folder = results(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let error = find(folder.path(), Some("nosuch")).unwrap_err().to_string();
        assert!(error.starts_with("no run nosuch in "), "{error}");
        assert!(error.contains("run-21, run-20, "), "{error}");
        assert!(error.ends_with("run-12 and 2 more"), "{error}");
        // A path out of the folder is no name of a run.
        assert!(find(folder.path(), Some("../x")).is_err());
    }

    #[test]
    fn a_folder_of_a_run_is_itself_meant() {
        let folder = results(&["1"]);
        let run = folder.path().join("1");
        assert_eq!(find(&run, None).unwrap(), run);
        assert!(find(&run, Some("1")).is_err());
    }

    #[test]
    fn what_holds_no_runs_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let told = |path: &Path, run| find(path, run).unwrap_err().to_string();
        assert!(told(folder.path(), None).ends_with("holds no runs"));
        assert!(told(folder.path(), Some("a")).ends_with("it holds no runs"));
        assert!(told(&folder.path().join("x"), None).starts_with("no such folder"));
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(told(&folder.path().join("file"), None).ends_with("is not a folder"));
    }
}
