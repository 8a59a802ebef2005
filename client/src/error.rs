//! What can become of a call, and what its caller may do then.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use proto::client::{ClientConfig, Ended};
use proto::wire::{Reason, VERSION};

/// Why a call failed, and with it whether it was executed.
///
/// | error | a mutation was executed | retry |
/// |---|---|---|
/// | [`NotSent`](Self::NotSent), [`NotExecuted`](Self::NotExecuted), [`NoServer`](Self::NoServer) | no | yes |
/// | [`Refused`](Self::Refused) | no | yes, later |
/// | [`Indeterminate`](Self::Indeterminate) | nobody knows | only if twice does no harm |
/// | [`Unanswered`](Self::Unanswered) | it was a read | yes |
/// | the others | no | no: the same would happen again |
///
/// [`Self::may_retry`] says the same to a program. `docs/CLIENT.md` of the project says for
/// each what to do.
///
/// ```
/// use client::{Client, Error};
///
/// /// Nothing but `done` is ever written to this key, so to write it twice does no harm.
/// fn mark_as_done(client: &Client, key: &[u8]) -> Result<(), Error> {
///     for _ in 0..2 {
///         match client.put(key, b"done").wait() {
///             Err(error) if error.may_retry() || error.is_indeterminate() => {}
///             end => return end.map(drop),
///         }
///     }
///     client.put(key, b"done").wait().map(drop)
/// }
/// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
/// # let servers = [server.address];
/// # let client = Client::connect(&servers)?;
/// mark_as_done(&client, b"job:7")?;
/// # Ok::<(), client::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Too many calls wait for room already: this one was not taken. Slow down, and call
    /// again.
    NotSent,
    /// The call was withdrawn before it was sent: certainly it was not executed.
    NotExecuted(Why),
    /// The server answered, and would not.
    Refused(Refusal),
    /// A mutation was sent and not answered: it may have been executed, once, or it may not,
    /// or be executed yet, even after a later call, until its session has ended.
    Indeterminate(Why),
    /// A read was sent and not answered. It changed nothing.
    Unanswered(Why),
    /// A key or value is outside of the limits.
    TooLarge {
        /// What is, and by how much.
        what: TooLarge,
    },
    /// No server answers there; nothing was executed.
    NoServer {
        /// The worker that was asked.
        server: SocketAddr,
        /// Bytes of a datagram that the path has to carry, or no server answers.
        mtu_bytes: usize,
    },
    /// A server of another release answered; nothing was executed.
    OtherVersion {
        /// The worker that was asked.
        server: SocketAddr,
        /// The version of the protocol that it speaks.
        theirs: u8,
    },
    /// A server answered what none should; nothing was executed.
    InvalidServer {
        /// The worker that was asked.
        server: SocketAddr,
        /// What it claims.
        claims: &'static str,
    },
    /// What was asked for when connecting makes no sense, and why.
    InvalidConfig(String),
    /// The calling process is a fork of the one that connected. It has no part in that one's
    /// sessions, and has to connect for itself.
    Forked,
    /// The system failed: a socket, or its random bytes.
    Io {
        /// What kind of failure it is.
        kind: io::ErrorKind,
        /// What the system says.
        text: String,
    },
}

/// Why a call came to its end without an answer.
///
/// ```
/// use client::{Error, Why};
///
/// let error = Error::NotExecuted(Why::Deadline);
/// assert_eq!(error.to_string(), "not executed: its time was over");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// Its deadline is over.
    Deadline,
    /// Its session was lost: the server started again, forgot it, or did not answer for long.
    SessionLost,
    /// The server had executed another mutation in the place of one of this session: somebody on
    /// the path sends in it. The session is given up.
    SequenceTaken,
    /// The handle or connection was closed or dropped meanwhile, or its thread has ended.
    Closed,
}

/// Why a server would not.
///
/// ```
/// use client::{Error, Refusal};
///
/// let error = Error::Refused(Refusal::MemoryFull);
/// assert_eq!(error.to_string(), "refused: the server's memory is full");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Its memory is at its cap. What it stores stays stored; a value that is no longer than
    /// the one before may still find room.
    MemoryFull,
    /// It holds as many sessions as it can.
    SessionsFull,
}

