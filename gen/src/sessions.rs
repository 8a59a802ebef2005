//! The sessions of one thread: with every server, and with its share of each one's workers.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use anyhow::{Result, bail};
use proto::client::{Client, ClientConfig, Ended, Outcome};
use proto::counters::ClientCounters;
use proto::transmit::{Flush, Transmit};
use proto::wire::{Reason, VERSION};

use crate::entropy::Entropy;
use crate::silence::Silent;
use crate::token::{Origin, Token};

/// The worker that a session is with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteWorker {
    /// Where it is.
    pub address: SocketAddr,
    /// Place of its server in the cluster's list.
    pub server: usize,
}

/// A session, and who waits for room in it.
#[derive(Debug)]
pub struct PooledSession {
    /// The state machine.
    pub client: Client<Token>,
    /// Place of its server in the cluster's list.
    pub server: usize,
    /// Streams whose next operation found no room.
    pub parked: VecDeque<u32>,
    /// Whether it only served to meet the server's workers, and is closed.
    is_retired: bool,
    /// When its worker was last heard, or had last nothing to answer.
    heard_ns: u64,
}

impl PooledSession {
    fn worker(&self) -> RemoteWorker {
        RemoteWorker { address: self.client.server(), server: self.server }
    }

    fn awaits_answer(&self) -> bool {
        let is_opening = self.client.granted().is_none();
        self.client.ended().is_none() && (is_opening || !self.client.is_idle())
    }
}

/// The sessions of one thread.
#[derive(Debug)]
pub struct SessionPool {
    all: Vec<PooledSession>,
    by_server: Vec<Vec<usize>>,
    config: ClientConfig,
    /// Bytes of replies that the socket holds.
    receive_bytes: usize,
    thread: usize,
    threads: usize,
    /// Servers whose workers are known.
    known: Vec<bool>,
    /// Counters of sessions that are no more.
    past: ClientCounters,
    /// How many of them were lost, by worker.
    lost: BTreeMap<SocketAddr, u64>,
    entropy: Entropy,
}

impl SessionPool {
    /// Begins to open a session with the first worker of each server. The receive buffer of
    /// `config` is shared by all of them.
    pub fn new(
        now_ns: u64,
        servers: &[SocketAddr],
        config: ClientConfig,
        thread: usize,
        threads: usize,
        entropy: Entropy,
    ) -> Result<Self> {
        let mut sessions = Self {
            all: Vec::new(),
            by_server: vec![Vec::new(); servers.len()],
            receive_bytes: config.reply_bytes_max,
            config,
            thread,
            threads,
            known: vec![false; servers.len()],
            past: ClientCounters::default(),
            lost: BTreeMap::new(),
            entropy,
        };
        for (server, &address) in servers.iter().enumerate() {
            sessions.add(now_ns, server, address)?;
        }
        sessions.share_receive_buffer();
        Ok(sessions)
    }

    /// Opens what is still to open. Returns whether all sessions of this thread are open;
    /// an error names the server that would not.
    pub fn connect(&mut self, now_ns: u64) -> Result<bool> {
        for server in 0..self.by_server.len() {
            let first = &self.all[self.by_server[server][0]].client;
            if let (false, Some(granted)) = (self.known[server], first.granted()) {
                let (workers, worker) = (granted.workers, granted.worker);
                let base = base_address(first.server(), worker)?;
                self.known[server] = true;
                self.meet_workers(now_ns, server, base, workers, worker)?;
                self.share_receive_buffer();
            }
        }
        for session in self.all() {
            if let Some(ended) = session.client.ended() {
                bail!(explain(session.client.server(), ended, &self.config));
            }
        }
        Ok(self.known.iter().all(|&known| known)
            && self.all().all(|session| session.client.granted().is_some()))
    }

    /// A thread talks to its share of a server's workers; where there are more threads than
    /// workers, several talk to one. The first session stays only if it is of the share.
    fn meet_workers(
        &mut self,
        now_ns: u64,
        server: usize,
        base: SocketAddr,
        workers: u16,
        met: u16,
    ) -> Result<()> {
        let share = |worker: usize| {
            if self.threads >= usize::from(workers) {
                worker == self.thread % usize::from(workers)
            } else {
                worker % self.threads == self.thread
            }
        };
        let mine: Vec<usize> = (0..usize::from(workers)).filter(|&worker| share(worker)).collect();
        let met = usize::from(met);
        if !mine.contains(&met) {
            let first = self.by_server[server].remove(0);
            self.all[first].client.close(|_, _| {});
            self.all[first].is_retired = true;
        }
        for worker in mine {
            if worker != met {
                self.add(now_ns, server, worker_address(base, worker)?)?;
            }
        }
        Ok(())
    }

