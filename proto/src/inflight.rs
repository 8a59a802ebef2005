//! The request slots of a session: what is outstanding, with the datagrams to send it again.
//!
//! This holds and counts; it knows no clock and decides nothing. What is sent when, is decided by
//! [`crate::flight`].
//!
//! Slot `i` is used with the sequences `i + window`, `i + 2 window`, …: so a sequence names
//! its slot, and each use of a slot is newer than the one before. A slot is taken again
//! only when nothing of it is waited for.

use crate::limits::WINDOW_MAX;
use crate::outcome::{Finished, Outcome};
use crate::pack;
use crate::planted::{Fault, is_planted};
use crate::wire::{HEADER_BYTES, Op};

/// Where a slot is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not used.
    Free,
    /// Operations are added.
    Filling,
    /// Waits to be sent, for the first time or again.
    Queued,
    /// Was sent, and waits for its answers.
    Sent,
}

/// An operation of a slot.
#[derive(Clone, Copy, Debug)]
pub struct Pending<T> {
    /// What the application knows it by.
    pub token: T,
    /// What it does.
    pub op: Op,
    /// Whether nothing more is waited for.
    pub is_done: bool,
    /// Where its key lies in the slot's datagram.
    key_at: u16,
    key_bytes: u16,
}

/// One outstanding request datagram.
#[derive(Clone, Debug)]
pub struct RequestSlot<T> {
    /// Sequence of its latest use.
    pub sequence: u64,
    /// Where it is in its life.
    pub state: State,
    /// The operations, by their index on the wire.
    pub entries: Vec<Pending<T>>,
    /// Entries not done.
    pub waiting: usize,
    /// Mutations among them.
    pub mutations_waiting: usize,
    /// Times that it was sent again.
    pub attempts: u32,
    /// When it was first sent.
    pub first_sent_ns: u64,
    /// When the oldest of its operations was first sent, in whichever slot.
    pub waiting_since_ns: u64,
    /// When it was last sent.
    pub sent_ns: u64,
    /// Its place among all requests sent, when it was last sent.
    pub sent_order: u64,
    /// When it will be sent again.
    pub deadline_ns: u64,
    /// Bytes of replies that it will cause, as far as can be told.
    pub reply_bytes: usize,
    datagram: Vec<u8>,
}

impl<T: Copy> RequestSlot<T> {
    /// The datagram; its header is not filled in.
    #[inline]
    #[must_use]
    pub fn datagram(&self) -> &[u8] {
        &self.datagram
    }

    #[inline(always)]
    fn push(&mut self, token: T, op: Op, key: &[u8], value: &[u8], reply_bytes: usize) {
        assert_eq!(self.state, State::Filling);
        let key_at = (self.datagram.len() + crate::wire::REQUEST_ENTRY_BYTES) as u16;
        pack::request_entry(&mut self.datagram, op, key, value);
        let key_bytes = key.len() as u16;
        self.entries.push(Pending { token, op, is_done: false, key_at, key_bytes });
        self.waiting += 1;
        self.mutations_waiting += usize::from(op.is_mutation());
        self.reply_bytes += reply_bytes;
    }

    /// The key of one of its operations.
    #[inline]
    #[must_use]
    pub fn key(&self, pending: &Pending<T>) -> &[u8] {
        &self.datagram[usize::from(pending.key_at)..][..usize::from(pending.key_bytes)]
    }

    /// One of its operations at its end.
    #[inline]
    #[must_use]
    pub fn finished<'a>(&'a self, pending: &Pending<T>, outcome: Outcome<'a>) -> Finished<'a, T> {
        // Without a panic, who does not look at the key does not pay for it.
        let (from, bytes) = (usize::from(pending.key_at), usize::from(pending.key_bytes));
        let key = self.datagram.get(from..from + bytes);
        debug_assert!(key.is_some(), "a key lies in its datagram");
        let (token, sent_ns) = (pending.token, self.waiting_since_ns);
        Finished { token, key: key.unwrap_or_default(), sent_ns, outcome }
    }

    /// Notes that nothing more is waited for of an operation. Returns whether it was the last
    /// mutation of the slot.
    #[inline]
    fn finish(&mut self, index: usize) -> bool {
        let entry = &mut self.entries[index];
        assert!(!entry.is_done, "each operation ends once");
        entry.is_done = true;
        self.waiting -= 1;
        let is_mutation = entry.op.is_mutation();
        self.mutations_waiting -= usize::from(is_mutation);
        is_mutation && self.mutations_waiting == 0
    }
}

/// The slots of a session.
#[derive(Clone, Debug)]
pub struct Inflight<T> {
    slots: Vec<RequestSlot<T>>,
    free: Vec<u16>,
    /// Slots in which a mutation is waited for.
    with_mutations: usize,
}

impl<T: Copy> Inflight<T> {
    /// `window` free slots.
    #[must_use]
    pub fn new(window: usize) -> Self {
        assert!(window.is_power_of_two() && window <= WINDOW_MAX);
        let slot = |index| RequestSlot {
            sequence: index as u64,
            state: State::Free,
            entries: Vec::new(),
            waiting: 0,
            mutations_waiting: 0,
            attempts: 0,
            first_sent_ns: 0,
            waiting_since_ns: u64::MAX,
            sent_ns: 0,
            sent_order: 0,
            deadline_ns: 0,
            reply_bytes: 0,
            datagram: Vec::new(),
        };
        Self {
            slots: (0..window).map(slot).collect(),
            free: (0..window as u16).rev().collect(),
            with_mutations: 0,
        }
    }

