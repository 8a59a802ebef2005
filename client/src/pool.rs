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

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use proto::client::{Blocked, Client, ClientConfig, Ended, Finished};
use proto::counters::ClientCounters;
use proto::placement::KeyHash;
use proto::planted::{Fault, is_planted};
use proto::transmit::{Flush, Transmit};

use crate::entropy::Entropy;
use crate::error::Error;
use crate::limits::{REOPEN_NS_MAX, REOPEN_NS_MIN, WORKERS_MAX};
use crate::near_cache::NearCache;
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

/// Which of the workers of each server a pool talks to: its share, if `of` pools with the
/// numbers from 0 on divide them. Where there are more pools than workers, several talk to
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The number of this pool.
    pub index: usize,
    /// How many there are.
    pub of: usize,
}

impl Share {
    /// All workers.
    pub const ALL: Self = Self { index: 0, of: 1 };

    fn has(self, worker: usize, workers: usize) -> bool {
        if self.of >= workers {
            worker == self.index % workers
        } else {
            worker % self.of == self.index
        }
    }
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
    is_retired: bool,
    /// When its worker was last heard, or had last nothing to answer.
    heard_ns: u64,
    /// If it was refused: when to try again, and how long to wait after the next refusal.
    reopen_ns: Option<u64>,
    backoff_ns: u64,
}

impl<T: Copy> PooledSession<T> {
    fn worker(&self) -> RemoteWorker {
        let incarnation = self.client.granted().map_or(0, |granted| granted.incarnation);
        RemoteWorker { address: self.client.server(), server: self.server, incarnation }
    }

    fn awaits_answer(&self) -> bool {
        let is_opening = self.client.granted().is_none();
        self.client.ended().is_none() && (is_opening || !self.client.is_idle())
    }
}

/// What is known of a server.
#[derive(Debug, Default)]
struct KnownServer {
    /// Places of the sessions that carry its keys; until it was met, of the one that meets it.
    sessions: Vec<usize>,
    /// Its workers, and the life that was met last.
    workers: Option<u16>,
    incarnation: u64,
}

