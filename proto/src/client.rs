//! The client's end of the protocol: one session with one worker.
//!
//! The application hands in operations with tokens of its own, and gets each token back
//! exactly once, with its [`Outcome`]. Operations share datagrams; nothing waits to fill
//! one. A session ends once and for all: what was outstanding then is indeterminate, and
//! the application opens another session for what comes next (invariant 3).

use std::net::SocketAddr;

use crate::counters::ClientCounters;
use crate::flight::{Flight, Overdue};
use crate::handshake::{Granted, Handshake, Progress};
use crate::limits::{
    ANSWER_TIMEOUT_NS, HANDSHAKE_TIMEOUT_NS, KEEPALIVE_NS, MTU_BYTES_DEFAULT, MTU_BYTES_MAX,
    MTU_BYTES_MIN, SESSION_STALE_NS, WINDOW_DEFAULT, WINDOW_MAX,
};
pub use crate::outcome::{Blocked, Ended, Finished, Outcome};
use crate::pack;
use crate::transmit::{Account, Flush, Path, Transmit};
use crate::unpack::{self, Malformed};
use crate::wire::{HEADER_BYTES, Header, Kind, Op, Reason};

/// What a session is told at its start.
#[derive(Clone, Copy, Debug)]
pub struct ClientConfig {
    /// Largest datagram to send and to take.
    pub mtu_bytes: usize,
    /// The least to settle for where the path does not carry that.
    pub mtu_bytes_min: usize,
    /// Window to ask for (a power of two).
    pub window: usize,
    /// Bytes that outstanding replies may take: this session's share of what its socket's
    /// receive buffer holds, as the kernel counts it.
    pub reply_bytes_max: usize,
    /// How long the handshake may take.
    pub handshake_timeout_ns: u64,
    /// How long an operation may stay unanswered before the session is given up.
    pub answer_timeout_ns: u64,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            mtu_bytes: MTU_BYTES_DEFAULT,
            mtu_bytes_min: MTU_BYTES_MIN,
            window: WINDOW_DEFAULT,
            reply_bytes_max: 128 << 10,
            handshake_timeout_ns: HANDSHAKE_TIMEOUT_NS,
            answer_timeout_ns: ANSWER_TIMEOUT_NS,
        }
    }
}

#[derive(Debug)]
enum Phase<T> {
    Connecting(Handshake),
    Open(Flight<T>),
    /// The session's id is still to be told to the server, once.
    Closing(u64),
    Ended(Ended),
}

/// One session with one worker. `T` is the application's token.
#[derive(Debug)]
pub struct Client<T> {
    config: ClientConfig,
    server: SocketAddr,
    phase: Phase<T>,
    sent_ns: u64,
    /// What is sent next, and the size of its datagrams.
    buffer: Vec<u8>,
    segment_bytes: usize,
    counters: ClientCounters,
}

impl<T: Copy> Client<T> {
    /// Begins to open a session with the worker at `server`. `client_id` is random.
    #[must_use]
    pub fn new(now_ns: u64, server: SocketAddr, client_id: [u8; 16], config: ClientConfig) -> Self {
        assert!((MTU_BYTES_MIN..=MTU_BYTES_MAX).contains(&config.mtu_bytes));
        assert!(config.mtu_bytes_min >= MTU_BYTES_MIN);
        assert!(config.window.is_power_of_two() && config.window <= WINDOW_MAX);
        let handshake = Handshake::new(
            now_ns,
            config.handshake_timeout_ns,
            client_id,
            config.mtu_bytes,
            config.mtu_bytes_min,
            config.window,
        );
        Self {
            config,
            server,
            phase: Phase::Connecting(handshake),
            sent_ns: now_ns,
            buffer: Vec::new(),
            segment_bytes: config.mtu_bytes,
            counters: ClientCounters::default(),
        }
    }

    /// The worker's address.
    #[must_use]
    pub const fn server(&self) -> SocketAddr {
        self.server
    }

    /// What happened so far.
    #[must_use]
    pub const fn counters(&self) -> &ClientCounters {
        &self.counters
    }

    /// What the server granted, while the session is open.
    #[must_use]
    #[inline]
    pub const fn granted(&self) -> Option<&Granted> {
        match &self.phase {
            Phase::Open(flight) => Some(flight.granted()),
            Phase::Connecting(_) | Phase::Closing(_) | Phase::Ended(_) => None,
        }
    }

    /// Why the session ended, if it has.
    #[must_use]
    pub const fn ended(&self) -> Option<Ended> {
        match &self.phase {
            Phase::Ended(ended) => Some(*ended),
            Phase::Connecting(_) | Phase::Open(_) | Phase::Closing(_) => None,
        }
    }

