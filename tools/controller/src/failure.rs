//! Why a command ended early.

use std::fmt::Display;

use crate::status::Status;

/// Why a command ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// For a reason that the user is told.
    Told(Status, String),
    /// Nobody reads stdout any more (`… | head`): there is nobody to tell.
    OutputClosed,
}

impl Failure {
    /// Nothing was changed.
    pub fn new(message: impl Display) -> Self {
        Self::Told(Status::Failed, message.to_string())
    }

    /// What a command ends with that failed so, if what it did before ended with `earlier`.
    #[must_use]
    pub fn status(&self, earlier: Status) -> Status {
        match self {
            Self::Told(status, _) => earlier.max(*status),
            Self::OutputClosed => earlier,
        }
    }
}
