//! The server's end of the protocol: one worker.
//!
//! Handed a datagram, it answers the handshake without state, refuses what it does not
//! know, and has requests executed (`execution.rs`) at most once against a [`Store`].

use crate::answer_limit::AnswerLimit;
use crate::closed_clients::ClosedClients;
use crate::cookie::Cookies;
use crate::counters::ServerCounters;
use crate::entries_hash::EntriesHash;
use crate::execution::Execution;
use crate::host::Host;
use crate::limits::{
    AnswerRates, CREDIT_MIN, DATAGRAM_OVERHEAD_BYTES, FLOOD_NS, MTU_BYTES_MAX, MTU_BYTES_MIN,
    SESSION_SCAN_NS, WINDOW_MAX,
};
use crate::pack;
use crate::planted::{self, Fault, is_planted};
use crate::replies::{Destination, Replies};
use crate::session::{Arrival, Session};
use crate::session_table::{Opened, Rooms, SessionTable, Terms};
use crate::stats_text::StatsText;
use crate::store::Store;
use crate::top_list::TopList;
use crate::transmit::{Account, Flush, Path, Transmit};
use crate::unpack::{self, Malformed, RequestSpan};
use crate::wire::{
    Accept, Cookie, FLAG_MUTATIONS_ONLY, Header, Hello, Kind, MAGIC, Open, Reason, VERSION,
    client_nonce,
};

/// What a worker is told at its start.
#[derive(Clone, Copy, Debug)]
pub struct ServerConfig {
    /// Largest datagram that it takes and sends.
    pub mtu_bytes: usize,
    /// Largest window that it grants (a power of two).
    pub window: usize,
    /// Workers of this server.
    pub workers: u16,
    /// Which of them this one is.
    pub worker: u16,
    /// What the kernel granted its socket to hold in unread datagrams, as it counts them.
    pub receive_buffer_bytes: usize,
    /// How many sessions it may have.
    pub rooms: Rooms,
    /// Random; the same for all workers of this life of the server.
    pub incarnation: u64,
    /// Random, differing with each life and worker: for cookies and session ids.
    pub secret: [u8; 16],
    /// How often it answers strangers, and what comes again.
    pub rates: AnswerRates,
}

/// One worker of a server.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    cookies: Cookies,
    cookie_limit: AnswerLimit,
    refusal_limit: AnswerLimit,
    /// Whose datagrams were dropped because they had enough answers.
    limited: TopList,
    /// Until when it is likely that more such datagrams come.
    flooded_until_ns: u64,
    sessions: SessionTable,
    closed: ClosedClients,
    entries_hash: EntriesHash,
    /// Datagrams that the receive buffer has room for.
    room: usize,
    replies: Replies,
    stats: StatsText,
    counters: ServerCounters,
    spans: Vec<RequestSpan>,
    next_scan_ns: u64,
}

impl Server {
    /// A worker without sessions.
    #[must_use]
    pub fn new(config: ServerConfig) -> Self {
        assert!((MTU_BYTES_MIN..=MTU_BYTES_MAX).contains(&config.mtu_bytes));
        assert!(config.window.is_power_of_two() && config.window <= WINDOW_MAX);
        assert!(config.worker < config.workers);
        let rates = config.rates;
        let key = |number| config.secret.map(|byte| byte.wrapping_add(number));
        Self {
            config,
            cookies: Cookies::new(config.secret),
            sessions: SessionTable::new(config.secret.map(|byte| !byte), config.rooms),
            cookie_limit: AnswerLimit::new(key(1), rates.cookies, rates.cookies_by_address),
            refusal_limit: AnswerLimit::new(key(2), rates.refusals, rates.refusals_by_address),
            limited: TopList::default(),
            flooded_until_ns: 0,
            closed: ClosedClients::default(),
            entries_hash: EntriesHash::new(config.secret.map(|byte| byte ^ 0x5c), config.mtu_bytes),
            room: config.receive_buffer_bytes / (config.mtu_bytes + DATAGRAM_OVERHEAD_BYTES),
            replies: Replies::default(),
            stats: StatsText::default(),
            counters: ServerCounters::default(),
            spans: Vec::new(),
            next_scan_ns: 0,
        }
    }

    /// What happened so far.
    #[must_use]
    pub const fn counters(&self) -> &ServerCounters {
        &self.counters
    }

    /// Sessions open.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// The hosts whose datagrams were dropped most because they had enough answers.
    #[must_use]
    pub const fn limited(&self) -> &TopList {
        &self.limited
    }

    /// Takes one datagram that arrived.
    #[inline]
    pub fn handle_datagram(
        &mut self,
        now_ns: u64,
        path: Path,
        datagram: &[u8],
        store: &mut impl Store,
    ) {
        let store = &mut planted::lying(store, self.config.secret);
        self.counters.datagrams_received += 1;
        self.counters.bytes_received += datagram.len() as u64;
        if now_ns < self.flooded_until_ns && self.is_limited(now_ns, path, datagram) {
            self.limit(now_ns, path);
        } else if let Err(malformed) = self.dispatch(now_ns, path, datagram, store) {
            self.reject(now_ns, path, datagram, malformed);
        }
    }

