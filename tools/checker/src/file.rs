//! An open history file that many read at once, each from a place of its own.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::input_error::InputError;

/// A file, and what it is called. It is opened once, so that it may have lost its name since:
/// temporary files have none, and so none is left behind, however the program ends.
#[derive(Clone, Debug)]
pub struct HistoryFile {
    path: PathBuf,
    file: Arc<File>,
}

impl HistoryFile {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, InputError> {
        let file = File::open(path).map_err(|error| InputError::new(path, error))?;
        Ok(Self::new(path.to_owned(), file))
    }

    /// A file that is open already; `path` is for messages.
    #[must_use]
    pub fn new(path: PathBuf, file: File) -> Self {
        Self { path, file: Arc::new(file) }
    }

    /// What it is called.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size.
    pub fn bytes(&self) -> Result<u64, InputError> {
        let facts = self.file.metadata().map_err(|error| InputError::new(&self.path, error))?;
        Ok(facts.len())
    }

    /// Reads it from its start.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { file: Arc::clone(&self.file), at: 0 }
    }
}

/// A place in a file, moved by nobody else.
#[derive(Debug)]
pub struct Cursor {
    file: Arc<File>,
    at: u64,
}

impl Read for Cursor {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read_at(bytes, self.at)?;
        self.at += length as u64;
        Ok(length)
    }
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
