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
mod lines;
mod reply;

pub use counters::CallCounters;
pub use reply::{EndedCall, NotTaken, Reply, parse_counters};

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use proto::client::{Blocked, ClientConfig, Ended, Finished, Outcome};
use proto::counters::ClientCounters;
use proto::limits::{KEY_BYTES_MAX, KEY_BYTES_MIN, value_bytes_max};
use proto::planted::{Fault, is_planted};
use proto::transmit::{Flush, Transmit};
use slab::Slab;

use crate::calls::call::{Call, Kind, State};
use crate::calls::lines::{Lines, Waiting};
use crate::entropy::Entropy;
use crate::error::{Error, TooLarge, Why};
use crate::near_cache::{Cached, NearCache};
use crate::observe;
use crate::planted::Kept;
use crate::pool::{RemoteWorker, SessionPool, Share};

/// The key that a ping reads: what it finds does not matter.
const PING_KEY: &[u8] = b"\0";

/// Calls with deadlines over the sessions with many servers.
#[derive(Debug)]
pub struct Calls<T> {
    pool: SessionPool<u32>,
    calls: Slab<Call<T>>,
    lines: Lines,
    /// No deadline of a call that its caller waits for is before this.
    next_deadline_ns: u64,
    config: ClientConfig,
    counters: CallCounters,
    /// Why sessions could not be opened again, the last time.
    trouble: Option<Error>,
    /// Whether the first sessions are not open yet: then one that ends is not opened again,
    /// but tells why.
    is_connecting: bool,
    /// Whether a call was refused, because its session is, since time was last looked at.
    has_refused: bool,
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
        Ok(Self {
            pool,
            calls: Slab::new(),
            lines: Lines::default(),
            next_deadline_ns: u64::MAX,
            config,
            counters: CallCounters::default(),
            trouble: None,
            is_connecting: false,
            has_refused: false,
        })
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
        &self.counters
    }

    /// What happened in the sessions.
    #[must_use]
    pub fn session_counters(&self) -> ClientCounters {
        self.pool.counters()
    }

    /// Calls that wait for room.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.lines.calls()
    }

    /// Bytes of their keys and values.
    #[must_use]
    pub const fn waiting_bytes(&self) -> usize {
        self.lines.bytes()
    }

    /// Whether a call was refused since [`Self::handle_timeout`], which opens its session again
    /// when it is time.
    #[must_use]
    pub const fn has_refused(&self) -> bool {
        self.has_refused
    }

    /// Places of the sessions that [`Self::stats`] and [`Self::ping`] take: one with each
    /// worker.
    pub fn workers(&self) -> impl Iterator<Item = usize> {
        self.pool.places().filter(|&place| !self.pool.is_retired(place))
    }

    /// The worker of a session, and the place of its server in the cluster's list.
    #[must_use]
    pub fn worker(&self, session: usize) -> (SocketAddr, usize) {
        let session = self.pool.get(session);
        (session.client.server(), session.server)
    }

    /// What the near cache has for a key.
    #[must_use]
    #[inline]
    pub fn cached(&self, now_ns: u64, key: &[u8]) -> Option<Cached> {
        self.pool.cache()?.get(now_ns, key)
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
        let Self { pool, calls, lines, counters, .. } = self;
        pool.handle_datagram(now_ns, from, datagram, |worker, operation| {
            conclude(calls, lines, counters, Why::SessionLost, worker, operation, &mut ended);
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
        self.has_refused = false;
        let Self { pool, calls, lines, counters, .. } = self;
        let mut conclude = |worker: &RemoteWorker, operation: &Finished<'_, u32>| {
            conclude(calls, lines, counters, Why::SessionLost, worker, operation, &mut ended);
        };
        if is_drained {
            pool.handle_timeout(now_ns, &mut conclude);
        }
        if !self.is_connecting {
            self.trouble = pool.maintain(now_ns, conclude).err();
        }
        if is_drained && now_ns >= self.next_deadline_ns {
            self.end_late(now_ns, &mut ended);
        }
        if self.lines.calls() > 0 {
            self.serve_lines(&mut ended);
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
        self.take(token, Kind::Get, deadline_ns, session, key, &[])
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
        self.take(token, Kind::Put, deadline_ns, session, key, value)
    }

    /// Asks the worker of a session for its counters.
    ///
    /// # Errors
    /// Why it was not taken: its caller is not told anything else.
    pub fn stats(&mut self, token: T, deadline_ns: u64, session: usize) -> Result<(), NotTaken<T>> {
        self.take(token, Kind::Stats, deadline_ns, session, &[], &[])
    }

    /// Asks the worker of a session for a record, to see how long it takes.
    ///
    /// # Errors
    /// Why it was not taken: its caller is not told anything else.
    pub fn ping(&mut self, token: T, deadline_ns: u64, session: usize) -> Result<(), NotTaken<T>> {
        self.take(token, Kind::Ping, deadline_ns, session, PING_KEY, &[])
    }

    /// Ends all calls and sessions; their servers are told by the polls that follow.
    pub fn close(&mut self, now_ns: u64, mut ended: impl FnMut(EndedCall<'_, T>)) {
        for session in self.lines.sessions() {
            for waiting in self.lines.take_all(session) {
                self.end_waiting(&waiting, &Error::NotExecuted(Why::Closed), &mut ended);
            }
        }
        let Self { pool, calls, lines, counters, .. } = self;
        pool.close(now_ns, |worker, operation| {
            conclude(calls, lines, counters, Why::Closed, worker, operation, &mut ended);
        });
        self.next_deadline_ns = u64::MAX;
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
        let due_ns = self.pool.poll_timeout().unwrap_or(u64::MAX).min(self.next_deadline_ns);
        (due_ns < u64::MAX).then_some(due_ns)
    }

    // ---------------------------------------------------------------- inside

    /// The longest value that a session carries with a key.
    fn value_bytes_max(&self, session: usize, key: &[u8]) -> usize {
        let granted = self.pool.get(session).client.granted();
        let mtu_bytes = granted.map_or(self.config.mtu_bytes, |granted| granted.mtu_bytes);
        value_bytes_max(mtu_bytes, key.len())
    }

    #[inline]
    fn take(
        &mut self,
        token: T,
        kind: Kind,
        deadline_ns: u64,
        session: usize,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), NotTaken<T>> {
        let entry = self.calls.vacant_entry();
        let id = entry.key();
        let handed = match self.lines.is_first(session, kind) {
            true => hand_over(&mut self.pool, session, id as u32, kind, key, value),
            false => Err(Blocked::WindowFull),
        };
        let state = match handed {
            Ok(()) => State::Sent,
            Err(blocked) => match self.wait_in_line(blocked, session, id, kind, key, value) {
                Ok(()) => State::Waiting { was_sent: false },
                Err(error) => {
                    let (worker, server) = self.worker(session);
                    return Err(NotTaken { token, worker, server, error });
                }
            },
        };
        let kept = Kept::of(value);
        self.calls.insert(Call { token: Some(token), kind, state, deadline_ns, session, kept });
        self.counters.taken += 1;
        self.next_deadline_ns = self.next_deadline_ns.min(deadline_ns);
        Ok(())
    }

    /// A call that its session does not take now waits, unless that is of no use.
    #[cold]
    fn wait_in_line(
        &mut self,
        blocked: Blocked,
        session: usize,
        call: usize,
        kind: Kind,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), Error> {
        self.check_lengths(blocked, session, kind, key, value)?;
        if let Some(error) = self.refusal(session) {
            self.has_refused = true;
            return Err(error);
        }
        if !self.lines.have_room(key.len() + value.len()) {
            self.counters.not_sent += 1;
            observe::line_full(self.worker(session).0, self.lines.calls());
            return Err(Error::NotSent);
        }
        if let (Kind::Put, Some(cache)) = (kind, self.pool.cache()) {
            cache.mutation_begins(key);
        }
        let waiting = Waiting { call, key: key.into(), value: value.into() };
        self.lines.push_back(session, kind, waiting);
        Ok(())
    }

    /// Whether a session carries such a key and value, once it has room.
    fn check_lengths(
        &self,
        blocked: Blocked,
        session: usize,
        kind: Kind,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), Error> {
        let max = self.value_bytes_max(session, key);
        let has_key = (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len());
        let what = if !has_key && kind != Kind::Stats {
            TooLarge::Key { bytes: key.len(), max: KEY_BYTES_MAX }
        } else if value.len() > max {
            TooLarge::Value { bytes: value.len(), max }
        } else {
            assert_ne!(blocked, Blocked::Length, "the session has the same limits");
            return Ok(());
        };
        Err(Error::TooLarge { what })
    }

    /// Why a session will not open before it is tried again, if a server said so.
    fn refusal(&self, session: usize) -> Option<Error> {
        let client = &self.pool.get(session).client;
        match client.ended()? {
            ended @ (Ended::Refused(_) | Ended::OtherVersion(_)) => {
                Some(Error::of_lost(client.server(), ended, &self.config))
            }
            Ended::Closed => Some(Error::NotExecuted(Why::Closed)),
            Ended::NoAnswer | Ended::Forgotten | Ended::Stale => None,
        }
    }

    /// Ends the calls whose deadline is over: those that wait are withdrawn, of those that
    /// were sent only their sessions know from now on.
    #[cold]
    fn end_late(&mut self, now_ns: u64, ended: &mut impl FnMut(EndedCall<'_, T>)) {
        let mut next_ns = u64::MAX;
        let mut waits = false;
        for (_, call) in &mut self.calls {
            if call.token.is_none() {
                continue;
            }
            if call.deadline_ns > now_ns {
                next_ns = next_ns.min(call.deadline_ns);
            } else if let State::Waiting { .. } = call.state {
                waits = true;
            } else if !is_planted(Fault::DeadlineIgnored) {
                self.counters.late += 1;
                let session = self.pool.get(call.session);
                observe::call_late(session.client.server(), call.kind);
                ended(EndedCall {
                    token: call.token.take().expect("just looked"),
                    worker: session.client.server(),
                    server: session.server,
                    result: Err(call.kind.unanswered(Why::Deadline)),
                });
            }
        }
        self.next_deadline_ns = next_ns;
        if waits {
            self.withdraw_late(now_ns, ended);
        }
    }

    fn withdraw_late(&mut self, now_ns: u64, ended: &mut impl FnMut(EndedCall<'_, T>)) {
        for session in self.lines.sessions() {
            let is_late = |waiting: &Waiting| self.calls[waiting.call].deadline_ns <= now_ns;
            for waiting in self.lines.take_if(session, is_late) {
                self.counters.withdrawn += 1;
                let kind = self.calls[waiting.call].kind;
                observe::call_withdrawn(self.worker(session).0, kind);
                let error = self.withdrawn(session);
                self.end_waiting(&waiting, &error, ended);
            }
        }
    }

    /// What a call is told that had to wait for a session until its deadline.
    fn withdrawn(&self, session: usize) -> Error {
        let client = &self.pool.get(session).client;
        match client.granted() {
            Some(_) => Error::NotExecuted(Why::Deadline),
            None => self.trouble.clone().unwrap_or(Error::NoServer {
                server: client.server(),
                mtu_bytes: self.config.mtu_bytes,
            }),
        }
    }

    /// A call was taken out of its line.
    fn left_line(&self, waiting: &Waiting) {
        if let (Kind::Put, Some(cache)) = (self.calls[waiting.call].kind, self.pool.cache()) {
            cache.mutation_handed_on(&waiting.key);
        }
    }

    /// Ends a call that was taken out of its line.
    fn end_waiting(
        &mut self,
        waiting: &Waiting,
        error: &Error,
        ended: &mut impl FnMut(EndedCall<'_, T>),
    ) {
        self.left_line(waiting);
        let call = self.calls.remove(waiting.call);
        let State::Waiting { was_sent } = call.state else { unreachable!("it was in a line") };
        let session = self.pool.get(call.session);
        let result = match error {
            Error::NotExecuted(why) if was_sent => Err(call.kind.unanswered(*why)),
            error => Err(error.clone()),
        };
        ended(EndedCall {
            token: call.token.expect("who waits in a line was told nothing"),
            worker: session.client.server(),
            server: session.server,
            result,
        });
    }

    /// Hands over what waits, as far as there is room.
    fn serve_lines(&mut self, ended: &mut impl FnMut(EndedCall<'_, T>)) {
        for session in self.lines.sessions() {
            if self.lines.is_empty(session) {
                continue;
            }
            if self.pool.is_retired(session) {
                self.leave_retired(session, ended);
            } else if let Some(error) = self.refusal(session) {
                for waiting in self.lines.take_all(session) {
                    self.end_waiting(&waiting, &error, ended);
                }
            } else {
                // Mutations first: what reads leave of the window is no bound on them.
                self.serve_line(session, Kind::Put, ended);
                self.serve_line(session, Kind::Get, ended);
            }
        }
    }

    fn serve_line(&mut self, session: usize, like: Kind, ended: &mut impl FnMut(EndedCall<'_, T>)) {
        while let Some(waiting) = self.lines.front(session, like) {
            let (id, kind) = (waiting.call as u32, self.calls[waiting.call].kind);
            let handed = hand_over(&mut self.pool, session, id, kind, &waiting.key, &waiting.value);
            if let Err(Blocked::WindowFull | Blocked::NotOpen) = handed {
                return;
            }
            let waiting = self.lines.pop_front(session, like).expect("it was just seen");
            if handed.is_ok() {
                self.left_line(&waiting);
                self.calls[waiting.call].state = State::Sent;
            } else {
                // The session that opened meanwhile carries shorter datagrams.
                let max = self.value_bytes_max(session, &waiting.key);
                let what = TooLarge::Value { bytes: waiting.value.len(), max };
                self.end_waiting(&waiting, &Error::TooLarge { what }, ended);
            }
        }
    }

    /// The worker of a session is no more: what waits for it goes to the one that carries the
    /// key now.
    #[cold]
    fn leave_retired(&mut self, session: usize, ended: &mut impl FnMut(EndedCall<'_, T>)) {
        for waiting in self.lines.take_all(session) {
            let call = &mut self.calls[waiting.call];
            if let Kind::Stats | Kind::Ping = call.kind {
                self.end_waiting(&waiting, &Error::NotExecuted(Why::SessionLost), ended);
                continue;
            }
            let (_, carrier) = self.pool.carrier(&waiting.key);
            call.session = carrier;
            self.lines.push_back(carrier, call.kind, waiting);
        }
    }
}

#[inline]
fn hand_over(
    pool: &mut SessionPool<u32>,
    session: usize,
    id: u32,
    kind: Kind,
    key: &[u8],
    value: &[u8],
) -> Result<(), Blocked> {
    match kind {
        Kind::Get | Kind::Ping => pool.send_get(session, id, key),
        Kind::Put => pool.send_put(session, id, key, value),
        Kind::Stats => pool.send_stats(session, id),
    }
}

/// An operation of a session has ended, and its call with it, unless it is a read that is
/// asked again. `why`: what an operation without an answer lacks.
#[inline]
fn conclude<T>(
    calls: &mut Slab<Call<T>>,
    lines: &mut Lines,
    counters: &mut CallCounters,
    why: Why,
    worker: &RemoteWorker,
    operation: &Finished<'_, u32>,
    ended: &mut impl FnMut(EndedCall<'_, T>),
) {
    let id = operation.token as usize;
    let is_lost = why == Why::SessionLost && calls[id].token.is_some();
    let again = match operation.outcome {
        Outcome::Unanswered if is_lost => Some(Box::default()),
        Outcome::Indeterminate if is_lost => calls[id].kept.take(),
        _ => None,
    };
    if let Some(value) = again {
        let call = &mut calls[id];
        call.state = State::Waiting { was_sent: true };
        let waiting = Waiting { call: id, key: operation.key.into(), value };
        lines.push_front(call.session, call.kind, waiting);
        counters.asked_again += 1;
        return observe::asked_again();
    }
    let Call { token, kind, .. } = calls.remove(id);
    // Who was told at the deadline is not told again.
    if let Some(token) = token {
        let result = kind.result(why, worker.incarnation, &operation.outcome);
        ended(EndedCall { token, worker: worker.address, server: worker.server, result });
    }
}