/// What was outside of the limits.
///
/// ```
/// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
/// # let servers = [server.address];
/// # let mut connection = client::Connection::connect(&servers)?;
///
/// use client::{Error, TooLarge};
///
/// let what = TooLarge::Value { bytes: 2000, max: 1424 };
/// assert_eq!(connection.put(b"key", &[0; 2000]), Err(Error::TooLarge { what }));
/// # Ok::<(), client::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TooLarge {
    /// A key has to have from 1 to `max` bytes.
    Key {
        /// It has so many.
        bytes: usize,
        /// The most that it may have.
        max: usize,
    },
    /// A value has to fit in a datagram with its key.
    Value {
        /// It has so many bytes.
        bytes: usize,
        /// The most that it may have with this key.
        max: usize,
    },
    /// A stored value is longer than a datagram of this connection carries.
    Answer,
    /// A batch for a handle has so many calls at most.
    Batch {
        /// It has so many.
        calls: usize,
        /// The most that it may have.
        max: usize,
    },
    /// The keys and values of a batch for a handle have so many bytes at most.
    BatchBytes {
        /// They have so many.
        bytes: usize,
        /// The most that they may have.
        max: usize,
    },
}

impl Error {
    /// Whether the same call may be made again without doing anything twice.
    ///
    /// `false` means that it could be executed twice ([`Error::Indeterminate`]), or that it
    /// would fail again for the same reason.
    ///
    /// ```
    /// use client::{Error, Why};
    ///
    /// assert!(Error::NotExecuted(Why::Deadline).may_retry());
    /// assert!(!Error::Indeterminate(Why::Deadline).may_retry());
    /// # Ok::<(), client::Error>(())
    /// ```
    #[must_use]
    pub const fn may_retry(&self) -> bool {
        match self {
            Self::NotSent
            | Self::NotExecuted(_)
            | Self::Refused(_)
            | Self::Unanswered(_)
            | Self::NoServer { .. } => true,
            Self::Indeterminate(_)
            | Self::TooLarge { .. }
            | Self::OtherVersion { .. }
            | Self::InvalidServer { .. }
            | Self::InvalidConfig(_)
            | Self::Forked
            | Self::Io { .. } => false,
        }
    }

    /// Whether nobody knows if the call was executed. If not, it certainly was not.
    ///
    /// ```
    /// use client::{Error, Why};
    ///
    /// assert!(Error::Indeterminate(Why::SessionLost).is_indeterminate());
    /// assert!(!Error::NotExecuted(Why::Deadline).is_indeterminate());
    /// # Ok::<(), client::Error>(())
    /// ```
    #[must_use]
    pub const fn is_indeterminate(&self) -> bool {
        matches!(self, Self::Indeterminate(_))
    }

    pub(crate) fn of_lost(server: SocketAddr, ended: Ended, config: &ClientConfig) -> Self {
        match ended {
            Ended::OtherVersion(theirs) => Self::OtherVersion { server, theirs },
            Ended::Refused(Reason::SessionsFull) => Self::Refused(Refusal::SessionsFull),
            Ended::Refused(_) => {
                Self::InvalidServer { server, claims: "a reason that it cannot have" }
            }
            Ended::NoAnswer
            | Ended::PathNarrowed
            | Ended::Forgotten
            | Ended::Closed
            | Ended::Stale
            | Ended::SequenceTaken => Self::NoServer { server, mtu_bytes: config.mtu_bytes },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent => write!(
                formatter,
                "not sent: too many calls wait already; slow down, then call again"
            ),
            Self::NotExecuted(why) => write!(formatter, "not executed: {why}"),
            Self::Refused(Refusal::MemoryFull) => {
                write!(formatter, "refused: the server's memory is full")
            }
            Self::Refused(Refusal::SessionsFull) => write!(
                formatter,
                "refused: the server has all the sessions that it can hold; try again later"
            ),
            Self::Indeterminate(why) => {
                write!(formatter, "indeterminate, it may have been executed: {why}")
            }
            Self::Unanswered(why) => write!(formatter, "not answered: {why}"),
            Self::TooLarge { what } => write!(formatter, "{what}"),
            Self::NoServer { server, mtu_bytes } => write!(
                formatter,
                "no answer from {server}: is kv running there, and does the path carry \
                 datagrams of {mtu_bytes} bytes?"
            ),
            Self::OtherVersion { server, theirs } => write!(
                formatter,
                "{server} speaks version {theirs} of the protocol, this program version \
                 {VERSION}: use programs of the same release"
            ),
            Self::InvalidServer { server, claims } => {
                write!(formatter, "the server {server} claims {claims}")
            }
            Self::InvalidConfig(text) => write!(formatter, "cannot connect: {text}"),
            Self::Forked => write!(
                formatter,
                "this process is a fork of the one that connected: connect after the fork"
            ),
            Self::Io { text, .. } => write!(formatter, "the system failed: {text}"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Deadline => "its time was over",
            Self::SessionLost => "the session was lost",
            Self::SequenceTaken => "somebody else sent in its session",
            Self::Closed => "the client was closed",
        })
    }
}

