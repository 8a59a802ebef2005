//! Finds the histories that a check is asked for.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::csv;
use crate::file::HistoryFile;
use crate::input_error::InputError;
use crate::names::DisplayNames;

/// The files of a check.
#[derive(Debug)]
pub struct Inputs {
    /// History files; those made of CSV are temporary.
    pub files: Vec<HistoryFile>,
    /// What keys, clients and values are called.
    pub names: DisplayNames,
    /// GETs that CSV says were not answered, and that are in no file.
    pub unanswered_gets: u64,
}

/// How a history file is called.
const HISTORY: &str = "history";

impl Inputs {
    /// Finds the histories of `paths`: history files, CSV files, folders of history files, or
    /// folders of runs, whose histories are in `history/`. `csv_is_cached`: a near cache may
    /// have answered each GET of a CSV, which cannot say so.
    pub fn find(paths: &[PathBuf], csv_is_cached: bool) -> Result<Self, InputError> {
        let mut files = Vec::new();
        let mut tables = Vec::new();
        for path in paths {
            if path.is_dir() {
                files.extend(files_of(path)?);
            } else if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv")) {
                tables.push(path);
            } else {
                files.push(path.clone());
            }
        }
        if !tables.is_empty() && !files.is_empty() {
            let message = "CSV and history files cannot be checked together: their keys differ";
            return Err(InputError::new(tables[0], message));
        }
        if tables.is_empty() {
            let files =
                files.iter().map(|path| HistoryFile::open(path)).collect::<Result<_, _>>()?;
            return Ok(Self { files, names: DisplayNames::Workload, unanswered_gets: 0 });
        }
        refuse_same_files(&tables)?;
        let mut sorter = csv::Sorter::new(csv_is_cached);
        for table in &tables {
            sorter.read(table)?;
        }
        let csv::Sorted { files, keys, clients, unanswered_gets } = sorter.finish()?;
        let tables = tables.into_iter().cloned().collect();
        Ok(Self { files, names: DisplayNames::Csv { keys, clients, tables }, unanswered_gets })
    }
}

/// Two names of one file would tell all of its operations twice.
fn refuse_same_files(paths: &[&PathBuf]) -> Result<(), InputError> {
    let mut known = HashMap::new();
    for &path in paths {
        let facts = fs::metadata(path).map_err(|error| InputError::new(path, error))?;
        if let Some(first) = known.insert((facts.dev(), facts.ino()), path) {
            let message = format!("it is {}, given twice: leave one out", first.display());
            return Err(InputError::new(path, message));
        }
    }
    Ok(())
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>, InputError> {
    let of_run = folder.join(HISTORY);
    let folder = if of_run.is_dir() { of_run } else { folder.to_owned() };
    let entries = fs::read_dir(&folder).map_err(|error| InputError::new(&folder, error))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| InputError::new(&folder, error))?.path();
        if path.extension().is_some_and(|ending| ending == HISTORY) {
            files.push(path);
        }
    }
    if files.is_empty() {
        let message = "no *.history file is here: `gen --history DIR` and `cluster.sh --verify` \
                       write them";
        return Err(InputError::new(&folder, message));
    }
    files.sort();
    Ok(files)
}
