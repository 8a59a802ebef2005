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

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use proto::client::{Blocked, ClientConfig, Ended, Finished, Outcome};
use proto::counters::ClientCounters;
use proto::limits::{KEY_BYTES_MAX, KEY_BYTES_MIN, value_bytes_max};
use proto::planted::{Fault, is_planted};
use proto::transmit::{Flush, Transmit};
use slab::Slab;

use crate::answer::Version;
use crate::entropy::Entropy;
use crate::error::{Error, Refusal, TooLarge, Why};
use crate::limits::{LINE_BYTES_MAX, LINE_CALLS_MAX};
use crate::near_cache::{Cached, NearCache};
use crate::observe;
use crate::planted::Kept;
use crate::pool::{RemoteWorker, SessionPool, Share};

/// The key that a ping reads: what it finds does not matter.
const PING_KEY: &[u8] = b"\0";

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

proto::counters! {
    /// What happened to calls, beside what their sessions count.
    ///
    /// ```
    /// use client::calls::CallCounters;
    ///
    /// let names: Vec<_> = CallCounters::default().named().map(|(name, _)| name).collect();
    /// assert_eq!(names, ["taken", "not_sent", "withdrawn", "late", "asked_again"]);
    /// ```
    #[non_exhaustive]
    CallCounters {
        /// Calls that were taken.
        taken,
        /// Calls that were not, because too many waited already.
        not_sent: trouble,
        /// Calls that were withdrawn at their deadline, before they were sent.
        withdrawn: trouble,
        /// Calls that were sent and not answered at their deadline.
        late: trouble,
        /// Reads that were asked again in another session.
        asked_again: trouble,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Get,
    Put,
    Stats,
    Ping,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In its session's line; whether it was sent in an earlier session.
    Waiting { was_sent: bool },
    /// Its session has it.
    Sent,
}

#[derive(Debug)]
struct Call<T> {
    /// None: its caller was told, and only its session still knows it.
    token: Option<T>,
    kind: Kind,
    state: State,
    deadline_ns: u64,
    /// Place of its session.
    session: usize,
    kept: Kept,
}

/// A call in a line.
#[derive(Debug)]
struct Waiting {
    call: usize,
    key: Box<[u8]>,
    value: Box<[u8]>,
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }
}

/// The calls that wait for room in a session. Mutations have less room than reads, and reads
/// do not wait behind them.
#[derive(Debug, Default)]
struct Line {
    mutations: VecDeque<Waiting>,
    reads: VecDeque<Waiting>,
}

impl Line {
    fn of(&mut self, kind: Kind) -> &mut VecDeque<Waiting> {
        match kind {
            Kind::Put => &mut self.mutations,
            Kind::Get | Kind::Stats | Kind::Ping => &mut self.reads,
        }
    }

    fn both(&mut self) -> [&mut VecDeque<Waiting>; 2] {
        [&mut self.mutations, &mut self.reads]
    }

    fn take_all(&mut self) -> impl Iterator<Item = Waiting> + use<> {
        let Self { mutations, reads } = std::mem::take(self);
        mutations.into_iter().chain(reads)
    }
}