    /// Opens a new session in the place of each that was lost; what was outstanding there
    /// is not sent again.
    pub fn reopen(&mut self, now_ns: u64) -> Result<()> {
        for index in 0..self.all.len() {
            let session = &mut self.all[index];
            if !session.is_retired && session.client.ended().is_some() {
                self.past.add(session.client.counters());
                let server = session.client.server();
                *self.lost.entry(server).or_default() += session.client.counters().sessions_lost;
                session.client = Client::new(now_ns, server, self.entropy.next_id()?, self.config);
            }
        }
        Ok(())
    }

    /// The session that carries operations on `record`, which `server` holds.
    #[inline]
    #[must_use]
    pub fn carrier(&self, server: usize, record: u64) -> usize {
        let of_server = &self.by_server[server];
        if of_server.len() == 1 {
            return of_server[0];
        }
        of_server[(record % of_server.len() as u64) as usize]
    }

    /// A session by its place.
    #[inline]
    pub fn get_mut(&mut self, index: usize) -> &mut PooledSession {
        &mut self.all[index]
    }

    /// Hands a datagram to the session of the address that it came from; tells of each
    /// operation that it ended.
    #[inline]
    pub fn handle_datagram(
        &mut self,
        now_ns: u64,
        from: SocketAddr,
        datagram: &[u8],
        mut ended: impl FnMut(&RemoteWorker, Token, &Outcome<'_>),
    ) {
        let Some(session) = self.all_mut().find(|session| session.client.server() == from) else {
            self.past.misdirected += 1;
            return;
        };
        let worker = session.worker();
        session.heard_ns = now_ns;
        session.client.handle_datagram(now_ns, datagram, |token, outcome| {
            ended(&worker, token, &outcome);
        });
    }

    /// Does what time has made due in each session; tells of each operation that it ended.
    pub fn handle_timeout(
        &mut self,
        now_ns: u64,
        mut ended: impl FnMut(&RemoteWorker, Token, &Outcome<'_>),
    ) {
        for session in self.all_mut() {
            let worker = session.worker();
            session.client.handle_timeout(now_ns, |token, outcome| ended(&worker, token, &outcome));
        }
    }

    /// Asks each worker for its counters; returns how many were asked.
    pub fn ask_for_counters(&mut self, now_ns: u64) -> usize {
        let token = Token::new(Origin::Counters, false, None, now_ns);
        self.all_mut().filter_map(|session| session.client.stats(token).ok()).count()
    }

    /// Ends every session; nobody is told any more of what is outstanding.
    pub fn close(&mut self) {
        self.all_mut().for_each(|session| session.client.close(|_, _| {}));
    }

    /// All that carry operations.
    pub fn all(&self) -> impl Iterator<Item = &PooledSession> {
        self.all.iter().filter(|session| !session.is_retired)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut PooledSession> {
        self.all.iter_mut().filter(|session| !session.is_retired)
    }

    /// Places that [`Self::get_mut`] takes.
    #[must_use]
    pub fn places(&self) -> std::ops::Range<usize> {
        0..self.all.len()
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
        self.all.iter().filter_map(|session| session.client.poll_timeout()).min()
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

    fn add(&mut self, now_ns: u64, server: usize, address: SocketAddr) -> Result<()> {
        let client = Client::new(now_ns, address, self.entropy.next_id()?, self.config);
        self.by_server[server].push(self.all.len());
        let parked = VecDeque::new();
        self.all.push(PooledSession {
            client,
            server,
            parked,
            is_retired: false,
            heard_ns: now_ns,
        });
        Ok(())
    }
}

/// Where worker 0 is, if `worker` is at `address`.
fn base_address(address: SocketAddr, worker: u16) -> Result<SocketAddr> {
    match address.port().checked_sub(worker) {
        Some(port) => Ok(SocketAddr::new(address.ip(), port)),
        None => bail!("the server {address} claims workers before the first port"),
    }
}

fn worker_address(base: SocketAddr, worker: usize) -> Result<SocketAddr> {
    match u16::try_from(usize::from(base.port()) + worker) {
        Ok(port) => Ok(SocketAddr::new(base.ip(), port)),
        Err(_) => bail!("the server {base} claims workers beyond the last port"),
    }
}

fn explain(server: SocketAddr, ended: Ended, config: &ClientConfig) -> String {
    match ended {
        Ended::NoAnswer => format!(
            "no answer from {server} in {:.1} s: is kv running there, and does the path carry \
             datagrams of {} bytes (--mtu)?",
            config.handshake_timeout_ns as f64 / 1e9,
            config.mtu_bytes
        ),
        Ended::OtherVersion(version) => format!(
            "{server} speaks version {version} of the protocol, this program version {VERSION}: \
             use programs of the same release"
        ),
        Ended::Refused(Reason::SessionsFull) => {
            format!("{server} has all the sessions that it can hold: try again later")
        }
        Ended::Refused(reason) => format!("{server} refused to open a session: {reason:?}"),
        Ended::Forgotten | Ended::Closed => format!("{server} ended the session at once"),
    }
}
