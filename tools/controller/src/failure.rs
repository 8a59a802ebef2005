//! Why a command ended early.

use std::fmt::Display;

use crate::status::Status;

/// Why a command ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// For a reason that is reported to the user.
    Told(Status, String),
    /// Stdout was closed by its reader (`… | head`).
    OutputClosed,
}

impl Failure {
    /// Nothing was changed.
    pub fn new(message: impl Display) -> Self {
        Self::Told(Status::Failed, message.to_string())
    }

    /// The status of a command that failed so, after parts that ended with `earlier`.
    #[must_use]
    pub fn status(&self, earlier: Status) -> Status {
        match self {
            Self::Told(status, _) => earlier.max(*status),
            Self::OutputClosed => earlier,
        }
    }
}