/// Calls with deadlines over the sessions with many servers.
#[derive(Debug)]
pub struct Calls<T> {
    pool: SessionPool<u32>,
    calls: Slab<Call<T>>,
    /// For each session, by its place, the calls that wait for room there.
    lines: Vec<Line>,
    waiting_calls: usize,
    waiting_bytes: usize,
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
            lines: Vec::new(),
            waiting_calls: 0,
            waiting_bytes: 0,
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
        self.waiting_calls
    }

    /// Bytes of their keys and values.
    #[must_use]
    pub const fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
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
        let Self { pool, calls, lines, .. } = self;
        let mut again = (0, 0);
        pool.handle_datagram(now_ns, from, datagram, |worker, operation| {
            let (more, bytes) =
                conclude(calls, lines, Why::SessionLost, worker, operation, &mut ended);
            again = (again.0 + more, again.1 + bytes);
        });
        self.count_again(again);
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
        let Self { pool, calls, lines, .. } = self;
        let mut again = (0, 0);
        let mut conclude = |worker: &RemoteWorker, operation: &Finished<'_, u32>| {
            let (more, bytes) =
                conclude(calls, lines, Why::SessionLost, worker, operation, &mut ended);
            again = (again.0 + more, again.1 + bytes);
        };
        if is_drained {
            pool.handle_timeout(now_ns, &mut conclude);
        }
        if !self.is_connecting {
            self.trouble = pool.maintain(now_ns, conclude).err();
        }
        self.count_again(again);
        if is_drained && now_ns >= self.next_deadline_ns {
            self.end_late(now_ns, &mut ended);
        }
        if self.waiting_calls > 0 {
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
        for mut line in std::mem::take(&mut self.lines) {
            for waiting in line.take_all() {
                self.end_waiting(&waiting, &Error::NotExecuted(Why::Closed), &mut ended);
            }
        }
        let Self { pool, calls, lines, .. } = self;
        pool.close(now_ns, |worker, operation| {
            conclude(calls, lines, Why::Closed, worker, operation, &mut ended);
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
        let is_first = self.lines.get_mut(session).is_none_or(|line| line.of(kind).is_empty());
        let entry = self.calls.vacant_entry();
        let id = entry.key();
        let handed = match is_first {
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
        let bytes = key.len() + value.len();
        if self.waiting_calls >= LINE_CALLS_MAX || self.waiting_bytes + bytes > LINE_BYTES_MAX {
            self.counters.not_sent += 1;
            observe::line_full(self.worker(session).0, self.waiting_calls);
            return Err(Error::NotSent);
        }
        self.waiting_calls += 1;
        self.waiting_bytes += bytes;
        if let (Kind::Put, Some(cache)) = (kind, self.pool.cache()) {
            cache.mutation_begins(key);
        }
        let waiting = Waiting { call, key: key.into(), value: value.into() };
        line(&mut self.lines, session).of(kind).push_back(waiting);
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

    fn count_again(&mut self, (calls, bytes): Again) {
        self.counters.asked_again += calls as u64;
        observe::asked_again(calls);
        self.waiting_calls += calls;
        self.waiting_bytes += bytes;
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
                    result: Err(unanswered(call.kind, Why::Deadline)),
                });
            }
        }
        self.next_deadline_ns = next_ns;
        for session in 0..if waits { self.lines.len() } else { 0 } {
            let calls = &self.calls;
            let [late, late_reads] = self.lines[session].both().map(|line| {
                let (late, in_time): (VecDeque<_>, _) = std::mem::take(line)
                    .into_iter()
                    .partition(|waiting| calls[waiting.call].deadline_ns <= now_ns);
                *line = in_time;
                late
            });
            for waiting in late.into_iter().chain(late_reads) {
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
    fn left_line(&mut self, waiting: &Waiting) {
        self.waiting_calls -= 1;
        self.waiting_bytes -= waiting.bytes();
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
            Error::NotExecuted(why) if was_sent => Err(unanswered(call.kind, *why)),
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
        for session in 0..self.lines.len() {
            if self.lines[session].both().iter().all(|line| line.is_empty()) {
                continue;
            }
            if self.pool.is_retired(session) {
                self.leave_retired(session, ended);
            } else if let Some(error) = self.refusal(session) {
                for waiting in self.lines[session].take_all() {
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
        while let Some(waiting) = self.lines[session].of(like).front() {
            let (id, kind) = (waiting.call as u32, self.calls[waiting.call].kind);
            let handed = hand_over(&mut self.pool, session, id, kind, &waiting.key, &waiting.value);
            if let Err(Blocked::WindowFull | Blocked::NotOpen) = handed {
                return;
            }
            let line = self.lines[session].of(like);
            let waiting = line.pop_front().expect("it was just seen");
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
        for waiting in self.lines[session].take_all() {
            let call = &mut self.calls[waiting.call];
            if let Kind::Stats | Kind::Ping = call.kind {
                self.end_waiting(&waiting, &Error::NotExecuted(Why::SessionLost), ended);
                continue;
            }
            let (_, carrier) = self.pool.carrier(&waiting.key);
            call.session = carrier;
            line(&mut self.lines, carrier).of(call.kind).push_back(waiting);
        }
    }
}

/// Calls and bytes that wait again.
type Again = (usize, usize);

fn line(lines: &mut Vec<Line>, session: usize) -> &mut Line {
    if session >= lines.len() {
        lines.resize_with(session + 1, Line::default);
    }
    &mut lines[session]
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

/// What a call is told that was sent and not answered.
fn unanswered(kind: Kind, why: Why) -> Error {
    match kind {
        Kind::Put if why == Why::Deadline && is_planted(Fault::LateToldNotExecuted) => {
            Error::NotExecuted(why)
        }
        Kind::Put => Error::Indeterminate(why),
        Kind::Get | Kind::Stats | Kind::Ping => Error::Unanswered(why),
    }
}

/// An operation of a session has ended, and its call with it, unless it is a read that is
/// asked again: tells what waits again then. `why`: what an operation without an answer lacks.
#[inline]
fn conclude<T>(
    calls: &mut Slab<Call<T>>,
    lines: &mut Vec<Line>,
    why: Why,
    worker: &RemoteWorker,
    operation: &Finished<'_, u32>,
    ended: &mut impl FnMut(EndedCall<'_, T>),
) -> Again {
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
        let bytes = waiting.bytes();
        line(lines, call.session).of(call.kind).push_front(waiting);
        return (1, bytes);
    }
    let Call { token, kind, .. } = calls.remove(id);
    // Who was told at the deadline is not told again.
    if let Some(token) = token {
        let result = reply(kind, why, worker.incarnation, &operation.outcome);
        ended(EndedCall { token, worker: worker.address, server: worker.server, result });
    }
    (0, 0)
}

#[inline]
fn reply<'a>(
    kind: Kind,
    why: Why,
    incarnation: u64,
    outcome: &Outcome<'a>,
) -> Result<Reply<'a>, Error> {
    match (kind, *outcome) {
        (_, Outcome::Indeterminate | Outcome::Unanswered) => Err(unanswered(kind, why)),
        (Kind::Ping, _) => Ok(Reply::Pong),
        (Kind::Stats, Outcome::Value { value, .. }) => Ok(Reply::Counters(value)),
        (_, Outcome::Value { version, value }) => {
            Ok(Reply::Found { version: Version::new(incarnation, version), value })
        }
        (_, Outcome::NotFound) => Ok(Reply::NotFound),
        (_, Outcome::Stored { version }) => Ok(Reply::Stored(Version::new(incarnation, version))),
        (_, Outcome::Full) => Err(Error::Refused(Refusal::MemoryFull)),
        (_, Outcome::TooLarge) => Err(Error::TooLarge { what: TooLarge::Answer }),
    }
}