/// The sessions of one thread. `T` is what its application knows an operation by.
#[derive(Debug)]
pub struct SessionPool<T> {
    all: Vec<PooledSession<T>>,
    servers: Vec<KnownServer>,
    config: ClientConfig,
    /// Bytes of replies that the socket holds.
    receive_bytes: usize,
    share: Share,
    cache: Option<Arc<NearCache>>,
    /// Sessions that have opened, and whose server was not looked at since.
    opened: Vec<usize>,
    /// A server that claimed what none should, when it was met last.
    invalid: Option<(usize, Error)>,
    /// When connecting has failed.
    connect_by_ns: u64,
    /// Counters of sessions that are no more.
    past: ClientCounters,
    /// How many of them were lost, by worker.
    lost: BTreeMap<SocketAddr, u64>,
    entropy: Entropy,
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
        let mut sessions = Self {
            all: Vec::new(),
            servers: servers.iter().map(|_| KnownServer::default()).collect(),
            receive_bytes: config.reply_bytes_max,
            config,
            share,
            cache: None,
            opened: Vec::new(),
            invalid: None,
            connect_by_ns: now_ns.saturating_add(config.handshake_timeout_ns),
            past: ClientCounters::default(),
            lost: BTreeMap::new(),
            entropy,
            is_closed: false,
        };
        for (server, &address) in servers.iter().enumerate() {
            sessions.add(now_ns, server, address)?;
        }
        sessions.share_receive_buffer();
        Ok(sessions)
    }

    /// From now on, what GETs read is kept in this cache, and mutations keep it true.
    #[must_use]
    pub fn with_cache(mut self, cache: Arc<NearCache>) -> Self {
        self.cache = Some(cache);
        self
    }

    /// The cache, if there is one.
    #[must_use]
    pub const fn cache(&self) -> Option<&Arc<NearCache>> {
        self.cache.as_ref()
    }

    /// What its sessions are told.
    pub(crate) const fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// Opens what is still to open. Returns whether all sessions are open.
    ///
    /// # Errors
    /// The first session that would not open: why, and which server's it is. Together they have
    /// as long as a handshake may take.
    pub fn connect(&mut self, now_ns: u64) -> Result<bool, Error> {
        self.meet_opened(now_ns, &mut |_, _| {})?;
        self.check_met()?;
        let of_lost = |session: &PooledSession<T>, ended| {
            Error::of_lost(session.client.server(), ended, &self.config)
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

    /// Whether each server claimed what it may, when it was met last.
    fn check_met(&self) -> Result<(), Error> {
        match &self.invalid {
            Some((_, error)) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Whether all sessions are open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.servers.iter().all(|server| server.workers.is_some())
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
        self.meet_opened(now_ns, &mut finished)?;
        for place in 0..self.all.len() {
            let session = &self.all[place];
            if !session.is_retired && session.client.ended().is_some() {
                self.reopen(now_ns, place)?;
            }
        }
        self.check_met()
    }

    #[cold]
    fn reopen(&mut self, now_ns: u64, place: usize) -> Result<(), Error> {
        let session = &mut self.all[place];
        let (worker, ended) = (session.client.server(), session.client.ended());
        match ended {
            // All were closed: none is wanted any more.
            Some(Ended::Closed) => return Ok(()),
            Some(Ended::Refused(_) | Ended::OtherVersion(_)) => {
                if session.reopen_ns.is_none() {
                    observe::session_refused(worker, ended);
                }
                let backoff_ns = session.backoff_ns;
                if now_ns < *session.reopen_ns.get_or_insert(now_ns + backoff_ns) {
                    return Ok(());
                }
                session.backoff_ns = (2 * backoff_ns).min(REOPEN_NS_MAX);
            }
            _ => observe::session_lost(worker, ended),
        }
        observe::session_reopening(worker);
        session.reopen_ns = None;
        self.past.add(session.client.counters());
        *self.lost.entry(worker).or_default() += session.client.counters().sessions_lost;
        session.client = Client::new(now_ns, worker, self.entropy.next_id()?, self.config);
        Ok(())
    }

    /// Learns from sessions that have opened which workers their servers have, and whether
    /// they live another life.
    #[inline]
    fn meet_opened(
        &mut self,
        now_ns: u64,
        finished: &mut impl FnMut(&RemoteWorker, &Finished<'_, T>),
    ) -> Result<(), Error> {
        while let Some(place) = self.opened.pop() {
            let server = self.all[place].server;
            match self.meet(now_ns, place, finished) {
                Err(error @ Error::InvalidServer { .. }) => self.invalid = Some((server, error)),
                met => {
                    met?;
                    self.invalid.take_if(|(invalid, _)| *invalid == server);
                }
            }
        }
        Ok(())
    }

    #[cold]
    fn meet(
        &mut self,
        now_ns: u64,
        place: usize,
        finished: &mut impl FnMut(&RemoteWorker, &Finished<'_, T>),
    ) -> Result<(), Error> {
        let session = &mut self.all[place];
        let Some(&granted) = session.client.granted() else { return Ok(()) };
        session.backoff_ns = REOPEN_NS_MIN;
        let (index, address) = (session.server, session.client.server());
        if granted.workers > WORKERS_MAX {
            let claims = "more workers than a server has";
            return Err(Error::InvalidServer { server: address, claims });
        }
        observe::session_opened(address, granted.incarnation);
        let server = &mut self.servers[index];
        if let (Some(_), true, Some(cache)) =
            (server.workers, server.incarnation != granted.incarnation, &self.cache)
            && !is_planted(Fault::CacheOutlivesLife)
        {
            cache.clear();
        }
        server.incarnation = granted.incarnation;
        if server.workers != Some(granted.workers) {
            let base = base_address(address, granted.worker)?;
            self.share_workers(now_ns, index, base, granted.workers, finished)?;
            self.servers[index].workers = Some(granted.workers);
            self.share_receive_buffer();
        }
        Ok(())
    }

    /// Opens sessions with the workers of this pool's share, and closes the others with this
    /// server: the first stays only if it is of the share.
    fn share_workers(
        &mut self,
        now_ns: u64,
        server: usize,
        base: SocketAddr,
        workers: u16,
        finished: &mut impl FnMut(&RemoteWorker, &Finished<'_, T>),
    ) -> Result<(), Error> {
        let workers = usize::from(workers);
        let mine = (0..workers).filter(|&worker| self.share.has(worker, workers));
        let mine =
            mine.map(|worker| worker_address(base, worker)).collect::<Result<Vec<_>, _>>()?;
        let is_of_both = |session: &&PooledSession<T>| {
            session.server != server && mine.contains(&session.client.server())
        };
        if let Some(session) = self.all().find(is_of_both) {
            let claims = "to be a worker of two servers of the list";
            return Err(Error::InvalidServer { server: session.client.server(), claims });
        }
        let before = std::mem::take(&mut self.servers[server].sessions);
        let (stay, leave): (Vec<_>, Vec<_>) =
            before.into_iter().partition(|&place| mine.contains(&self.all[place].client.server()));
        for place in leave {
            self.all[place].is_retired = true;
            self.close_one(now_ns, place, finished);
        }
        self.servers[server].sessions = stay;
        for address in mine {
            let sessions = &self.servers[server].sessions;
            if !sessions.iter().any(|&place| self.all[place].client.server() == address) {
                self.add(now_ns, server, address)?;
            }
        }
        let Self { servers, all, .. } = self;
        servers[server].sessions.sort_by_key(|&place| all[place].client.server().port());
        Ok(())
    }

    /// The server that holds a key, and the session that carries operations on it.
    #[inline]
    #[must_use]
    pub fn carrier(&self, key: &[u8]) -> (usize, usize) {
        if let [KnownServer { sessions, .. }] = self.servers.as_slice()
            && let [place] = sessions.as_slice()
        {
            return (0, *place);
        }
        let hash = KeyHash::of(key);
        let server = hash.server_of(self.servers.len());
        let sessions = &self.servers[server].sessions;
        (server, sessions[hash.session_of(sessions.len())])
    }

    /// A session by its place.
    #[inline]
    #[must_use]
    pub fn get(&self, place: usize) -> &PooledSession<T> {
        &self.all[place]
    }

    /// Hands a GET to a session.
    ///
    /// # Errors
    /// Why it is not taken now.
    #[inline]
    pub fn send_get(&mut self, place: usize, token: T, key: &[u8]) -> Result<(), Blocked> {
        self.all[place].client.get(token, key)
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
        self.all[place].client.put(token, key, value)?;
        if let Some(cache) = &self.cache {
            cache.mutation_begins(key);
        }
        Ok(())
    }

    /// Hands a question for its worker's counters to a session.
    ///
    /// # Errors
    /// Why it is not taken now.
    pub fn send_stats(&mut self, place: usize, token: T) -> Result<(), Blocked> {
        self.all[place].client.stats(token)
    }

    /// Asks each worker for its counters; returns how many were asked.
    pub fn ask_for_counters(&mut self, token: T) -> usize {
        self.all_mut().filter_map(|session| session.client.stats(token).ok()).count()
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
        let Self { all, servers, cache, opened, past, .. } = self;
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
        let is_latest_life = servers[worker.server].incarnation == worker.incarnation;
        session.client.handle_datagram(now_ns, datagram, |operation| {
            if let Some(cache) = cache {
                cache.finished(now_ns, &operation, worker.incarnation, is_latest_life);
            }
            finished(&worker, &operation);
        });
        if !was_open && session.client.granted().is_some() {
            opened.push(place);
        }
    }

    /// Does what time has made due in each session; tells of each operation that it ended.
    pub fn handle_timeout(
        &mut self,
        now_ns: u64,
        mut finished: impl FnMut(&RemoteWorker, &Finished<'_, T>),
    ) {
        let Self { all, cache, .. } = self;
        for session in all {
            let worker = session.worker();
            session.client.handle_timeout(now_ns, |operation| {
                if let Some(cache) = cache {
                    cache.finished(now_ns, &operation, worker.incarnation, false);
                }
                finished(&worker, &operation);
            });
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
            self.all[place].reopen_ns = None;
            self.close_one(now_ns, place, &mut finished);
        }
    }

    fn close_one(
        &mut self,
        now_ns: u64,
        place: usize,
        finished: &mut impl FnMut(&RemoteWorker, &Finished<'_, T>),
    ) {
        let Self { all, cache, .. } = self;
        let worker = all[place].worker();
        all[place].client.close(|operation| {
            if let Some(cache) = cache {
                cache.finished(now_ns, &operation, worker.incarnation, false);
            }
            finished(&worker, &operation);
        });
    }

    /// All that carry operations.
    pub fn all(&self) -> impl Iterator<Item = &PooledSession<T>> {
        self.all.iter().filter(|session| !session.is_retired)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut PooledSession<T>> {
        self.all.iter_mut().filter(|session| !session.is_retired)
    }

    /// Places that [`Self::get`] takes.
    #[must_use]
    pub fn places(&self) -> std::ops::Range<usize> {
        0..self.all.len()
    }

    /// Whether the session at a place carries nothing any more.
    #[must_use]
    pub fn is_retired(&self, place: usize) -> bool {
        self.all[place].is_retired
    }

    /// Whether all have ended, and said so to their servers.
    #[must_use]
    pub fn are_over(&self) -> bool {
        self.all.iter().all(|session| session.client.ended().is_some())
    }

    /// Whether nothing is outstanding anywhere.
    #[must_use]
    pub fn are_idle(&self) -> bool {
        self.all.iter().all(|session| session.client.is_idle())
    }

    /// The earliest time at which one of them has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        let sessions = self.all.iter();
        let due =
            sessions.filter_map(|session| session.client.poll_timeout().or(session.reopen_ns));
        due.min()
    }

    /// The next burst to send.
    #[inline]
    pub fn poll_transmit(&mut self, now_ns: u64, flush: Flush) -> Option<Transmit<'_>> {
        let ready = (self.all.iter_mut())
            .position(|session| session.client.poll_transmit(now_ns, flush).is_some())?;
        Some(self.all[ready].client.transmit())
    }

    /// Sum of all counters, those of lost sessions included.
    #[must_use]
    pub fn counters(&self) -> ClientCounters {
        let mut sum = self.past;
        for session in &self.all {
            sum.add(session.client.counters());
        }
        sum
    }

    /// Sessions that were lost, by worker.
    #[must_use]
    pub fn lost(&self) -> BTreeMap<SocketAddr, u64> {
        let mut lost = self.lost.clone();
        for session in &self.all {
            let of_worker = lost.entry(session.client.server()).or_default();
            *of_worker += session.client.counters().sessions_lost;
        }
        lost.retain(|_, sessions| *sessions > 0);
        lost
    }

    /// The workers that were asked and have not answered since then.
    pub fn silent(&mut self, now_ns: u64) -> impl Iterator<Item = Silent> {
        self.all_mut().filter_map(move |session| {
            if !session.awaits_answer() {
                session.heard_ns = now_ns;
                return None;
            }
            Some(Silent { worker: session.client.server(), since_ns: session.heard_ns })
        })
    }

    /// All sessions together have no more replies outstanding than the socket holds.
    fn share_receive_buffer(&mut self) {
        let share = self.receive_bytes / self.all().count().max(1);
        self.config.reply_bytes_max = share;
        for session in &mut self.all {
            session.client.set_reply_bytes_max(share);
        }
    }

    fn add(&mut self, now_ns: u64, server: usize, address: SocketAddr) -> io::Result<()> {
        let client = Client::new(now_ns, address, self.entropy.next_id()?, self.config);
        let session = PooledSession {
            client,
            server,
            is_retired: false,
            heard_ns: now_ns,
            reopen_ns: None,
            backoff_ns: REOPEN_NS_MIN,
        };
        // A worker that comes and goes with the lives of its server has one place.
        let before = self
            .all
            .iter()
            .position(|session| session.is_retired && session.client.server() == address);
        if let Some(place) = before {
            self.past.add(self.all[place].client.counters());
            self.all[place] = session;
        } else {
            self.all.push(session);
        }
        self.servers[server].sessions.push(before.unwrap_or(self.all.len() - 1));
        Ok(())
    }
}

/// Where worker 0 is, if `worker` is at `address`.
fn base_address(address: SocketAddr, worker: u16) -> Result<SocketAddr, Error> {
    match address.port().checked_sub(worker) {
        Some(port) => Ok(SocketAddr::new(address.ip(), port)),
        None => {
            Err(Error::InvalidServer { server: address, claims: "workers before the first port" })
        }
    }
}

fn worker_address(base: SocketAddr, worker: usize) -> Result<SocketAddr, Error> {
    match u16::try_from(usize::from(base.port()) + worker) {
        Ok(port) => Ok(SocketAddr::new(base.ip(), port)),
        Err(_) => {
            Err(Error::InvalidServer { server: base, claims: "workers beyond the last port" })
        }
    }
}
