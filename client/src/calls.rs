//! Calls with deadlines over the sessions with many servers: the machine below the
//! [`Connection`](crate::Connection) and the [`Client`](crate::Client), without sockets, clock
//! or thread.
//!
//! A call is handed to its session at once if there is room, and waits in that session's line
//! otherwise. It ends once, and its caller is told: with the server's answer, with an error,
//! or at its deadline. What was not sent by then is withdrawn; what was sent stays in its
//! session, so that nobody else's calls are touched, until the session answers it or ends.
//! A read whose session is lost goes to the front of the line, and is asked again in the next
//! session. A mutation never is (invariant 3).
//!
//! The order of a round's calls is that of every state machine of `proto`, which documents
//! it: [`Calls::handle_datagram`] for each datagram, [`Calls::handle_timeout`], the
//! application's commands, [`Calls::poll_transmit`] and [`Calls::poll_timeout`].
//!
//! ```
//! use std::net::UdpSocket;
//! use std::time::{Duration, Instant};
//!
//! use client::calls::{Calls, EndedCall, Reply};
//! use client::entropy::Entropy;
//! use proto::client::ClientConfig;
//! use proto::transmit::Flush;
//!
//! # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
//! # let servers = [server.address];
//! let socket = UdpSocket::bind("127.0.0.1:0")?;
//! socket.set_read_timeout(Some(Duration::from_millis(1)))?;
//! let start = Instant::now();
//! let mut calls = Calls::new(0, &servers, ClientConfig::default(), Entropy::System, None)?;
//! let (mut is_called, mut is_over) = (false, false);
//! let mut buffer = [0; 2048];
//! while !is_over {
//!     let received = socket.recv_from(&mut buffer);
//!     let now_ns = start.elapsed().as_nanos() as u64;
//!     let mut ended = |call: EndedCall<'_, &str>| {
//!         assert_eq!((call.token, call.result), ("mine", Ok(Reply::NotFound)));
//!         is_over = true;
//!     };
//!     if let Ok((bytes, from)) = received {
//!         calls.handle_datagram(now_ns, from, &buffer[..bytes], &mut ended);
//!     }
//!     calls.handle_timeout(now_ns, true, &mut ended);
//!     if !is_called && calls.connect(now_ns)? {
//!         let deadline_ns = now_ns + 1_000_000_000;
//!         calls.get("mine", deadline_ns, b"key").map_err(|not_taken| not_taken.error)?;
//!         is_called = true;
//!     }
//!     while let Some(burst) = calls.poll_transmit(now_ns, Flush::All) {
//!         for datagram in burst.datagrams() {
//!             socket.send_to(datagram, burst.path.remote)?;
//!         }
//!     }
//! }
//! # Ok::<(), client::Error>(())
//! ```

mod call;
mod counters;
mod hindrance;
mod lines;
mod reply;
mod table;

pub use counters::CallCounters;
pub use reply::{EndedCall, NotTaken, Reply, parse_counters};

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use proto::client::{ClientConfig, Finished};
use proto::counters::ClientCounters;
use proto::transmit::{Flush, Transmit};

use crate::calls::call::{Kind, Request};
use crate::calls::table::{CallTable, worker_of};
use crate::entropy::Entropy;
use crate::error::{Error, Why};
use crate::near_cache::{Cached, NearCache};
use crate::pool::{RemoteWorker, SessionPool, Share};

/// The key that a ping reads: what it finds does not matter.
const PING_KEY: &[u8] = b"\0";

/// Calls with deadlines over the sessions with many servers.
#[derive(Debug)]
pub struct Calls<T> {
    pool: SessionPool<u32>,
    table: CallTable<T>,
    /// Why sessions could not be opened again, the last time.
    trouble: Option<Error>,
    /// Whether the first sessions are not open yet: then one that ends is not opened again,
    /// but tells why.
    is_connecting: bool,
}