    /// Forgets sessions that were silent for too long.
    pub fn handle_timeout(&mut self, now_ns: u64) {
        if now_ns >= self.next_scan_ns {
            self.next_scan_ns = now_ns + SESSION_SCAN_NS;
            self.sessions.expire(now_ns);
            self.counters.sessions_expired = self.sessions.expired();
        }
    }

    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        (!self.sessions.is_empty()).then_some(self.next_scan_ns)
    }

    /// The next burst to send.
    #[inline]
    pub fn poll_transmit(&mut self, flush: Flush) -> Option<Transmit<'_>> {
        let transmit = self.replies.poll_transmit(flush)?;
        self.counters.datagrams_sent += transmit.segments() as u64;
        self.counters.bytes_sent += transmit.bytes.len() as u64;
        Some(transmit)
    }

    /// Whether all that could be done with a datagram is to answer somebody without a session
    /// who has had enough answers. Looked at during a flood, before anything that takes longer,
    /// the checksum too: so a flood costs little more than to receive it.
    #[cold]
    fn is_limited(&mut self, now_ns: u64, path: Path, datagram: &[u8]) -> bool {
        const REQUEST: u8 = Kind::Request as u8;
        const HELLO: u8 = Kind::Hello as u8;
        let header = unpack::unchecked_header(datagram);
        if header.magic != MAGIC || header.version != VERSION {
            return false;
        }
        let limit = match header.kind {
            REQUEST if self.sessions.get_mut(now_ns, header.session, path).is_some() => {
                return false;
            }
            REQUEST => &mut self.refusal_limit,
            HELLO => &mut self.cookie_limit,
            _ => return false,
        };
        !limit.admits(now_ns, Host::of(path.remote.ip()))
    }

    /// Somebody without a session had enough answers.
    #[cold]
    fn limit(&mut self, now_ns: u64, path: Path) {
        self.flooded_until_ns = now_ns + FLOOD_NS;
        self.counters.answers_limited += 1;
        self.limited.note(Host::of(path.remote.ip()));
    }

    fn dispatch(
        &mut self,
        now_ns: u64,
        path: Path,
        datagram: &[u8],
        store: &mut impl Store,
    ) -> Result<(), Malformed> {
        let (kind, header) = unpack::header(datagram)?;
        match kind {
            Kind::Request => self.request(now_ns, path, &header, datagram, store),
            Kind::Hello => self.hello(now_ns, path, datagram),
            Kind::Open => self.open(now_ns, path, &header, datagram),
            Kind::Close => {
                self.close(now_ns, path, &header);
                Ok(())
            }
            Kind::Cookie | Kind::Accept | Kind::Reply | Kind::Refuse => Err(Malformed::Field),
        }
    }

    #[cold]
    fn reject(&mut self, now_ns: u64, path: Path, datagram: &[u8], malformed: Malformed) {
        let Malformed::OtherVersion(_) = malformed else {
            self.counters.malformed += 1;
            return;
        };
        self.counters.other_version += 1;
        // Two servers of different versions must not refuse each other's refusals for ever.
        let header: Header = unpack::unchecked_header(datagram);
        if header.kind != Kind::Refuse as u8 {
            self.refuse(now_ns, path, &header, Reason::Version);
        }
    }

    fn hello(&mut self, now_ns: u64, path: Path, datagram: &[u8]) -> Result<(), Malformed> {
        if datagram.len() < MTU_BYTES_MIN {
            return Err(Malformed::Short);
        }
        let hello: Hello = unpack::body(datagram)?;
        if !self.cookie_limit.take(now_ns, Host::of(path.remote.ip())) {
            self.limit(now_ns, path);
            return Ok(());
        }
        let cookie = self.cookies.issue(now_ns, path.remote, hello.client_id);
        let header = Header::new(Kind::Cookie, client_nonce(&hello.client_id), 0);
        let write = |buffer: &mut Vec<u8>| pack::control(buffer, header, &cookie, 0);
        self.replies.control(path, Account::Stranger, write);
        Ok(())
    }

    fn open(
        &mut self,
        now_ns: u64,
        path: Path,
        header: &Header,
        datagram: &[u8],
    ) -> Result<(), Malformed> {
        let open: Open = unpack::body(datagram)?;
        let own = Terms { mtu_bytes: self.config.mtu_bytes, window: self.config.window };
        let terms = own.negotiate(&open, datagram.len())?;
        let Open { client_id, issued_at_ns, mac, .. } = open;
        if !self.cookies.check(now_ns, path.remote, &Cookie { client_id, issued_at_ns, mac }) {
            self.counters.cookies_refused += 1;
            self.refuse(now_ns, path, header, Reason::Cookie);
            return Ok(());
        }
        if self.closed.may_have((client_id, path.remote), issued_at_ns)
            && !is_planted(Fault::ClosedForgotten)
        {
            self.counters.opens_late += 1;
            self.refuse(now_ns, path, header, Reason::Cookie);
            return Ok(());
        }
        let Ok(opened) = self.sessions.open(now_ns, path, client_id, terms) else {
            self.counters.sessions_refused += 1;
            self.refuse(now_ns, path, header, Reason::SessionsFull);
            return Ok(());
        };
        let Opened { session, shares, is_new, displaced } = opened;
        self.counters.sessions_opened += u64::from(is_new);
        let accept = Accept {
            client_id,
            incarnation: self.config.incarnation,
            mtu_bytes: session.mtu_bytes as u32,
            window: session.window() as u32,
            workers: self.config.workers,
            worker: self.config.worker,
            reserved: 0,
        };
        let mut header = Header::new(Kind::Accept, client_nonce(&client_id), session.id);
        header.credit = credit(shares.of(&session.seat, self.room));
        // As long as the session's datagrams may be: so the client knows that they arrive.
        self.replies.control(path, Account::Session, |buffer| {
            pack::control(buffer, header, &accept, accept.mtu_bytes as usize);
        });
        self.counters.sessions_expired = self.sessions.expired(); // Some made room.
        if let Some(displaced) = displaced {
            self.displaced(now_ns, &displaced);
        }
        Ok(())
    }

    /// Tells a client that its session has given way, before it asks for something in it.
    fn displaced(&mut self, now_ns: u64, session: &Session) {
        self.counters.sessions_displaced += 1;
        self.closed.add(now_ns, (session.client_id, session.path.remote));
        let lost = Header::new(Kind::Request, session.id, 0);
        self.refuse(now_ns, session.path, &lost, Reason::UnknownSession);
    }

    fn close(&mut self, now_ns: u64, path: Path, header: &Header) {
        if let Some((session, _)) = self.sessions.get_mut(now_ns, header.session, path) {
            self.closed.add(now_ns, (session.client_id, path.remote));
            self.sessions.close(header.session);
            self.counters.sessions_closed += 1;
        } else {
            self.counters.unknown_session += 1;
        }
    }

    #[cold]
    fn refuse(&mut self, now_ns: u64, path: Path, refused: &Header, reason: Reason) {
        if !self.refusal_limit.take(now_ns, Host::of(path.remote.ip())) {
            self.limit(now_ns, path);
            return;
        }
        let mut header = Header::new(Kind::Refuse, refused.session, refused.sequence);
        header.flags = reason as u8;
        self.replies.control(path, Account::Stranger, |buffer| pack::bare(buffer, header));
    }

    #[inline]
    fn request(
        &mut self,
        now_ns: u64,
        path: Path,
        header: &Header,
        datagram: &[u8],
        store: &mut impl Store,
    ) -> Result<(), Malformed> {
        if header.sequence == 0 || header.flags & !FLAG_MUTATIONS_ONLY != 0 {
            return Err(Malformed::Field);
        }
        unpack::requests(datagram, header.entries, &mut self.spans)?;
        let Some((session, shares)) = self.sessions.get_mut(now_ns, header.session, path) else {
            self.counters.unknown_session += 1;
            self.refuse(now_ns, path, header, Reason::UnknownSession);
            return Ok(());
        };
        if datagram.len() > session.mtu_bytes {
            return Err(Malformed::Entry);
        }
        session.last_heard_ns = now_ns;
        if self.spans.is_empty() {
            return Ok(()); // A keep-alive.
        }
        shares.asks(now_ns, &mut session.seat);
        let credit = credit(shares.of(&session.seat, self.room));
        let arrival = session.completion_mut(header.sequence).classify(header.sequence);
        match arrival {
            Arrival::New => session.repeats.give(self.config.rates.repeats),
            Arrival::Again => {
                let mutations = self.spans.iter().filter(|span| span.op.is_mutation()).count();
                let completion = session.completion_mut(header.sequence);
                let entries = unpack::entries(datagram, &self.spans);
                if !completion.is_of(mutations, || self.entries_hash.of(entries)) {
                    self.counters.sequences_taken += 1;
                    self.refuse(now_ns, path, header, Reason::SequenceTaken);
                    return Ok(());
                }
                if !session.repeats.take(now_ns, self.config.rates.repeats) {
                    self.counters.repeats_limited += 1;
                    self.limited.note(Host::of(path.remote.ip()));
                    return Ok(());
                }
                self.counters.requests_duplicate += 1;
            }
            Arrival::Old => {
                self.counters.requests_old += 1;
                return Ok(());
            }
        }
        let mut execution = Execution {
            arrival,
            destination: Destination {
                path: session.path,
                session: session.id,
                mtu_bytes: session.mtu_bytes,
                credit,
                attempt: header.attempt,
            },
            sequence: header.sequence,
            datagram,
            spans: &self.spans,
            entries_hash: &self.entries_hash,
            counters: &mut self.counters,
            replies: &mut self.replies,
            stats: &mut self.stats,
            now_ns,
        };
        execution.run(session, header.flags & FLAG_MUTATIONS_ONLY != 0, store);
        Ok(())
    }
}

/// How many request datagrams a session may have outstanding: its share of what the worker's
/// receive buffer holds.
fn credit(share: usize) -> u16 {
    share.clamp(CREDIT_MIN, WINDOW_MAX) as u16
}
