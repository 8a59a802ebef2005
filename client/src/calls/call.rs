//! One call, and what its caller is told.

use proto::client::{Ended, Outcome};
use proto::planted::{Fault, is_planted};

use crate::answer::Version;
use crate::calls::reply::Reply;
use crate::error::{Error, Refusal, TooLarge, Why};
use crate::planted::Kept;

/// A call that has not ended, or that only its session still knows.
#[derive(Debug)]
pub(super) struct Call<T> {
    /// None: its caller was told.
    pub(super) token: Option<T>,
    pub(super) kind: Kind,
    pub(super) state: State,
    pub(super) deadline_ns: u64,
    /// Place of its session.
    pub(super) session: usize,
    pub(super) kept: Kept,
}

/// What a call asks its session for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) kind: Kind,
    /// Place of the session.
    pub(super) session: usize,
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

/// The kinds of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Get,
    Put,
    Stats,
    Ping,
}

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// In its session's line; whether it was sent in an earlier session.
    Waiting { was_sent: bool },
    /// Its session has it.
    Sent,
}

impl Kind {
    /// What a call is told that its session has ended. `why`: what one without an answer lacks.
    #[inline]
    pub(super) fn result<'a>(
        self,
        why: Why,
        incarnation: u64,
        outcome: &Outcome<'a>,
    ) -> Result<Reply<'a>, Error> {
        match (self, *outcome) {
            (_, Outcome::Indeterminate { ended: Ended::SequenceTaken }) => {
                Err(self.unanswered(Why::SequenceTaken))
            }
            (_, Outcome::Indeterminate { .. } | Outcome::Unanswered) => Err(self.unanswered(why)),
            (Self::Ping, _) => Ok(Reply::Pong),
            (Self::Stats, Outcome::Value { value, .. }) => Ok(Reply::Counters(value)),
            (_, Outcome::Value { version, value }) => {
                Ok(Reply::Found { version: Version::new(incarnation, version), value })
            }
            (_, Outcome::NotFound) => Ok(Reply::NotFound),
            (_, Outcome::Stored { version }) => {
                Ok(Reply::Stored(Version::new(incarnation, version)))
            }
            (_, Outcome::Full) => Err(Error::Refused(Refusal::MemoryFull)),
            (_, Outcome::TooLarge) => Err(Error::TooLarge { what: TooLarge::Answer }),
        }
    }

    /// What a call is told that was sent and not answered.
    pub(super) fn unanswered(self, why: Why) -> Error {
        match self {
            Self::Put if why == Why::Deadline && is_planted(Fault::LateToldNotExecuted) => {
                Error::NotExecuted(why)
            }
            Self::Put => Error::Indeterminate(why),
            Self::Get | Self::Stats | Self::Ping => Error::Unanswered(why),
        }
    }
}
