//! The file that samples are appended to, line by line. Its disk may be full for a while:
//! samples are missing then, and whoever takes them goes on.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

/// A file of samples, a JSON object a line.
#[derive(Debug)]
pub struct SampleFile {
    file: File,
    path: PathBuf,
    /// Bytes of the lines that are whole.
    whole_bytes: u64,
    /// What could not be taken or written first, and how often.
    failure: Option<(String, u64)>,
    /// A part of a line could not be taken back, so no other may follow.
    ends_cut: bool,
}

impl SampleFile {
    /// A new, empty file.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.and_then(|file| {
            // What cannot be cut, a pipe or a device, has nothing to be cut.
            if file.metadata()?.is_file() {
                file.set_len(0)?;
            }
            Ok(file)
        });
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        let path = path.to_owned();
        Ok(Self { file, path, whole_bytes: 0, failure: None, ends_cut: false })
    }

    /// Appends a sample, or notes that it is missing. Returns the reason if it is the first
    /// that is missing.
    pub fn append(&mut self, sample: anyhow::Result<impl Serialize>) -> Option<String> {
        let written = sample.and_then(|sample| {
            let line = serde_json::to_string(&sample)? + "\n";
            self.write(&line).with_context(|| format!("cannot write {}", self.path.display()))
        });
        let error = written.err()?;
        match &mut self.failure {
            Some((_, missing)) => {
                *missing += 1;
                None
            }
            None => {
                let reason = format!("{error:#}");
                self.failure = Some((reason.clone(), 1));
                Some(reason)
            }
        }
    }

    /// An error if samples are missing.
    pub fn finish(&self) -> anyhow::Result<()> {
        match &self.failure {
            None => Ok(()),
            Some((reason, missing)) => {
                anyhow::bail!("{}: {missing} samples are missing: {reason}", self.path.display())
            }
        }
    }

    fn write(&mut self, line: &str) -> anyhow::Result<()> {
        anyhow::ensure!(!self.ends_cut, "its last line is cut");
        match self.file.write_all(line.as_bytes()) {
            Ok(()) => self.whole_bytes += line.len() as u64,
            Err(error) => {
                // A full disk may have taken a part of the line.
                self.ends_cut = self.file.set_len(self.whole_bytes).is_err();
                return Err(error.into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn samples_are_lines_of_a_file_that_was_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples");
        fs::write(&path, "of an earlier run").unwrap();
        let mut samples = SampleFile::create(&path).unwrap();
        assert_eq!(samples.append(Ok(1)), None);
        assert_eq!(samples.append(Ok("two")), None);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n\"two\"\n");
        samples.finish().unwrap();
    }

    #[test]
    fn the_first_missing_sample_is_complained_of_and_all_are_counted() {
        let mut samples = SampleFile::create(Path::new("/dev/full")).unwrap();
        let reason = samples.append(Ok(1)).unwrap();
        assert!(reason.contains("cannot write /dev/full: No space left on device"), "{reason}");
        assert_eq!(samples.append(Ok(2)), None);
        let error = samples.finish().unwrap_err().to_string();
        assert!(error.contains("/dev/full: 2 samples are missing"), "{error}");
    }

    #[test]
    fn a_sample_that_could_not_be_taken_is_left_out_and_the_next_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples");
        let mut samples = SampleFile::create(&path).unwrap();
        samples.append(Ok(1));
        assert!(samples.append(Err::<u8, _>(anyhow::anyhow!("/proc/self/stat"))).is_some());
        samples.append(Ok(3));
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n3\n");
        assert!(samples.finish().is_err());
    }
}
