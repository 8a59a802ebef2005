//! A session of a pool, and the worker that it is with.

use std::net::SocketAddr;

use proto::client::{Client, Ended};

use crate::limits::{REOPEN_NS_MAX, REOPEN_NS_MIN};
use crate::observe;

/// The worker that a session is with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteWorker {
    /// Where it is.
    pub address: SocketAddr,
    /// Place of its server in the cluster's list.
    pub server: usize,
    /// Names the life of the server that the session is with; 0 before it is open.
    pub incarnation: u64,
}

/// A worker that has not answered since a time, though it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent {
    /// Its address.
    pub worker: SocketAddr,
    /// When it was last heard, or first asked.
    pub since_ns: u64,
}

/// A session of a pool.
#[derive(Debug)]
pub struct PooledSession<T> {
    /// The state machine.
    pub client: Client<T>,
    /// Place of its server in the cluster's list.
    pub server: usize,
    /// Whether it carries nothing any more, and is closed: it only served to meet the
    /// server's workers, or its worker is no more.
    pub(super) is_retired: bool,
    /// When its worker was last heard, or had last nothing to answer.
    pub(super) heard_ns: u64,
    /// When this life of it began.
    begun_ns: u64,
    /// If it was refused: when to try again, and how long to wait after the next refusal. So too
    /// if it was forgotten before it answered anything.
    pub(super) reopen_ns: Option<u64>,
    backoff_ns: u64,
}

impl<T: Copy> PooledSession<T> {
    pub(super) const fn new(now_ns: u64, client: Client<T>, server: usize) -> Self {
        Self {
            client,
            server,
            is_retired: false,
            heard_ns: now_ns,
            begun_ns: now_ns,
            reopen_ns: None,
            backoff_ns: REOPEN_NS_MIN,
        }
    }

    #[inline]
    pub(super) fn worker(&self) -> RemoteWorker {
        let incarnation = self.client.granted().map_or(0, |granted| granted.incarnation);
        RemoteWorker { address: self.client.server(), server: self.server, incarnation }
    }

    pub(super) fn awaits_answer(&self) -> bool {
        let is_opening = self.client.granted().is_none();
        self.client.ended().is_none() && (is_opening || !self.client.is_idle())
    }

    /// Whether another is to be opened in the place of this one, which has ended.
    pub(super) fn is_to_reopen(&mut self, now_ns: u64) -> bool {
        let (worker, ended) = (self.client.server(), self.client.ended());
        match ended {
            // All were closed: none is wanted any more.
            Some(Ended::Closed) => return false,
            Some(Ended::Refused(_) | Ended::OtherVersion(_)) => {
                if self.reopen_ns.is_none() {
                    observe::session_refused(worker, ended);
                }
                let backoff_ns = self.backoff_ns;
                if now_ns < *self.reopen_ns.get_or_insert(now_ns + backoff_ns) {
                    return false;
                }
                self.backoff_ns = (2 * backoff_ns).min(REOPEN_NS_MAX);
            }
            _ => {
                if self.client.counters().operations_answered > 0 {
                    self.backoff_ns = REOPEN_NS_MIN;
                } else if let Some(Ended::Forgotten | Ended::SequenceTaken) = ended {
                    // A server that forgets what it has just opened, again and again, would be
                    // asked as often as datagrams go to and fro.
                    let next_ns = self.begun_ns.saturating_add(self.backoff_ns);
                    if now_ns < next_ns {
                        self.reopen_ns = Some(next_ns);
                        return false;
                    }
                    self.backoff_ns = (2 * self.backoff_ns).min(REOPEN_NS_MAX);
                }
                observe::session_lost(worker, ended);
            }
        }
        observe::session_reopening(worker);
        true
    }

    /// Another is opened in its place.
    pub(super) fn reopen(&mut self, now_ns: u64, client: Client<T>) {
        self.reopen_ns = None;
        self.begun_ns = now_ns;
        self.client = client;
    }
}
