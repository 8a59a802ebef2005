//! Files of one JSON value a line, or of one in all.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;

use super::plausible::Plausible;

/// Reads a value a line.
///
/// A last line that was cut short is left out with a note: a process that is killed while it
/// writes leaves such a line behind. Any other line that cannot be read is an error.
pub(super) fn read_lines<T: DeserializeOwned + Plausible>(
    path: &Path,
    notes: &mut Vec<String>,
) -> anyhow::Result<Vec<T>> {
    let content = read_bytes(path)?;
    let mut values = Vec::new();
    for (index, line) in content.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let place = format!("{}:{}", path.display(), index + 1);
        match serde_json::from_slice::<T>(line) {
            Ok(value) => values.push(checked(value, &place)?),
            Err(error) if error.is_eof() && !line.ends_with(b"\n") => {
                notes.push(format!("{}:{} is cut short and left out", shown(path), index + 1));
            }
            Err(error) => bail!("{place}: {}", reason(&error)),
        }
    }
    Ok(values)
}

/// Reads the one value of a file.
pub(super) fn read_one<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let content = read_bytes(path)?;
    serde_json::from_slice(&content)
        .map_err(|error| anyhow::anyhow!("{}:{}: {}", path.display(), error.line(), reason(&error)))
}

/// Reads the one value of a file and checks its numbers.
pub(super) fn read_checked<T: DeserializeOwned + Plausible>(path: &Path) -> anyhow::Result<T> {
    checked(read_one(path)?, &path.display().to_string())
}

fn checked<T: Plausible>(value: T, place: &str) -> anyhow::Result<T> {
    match value.implausible() {
        Some(field) => bail!("{place}: {field} is out of bounds"),
        None => Ok(value),
    }
}

fn read_bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Notes go into the run's own report, where the name of the file is enough.
fn shown(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// serde_json's message without its own line number, which here counts from the wrong start.
fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rsplit_once(" at line ") {
        Some((reason, _)) => reason.to_owned(),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::report::ServerSample;

    fn line(time_ms: u64) -> String {
        let sample = ServerSample { time_ms, interval_ms: 1000.0, ..ServerSample::default() };
        serde_json::to_string(&sample).unwrap()
    }

    fn read(content: impl AsRef<[u8]>) -> (anyhow::Result<Vec<u64>>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server-1.jsonl");
        fs::write(&path, content).unwrap();
        let mut notes = Vec::new();
        let samples = read_lines::<ServerSample>(&path, &mut notes);
        let times = samples.map(|samples| samples.iter().map(|sample| sample.time_ms).collect());
        (times, notes)
    }

    #[test]
    fn a_sample_a_line_is_read() {
        let (times, notes) = read(format!("{}\n{}\n", line(1), line(2)));
        assert_eq!(times.unwrap(), [1, 2]);
        assert!(notes.is_empty());
        // The last line may lack its end.
        assert_eq!(read(format!("{}\n{}", line(1), line(2))).0.unwrap(), [1, 2]);
    }

    #[test]
    fn a_cut_last_line_is_tolerated_and_noted() {
        let cut = line(2);
        let (times, notes) = read(format!("{}\n{}", line(1), &cut[..cut.len() / 2]));
        assert_eq!(times.unwrap(), [1]);
        assert_eq!(notes, ["server-1.jsonl:2 is cut short and left out"]);
    }

    #[test]
    fn a_line_that_is_wrong_is_an_error_with_its_place() {
        let cut = &line(2)[..20];
        for wrong in [cut, "nonsense", "{}", "[1]", "\u{0}"] {
            let (times, _) = read(format!("{}\n{wrong}\n{}\n", line(1), line(3)));
            let error = times.unwrap_err().to_string();
            assert!(error.contains("server-1.jsonl:2: "), "{error}");
            assert!(!error.contains(" at line "), "{error}");
        }
    }

    #[test]
    fn a_last_line_that_is_wrong_but_not_cut_is_an_error() {
        assert!(read(format!("{}\nnonsense", line(1))).0.is_err());
        assert!(read(format!("{}\n{{}}", line(1))).0.is_err());
    }

    #[test]
    fn numbers_out_of_bounds_are_an_error_with_their_place() {
        let (times, _) = read(line(1).replace("\"ops_per_s\":0.0", "\"ops_per_s\":-3"));
        let error = times.unwrap_err().to_string();
        assert!(error.ends_with("server-1.jsonl:1: ops_per_s is out of bounds"), "{error}");
        for wrong in ["1e999", "null", "\"3\""] {
            let field = format!("\"ops_per_s\":{wrong}");
            assert!(read(line(1).replace("\"ops_per_s\":0.0", &field)).0.is_err(), "{wrong}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error() {
        assert!(read([0xff, 0xfe, b'\n']).0.is_err());
    }
}
