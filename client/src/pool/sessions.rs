//! The sessions of a pool, and what is known of their servers: opened, closed and opened again.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use proto::client::{Client, ClientConfig, Finished};
use proto::counters::ClientCounters;

use crate::entropy::Entropy;
use crate::error::Error;
use crate::near_cache::NearCache;
use crate::pool::servers::Servers;
use crate::pool::session::{PooledSession, RemoteWorker};

/// All sessions, by their places, which last.
#[derive(Debug)]
pub(super) struct Sessions<T> {
    pub(super) all: Vec<PooledSession<T>>,
    pub(super) servers: Servers,
    /// What they are told; the receive buffer is shared among them.
    pub(super) config: ClientConfig,
    /// Bytes of replies that the socket holds.
    receive_bytes: usize,
    pub(super) cache: Option<Arc<NearCache>>,
    /// Counters of sessions that are no more.
    pub(super) past: ClientCounters,
    /// How many of them were lost, by worker.
    lost: BTreeMap<SocketAddr, u64>,
    entropy: Entropy,
}

impl<T: Copy> Sessions<T> {
    /// Begins to open a session with the first worker of each server.
    pub(super) fn new(
        now_ns: u64,
        servers: &[SocketAddr],
        config: ClientConfig,
        entropy: Entropy,
    ) -> io::Result<Self> {
        let mut sessions = Self {
            all: Vec::new(),
            servers: Servers::new(servers.len()),
            receive_bytes: config.reply_bytes_max,
            config,
            cache: None,
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

    /// Those that carry operations.
    pub(super) fn carrying(&self) -> impl Iterator<Item = &PooledSession<T>> {
        self.all.iter().filter(|session| !session.is_retired)
    }

    /// Those that carry operations.
    pub(super) fn carrying_mut(&mut self) -> impl Iterator<Item = &mut PooledSession<T>> {
        self.all.iter_mut().filter(|session| !session.is_retired)
    }

    /// Opens a session with a worker of a server.
    pub(super) fn add(
        &mut self,
        now_ns: u64,
        server: usize,
        address: SocketAddr,
    ) -> io::Result<()> {
        let session = PooledSession::new(now_ns, self.new_client(now_ns, address)?, server);
        // Workers that come and go with the lives of a server take no more places than it had
        // at once.
        let before = self.all.iter().position(|session| {
            let is_of_server = session.is_retired && session.server == server;
            is_of_server && session.client.ended().is_some()
        });
        if let Some(place) = before {
            self.past.add(self.all[place].client.counters());
            self.all[place] = session;
        } else {
            self.all.push(session);
        }
        let place = before.unwrap_or(self.all.len() - 1);
        self.servers.get_mut(server).sessions.push(place);
        Ok(())
    }

    /// Opens another session in the place of one that has ended, if it is time.
    #[cold]
    pub(super) fn reopen(&mut self, now_ns: u64, place: usize) -> Result<(), Error> {
        let session = &mut self.all[place];
        if !session.is_to_reopen(now_ns) {
            return Ok(());
        }
        let (worker, counters) = (session.client.server(), session.client.counters());
        self.past.add(counters);
        *self.lost.entry(worker).or_default() += counters.sessions_lost;
        let client = self.new_client(now_ns, worker)?;
        self.all[place].reopen(now_ns, client);
        Ok(())
    }

    fn new_client(&mut self, now_ns: u64, worker: SocketAddr) -> io::Result<Client<T>> {
        Ok(Client::new(now_ns, worker, self.entropy.next_id()?, self.config))
    }

    /// Ends a session; tells of each operation that was outstanding.
    pub(super) fn close(
        &mut self,
        now_ns: u64,
        place: usize,
        finished: &mut impl FnMut(&RemoteWorker, &Finished<'_, T>),
    ) {
        let Self { all, cache, .. } = self;
        let session = &mut all[place];
        let worker = session.worker();
        session.reopen_ns = None;
        session.client.close(told_to(cache.as_deref(), now_ns, &worker, false, finished));
    }

    /// All together have no more replies outstanding than the socket holds.
    pub(super) fn share_receive_buffer(&mut self) {
        let share = self.receive_bytes / self.carrying().count().max(1);
        self.config.reply_bytes_max = share;
        for session in &mut self.all {
            session.client.set_reply_bytes_max(share);
        }
    }

    /// Sum of all counters, those of lost sessions included.
    pub(super) fn counters(&self) -> ClientCounters {
        let mut sum = self.past;
        for session in &self.all {
            sum.add(session.client.counters());
        }
        sum
    }

    /// How many were lost, by worker.
    pub(super) fn lost(&self) -> BTreeMap<SocketAddr, u64> {
        let mut lost = self.lost.clone();
        for session in &self.all {
            let of_worker = lost.entry(session.client.server()).or_default();
            *of_worker += session.client.counters().sessions_lost;
        }
        lost.retain(|_, sessions| *sessions > 0);
        lost
    }
}

/// Tells the cache and the application of each operation of a session that ends.
/// `is_latest_life`: the session is with the life of its server that was met last.
#[inline]
pub(super) fn told_to<'a, T>(
    cache: Option<&'a NearCache>,
    now_ns: u64,
    worker: &'a RemoteWorker,
    is_latest_life: bool,
    finished: &'a mut impl FnMut(&RemoteWorker, &Finished<'_, T>),
) -> impl FnMut(Finished<'_, T>) + 'a {
    move |operation| {
        if let Some(cache) = cache {
            cache.finished(now_ns, &operation, worker.incarnation, is_latest_life);
        }
        finished(worker, &operation);
    }
}