    /// Whether nothing is outstanding.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.flight().is_none_or(Flight::is_idle)
    }

    /// The smoothed round trip; zero before the first.
    #[must_use]
    pub fn round_trip_ns(&self) -> u64 {
        self.flight().map_or(0, Flight::round_trip_ns)
    }

    /// Changes how many bytes of replies may be outstanding.
    pub fn set_reply_bytes_max(&mut self, bytes: usize) {
        self.config.reply_bytes_max = bytes;
        if let Phase::Open(flight) = &mut self.phase {
            flight.set_reply_bytes_max(bytes);
        }
    }

    /// Reads a record.
    #[inline]
    pub fn get(&mut self, token: T, key: &[u8]) -> Result<(), Blocked> {
        self.operation(token, Op::Get, key, &[])
    }

    /// Writes a record.
    #[inline]
    pub fn put(&mut self, token: T, key: &[u8], value: &[u8]) -> Result<(), Blocked> {
        self.operation(token, Op::Put, key, value)
    }

    /// Reads the worker's counters, as lines of `name value`.
    pub fn stats(&mut self, token: T) -> Result<(), Blocked> {
        self.operation(token, Op::Stats, &[], &[])
    }

    /// Takes back the operations that were never handed out by [`Self::poll_transmit`]: they are
    /// certainly not executed. Tells of each by its token, whether it is a mutation, and its key.
    pub fn withdraw_unsent(&mut self, mut withdrawn: impl FnMut(T, bool, &[u8])) {
        if let Phase::Open(flight) = &mut self.phase {
            let sent = &mut self.counters.operations_sent;
            flight.withdraw_unsent(|token, is_mutation, key| {
                *sent -= 1;
                withdrawn(token, is_mutation, key);
            });
        }
    }

    /// Tells the server that the session is over. What is outstanding is given up, so
    /// applications wait for [`Self::is_idle`] first.
    pub fn close(&mut self, mut finished: impl FnMut(Finished<'_, T>)) {
        match &self.phase {
            Phase::Open(flight) => {
                let session = flight.granted().session;
                self.enter(Phase::Closing(session), &mut finished);
            }
            Phase::Connecting(_) => self.enter(Phase::Ended(Ended::Closed), &mut finished),
            Phase::Closing(_) | Phase::Ended(_) => {}
        }
    }

    /// Takes a datagram that came from the server's address.
    #[inline]
    pub fn handle_datagram(
        &mut self,
        now_ns: u64,
        datagram: &[u8],
        mut finished: impl FnMut(Finished<'_, T>),
    ) {
        self.counters.datagrams_received += 1;
        self.counters.bytes_received += datagram.len() as u64;
        match self.dispatch(now_ns, datagram, &mut finished) {
            Ok(()) => {}
            Err(Malformed::OtherVersion(version)) => {
                self.counters.other_version += 1;
                if let Phase::Connecting(_) = self.phase {
                    self.end(Ended::OtherVersion(version), &mut finished);
                }
            }
            Err(_) => self.counters.malformed += 1,
        }
    }

    /// Does what is due: sends again, asks again, gives up.
    pub fn handle_timeout(&mut self, now_ns: u64, mut finished: impl FnMut(Finished<'_, T>)) {
        let ended = match &mut self.phase {
            Phase::Connecting(handshake) => handshake.has_failed(now_ns).then_some(Ended::NoAnswer),
            Phase::Open(flight) => {
                flight.forget_credit(now_ns);
                let is_stale = flight.is_idle() && now_ns >= self.sent_ns + SESSION_STALE_NS;
                if is_stale {
                    Some(Ended::Stale)
                } else {
                    let overdue = flight.handle_timeout(now_ns, &mut self.counters);
                    overdue.err().map(|overdue| match overdue {
                        Overdue::Any => Ended::NoAnswer,
                        Overdue::Large => Ended::PathNarrowed,
                    })
                }
            }
            Phase::Closing(_) | Phase::Ended(_) => None,
        };
        if let Some(ended) = ended {
            self.end(ended, &mut finished);
        }
    }

    /// When [`Self::handle_timeout`] or [`Self::poll_transmit`] has something to do.
    #[must_use]
    #[inline]
    pub fn poll_timeout(&self) -> Option<u64> {
        match &self.phase {
            Phase::Connecting(handshake) => Some(handshake.deadline_ns()),
            Phase::Open(flight) => Some(flight.poll_timeout().min(self.sent_ns + KEEPALIVE_NS)),
            Phase::Closing(_) => Some(0),
            Phase::Ended(_) => None,
        }
    }

    /// The next burst to send.
    #[inline]
    pub fn poll_transmit(&mut self, now_ns: u64, flush: Flush) -> Option<Transmit<'_>> {
        self.segment_bytes = match &mut self.phase {
            Phase::Ended(_) => return None,
            Phase::Connecting(handshake) => {
                if !handshake.poll_transmit(now_ns, &mut self.buffer) {
                    return None;
                }
                self.buffer.len()
            }
            Phase::Closing(session) => {
                pack::bare(&mut self.buffer, Header::new(Kind::Close, *session, 0));
                self.phase = Phase::Ended(Ended::Closed);
                HEADER_BYTES
            }
            Phase::Open(flight) => {
                if !flight.resend_lost(self.server, &mut self.buffer)
                    && !flight.gather(now_ns, flush, &mut self.buffer)
                {
                    if flush == Flush::Full || now_ns < self.sent_ns + KEEPALIVE_NS {
                        return None;
                    }
                    pack::bare(&mut self.buffer, keep_alive(flight.granted().session));
                }
                flight.granted().mtu_bytes
            }
        };
        self.sent_ns = now_ns;
        self.counters.datagrams_sent += self.transmit().segments() as u64;
        self.counters.bytes_sent += self.buffer.len() as u64;
        Some(self.transmit())
    }

    /// What [`Self::poll_transmit`] gave last, for drivers that look for a session that has
    /// something to send before they take it.
    #[must_use]
    #[inline]
    pub fn transmit(&self) -> Transmit<'_> {
        let Self { server, segment_bytes, buffer, .. } = self;
        Transmit {
            path: Path::to(*server),
            account: Account::Session,
            bytes: buffer,
            segment_bytes: *segment_bytes,
        }
    }

    #[inline]
    fn operation(&mut self, token: T, op: Op, key: &[u8], value: &[u8]) -> Result<(), Blocked> {
        let Phase::Open(flight) = &mut self.phase else {
            return Err(Blocked::NotOpen);
        };
        flight.operation(token, op, key, value)?;
        self.counters.operations_sent += 1;
        Ok(())
    }

    #[inline]
    fn dispatch(
        &mut self,
        now_ns: u64,
        datagram: &[u8],
        finished: &mut impl FnMut(Finished<'_, T>),
    ) -> Result<(), Malformed> {
        let (kind, header) = unpack::header(datagram)?;
        match &mut self.phase {
            Phase::Connecting(handshake) => {
                match handshake.handle(now_ns, kind, &header, datagram)? {
                    Progress::GoOn => {}
                    Progress::Done(granted) => {
                        self.counters.sessions_opened += 1;
                        let ClientConfig { reply_bytes_max, answer_timeout_ns, .. } = self.config;
                        let flight =
                            Flight::new(now_ns, granted, reply_bytes_max, answer_timeout_ns);
                        self.phase = Phase::Open(flight);
                    }
                    // It speaks our version, so what it refused was damaged on the way.
                    Progress::Refused(Reason::Version) => self.counters.refusals += 1,
                    Progress::Refused(reason) => {
                        self.counters.refusals += 1;
                        self.end(Ended::Refused(reason), finished);
                    }
                }
                Ok(())
            }
            Phase::Open(flight) if header.session == flight.granted().session => match kind {
                Kind::Reply => {
                    flight.reply(now_ns, &header, datagram, &mut self.counters, finished)
                }
                Kind::Refuse => {
                    let reason = unpack::reason(&header)?;
                    self.counters.refusals += 1;
                    match reason {
                        Reason::UnknownSession => self.end(Ended::Forgotten, finished),
                        Reason::SequenceTaken => self.end(Ended::SequenceTaken, finished),
                        // What it refused was damaged on the way, or is of the handshake.
                        Reason::Version | Reason::Cookie | Reason::SessionsFull => {}
                    }
                    Ok(())
                }
                _ => Err(Malformed::Field),
            },
            // A handshake's datagram that came twice or late, or of an earlier session.
            Phase::Open(_) | Phase::Closing(_) | Phase::Ended(_) => {
                self.counters.misdirected += 1;
                Ok(())
            }
        }
    }

    fn flight(&self) -> Option<&Flight<T>> {
        match &self.phase {
            Phase::Open(flight) => Some(flight),
            Phase::Connecting(_) | Phase::Closing(_) | Phase::Ended(_) => None,
        }
    }

    fn end(&mut self, ended: Ended, finished: &mut impl FnMut(Finished<'_, T>)) {
        self.counters.sessions_lost += 1;
        if let Phase::Open(flight) = &self.phase {
            flight.plant_lost(self.server);
        }
        self.enter(Phase::Ended(ended), finished);
    }

    /// Leaves a phase for ever; what was outstanding in it is given up.
    fn enter(&mut self, phase: Phase<T>, finished: &mut impl FnMut(Finished<'_, T>)) {
        let ended = match phase {
            Phase::Ended(ended) => ended,
            Phase::Connecting(_) | Phase::Open(_) | Phase::Closing(_) => Ended::Closed,
        };
        if let Phase::Open(flight) = std::mem::replace(&mut self.phase, phase) {
            flight.give_up(ended, &mut self.counters, finished);
        }
    }
}

/// A request without operations: it only shows that the client is there.
fn keep_alive(session: u64) -> Header {
    Header::new(Kind::Request, session, 1)
}