    /// Slots in use.
    #[must_use]
    #[inline]
    pub fn used(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Slots in which a mutation is waited for.
    #[must_use]
    #[inline]
    pub const fn with_mutations(&self) -> usize {
        self.with_mutations
    }

    /// Adds an operation to a slot.
    // Forced, as `Flight::operation` is.
    #[inline(always)]
    pub fn push(
        &mut self,
        index: u16,
        token: T,
        op: Op,
        key: &[u8],
        value: &[u8],
        reply_bytes: usize,
    ) {
        let slot = &mut self.slots[usize::from(index)];
        slot.push(token, op, key, value, reply_bytes);
        self.with_mutations += usize::from(op.is_mutation() && slot.mutations_waiting == 1);
    }

    /// Notes that nothing more is waited for of an operation of a slot.
    #[inline]
    pub fn finish(&mut self, index: u16, entry: usize) -> &RequestSlot<T> {
        let slot = &mut self.slots[usize::from(index)];
        self.with_mutations -= usize::from(slot.finish(entry));
        slot
    }

    /// Whether a slot is free.
    #[must_use]
    #[inline]
    pub fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// Takes a free slot for its next sequence.
    pub fn take(&mut self) -> Option<u16> {
        let index = self.free.pop()?;
        let window = self.slots.len() as u64;
        let slot = self.slot_mut(index);
        assert_eq!((slot.state, slot.waiting), (State::Free, 0));
        slot.sequence += window;
        slot.state = State::Filling;
        slot.attempts = 0;
        slot.waiting_since_ns = u64::MAX;
        slot.reply_bytes = 0;
        slot.entries.clear();
        slot.datagram.clear();
        slot.datagram.resize(HEADER_BYTES, 0);
        Some(index)
    }

    /// Gives a slot back, of which nothing is waited for.
    pub fn release(&mut self, index: u16) {
        let slot = self.slot_mut(index);
        assert!(slot.state != State::Free && slot.waiting == 0 && slot.mutations_waiting == 0);
        slot.state = State::Free;
        self.free.push(index);
    }

    /// A slot by its place.
    #[must_use]
    #[inline]
    pub fn slot(&self, index: u16) -> &RequestSlot<T> {
        &self.slots[usize::from(index)]
    }

    /// A slot by its place.
    #[inline]
    pub fn slot_mut(&mut self, index: u16) -> &mut RequestSlot<T> {
        &mut self.slots[usize::from(index)]
    }

    /// The place of the slot that waits for answers to `sequence`, if one does.
    #[must_use]
    #[inline]
    pub fn waiting_for(&self, sequence: u64) -> Option<u16> {
        let index = (sequence & (self.slots.len() as u64 - 1)) as u16;
        let slot = self.slot(index);
        let was_sent = matches!(slot.state, State::Sent | State::Queued);
        let is_of_this_use = slot.sequence == sequence || is_planted(Fault::SlotReusedEarly);
        (was_sent && is_of_this_use).then_some(index)
    }

    /// Places of the slots that were sent and wait.
    pub fn sent(&self) -> impl Iterator<Item = u16> + '_ {
        (0..self.slots.len() as u16).filter(|&index| self.slot(index).state == State::Sent)
    }

    /// All that is not done, in the order of the slots.
    pub fn outstanding(&self) -> impl Iterator<Item = (&RequestSlot<T>, &Pending<T>)> {
        let used = self.slots.iter().filter(|slot| slot.state != State::Free);
        used.flat_map(|slot| {
            slot.entries.iter().filter(|entry| !entry.is_done).map(move |entry| (slot, entry))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_use_of_a_slot_has_the_next_sequence_of_that_slot() {
        let mut inflight: Inflight<u32> = Inflight::new(4);
        for round in 1..4 {
            let mut taken = Vec::new();
            while let Some(index) = inflight.take() {
                assert_eq!(inflight.slot(index).sequence, round * 4 + u64::from(index));
                taken.push(index);
            }
            assert_eq!((taken.len(), inflight.used()), (4, 4));
            for index in taken {
                inflight.release(index);
            }
        }
    }

    #[test]
    fn only_a_slot_that_was_sent_waits_for_answers() {
        let mut inflight: Inflight<u32> = Inflight::new(4);
        let index = inflight.take().unwrap();
        let sequence = inflight.slot(index).sequence;
        assert_eq!(inflight.waiting_for(sequence), None, "it is filling");
        inflight.slot_mut(index).state = State::Sent;
        assert_eq!(inflight.waiting_for(sequence), Some(index));
        assert_eq!(inflight.waiting_for(sequence + 4), None, "that is not yet");
        assert_eq!(inflight.waiting_for(sequence - 4), None, "that is over");
    }

    #[test]
    fn what_is_outstanding_is_what_was_not_done() {
        let mut inflight: Inflight<u32> = Inflight::new(4);
        let index = inflight.take().unwrap();
        inflight.push(index, 1, Op::Get, b"a", b"", 0);
        inflight.push(index, 2, Op::Put, b"b", b"v", 0);
        inflight.push(index, 3, Op::Get, b"c", b"", 0);
        inflight.finish(index, 0);
        let slot = inflight.slot(index);
        assert_eq!(slot.key(&slot.entries[1]), b"b");
        assert_eq!((slot.waiting, slot.mutations_waiting), (2, 1));
        let outstanding = inflight.outstanding();
        let outstanding: Vec<_> =
            outstanding.map(|(slot, entry)| (entry.token, entry.op, slot.key(entry))).collect();
        assert_eq!(outstanding, [(2, Op::Put, &b"b"[..]), (3, Op::Get, b"c")]);
    }
}
