//! The traffic of one open session: what is sent when, and what an answer ends.
//!
//! [`crate::client`] is the life of a session. [`crate::inflight`] only holds the requests that are
//! outstanding; which operation is taken, which request goes out, first or again, and when, is
//! decided here: by the window, by the budget for replies, and by timers.

mod planted;

use std::collections::VecDeque;

use crate::congestion::Congestion;
use crate::counters::ClientCounters;
use crate::handshake::Granted;
use crate::inflight::{Inflight, State};
use crate::limits::{
    BURST_BYTES_MAX, CREDIT_LIFETIME_NS, CREDIT_MIN, ENTRIES_PER_DATAGRAM_MAX, KEY_BYTES_MAX,
    KEY_BYTES_MIN, MTU_BYTES_MIN, MUTATION_WINDOW_SHARE, SEGMENTS_PER_BURST_MAX, WINDOW_MAX,
    value_bytes_max,
};
use crate::loss_detection::LossDetector;
use crate::outcome::{Blocked, Ended, Finished, Outcome};
use crate::pack;
use crate::reply_budget::ReplyBudget;
use crate::rto::Rto;
use crate::transmit::Flush;
use crate::unpack::{self, Malformed};
use crate::wire::{
    FLAG_MUTATIONS_ONLY, HEADER_BYTES, Header, Kind, Op, REPLY_ENTRY_BYTES, REQUEST_ENTRY_BYTES,
};

/// The traffic of one open session.
#[derive(Debug)]
pub struct Flight<T> {
    granted: Granted,
    answer_timeout_ns: u64,
    inflight: Inflight<T>,
    /// The slot that operations are added to, and those that wait to be sent.
    filling: Option<u16>,
    queue: VecDeque<u16>,
    rto: Rto,
    losses: LossDetector,
    congestion: Congestion,
    credit: u16,
    /// Until then it is good.
    credit_until_ns: u64,
    /// New requests that were sent since it was.
    sent_without_credit: u16,
    budget: ReplyBudget,
    /// When the latest request was answered completely.
    answered_ns: u64,
    /// No deadline of a slot is before this.
    next_deadline_ns: u64,
}

/// A request was not answered for longer than the session lives with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// Whatever its size.
    Any,
    /// Others were, that were sent later, and it or its answer is larger than what every path
    /// carries.
    Large,
}

impl<T: Copy> Flight<T> {
    /// Nothing outstanding, on the terms that the server granted. Replies may take
    /// `reply_bytes_max` of the receive buffer; an operation may stay unanswered for
    /// `answer_timeout_ns`.
    #[must_use]
    pub fn new(
        now_ns: u64,
        granted: Granted,
        reply_bytes_max: usize,
        answer_timeout_ns: u64,
    ) -> Self {
        Self {
            answer_timeout_ns,
            inflight: Inflight::new(granted.window),
            filling: None,
            queue: VecDeque::new(),
            rto: Rto::default(),
            losses: LossDetector::default(),
            congestion: Congestion::new(granted.window),
            credit: granted.credit,
            credit_until_ns: now_ns + CREDIT_LIFETIME_NS,
            sent_without_credit: 0,
            budget: ReplyBudget::new(granted.mtu_bytes, reply_bytes_max),
            answered_ns: 0,
            next_deadline_ns: u64::MAX,
            granted,
        }
    }

    /// What the server granted.
    #[must_use]
    #[inline]
    pub const fn granted(&self) -> &Granted {
        &self.granted
    }

