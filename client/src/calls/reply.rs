//! How calls end: a server's answer, an error, or a call that was not even taken.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::answer::Version;
use crate::error::Error;

/// A server's answer to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// A GET found this.
    Found {
        /// Version of the record.
        version: Version,
        /// The value.
        value: &'a [u8],
    },
    /// A GET found no record.
    NotFound,
    /// A PUT was executed, once.
    Stored(Version),
    /// The worker's counters, as lines of `name value`.
    Counters(&'a [u8]),
    /// The worker answered a ping.
    Pong,
}

/// A call that came to its end. `T` is what its caller knows it by.
#[derive(Debug)]
pub struct EndedCall<'a, T> {
    /// What the caller knows it by.
    pub token: T,
    /// The worker that was asked, or would have been.
    pub worker: SocketAddr,
    /// Place of its server in the cluster's list.
    pub server: usize,
    /// How it ended.
    pub result: Result<Reply<'a>, Error>,
}

/// A call that was not taken, and why; its caller has to be told.
#[derive(Debug)]
pub struct NotTaken<T> {
    /// What the caller knows it by.
    pub token: T,
    /// The worker that would have been asked.
    pub worker: SocketAddr,
    /// Place of its server in the cluster's list.
    pub server: usize,
    /// Why.
    pub error: Error,
}

impl<T> NotTaken<T> {
    /// The same as the end of a call.
    #[must_use]
    pub fn ended(self) -> EndedCall<'static, T> {
        let Self { token, worker, server, error } = self;
        EndedCall { token, worker, server, result: Err(error) }
    }
}

/// The counters of [`Reply::Counters`], or of another answer to a question for them: lines of
/// `name value`. What is no such line is left out.
///
/// ```
/// let counters = client::calls::parse_counters(b"gets 3\nputs many\n");
/// assert_eq!(counters.into_iter().collect::<Vec<_>>(), [("gets".to_owned(), 3)]);
/// ```
#[must_use]
pub fn parse_counters(text: &[u8]) -> BTreeMap<String, u64> {
    let text = String::from_utf8_lossy(text);
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.filter_map(|(name, count)| Some((name.to_owned(), count.parse().ok()?))).collect()
}