impl<T> Calls<T> {
    /// Begins to open sessions with all workers of all servers.
    ///
    /// # Errors
    /// If the system has no random bytes to name sessions with.
    pub fn new(
        now_ns: u64,
        servers: &[SocketAddr],
        config: ClientConfig,
        entropy: Entropy,
        cache: Option<Arc<NearCache>>,
    ) -> io::Result<Self> {
        let mut pool = SessionPool::new(now_ns, servers, config, Share::ALL, entropy)?;
        if let Some(cache) = cache {
            pool = pool.with_cache(cache);
        }
        Ok(Self { pool, table: CallTable::new(), trouble: None, is_connecting: false })
    }

    // ---------------------------------------------------------------- getters

    /// The sessions.
    #[must_use]
    pub const fn pool(&self) -> &SessionPool<u32> {
        &self.pool
    }

    /// What happened to calls.
    #[must_use]
    pub const fn counters(&self) -> &CallCounters {
        &self.table.counters
    }

    /// What happened in the sessions.
    #[must_use]
    pub fn session_counters(&self) -> ClientCounters {
        self.pool.counters()
    }

    /// Calls that have not ended: those too whose callers were told at their deadline, until their
    /// session answers them or ends.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.table.outstanding()
    }

    /// Calls that wait for room.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.table.lines.calls()
    }

    /// Bytes of their keys and values.
    #[must_use]
    pub const fn waiting_bytes(&self) -> usize {
        self.table.lines.bytes()
    }

    /// Whether a call was refused since [`Self::handle_timeout`], which opens its session again
    /// when it is time.
    #[must_use]
    pub const fn has_refused(&self) -> bool {
        self.table.has_refused
    }

    /// Places of the sessions that [`Self::stats`] and [`Self::ping`] take: one with each
    /// worker.
    pub fn workers(&self) -> impl Iterator<Item = usize> {
        self.pool.places().filter(|&place| !self.pool.is_retired(place))
    }

    /// The worker of a session, and the place of its server in the cluster's list.
    #[must_use]
    pub fn worker(&self, session: usize) -> (SocketAddr, usize) {
        worker_of(&self.pool, session)
    }

    /// What the near cache has for a key; the clock is read if there is a cache.
    #[must_use]
    #[inline]
    pub fn cached(&self, now_ns: impl FnOnce() -> u64, key: &[u8]) -> Option<Cached> {
        let cache = self.pool.cache()?;
        cache.get(now_ns(), key)
    }

    /// Whether all sessions have ended, and said so to their servers.
    #[must_use]
    pub fn are_over(&self) -> bool {
        self.pool.are_over()
    }

    // ---------------------------------------------------------------- handlers

    /// Goes on with connecting. Returns whether all sessions are open.
    ///
    /// # Errors
    /// Why the first that would not open did not.
    pub fn connect(&mut self, now_ns: u64) -> Result<bool, Error> {
        let connected = self.pool.connect(now_ns);
        self.is_connecting = connected == Ok(false);
        connected
    }

    /// Takes a datagram that came from `from`; tells of each call that it ended.
    #[inline]
    pub fn handle_datagram(
        &mut self,
        now_ns: u64,
        from: SocketAddr,
        datagram: &[u8],
        mut ended: impl FnMut(EndedCall<'_, T>),
    ) {
        let Self { pool, table, .. } = self;
        pool.handle_datagram(now_ns, from, datagram, |worker, operation| {
            table.conclude(Why::SessionLost, worker, operation, &mut ended);
        });
    }

    /// Does what time has made due: sends again, opens sessions again, withdraws, and hands
    /// over what waits. Called once a round, after its datagrams. `is_drained`: nothing more
    /// is there to be received, so what has not come is late.
    pub fn handle_timeout(
        &mut self,
        now_ns: u64,
        is_drained: bool,
        mut ended: impl FnMut(EndedCall<'_, T>),
    ) {
        let Self { pool, table, trouble, .. } = self;
        table.has_refused = false;
        let mut conclude = |worker: &RemoteWorker, operation: &Finished<'_, u32>| {
            table.conclude(Why::SessionLost, worker, operation, &mut ended);
        };
        if is_drained {
            pool.handle_timeout(now_ns, &mut conclude);
        }
        if !self.is_connecting {
            let failure = pool.maintain(now_ns, conclude).err();
            // That is one server's, and known of it.
            *trouble = failure.filter(|error| !matches!(error, Error::InvalidServer { .. }));
        }
        if is_drained && now_ns >= table.next_deadline_ns {
            table.end_late(now_ns, pool, trouble.as_ref(), &mut ended);
        }
        if table.lines.calls() > 0 {
            table.serve_lines(pool, &mut ended);
        }
    }

    // ---------------------------------------------------------------- commands

    /// Reads a record. The call ends at `deadline_ns` at the latest.
    ///
    /// # Errors
    /// Why it was not taken: its caller is not told anything else.
    #[inline]
    pub fn get(&mut self, token: T, deadline_ns: u64, key: &[u8]) -> Result<(), NotTaken<T>> {
        let (_, session) = self.pool.carrier(key);
        self.take(token, deadline_ns, Request { kind: Kind::Get, session, key, value: &[] })
    }

    /// Writes a record. The call ends at `deadline_ns` at the latest.
    ///
    /// # Errors
    /// Why it was not taken: its caller is not told anything else.
    #[inline]
    pub fn put(
        &mut self,
        token: T,
        deadline_ns: u64,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), NotTaken<T>> {
        let (_, session) = self.pool.carrier(key);
        self.take(token, deadline_ns, Request { kind: Kind::Put, session, key, value })
    }

    /// Asks the worker of a session for its counters.
    ///
    /// # Errors
    /// Why it was not taken: its caller is not told anything else.
    pub fn stats(&mut self, token: T, deadline_ns: u64, session: usize) -> Result<(), NotTaken<T>> {
        self.take(token, deadline_ns, Request { kind: Kind::Stats, session, key: &[], value: &[] })
    }

    /// Asks the worker of a session for a record, to see how long it takes.
    ///
    /// # Errors
    /// Why it was not taken: its caller is not told anything else.
    pub fn ping(&mut self, token: T, deadline_ns: u64, session: usize) -> Result<(), NotTaken<T>> {
        let request = Request { kind: Kind::Ping, session, key: PING_KEY, value: &[] };
        self.take(token, deadline_ns, request)
    }

    #[inline]
    fn take(
        &mut self,
        token: T,
        deadline_ns: u64,
        request: Request<'_>,
    ) -> Result<(), NotTaken<T>> {
        self.table.take(&mut self.pool, token, deadline_ns, request)
    }

    /// Ends the calls that were not sent yet, because of `why`: they are certainly not executed.
    pub fn withdraw_unsent(&mut self, why: Why, mut ended: impl FnMut(EndedCall<'_, T>)) {
        let Self { pool, table, .. } = self;
        table.withdraw_waiting(pool, why, &mut ended);
        let mut withdrawn = Vec::new();
        pool.withdraw_unsent(|id| withdrawn.push(id));
        for id in withdrawn {
            table.withdraw(pool, id as usize, why, &mut ended);
        }
    }

    /// Ends all calls and sessions; their servers are told by the polls that follow.
    pub fn close(&mut self, now_ns: u64, mut ended: impl FnMut(EndedCall<'_, T>)) {
        let Self { pool, table, .. } = self;
        table.close(pool, &mut ended);
        pool.close(now_ns, |worker, operation| {
            table.conclude(Why::Closed, worker, operation, &mut ended);
        });
    }

    // ---------------------------------------------------------------- polls

    /// The next burst to send.
    #[inline]
    pub fn poll_transmit(&mut self, now_ns: u64, flush: Flush) -> Option<Transmit<'_>> {
        self.pool.poll_transmit(now_ns, flush)
    }

    /// When [`Self::handle_timeout`] or [`Self::poll_transmit`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        let due_ns = self.pool.poll_timeout().unwrap_or(u64::MAX).min(self.table.next_deadline_ns);
        (due_ns < u64::MAX).then_some(due_ns)
    }
}
