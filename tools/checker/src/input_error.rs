//! Why an input cannot be read.

use std::fmt;
use std::path::{Path, PathBuf};

use history::reader::Fault;

/// Why an input cannot be read.
#[derive(Debug)]
pub struct InputError {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it, and where.
    pub message: String,
}

impl InputError {
    /// Something is wrong with `path`.
    pub fn new(path: &Path, message: impl fmt::Display) -> Self {
        Self { path: path.to_owned(), message: message.to_string() }
    }
}

impl From<(&Path, Fault)> for InputError {
    fn from((path, fault): (&Path, Fault)) -> Self {
        Self::new(path, fault)
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path.display(), self.message)
    }
}

impl std::error::Error for InputError {}
