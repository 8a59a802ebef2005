//! Sessions with many servers as one state machine, without sockets: for loops of your own.
//!
//! A [`SessionPool`] opens a session with each worker that it meets, finds the session that
//! carries a key, opens another where one is lost, shares the receive buffer among them and
//! keeps the near cache true. Which operation is sent when, and what to do when there is no
//! room, is its caller's affair: [`crate::calls`] adds a line of those that wait, and deadlines.
//!
//! The order of the calls is that of every state machine of `proto`, which documents it: the
//! datagrams of a round, [`SessionPool::handle_timeout`], [`SessionPool::maintain`], the
//! application's commands, and at last the polls.
//!
//! ```
//! use std::net::UdpSocket;
//! use std::time::{Duration, Instant};
//!
//! use client::entropy::Entropy;
//! use client::pool::{SessionPool, Share};
//! use proto::client::{ClientConfig, Outcome};
//! use proto::transmit::Flush;
//!
//! # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
//! # let servers = [server.address];
//! let socket = UdpSocket::bind("127.0.0.1:0")?;
//! socket.set_read_timeout(Some(Duration::from_millis(1)))?;
//! let start = Instant::now();
//! let config = ClientConfig::default();
//! let mut pool = SessionPool::new(0, &servers, config, Share::ALL, Entropy::System)?;
//! let (mut is_sent, mut is_over) = (false, false);
//! let mut buffer = [0; 2048];
//! while !is_over {
//!     let received = socket.recv_from(&mut buffer);
//!     let now_ns = start.elapsed().as_nanos() as u64;
//!     if let Ok((bytes, from)) = received {
//!         pool.handle_datagram(now_ns, from, &buffer[..bytes], |_worker, operation| {
//!             assert_eq!((operation.token, operation.outcome), (7, Outcome::NotFound));
//!             is_over = true;
//!         });
//!     }
//!     pool.handle_timeout(now_ns, |_, _| {});
//!     if !is_sent && pool.connect(now_ns)? {
//!         let (_server, session) = pool.carrier(b"key");
//!         is_sent = pool.send_get(session, 7, b"key").is_ok();
//!     }
//!     while let Some(burst) = pool.poll_transmit(now_ns, Flush::All) {
//!         for datagram in burst.datagrams() {
//!             socket.send_to(datagram, burst.path.remote)?;
//!         }
//!     }
//! }
//! # Ok::<(), client::Error>(())
//! ```

mod meeting;
mod servers;
mod session;
mod sessions;
mod share;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use proto::client::{Blocked, ClientConfig, Ended, Finished};
use proto::counters::ClientCounters;
use proto::transmit::{Flush, Transmit};

pub use session::{PooledSession, RemoteWorker, Silent};
pub use share::Share;

use crate::entropy::Entropy;
use crate::error::Error;
use crate::near_cache::NearCache;
use crate::pool::meeting::Meeting;
use crate::pool::sessions::{Sessions, told_to};

/// The sessions of one thread. `T` is what its application knows an operation by.
#[derive(Debug)]
pub struct SessionPool<T> {
    sessions: Sessions<T>,
    meeting: Meeting,
    /// When connecting has failed.
    connect_by_ns: u64,
    is_closed: bool,
}

impl<T: Copy> SessionPool<T> {
    /// Begins to open a session with the first worker of each server. The receive buffer of
    /// `config` is shared by all of them.
    ///
    /// # Errors
    /// If the system has no random bytes to name sessions with.
    pub fn new(
        now_ns: u64,
        servers: &[SocketAddr],
        config: ClientConfig,
        share: Share,
        entropy: Entropy,
    ) -> io::Result<Self> {
        assert!(!servers.is_empty(), "a cluster has at least one server");
        assert!(share.index < share.of);
        Ok(Self {
            sessions: Sessions::new(now_ns, servers, config, entropy)?,
            meeting: Meeting::of(share),
            connect_by_ns: now_ns.saturating_add(config.handshake_timeout_ns),
            is_closed: false,
        })
    }

    /// From now on, what GETs read is kept in this cache, and mutations keep it true.
    #[must_use]
    pub fn with_cache(mut self, cache: Arc<NearCache>) -> Self {
        self.sessions.cache = Some(cache);
        self
    }

    /// The cache, if there is one.
    #[must_use]
    pub const fn cache(&self) -> Option<&Arc<NearCache>> {
        self.sessions.cache.as_ref()
    }

