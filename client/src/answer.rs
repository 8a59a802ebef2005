//! What calls are answered with.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::error::Error;

/// Results of calls that were made together, in the order of the calls.
pub type Results<T> = Vec<Result<T, Error>>;

/// Version of a record: it grows with each mutation of its key, not always by one. It names
/// the life of the server as well, so that a version of another life equals none of this one.
///
/// ```
/// use client::Version;
///
/// let version = Version::new(0xfe, 7);
/// assert_eq!((version.incarnation(), version.number()), (0xfe, 7));
/// assert_eq!(version.to_string(), "7@00000000000000fe");
/// # Ok::<(), client::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    incarnation: u64,
    number: u64,
}

impl Version {
    /// Of a record in one life of its server.
    #[must_use]
    pub const fn new(incarnation: u64, number: u64) -> Self {
        Self { incarnation, number }
    }

    /// Names the life of the server: drawn at random when it starts.
    #[must_use]
    pub const fn incarnation(self) -> u64 {
        self.incarnation
    }

    /// Counts the mutations of the record's key within that life; comparable only there.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.number
    }
}

impl fmt::Display for Version {
    /// As `NUMBER@INCARNATION`, the incarnation in 16 hexadecimal digits.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{:016x}", self.number, self.incarnation)
    }
}

/// Where an answer comes from.
///
/// ```
/// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
/// # let servers = [server.address];
/// # let mut connection = client::Connection::connect(&servers)?;
///
/// use client::Source;
///
/// connection.put(b"key", b"value")?;
/// let record = connection.get(b"key")?.expect("it was just written");
/// assert_eq!(record.source, Source::Server, "this connection has no near cache");
/// # Ok::<(), client::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The server answered this call: the value was current at one instant of the call.
    Server,
    /// The near cache: the value was current no longer ago than the cache's largest age.
    Cache,
}

/// A record that a GET found.
///
/// ```
/// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
/// # let servers = [server.address];
/// # let mut connection = client::Connection::connect(&servers)?;
///
/// connection.put(b"key", b"value")?;
/// let record = connection.get(b"key")?.expect("it was just written");
/// assert_eq!(record.value, "value");
/// println!("{:?} is version {}, from {:?}", record.value, record.version, record.source);
/// # Ok::<(), client::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The value; cheap to clone. Short values of one batch share pieces of memory of 4 KiB: copy
    /// what you keep for long.
    pub value: Bytes,
    /// Its version.
    pub version: Version,
    /// Where it comes from.
    pub source: Source,
}

/// The answer to one operation of a pipeline.
///
/// ```
/// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
/// # let servers = [server.address];
/// # let mut connection = client::Connection::connect(&servers)?;
///
/// use client::Answer;
///
/// let mut pipeline = connection.pipeline();
/// pipeline.get(b"key");
/// match &pipeline.run()[0] {
///     Ok(Answer::Found(record)) => println!("{:?}", record.value),
///     Ok(answer) => println!("{answer:?}"),
///     Err(error) => println!("{error}"),
/// }
/// # Ok::<(), client::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// A GET found this record.
    Found(Record),
    /// A GET found none.
    NotFound,
    /// A PUT was executed, once, and wrote this version.
    Stored(Version),
}

/// What one worker of a server counted since its start; `docs/COUNTERS.md` of the project
/// explains each counter.
///
/// ```
/// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
/// # let servers = [server.address];
/// # let mut connection = client::Connection::connect(&servers)?;
///
/// for worker in connection.stats()? {
///     match worker.counters {
///         Ok(counters) => println!("{} of {}: {counters:?}", worker.worker, worker.server),
///         Err(error) => println!("{}: {error}", worker.worker),
///     }
/// }
/// # Ok::<(), client::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStats {
    /// Its server, as it was given to `connect`.
    pub server: SocketAddr,
    /// The worker's own address.
    pub worker: SocketAddr,
    /// Counters by their names, or why it did not tell them.
    pub counters: Result<BTreeMap<String, u64>, Error>,
}

/// One round trip to a worker.
///
/// ```
/// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
/// # let servers = [server.address];
/// # let mut connection = client::Connection::connect(&servers)?;
///
/// for ping in connection.ping()? {
///     match ping.round_trip {
///         Ok(round_trip) => println!("{}: {round_trip:?}", ping.worker),
///         Err(error) => println!("{}: {error}", ping.worker),
///     }
/// }
/// # Ok::<(), client::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ping {
    /// The worker's address.
    pub worker: SocketAddr,
    /// From the call to its answer, or why there was none.
    pub round_trip: Result<Duration, Error>,
}