    /// Whether nothing is outstanding.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.inflight.used() == 0
    }

    /// The smoothed round trip; zero before the first.
    #[must_use]
    pub const fn round_trip_ns(&self) -> u64 {
        self.rto.smoothed_ns()
    }

    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    #[inline]
    pub const fn poll_timeout(&self) -> u64 {
        if self.losses.is_due() { 0 } else { self.next_deadline_ns }
    }

    /// Changes how many bytes of replies may be outstanding.
    pub fn set_reply_bytes_max(&mut self, bytes: usize) {
        self.budget.set_max_bytes(bytes);
    }

    /// Adds an operation to the datagram that is filling.
    // Forced: where it is called, the kind of operation is known, and the token is in registers.
    #[inline(always)]
    pub fn operation(&mut self, token: T, op: Op, key: &[u8], value: &[u8]) -> Result<(), Blocked> {
        let is_sound = match op {
            Op::Get | Op::Put => {
                (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len())
                    && value.len() <= value_bytes_max(self.granted.mtu_bytes, key.len())
            }
            Op::Stats => true,
        };
        if !is_sound {
            return Err(Blocked::Length);
        }
        let reply_bytes = self.budget.charge_of(op);
        if !self.budget.admits(reply_bytes) || (op.is_mutation() && !self.admits_mutation()) {
            return Err(Blocked::WindowFull);
        }
        let entry_bytes = REQUEST_ENTRY_BYTES + key.len() + value.len();
        let limit = if op.is_mutation() { Self::mutation_window } else { Self::read_window };
        let index = self.slot_with_room(entry_bytes, limit).ok_or(Blocked::WindowFull)?;
        self.add(index, token, op, key, value, reply_bytes);
        Ok(())
    }

    /// Whether another mutation leaves reads their share of the window, unless it needs another
    /// datagram than that which is filling.
    #[inline]
    fn admits_mutation(&self) -> bool {
        let is_with_others =
            (self.filling).is_some_and(|index| self.inflight.slot(index).mutations_waiting > 0);
        is_with_others || self.admits_slot_of_mutations()
    }

    fn admits_slot_of_mutations(&self) -> bool {
        let (share, of) = MUTATION_WINDOW_SHARE;
        self.inflight.with_mutations() < (self.granted.window * share / of).max(1)
    }

    /// Request datagrams that may be outstanding.
    fn window(&self) -> usize {
        usize::from(self.credit).min(self.congestion.window()).max(1)
    }

    /// The same, for one that begins with a mutation.
    fn mutation_window(&self) -> usize {
        if self.admits_slot_of_mutations() { self.window() } else { 0 }
    }

    /// The same, for one that begins with a read: mutations that are not answered for long leave
    /// room for one, however small losses have made the window.
    fn read_window(&self) -> usize {
        self.window().max(self.inflight.with_mutations() + 1)
    }

    /// What was heard of the credit too long ago is good no more.
    pub fn forget_credit(&mut self, now_ns: u64) {
        if now_ns >= self.credit_until_ns {
            self.credit = self.credit.min(CREDIT_MIN as u16);
        }
    }

    /// Whether a request may be sent: without a credit that is good, the least of others may.
    fn has_credit_for(&mut self, now_ns: u64, index: u16) -> bool {
        if now_ns < self.credit_until_ns || self.inflight.slot(index).attempts > 0 {
            return true;
        }
        self.sent_without_credit = self.sent_without_credit.saturating_add(1);
        usize::from(self.sent_without_credit) <= CREDIT_MIN
    }

    /// The slot to add an entry to: the one that is filling, or else a free one, if less
    /// than `limit` are used.
    #[inline]
    fn slot_with_room(
        &mut self,
        entry_bytes: usize,
        limit: impl FnOnce(&Self) -> usize,
    ) -> Option<u16> {
        if let Some(index) = self.filling {
            let slot = self.inflight.slot(index);
            if slot.datagram().len() + entry_bytes <= self.granted.mtu_bytes
                && slot.entries.len() < ENTRIES_PER_DATAGRAM_MAX
            {
                return Some(index);
            }
        }
        self.take_slot(limit(self))
    }

    /// Another slot to fill, if less than `limit` are used.
    #[cold]
    fn take_slot(&mut self, limit: usize) -> Option<u16> {
        if self.inflight.used() >= limit {
            return None;
        }
        let index = self.inflight.take()?;
        self.enqueue_filling();
        self.filling = Some(index);
        Some(index)
    }

    // Forced, as `operation` is.
    #[inline(always)]
    fn add(&mut self, index: u16, token: T, op: Op, key: &[u8], value: &[u8], reply: usize) {
        self.inflight.push(index, token, op, key, value, reply);
        self.budget.charge(reply);
        if op == Op::Stats {
            self.enqueue_filling(); // A server answers one of a datagram.
        }
    }

    fn enqueue_filling(&mut self) {
        if let Some(index) = self.filling.take() {
            self.inflight.slot_mut(index).state = State::Queued;
            self.queue.push_back(index);
        }
    }

    /// Puts queued datagrams into `buffer`, all but the last padded to the same size.
    /// Returns whether there are any.
    #[inline]
    pub fn gather(&mut self, now_ns: u64, flush: Flush, buffer: &mut Vec<u8>) -> bool {
        let mtu_bytes = self.granted.mtu_bytes;
        let segments_max = SEGMENTS_PER_BURST_MAX.min(BURST_BYTES_MAX / mtu_bytes);
        match flush {
            Flush::All => self.enqueue_filling(),
            Flush::Full if self.queue.len() < segments_max => return false,
            Flush::Full => {}
        }
        buffer.clear();
        let mut segments = 0;
        while segments < segments_max
            && let Some(index) = self.queue.pop_front()
        {
            if self.inflight.slot(index).state != State::Queued {
                continue; // Its answer came while it waited to be sent again.
            }
            if !self.has_credit_for(now_ns, index) {
                self.queue.push_front(index);
                break;
            }
            if segments > 0 {
                end_segment(buffer, (segments - 1) * mtu_bytes, mtu_bytes);
            }
            self.begin_segment(now_ns, index, buffer);
            segments += 1;
        }
        if segments > 0 {
            end_segment(buffer, (segments - 1) * mtu_bytes, 0);
        }
        segments > 0
    }

    fn begin_segment(&mut self, now_ns: u64, index: u16, buffer: &mut Vec<u8>) {
        let slot = self.inflight.slot_mut(index);
        let mut header = Header::new(Kind::Request, self.granted.session, slot.sequence);
        header.entries = slot.entries.len() as u16;
        if slot.waiting == slot.mutations_waiting {
            header.flags = FLAG_MUTATIONS_ONLY;
        }
        header.attempt = slot.attempts.min(255) as u8;
        if slot.attempts == 0 {
            slot.first_sent_ns = now_ns;
            slot.waiting_since_ns = slot.waiting_since_ns.min(now_ns);
        }
        slot.state = State::Sent;
        slot.sent_ns = now_ns;
        slot.sent_order = self.losses.sent();
        slot.deadline_ns = now_ns + self.rto.timeout_ns(slot.attempts);
        self.next_deadline_ns = self.next_deadline_ns.min(slot.deadline_ns);
        let at = buffer.len();
        buffer.extend_from_slice(slot.datagram());
        buffer[at..at + HEADER_BYTES].copy_from_slice(bytemuck::bytes_of(&header));
    }

    /// Takes the answers of a reply.
    #[inline]
    pub fn reply(
        &mut self,
        now_ns: u64,
        header: &Header,
        datagram: &[u8],
        counters: &mut ClientCounters,
        finished: &mut impl FnMut(Finished<'_, T>),
    ) -> Result<(), Malformed> {
        self.credit = header.credit;
        self.credit_until_ns = now_ns + CREDIT_LIFETIME_NS;
        self.sent_without_credit = 0;
        let mut largest = REPLY_ENTRY_BYTES;
        for answer in unpack::replies(datagram, header) {
            let answer = answer?;
            largest = largest.max(REPLY_ENTRY_BYTES + answer.value.len());
            let Some(index) = self.inflight.waiting_for(answer.sequence) else {
                counters.answers_late += 1;
                continue;
            };
            let entry_index = usize::from(answer.index);
            let entry = self.inflight.slot(index).entries.get(entry_index);
            let entry = *entry.ok_or(Malformed::Entry)?;
            if entry.is_done {
                counters.answers_duplicate += 1;
                continue;
            }
            let outcome = Outcome::of(entry.op, &answer)?;
            let slot = self.inflight.finish(index, entry_index);
            counters.operations_answered += 1;
            finished(slot.finished(&entry, outcome));
            if slot.waiting == 0 {
                self.complete(now_ns, index, u32::from(header.attempt), counters);
            }
        }
        self.budget.note_answer(largest);
        Ok(())
    }

    /// All of a slot is answered; the last answer was to its sending number `attempt`.
    fn complete(&mut self, now_ns: u64, index: u16, attempt: u32, counters: &mut ClientCounters) {
        self.answered_ns = now_ns;
        let slot = self.inflight.slot(index);
        let is_latest = attempt == slot.attempts;
        if is_latest {
            self.rto.sample(now_ns.saturating_sub(slot.sent_ns));
        } else if attempt == 0 {
            self.rto.sample(now_ns.saturating_sub(slot.first_sent_ns));
        }
        if is_latest && slot.state == State::Sent {
            self.losses.answered(slot.sent_order);
        }
        let latest_order = self.losses.sent_order();
        let shrank = self.congestion.on_answered(slot.sent_order, latest_order, slot.entries.len());
        counters.window_reductions += u64::from(shrank);
        self.release(index);
    }

    fn release(&mut self, index: u16) {
        self.budget.refund(self.inflight.slot(index).reply_bytes);
        self.inflight.release(index);
        if self.inflight.used() == 0 {
            assert!(self.budget.is_untouched(), "nothing is outstanding");
            self.next_deadline_ns = u64::MAX;
        }
    }

    /// Looks for requests that were not answered in time, or not in turn. At most a window
    /// of them is sent again at once; the others follow half a retransmission time later.
    pub fn handle_timeout(
        &mut self,
        now_ns: u64,
        counters: &mut ClientCounters,
    ) -> Result<(), Overdue> {
        if now_ns < self.poll_timeout() {
            return Ok(());
        }
        self.losses.begin_look();
        let late: Vec<u16> = (self.inflight.sent())
            .filter(|&index| {
                let slot = self.inflight.slot(index);
                slot.deadline_ns <= now_ns || self.losses.is_lost(slot.sent_order)
            })
            .collect();
        let overdue = late
            .iter()
            .map(|&index| self.inflight.slot(index))
            .find(|slot| now_ns.saturating_sub(slot.waiting_since_ns) > self.answer_timeout_ns);
        if let Some(slot) = overdue {
            let bytes = slot.datagram().len().max(slot.reply_bytes);
            let others_are = self.answered_ns > slot.first_sent_ns;
            let is_narrowed = others_are && bytes > MTU_BYTES_MIN;
            return Err(if is_narrowed { Overdue::Large } else { Overdue::Any });
        }
        let mut resent = 0;
        while resent < late.len().min(self.congestion.window()) {
            self.send_again(now_ns, late[resent], counters);
            resent += 1;
        }
        let postponed = resent < late.len();
        let outstanding = self.inflight.sent().map(|index| self.inflight.slot(index).sent_order);
        self.losses.end_look(outstanding);
        let next = (self.inflight.sent()).map(|index| self.inflight.slot(index).deadline_ns);
        self.next_deadline_ns = next.filter(|&deadline| deadline > now_ns).min().unwrap_or(
            if self.inflight.used() == 0 { u64::MAX } else { now_ns + self.rto.timeout_ns(0) },
        );
        if postponed {
            let soon_ns = now_ns + self.rto.base_ns() / 2;
            self.next_deadline_ns = self.next_deadline_ns.min(soon_ns);
        }
        Ok(())
    }

    /// A request of which nothing was answered goes out again as it was: if it is only late,
    /// its answers still count. Of one that was answered in part, a reply was lost: its
    /// missing reads are asked again in another datagram, with others of their kind, and
    /// its mutations stay in their slot and go out again under their sequence.
    fn send_again(&mut self, now_ns: u64, index: u16, counters: &mut ClientCounters) {
        let slot = self.inflight.slot(index);
        let is_timeout = slot.deadline_ns <= now_ns;
        let is_partly_answered = slot.waiting < slot.entries.len();
        let is_silent = is_timeout && !is_partly_answered;
        let latest_order = self.losses.sent_order();
        if self.congestion.on_lost(slot.sent_order, latest_order, slot.waiting, is_silent) {
            self.rto.back_off();
            counters.window_reductions += 1;
        }
        if is_partly_answered && (slot.mutations_waiting == 0 || self.inflight.has_free()) {
            self.ask_again(index, counters);
        }
        let slot = self.inflight.slot_mut(index);
        if slot.state == State::Sent {
            slot.attempts += 1;
            slot.state = State::Queued;
            // Before new ones, which may wait for a credit that only an answer brings.
            self.queue.push_front(index);
            counters.retransmits += 1;
        }
    }

    /// Moves the unanswered reads of a slot to other datagrams, and frees it if nothing is
    /// left of it.
    fn ask_again(&mut self, index: u16, counters: &mut ClientCounters) {
        let waiting_since_ns = self.inflight.slot(index).waiting_since_ns;
        let mut reads = Vec::new();
        for entry in 0..self.inflight.slot(index).entries.len() {
            let slot = self.inflight.slot(index);
            let pending = slot.entries[entry];
            if !pending.is_done && !pending.op.is_mutation() {
                reads.push((pending.token, pending.op, slot.key(&pending).to_vec()));
                self.inflight.finish(index, entry);
            }
        }
        if self.inflight.slot(index).waiting == 0 {
            self.release(index);
        }
        for (token, op, key) in reads {
            let entry_bytes = REQUEST_ENTRY_BYTES + key.len();
            let index = self
                .slot_with_room(entry_bytes, |_| WINDOW_MAX)
                .expect("a slot is free, and holds what another held");
            counters.gets_asked_again += 1;
            self.add(index, token, op, &key, &[], self.budget.charge_of(op));
            let slot = self.inflight.slot_mut(index);
            slot.waiting_since_ns = slot.waiting_since_ns.min(waiting_since_ns);
        }
    }

    /// Takes back the operations of requests that were never sent; tells of each.
    pub fn withdraw_unsent(&mut self, mut withdrawn: impl FnMut(T, bool, &[u8])) {
        self.enqueue_filling();
        // One that holds reads which were asked elsewhere before is as good as sent.
        let is_unsent = |index: &u16| self.inflight.slot(*index).waiting_since_ns == u64::MAX;
        let unsent: Vec<u16> = self.queue.iter().copied().filter(is_unsent).collect();
        self.queue.retain(|index| !unsent.contains(index));
        for index in unsent {
            for entry in 0..self.inflight.slot(index).entries.len() {
                let slot = self.inflight.finish(index, entry);
                let pending = &slot.entries[entry];
                withdrawn(pending.token, pending.op.is_mutation(), slot.key(pending));
            }
            self.release(index);
        }
    }

    /// Ends all that is outstanding: nobody knows whether its mutations happened.
    pub fn give_up(
        self,
        ended: Ended,
        counters: &mut ClientCounters,
        finished: &mut impl FnMut(Finished<'_, T>),
    ) {
        for (slot, entry) in self.inflight.outstanding() {
            let outcome = if entry.op.is_mutation() {
                counters.indeterminate += 1;
                Outcome::Indeterminate { ended }
            } else {
                counters.unanswered_gets += u64::from(entry.op == Op::Get);
                Outcome::Unanswered
            };
            finished(slot.finished(entry, outcome));
        }
    }
}

/// Pads a segment to `padded_bytes`, and seals it; its header is filled in but for the
/// checksum.
fn end_segment(buffer: &mut Vec<u8>, at: usize, padded_bytes: usize) {
    if buffer.len() < at + padded_bytes {
        buffer.resize(at + padded_bytes, 0);
    }
    let datagram = &mut buffer[at..];
    let header = bytemuck::pod_read_unaligned(&datagram[..HEADER_BYTES]);
    pack::seal(datagram, header);
}
