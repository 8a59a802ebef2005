//! Operations, as their callers saw them.

use client::{Error, Record, Source, Version};

pub(crate) type Read = Result<Option<Record>, Error>;
pub(crate) type Written = Result<Version, Error>;

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// The thread that called.
    pub(crate) caller: usize,
    /// Those who share a cache.
    pub(crate) group: usize,
    pub(crate) key: String,
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) end: End,
}

/// What it came to.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Found {
        value: String,
        version: Version,
        source: Source,
    },
    NotFound,
    /// A read that nothing is known of.
    Unknown,
    Stored {
        value: String,
        version: Version,
    },
    Indeterminate {
        value: String,
    },
    NotExecuted {
        value: String,
        error: Error,
    },
}

impl End {
    pub(crate) fn of_read(read: Read) -> Self {
        match read {
            Ok(Some(Record { value, version, source, .. })) => {
                Self::Found { value: text(&value), version, source }
            }
            Ok(None) => Self::NotFound,
            Err(error) => {
                let is_known = matches!(
                    error,
                    Error::Unanswered(_) | Error::NotExecuted(_) | Error::NoServer { .. }
                );
                assert!(is_known, "a read failed for {error}");
                Self::Unknown
            }
        }
    }

    pub(crate) fn of_write(written: Written, value: &[u8]) -> Self {
        let value = text(value);
        match written {
            Ok(version) => Self::Stored { value, version },
            Err(Error::Indeterminate(_)) => Self::Indeterminate { value },
            Err(error) => {
                let is_known = matches!(error, Error::NotExecuted(_) | Error::NoServer { .. });
                assert!(is_known, "a write failed for {error}");
                Self::NotExecuted { value, error }
            }
        }
    }
}

fn text(value: &[u8]) -> String {
    String::from_utf8(value.to_vec()).expect("all values are text")
}