    /// What its sessions are told.
    pub(crate) const fn config(&self) -> &ClientConfig {
        &self.sessions.config
    }

    /// Opens what is still to open. Returns whether all sessions are open.
    ///
    /// # Errors
    /// The first session that would not open: why, and which server's it is. Together they have
    /// as long as a handshake may take.
    pub fn connect(&mut self, now_ns: u64) -> Result<bool, Error> {
        self.meeting.go_on(now_ns, &mut self.sessions, &mut |_, _| {})?;
        self.meeting.check()?;
        let of_lost = |session: &PooledSession<T>, ended| {
            Error::of_lost(session.client.server(), ended, self.config())
        };
        for session in self.all() {
            if let Some(ended) = session.client.ended() {
                return Err(of_lost(session, ended));
            }
        }
        let is_open = self.is_open();
        if !is_open && now_ns >= self.connect_by_ns {
            let is_late = |session: &&PooledSession<T>| session.client.granted().is_none();
            let late = self.all().find(is_late).or_else(|| self.all().next());
            return Err(of_lost(late.expect("there is a server"), Ended::NoAnswer));
        }
        Ok(is_open)
    }

    /// Whether all sessions are open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.sessions.servers.are_met()
            && self.all().all(|session| session.client.granted().is_some())
    }

    /// Opens a new session in the place of each that was lost; what was outstanding there is
    /// not sent again. One that was refused waits for its time. Where a server has other
    /// workers in another life, sessions with workers that are no more end. Called once a
    /// round; after [`Self::close`] it does nothing.
    ///
    /// # Errors
    /// If the system has no random bytes to name sessions with, or a server claims workers that
    /// it cannot have: that lasts until it claims others. The others go on.
    pub fn maintain(
        &mut self,
        now_ns: u64,
        mut finished: impl FnMut(&RemoteWorker, &Finished<'_, T>),
    ) -> Result<(), Error> {
        if self.is_closed {
            return Ok(());
        }
        let Self { sessions, meeting, .. } = self;
        meeting.go_on(now_ns, sessions, &mut finished)?;
        for place in 0..sessions.all.len() {
            let session = &sessions.all[place];
            if !session.is_retired && session.client.ended().is_some() {
                sessions.reopen(now_ns, place)?;
            }
        }
        meeting.check()
    }

    /// What a server claims that none should, since it was met last.
    #[must_use]
    pub fn invalid_claim(&self, server: usize) -> Option<&Error> {
        self.meeting.invalid_claim(server)
    }

    /// The server that holds a key, and the session that carries operations on it.
    #[inline]
    #[must_use]
    pub fn carrier(&self, key: &[u8]) -> (usize, usize) {
        self.sessions.servers.carrier(key)
    }

    /// A session by its place.
    #[inline]
    #[must_use]
    pub fn get(&self, place: usize) -> &PooledSession<T> {
        &self.sessions.all[place]
    }

    /// Hands a GET to a session.
    ///
    /// # Errors
    /// Why it is not taken now.
    #[inline]
    pub fn send_get(&mut self, place: usize, token: T, key: &[u8]) -> Result<(), Blocked> {
        self.sessions.all[place].client.get(token, key)
    }

    /// Hands a PUT to a session.
    ///
    /// # Errors
    /// Why it is not taken now.
    #[inline]
    pub fn send_put(
        &mut self,
        place: usize,
        token: T,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), Blocked> {
        self.sessions.all[place].client.put(token, key, value)?;
        if let Some(cache) = &self.sessions.cache {
            cache.mutation_begins(key);
        }
        Ok(())
    }

    /// Hands a question for its worker's counters to a session.
    ///
    /// # Errors
    /// Why it is not taken now.
    pub fn send_stats(&mut self, place: usize, token: T) -> Result<(), Blocked> {
        self.sessions.all[place].client.stats(token)
    }

    /// Takes back the operations that no poll has handed out yet: they are certainly not
    /// executed. Tells of each by its token.
    pub fn withdraw_unsent(&mut self, mut withdrawn: impl FnMut(T)) {
        let Sessions { all, cache, .. } = &mut self.sessions;
        for session in all {
            session.client.withdraw_unsent(|token, is_mutation, key| {
                if let (true, Some(cache)) = (is_mutation, &cache) {
                    cache.mutation_handed_on(key);
                }
                withdrawn(token);
            });
        }
    }

    /// Asks each worker for its counters; returns how many were asked.
    pub fn ask_for_counters(&mut self, token: T) -> usize {
        self.sessions.carrying_mut().filter_map(|session| session.client.stats(token).ok()).count()
    }

    /// Hands a datagram to the session of the address that it came from; tells of each
    /// operation that it ended.
    #[inline]
    pub fn handle_datagram(
        &mut self,
        now_ns: u64,
        from: SocketAddr,
        datagram: &[u8],
        mut finished: impl FnMut(&RemoteWorker, &Finished<'_, T>),
    ) {
        let Self { sessions, meeting, .. } = self;
        let Sessions { all, servers, cache, past, .. } = sessions;
        let found = all
            .iter_mut()
            .enumerate()
            .find(|(_, session)| !session.is_retired && session.client.server() == from);
        let Some((place, session)) = found else {
            past.misdirected += 1;
            return;
        };
        let worker = session.worker();
        let was_open = session.client.granted().is_some();
        session.heard_ns = now_ns;
        let is_latest_life = servers.get(worker.server).incarnation == worker.incarnation;
        let ended = told_to(cache.as_deref(), now_ns, &worker, is_latest_life, &mut finished);
        session.client.handle_datagram(now_ns, datagram, ended);
        if !was_open && session.client.granted().is_some() {
            meeting.opened(place);
        }
    }

    /// Does what time has made due in each session; tells of each operation that it ended.
    pub fn handle_timeout(
        &mut self,
        now_ns: u64,
        mut finished: impl FnMut(&RemoteWorker, &Finished<'_, T>),
    ) {
        let Sessions { all, cache, .. } = &mut self.sessions;
        for session in all {
            let worker = session.worker();
            let ended = told_to(cache.as_deref(), now_ns, &worker, false, &mut finished);
            session.client.handle_timeout(now_ns, ended);
        }
    }

    /// Ends every session; tells of each operation that was outstanding. Their servers are
    /// told by the polls that follow.
    pub fn close(
        &mut self,
        now_ns: u64,
        mut finished: impl FnMut(&RemoteWorker, &Finished<'_, T>),
    ) {
        self.is_closed = true;
        for place in self.places() {
            self.sessions.close(now_ns, place, &mut finished);
        }
    }

    /// All that carry operations.
    pub fn all(&self) -> impl Iterator<Item = &PooledSession<T>> {
        self.sessions.carrying()
    }

    /// Places that [`Self::get`] takes.
    #[must_use]
    pub fn places(&self) -> std::ops::Range<usize> {
        0..self.sessions.all.len()
    }

    /// Whether the session at a place carries nothing any more.
    #[must_use]
    pub fn is_retired(&self, place: usize) -> bool {
        self.sessions.all[place].is_retired
    }

    /// Whether all have ended, and said so to their servers.
    #[must_use]
    pub fn are_over(&self) -> bool {
        self.sessions.all.iter().all(|session| session.client.ended().is_some())
    }

    /// Whether nothing is outstanding anywhere.
    #[must_use]
    pub fn are_idle(&self) -> bool {
        self.sessions.all.iter().all(|session| session.client.is_idle())
    }

    /// The earliest time at which one of them has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        let sessions = self.sessions.all.iter();
        let due =
            sessions.filter_map(|session| session.client.poll_timeout().or(session.reopen_ns));
        due.min()
    }

    /// The next burst to send.
    #[inline]
    pub fn poll_transmit(&mut self, now_ns: u64, flush: Flush) -> Option<Transmit<'_>> {
        let ready = (self.sessions.all.iter_mut())
            .position(|session| session.client.poll_transmit(now_ns, flush).is_some())?;
        Some(self.sessions.all[ready].client.transmit())
    }

    /// Sum of all counters, those of lost sessions included.
    #[must_use]
    pub fn counters(&self) -> ClientCounters {
        self.sessions.counters()
    }

    /// Sessions that were lost, by worker.
    #[must_use]
    pub fn lost(&self) -> BTreeMap<SocketAddr, u64> {
        self.sessions.lost()
    }

    /// The workers that were asked and have not answered since then.
    pub fn silent(&mut self, now_ns: u64) -> impl Iterator<Item = Silent> {
        self.sessions.carrying_mut().filter_map(move |session| {
            if !session.awaits_answer() {
                session.heard_ns = now_ns;
                return None;
            }
            Some(Silent { worker: session.client.server(), since_ns: session.heard_ns })
        })
    }
}
