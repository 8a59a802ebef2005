//! What becomes of an operation that a client is handed.

use crate::unpack::{Answer, Malformed};
use crate::wire::{Op, Reason, Status};

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The application closed it.
    Closed,
    /// The server did not answer in time.
    NoAnswer,
    /// The server did not answer a large request, or one with a large answer, in time, but answered
    /// others that were sent later: the path may carry no more datagrams of that size.
    PathNarrowed,
    /// The server speaks this version of the protocol.
    OtherVersion(u8),
    /// The server does not know the session: it was expired, or the server started again.
    Forgotten,
    /// The server refused to open it.
    Refused(Reason),
    /// The client could not send for so long that the server may have forgotten it; nothing was
    /// outstanding.
    Stale,
    /// The server had executed another request under the sequence of one of its own: somebody
    /// else sends in it.
    SequenceTaken,
}

/// An operation that came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished<'a, T> {
    /// What the application knows it by.
    pub token: T,
    /// Its key; empty for STATS.
    pub key: &'a [u8],
    /// When it was first sent: its effect is later. Of operations that share a datagram, the
    /// earliest.
    pub sent_ns: u64,
    /// How it ended.
    pub outcome: Outcome<'a>,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// A GET found this; STATS answers with text and version 0.
    Value {
        /// Version of the record.
        version: u64,
        /// The value.
        value: &'a [u8],
    },
    /// A GET found no record.
    NotFound,
    /// A GET found a value that a datagram of this session cannot carry.
    TooLarge,
    /// A PUT was executed, once.
    Stored {
        /// Version of the record.
        version: u64,
    },
    /// A PUT was not executed: the server's memory is at its cap.
    Full,
    /// A mutation was sent and not answered: it may or may not have happened.
    Indeterminate {
        /// Why its session ended.
        ended: Ended,
    },
    /// A read was not answered.
    Unanswered,
}

impl<'a> Outcome<'a> {
    /// What an answer means for an operation; a status that the operation cannot have is wrong.
    #[inline]
    pub fn of(op: Op, answer: &Answer<'a>) -> Result<Self, Malformed> {
        let Answer { version, value, .. } = *answer;
        match (op, answer.status) {
            (Op::Get | Op::Stats, Status::Ok) => Ok(Self::Value { version, value }),
            (Op::Get, Status::NotFound) => Ok(Self::NotFound),
            (Op::Get, Status::TooLarge) => Ok(Self::TooLarge),
            (Op::Put, Status::Ok) => Ok(Self::Stored { version }),
            (Op::Put, Status::Full) => Ok(Self::Full),
            _ => Err(Malformed::Field),
        }
    }
}

/// Why an operation is not taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// As much is outstanding as may be: try again after an answer.
    WindowFull,
    /// The session is not open yet, or has ended.
    NotOpen,
    /// Key or value are outside of the limits of a datagram of this session.
    Length,
}