impl fmt::Display for TooLarge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { bytes, max } => {
                write!(formatter, "a key has 1 to {max} bytes, and this one has {bytes}")
            }
            Self::Value { bytes, max } => write!(
                formatter,
                "a value with this key has at most {max} bytes, so that it fits in a datagram, \
                 and this one has {bytes}"
            ),
            Self::Answer => write!(
                formatter,
                "the value is longer than a datagram of this connection carries: connect with \
                 a larger MTU"
            ),
            Self::Batch { calls, max } => {
                write!(formatter, "a batch has at most {max} calls, and this one has {calls}")
            }
            Self::BatchBytes { bytes, max } => write!(
                formatter,
                "the keys and values of a batch have at most {max} bytes, and these have {bytes}"
            ),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io { kind: error.kind(), text: error.to_string() }
    }
}

/// How long a deadline that was asked for is waited for, in nanoseconds.
pub(crate) fn timeout_ns(timeout: Duration) -> u64 {
    timeout.min(crate::limits::TIMEOUT_MAX).as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../docs/CLIENT.md");

    /// The names of all variants of an enum, each with one value of it. It does not compile if
    /// one is missing.
    macro_rules! all {
        ($kind:ident: $($name:ident $rest:tt,)+) => {{
            const fn _exhaustive(value: &$kind) {
                match value { $($kind::$name { .. } => {})+ }
            }
            [$((stringify!($name), all!(@ $kind $name $rest)),)+]
        }};
        (@ $kind:ident $name:ident ()) => { $kind::$name };
        (@ $kind:ident $name:ident ($($value:expr),+)) => { $kind::$name($($value),+) };
        (@ $kind:ident $name:ident { $($field:ident: $value:expr),+ }) => {
            $kind::$name { $($field: $value),+ }
        };
    }

    /// The lines of the table with this heading, as lists of their cells; the names without
    /// their quotes.
    fn table(heading: &str) -> Vec<Vec<&'static str>> {
        let table = DOCUMENT.split_once(&format!("\n| {heading} |")).expect("there is one").1;
        let lines = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let cells = |line: &'static str| line.trim_matches('|').split(" | ");
        lines.map(|line| cells(line).map(|cell| cell.trim().trim_matches('`')).collect()).collect()
    }

    fn names(heading: &str) -> Vec<&'static str> {
        table(heading).iter().map(|cells| cells[0]).collect()
    }

    #[test]
    fn each_error_has_a_line_in_the_document_and_whether_it_may_be_retried() {
        let server = SocketAddr::from(([127, 0, 0, 1], 7400));
        let all = all! { Error:
            NotSent (),
            NotExecuted (Why::Deadline),
            Refused (Refusal::MemoryFull),
            Indeterminate (Why::Deadline),
            Unanswered (Why::Deadline),
            TooLarge { what: TooLarge::Answer },
            NoServer { server: server, mtu_bytes: 1472 },
            OtherVersion { server: server, theirs: 1 },
            InvalidServer { server: server, claims: "" },
            InvalidConfig (String::new()),
            Forked (),
            Io { kind: io::ErrorKind::Other, text: String::new() },
        };
        let expected = all.map(|(name, error)| {
            let may_retry = if error.may_retry() { "yes" } else { "no" };
            [name, may_retry]
        });
        let lines = table("error");
        assert!(lines.iter().all(|cells| cells.len() == 4 && !cells[3].is_empty()));
        let documented: Vec<_> = lines.iter().map(|cells| [cells[0], cells[1]]).collect();
        assert_eq!(documented, expected);
    }

    #[test]
    fn each_reason_has_a_line_in_the_document() {
        let all = all! { Why: Deadline (), SessionLost (), SequenceTaken (), Closed (), };
        assert_eq!(names("Why"), all.map(|(name, _)| name));
        let all = all! { Refusal: MemoryFull (), SessionsFull (), };
        assert_eq!(names("Refusal"), all.map(|(name, _)| name));
        let all = all! { TooLarge:
            Key { bytes: 0, max: 0 },
            Value { bytes: 0, max: 0 },
            Answer (),
            Batch { calls: 0, max: 0 },
            BatchBytes { bytes: 0, max: 0 },
        };
        assert_eq!(names("TooLarge"), all.map(|(name, _)| name));
    }
}
