//! The client's end of the protocol: one session with one worker.
//!
//! The application hands in operations with tokens of its own, and gets each token back
//! exactly once, with its [`Outcome`]. Operations share datagrams; nothing waits to fill
//! one. A session ends once and for all: what was outstanding then is indeterminate, and
//! the application opens another session for what comes next (invariant 3).

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::congestion::Congestion;
use crate::counters::ClientCounters;
use crate::handshake::{Granted, Handshake, Progress};
use crate::inflight::{Inflight, Slot, State};
use crate::limits::{
    ANSWER_TIMEOUT_NS, BURST_BYTES_MAX, ENTRIES_PER_DATAGRAM_MAX, HANDSHAKE_TIMEOUT_NS,
    KEEPALIVE_NS, KEY_BYTES_MAX, KEY_BYTES_MIN, MTU_BYTES_DEFAULT, MTU_BYTES_MAX, MTU_BYTES_MIN,
    REORDER_MAX, SEGMENTS_PER_BURST_MAX, WINDOW_DEFAULT, WINDOW_MAX, value_bytes_max,
};
use crate::pack;
use crate::rto::Rto;
use crate::transmit::{Flush, Transmit};
use crate::unpack::{self, Malformed};
use crate::wire::{
    FLAG_MUTATIONS_ONLY, HEADER_BYTES, Header, Kind, Op, REPLY_ENTRY_BYTES, REQUEST_ENTRY_BYTES,
    Reason, Status,
};

/// What a session is told at its start.
#[derive(Clone, Copy, Debug)]
pub struct ClientConfig {
    /// Largest datagram to send and to take.
    pub mtu_bytes: usize,
    /// Window to ask for (a power of two).
    pub window: usize,
    /// Bytes of replies that may be outstanding: this session's share of what its socket's
    /// receive buffer holds.
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
            window: WINDOW_DEFAULT,
            reply_bytes_max: 128 << 10,
            handshake_timeout_ns: HANDSHAKE_TIMEOUT_NS,
            answer_timeout_ns: ANSWER_TIMEOUT_NS,
        }
    }
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// A GET found this; STATS answers with text and version 0.
    Value {
        /// Version of the record.
        version: u64,
        /// The value.
        value: &'a [u8],
    },
    /// A GET found no record.
    NotFound,
    /// A GET found a value that a datagram of this session cannot carry.
    TooLarge,
    /// A PUT was executed, once.
    Stored {
        /// Version of the record.
        version: u64,
    },
    /// A PUT was not executed: the server's memory is at its cap.
    Full,
    /// A mutation was sent and not answered: it may or may not have happened.
    Indeterminate,
    /// A read was not answered.
    Unanswered,
}

/// Why an operation is not taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// As much is outstanding as may be: try again after an answer.
    WindowFull,
    /// The session is not open yet, or has ended.
    NotOpen,
    /// Key or value are outside of the limits of a datagram of this session.
    Length,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The application closed it.
    Closed,
    /// The server did not answer in time.
    NoAnswer,
    /// The server speaks this version of the protocol.
    OtherVersion(u8),
    /// The server does not know the session: it was expired, or the server started again.
    Forgotten,
    /// The server refused to open it.
    Refused(Reason),
}

#[derive(Debug)]
enum Phase {
    Connecting(Handshake),
    Open(Granted),
    Closing(Granted),
    Ended(Ended),
}

