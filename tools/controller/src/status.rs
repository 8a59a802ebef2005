//! How a command ended, for scripts.

use std::process::ExitCode;

/// How a command ended; a later one here is worse, and several commands end with the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Done.
    #[default]
    Done,
    /// Not found, or a condition did not hold.
    Negative,
    /// Wrong usage, no server, or refused: nothing was changed.
    Failed,
    /// Ended by a signal before it was done.
    Interrupted,
    /// Something may or may not have been changed.
    Indeterminate,
}

impl Status {
    /// The exit status.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Negative => 1,
            Self::Failed => 2,
            Self::Indeterminate => 3,
            // What shells show for SIGINT.
            Self::Interrupted => 130,
        }
    }

    /// Notes that a part ended so.
    pub fn add(&mut self, part: Self) {
        *self = (*self).max(part);
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.code())
    }
}