/// One session with one worker. `T` is the application's token.
#[derive(Debug)]
pub struct Client<T> {
    config: ClientConfig,
    server: SocketAddr,
    phase: Phase,
    inflight: Inflight<T>,
    filling: Option<u16>,
    queue: VecDeque<u16>,
    rto: Rto,
    congestion: Congestion,
    credit: usize,
    /// Bytes of replies that the outstanding requests will cause.
    reply_bytes: usize,
    /// What an answer to a GET is taken to weigh: the largest of late.
    answer_bytes: usize,
    /// No deadline of a slot is before this.
    next_deadline_ns: u64,
    /// Requests sent so far, and the latest of them that was answered.
    sent_order: u64,
    answered_order: u64,
    /// Whether requests sent before that one were unanswered at the last look, and whether
    /// it is time for another.
    has_gap: bool,
    look_at_gap: bool,
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
        assert!(config.window.is_power_of_two() && config.window <= WINDOW_MAX);
        let handshake = Handshake::new(
            now_ns,
            config.handshake_timeout_ns,
            client_id,
            config.mtu_bytes,
            config.window,
        );
        Self {
            config,
            server,
            phase: Phase::Connecting(handshake),
            inflight: Inflight::new(1),
            filling: None,
            queue: VecDeque::new(),
            rto: Rto::default(),
            congestion: Congestion::new(1),
            credit: 1,
            reply_bytes: 0,
            answer_bytes: config.mtu_bytes - HEADER_BYTES,
            next_deadline_ns: u64::MAX,
            sent_order: 0,
            answered_order: 0,
            has_gap: false,
            look_at_gap: false,
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
            Phase::Open(granted) => Some(granted),
            Phase::Connecting(_) | Phase::Closing(_) | Phase::Ended(_) => None,
        }
    }

    /// Why the session ended, if it has.
    #[must_use]
    pub const fn ended(&self) -> Option<Ended> {
        match self.phase {
            Phase::Ended(ended) => Some(ended),
            Phase::Connecting(_) | Phase::Open(_) | Phase::Closing(_) => None,
        }
    }

    /// Whether nothing is outstanding.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.inflight.used() == 0 || self.ended().is_some()
    }

    /// The smoothed round trip; zero before the first.
    #[must_use]
    pub const fn round_trip_ns(&self) -> u64 {
        self.rto.smoothed_ns()
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

    /// Tells the server that the session is over. What is outstanding is given up, so
    /// applications wait for [`Self::is_idle`] first.
    pub fn close(&mut self, mut outcome: impl FnMut(T, Outcome<'_>)) {
        if let Phase::Open(granted) = self.phase {
            self.give_up(&mut outcome);
            self.phase = Phase::Closing(granted);
        } else if !matches!(self.phase, Phase::Closing(_)) {
            self.end(Ended::Closed, &mut outcome);
        }
    }

    /// Takes a datagram that came from the server's address.
    #[inline]
    pub fn handle_datagram(
        &mut self,
        now_ns: u64,
        datagram: &[u8],
        mut outcome: impl FnMut(T, Outcome<'_>),
    ) {
        self.counters.datagrams_received += 1;
        self.counters.bytes_received += datagram.len() as u64;
        match self.dispatch(now_ns, datagram, &mut outcome) {
            Ok(()) => {}
            Err(Malformed::OtherVersion(version)) => {
                self.counters.other_version += 1;
                if let Phase::Connecting(_) = self.phase {
                    self.end(Ended::OtherVersion(version), &mut outcome);
                }
            }
            Err(_) => self.counters.malformed += 1,
        }
    }

    /// Does what is due: sends again, asks again, gives up.
    pub fn handle_timeout(&mut self, now_ns: u64, mut outcome: impl FnMut(T, Outcome<'_>)) {
        match &self.phase {
            Phase::Connecting(handshake) if handshake.has_failed(now_ns) => {
                self.end(Ended::NoAnswer, &mut outcome);
            }
            Phase::Open(_) if self.look_at_gap || now_ns >= self.next_deadline_ns => {
                self.scan(now_ns, &mut outcome);
            }
            _ => {}
        }
    }

    /// When [`Self::handle_timeout`] or [`Self::poll_transmit`] has something to do.
    #[must_use]
    #[inline]
    pub fn poll_timeout(&self) -> Option<u64> {
        match &self.phase {
            Phase::Connecting(handshake) => Some(handshake.deadline_ns()),
            Phase::Open(_) if self.look_at_gap => Some(0),
            Phase::Open(_) => Some(self.next_deadline_ns.min(self.sent_ns + KEEPALIVE_NS)),
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
            Phase::Closing(granted) => {
                pack::bare(&mut self.buffer, Header::new(Kind::Close, granted.session, 0));
                self.phase = Phase::Ended(Ended::Closed);
                HEADER_BYTES
            }
            Phase::Open(granted) => {
                let granted = *granted;
                self.gather(now_ns, flush, &granted)?;
                granted.mtu_bytes
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
        Transmit { to: *server, bytes: buffer, segment_bytes: *segment_bytes }
    }

    #[inline]
    fn operation(&mut self, token: T, op: Op, key: &[u8], value: &[u8]) -> Result<(), Blocked> {
        let Phase::Open(granted) = &self.phase else {
            return Err(Blocked::NotOpen);
        };
        let is_sound = match op {
            Op::Get | Op::Put => {
                (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len())
                    && value.len() <= value_bytes_max(granted.mtu_bytes, key.len())
            }
            Op::Stats => true,
        };
        if !is_sound {
            return Err(Blocked::Length);
        }
        let reply_bytes = match op {
            Op::Get => self.answer_bytes,
            Op::Put => REPLY_ENTRY_BYTES,
            Op::Stats => granted.mtu_bytes,
        };
        let budget = self.config.reply_bytes_max;
        if self.reply_bytes + reply_bytes > budget && self.reply_bytes > 0 {
            return Err(Blocked::WindowFull);
        }
        let entry_bytes = REQUEST_ENTRY_BYTES + key.len() + value.len();
        let limit = self.credit.min(self.congestion.window()).max(1);
        let index = self
            .slot_with_room(entry_bytes, limit, granted.mtu_bytes)
            .ok_or(Blocked::WindowFull)?;
        self.counters.operations_sent += 1;
        self.add(index, token, op, key, value, reply_bytes);
        Ok(())
    }

    /// The slot to add an entry to: the one that is filling, or else a free one, if less
    /// than `limit` are used.
    #[inline]
    fn slot_with_room(
        &mut self,
        entry_bytes: usize,
        limit: usize,
        mtu_bytes: usize,
    ) -> Option<u16> {
        if let Some(index) = self.filling {
            let slot = self.inflight.slot(index);
            if slot.datagram().len() + entry_bytes <= mtu_bytes
                && slot.entries.len() < ENTRIES_PER_DATAGRAM_MAX
            {
                return Some(index);
            }
        }
        if self.inflight.used() >= limit {
            return None;
        }
        let index = self.inflight.take()?;
        self.enqueue_filling();
        self.filling = Some(index);
        Some(index)
    }

    #[inline]
    fn add(&mut self, index: u16, token: T, op: Op, key: &[u8], value: &[u8], reply: usize) {
        self.inflight.slot_mut(index).push(token, op, key, value, reply);
        self.reply_bytes += reply;
    }

    fn enqueue_filling(&mut self) {
        if let Some(index) = self.filling.take() {
            self.inflight.slot_mut(index).state = State::Queued;
            self.queue.push_back(index);
        }
    }

    /// Puts queued datagrams into the buffer, all but the last padded to the same size.
    #[inline]
    fn gather(&mut self, now_ns: u64, flush: Flush, granted: &Granted) -> Option<()> {
        let segments_max = SEGMENTS_PER_BURST_MAX.min(BURST_BYTES_MAX / granted.mtu_bytes);
        match flush {
            Flush::All => self.enqueue_filling(),
            Flush::Full if self.queue.len() < segments_max => return None,
            Flush::Full => {}
        }
        self.buffer.clear();
        let mut segments = 0;
        while segments < segments_max
            && let Some(index) = self.queue.pop_front()
        {
            if self.inflight.slot(index).state != State::Queued {
                continue; // Its answer came while it waited to be sent again.
            }
            if segments > 0 {
                self.end_segment(segments - 1, true, granted.mtu_bytes);
            }
            self.begin_segment(now_ns, index, granted);
            segments += 1;
        }
        if segments > 0 {
            self.end_segment(segments - 1, false, granted.mtu_bytes);
            return Some(());
        }
        (flush == Flush::All && now_ns >= self.sent_ns + KEEPALIVE_NS)
            .then(|| pack::bare(&mut self.buffer, keep_alive(granted)))
    }

    fn begin_segment(&mut self, now_ns: u64, index: u16, granted: &Granted) {
        let slot = self.inflight.slot_mut(index);
        let mut header = Header::new(Kind::Request, granted.session, slot.sequence);
        header.entries = slot.entries.len() as u16;
        if slot.waiting == slot.mutations_waiting {
            header.flags = FLAG_MUTATIONS_ONLY;
        }
        header.attempt = slot.attempts.min(255) as u8;
        if slot.attempts == 0 {
            slot.first_sent_ns = now_ns;
            slot.waiting_since_ns = slot.waiting_since_ns.min(now_ns);
        }
        self.sent_order += 1;
        slot.state = State::Sent;
        slot.sent_ns = now_ns;
        slot.sent_order = self.sent_order;
        slot.deadline_ns = now_ns + self.rto.timeout_ns(slot.attempts);
        self.next_deadline_ns = self.next_deadline_ns.min(slot.deadline_ns);
        let at = self.buffer.len();
        self.buffer.extend_from_slice(slot.datagram());
        self.buffer[at..at + HEADER_BYTES].copy_from_slice(bytemuck::bytes_of(&header));
    }

    /// Pads and seals a segment whose header is filled in but for the checksum.
    fn end_segment(&mut self, segment: usize, pad: bool, mtu_bytes: usize) {
        let at = segment * mtu_bytes;
        if pad {
            self.buffer.resize(at + mtu_bytes, 0);
        }
        let datagram = &mut self.buffer[at..];
        let header = bytemuck::pod_read_unaligned(&datagram[..HEADER_BYTES]);
        pack::seal(datagram, header);
    }

    #[inline]
    fn dispatch(
        &mut self,
        now_ns: u64,
        datagram: &[u8],
        outcome: &mut impl FnMut(T, Outcome<'_>),
    ) -> Result<(), Malformed> {
        let (kind, header) = unpack::header(datagram)?;
        match &mut self.phase {
            Phase::Connecting(handshake) => {
                match handshake.handle(now_ns, kind, &header, datagram)? {
                    Progress::GoOn => {}
                    Progress::Done(granted) => self.open(granted),
                    Progress::Refused(reason) => {
                        self.counters.refused += 1;
                        self.end(Ended::Refused(reason), outcome);
                    }
                }
                Ok(())
            }
            Phase::Open(granted) if header.session == granted.session => match kind {
                Kind::Reply => self.reply(now_ns, &header, datagram, outcome),
                Kind::Refuse => {
                    let reason = unpack::reason(&header)?;
                    self.counters.refused += 1;
                    if reason == Reason::UnknownSession {
                        self.end(Ended::Forgotten, outcome);
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

    fn open(&mut self, granted: Granted) {
        self.counters.sessions_opened += 1;
        self.inflight = Inflight::new(granted.window);
        self.congestion = Congestion::new(granted.window);
        self.credit = usize::from(granted.credit);
        self.phase = Phase::Open(granted);
    }

    #[inline]
    fn reply(
        &mut self,
        now_ns: u64,
        header: &Header,
        datagram: &[u8],
        outcome: &mut impl FnMut(T, Outcome<'_>),
    ) -> Result<(), Malformed> {
        self.credit = usize::from(header.credit);
        let mut largest = REPLY_ENTRY_BYTES;
        for answer in unpack::replies(datagram, header) {
            let answer = answer?;
            largest = largest.max(REPLY_ENTRY_BYTES + answer.value.len());
            let Some(index) = self.inflight.waiting_for(answer.sequence) else {
                self.counters.answers_late += 1;
                continue;
            };
            let slot = self.inflight.slot_mut(index);
            let entry_index = usize::from(answer.index);
            let entry = slot.entries.get(entry_index).ok_or(Malformed::Entry)?;
            if entry.is_done {
                self.counters.answers_duplicate += 1;
                continue;
            }
            let (token, result) = (entry.token, outcome_of(entry.op, &answer)?);
            slot.finish(entry_index);
            self.counters.operations_answered += 1;
            if slot.waiting == 0 {
                self.complete(now_ns, index, u32::from(header.attempt));
            }
            outcome(token, result);
        }
        // The largest answer of late, slowly forgotten.
        self.answer_bytes = largest.max(self.answer_bytes - self.answer_bytes / 64);
        Ok(())
    }

    /// All of a slot is answered; the last answer was to its sending number `attempt`.
    fn complete(&mut self, now_ns: u64, index: u16, attempt: u32) {
        let slot = self.inflight.slot(index);
        let is_latest = attempt == slot.attempts;
        if is_latest {
            self.rto.sample(now_ns.saturating_sub(slot.sent_ns));
        } else if attempt == 0 {
            self.rto.sample(now_ns.saturating_sub(slot.first_sent_ns));
        }
        if is_latest && slot.state == State::Sent && slot.sent_order > self.answered_order {
            // Answers come in the order of their requests, or one between was lost.
            let is_next = slot.sent_order == self.answered_order + 1;
            self.answered_order = slot.sent_order;
            self.look_at_gap |= self.has_gap || !is_next;
        }
        self.congestion.on_answered();
        self.release(index);
    }

    fn release(&mut self, index: u16) {
        self.reply_bytes -= self.inflight.slot(index).reply_bytes;
        self.inflight.release(index);
        if self.inflight.used() == 0 {
            assert_eq!(self.reply_bytes, 0, "nothing is outstanding");
            self.next_deadline_ns = u64::MAX;
        }
    }

    /// Looks for requests that were not answered in time, or not in turn. At most a window
    /// of them is sent again at once; the others follow half a retransmission time later.
    fn scan(&mut self, now_ns: u64, outcome: &mut impl FnMut(T, Outcome<'_>)) {
        self.look_at_gap = false;
        let late: Vec<u16> = (self.inflight.sent())
            .filter(|&index| {
                let slot = self.inflight.slot(index);
                slot.deadline_ns <= now_ns || self.is_overtaken(slot)
            })
            .collect();
        let is_overdue = late.iter().any(|&index| {
            let waiting_since_ns = self.inflight.slot(index).waiting_since_ns;
            now_ns.saturating_sub(waiting_since_ns) > self.config.answer_timeout_ns
        });
        if is_overdue {
            self.end(Ended::NoAnswer, outcome);
            return;
        }
        let mut resent = 0;
        while resent < late.len().min(self.congestion.window()) {
            self.send_again(now_ns, late[resent]);
            resent += 1;
        }
        let postponed = resent < late.len();
        let answered_order = self.answered_order;
        self.has_gap = (self.inflight.sent())
            .any(|index| self.inflight.slot(index).sent_order < answered_order);
        let next = (self.inflight.sent()).map(|index| self.inflight.slot(index).deadline_ns);
        self.next_deadline_ns = next.filter(|&deadline| deadline > now_ns).min().unwrap_or(
            if self.inflight.used() == 0 { u64::MAX } else { now_ns + self.rto.timeout_ns(0) },
        );
        if postponed {
            let soon_ns = now_ns + self.rto.base_ns() / 2;
            self.next_deadline_ns = self.next_deadline_ns.min(soon_ns);
        }
    }

    /// Whether requests that were sent well after this one are answered already.
    fn is_overtaken(&self, slot: &Slot<T>) -> bool {
        slot.sent_order + REORDER_MAX <= self.answered_order
    }

    /// A request of which nothing was answered goes out again as it was: if it is only late,
    /// its answers still count. Of one that was answered in part, a reply was lost: its
    /// missing reads are asked again in another datagram, with others of their kind, and
    /// its mutations stay in their slot and go out again under their sequence.
    fn send_again(&mut self, now_ns: u64, index: u16) {
        let slot = self.inflight.slot(index);
        let is_timeout = slot.deadline_ns <= now_ns;
        if self.congestion.on_lost(now_ns, slot.sent_ns) {
            if is_timeout {
                self.rto.back_off();
            }
            self.counters.window_reductions += 1;
        }
        let is_partly_answered = slot.waiting < slot.entries.len();
        if is_partly_answered && (slot.mutations_waiting == 0 || self.inflight.has_free()) {
            self.ask_again(index);
        }
        let slot = self.inflight.slot_mut(index);
        if slot.state == State::Sent {
            slot.attempts += 1;
            slot.state = State::Queued;
            self.queue.push_back(index);
            self.counters.retransmits += 1;
        }
    }

    /// Moves the unanswered reads of a slot to other datagrams, and frees it if nothing is
    /// left of it.
    fn ask_again(&mut self, index: u16) {
        let slot = self.inflight.slot_mut(index);
        let waiting_since_ns = slot.waiting_since_ns;
        let mut reads = Vec::new();
        for entry in 0..slot.entries.len() {
            let pending = slot.entries[entry];
            if !pending.is_done && !pending.op.is_mutation() {
                reads.push((pending.token, pending.op, slot.key(&pending).to_vec()));
                slot.finish(entry);
            }
        }
        if slot.waiting == 0 {
            self.release(index);
        }
        let Phase::Open(granted) = &self.phase else { unreachable!("only open sessions scan") };
        let mtu_bytes = granted.mtu_bytes;
        for (token, op, key) in reads {
            let entry_bytes = REQUEST_ENTRY_BYTES + key.len();
            let index = self
                .slot_with_room(entry_bytes, WINDOW_MAX, mtu_bytes)
                .expect("a slot is free, and holds what another held");
            self.counters.gets_asked_again += 1;
            self.add(index, token, op, &key, &[], self.answer_bytes);
            let slot = self.inflight.slot_mut(index);
            slot.waiting_since_ns = slot.waiting_since_ns.min(waiting_since_ns);
        }
    }

    fn end(&mut self, ended: Ended, outcome: &mut impl FnMut(T, Outcome<'_>)) {
        if let Phase::Ended(_) = self.phase {
            return;
        }
        if ended != Ended::Closed {
            self.counters.sessions_lost += 1;
        }
        self.give_up(outcome);
        self.phase = Phase::Ended(ended);
    }

    /// Ends what is outstanding: nobody knows whether its mutations happened.
    fn give_up(&mut self, outcome: &mut impl FnMut(T, Outcome<'_>)) {
        self.queue.clear();
        self.filling = None;
        self.reply_bytes = 0;
        self.next_deadline_ns = u64::MAX;
        for (token, op) in self.inflight.abandon() {
            if op.is_mutation() {
                self.counters.indeterminate += 1;
                outcome(token, Outcome::Indeterminate);
            } else {
                self.counters.unanswered_gets += u64::from(op == Op::Get);
                outcome(token, Outcome::Unanswered);
            }
        }
    }
}

/// A request without operations: it only shows that the client is there.
fn keep_alive(granted: &Granted) -> Header {
    Header::new(Kind::Request, granted.session, 1)
}

/// What an answer means for an operation; a status that the operation cannot have is wrong.
#[inline]
fn outcome_of<'a>(op: Op, answer: &unpack::Answer<'a>) -> Result<Outcome<'a>, Malformed> {
    let unpack::Answer { version, value, .. } = *answer;
    match (op, answer.status) {
        (Op::Get | Op::Stats, Status::Ok) => Ok(Outcome::Value { version, value }),
        (Op::Get, Status::NotFound) => Ok(Outcome::NotFound),
        (Op::Get, Status::TooLarge) => Ok(Outcome::TooLarge),
        (Op::Put, Status::Ok) => Ok(Outcome::Stored { version }),
        (Op::Put, Status::Full) => Ok(Outcome::Full),
        _ => Err(Malformed::Field),
    }
}
