//! One session, as the server keeps it: what its slots executed last.
//!
//! A request's `sequence % window` names a completion. A newer sequence executes, an equal one
//! is answered again, an older one is dropped: this is all that at-most-once needs
//! (invariant 1), because a client uses a slot again only when its answer is complete.

use crate::address_shares::Seat;
use crate::limits::{SESSION_IDLE_NS, WINDOW_MAX};
use crate::planted::{Fault, is_planted};
use crate::token_bucket::TokenBucket;
use crate::transmit::Path;
use crate::wire::Status;

/// How a mutation ended when it was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MutationResult {
    /// Version of the record, 0 if it was not written.
    pub version: u64,
    /// How it ended.
    pub status: Status,
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Execute it.
    New,
    /// It was executed: answer it again.
    Again,
    /// The slot has executed a later one: drop it.
    Old,
}

/// What a slot remembers of the latest request that it executed: its mutations are answered
/// from here when it comes again.
#[derive(Clone, Debug, Default)]
pub struct Completion {
    /// Its sequence; 0 before the first.
    sequence: u64,
    /// The results of its mutations, in their order.
    results: Vec<MutationResult>,
    /// The hash of its entries, if there is a mutation among them.
    entries_hash: u128,
}

impl Completion {
    /// How a request of this sequence relates to what the slot has executed.
    #[inline]
    #[must_use]
    pub fn classify(&self, sequence: u64) -> Arrival {
        assert!(sequence > 0, "0 stands for none");
        match sequence.cmp(&self.sequence) {
            std::cmp::Ordering::Greater => Arrival::New,
            std::cmp::Ordering::Equal if is_planted(Fault::DuplicateExecuted) => Arrival::New,
            std::cmp::Ordering::Less if is_planted(Fault::OldRequestExecuted) => Arrival::New,
            std::cmp::Ordering::Equal => Arrival::Again,
            std::cmp::Ordering::Less => Arrival::Old,
        }
    }

    /// Begins to execute a newer request.
    #[inline]
    pub fn begin(&mut self, sequence: u64) {
        assert!(sequence > self.sequence || may_move_back(), "a slot only moves on");
        self.sequence = sequence;
        self.results.clear();
    }

    /// Keeps the hash of the entries of the request that was begun, because it has mutations.
    #[inline]
    pub fn keep_hash(&mut self, entries_hash: u128) {
        self.entries_hash = entries_hash;
    }

    /// Whether the latest request had so many mutations and, if it had any, such entries.
    #[must_use]
    pub fn is_of(&self, mutations: usize, entries_hash: impl FnOnce() -> u128) -> bool {
        self.results.len() == mutations
            && (mutations == 0
                || self.entries_hash == entries_hash()
                || is_planted(Fault::EntriesUnchecked))
    }

    /// Records the result of the next mutation of the request that was begun.
    #[inline]
    pub fn record(&mut self, result: MutationResult) {
        self.results.push(result);
    }

    /// The results of the latest request, in the order of its mutations.
    #[must_use]
    pub fn results(&self) -> &[MutationResult] {
        &self.results
    }
}

fn may_move_back() -> bool {
    is_planted(Fault::DuplicateExecuted) || is_planted(Fault::OldRequestExecuted)
}

/// A session that a client opened.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id on the wire.
    pub id: u64,
    /// The only way that it is good for: the client's address, and the one that it asked.
    pub path: Path,
    /// The client's name for its attempt to open it.
    pub client_id: [u8; 16],
    /// Largest datagram, both ways.
    pub mtu_bytes: usize,
    /// What it is among the sessions of its address.
    pub seat: Seat,
    /// When a request of it last arrived.
    pub last_heard_ns: u64,
    /// What it may still have answered again.
    pub repeats: TokenBucket,
    completions: Vec<Completion>,
}

impl Session {
    /// A session whose slots have executed nothing.
    #[must_use]
    pub fn new(
        id: u64,
        path: Path,
        client_id: [u8; 16],
        mtu_bytes: usize,
        window: usize,
        seat: Seat,
        now_ns: u64,
    ) -> Self {
        assert!(window.is_power_of_two() && window <= WINDOW_MAX);
        Self {
            id,
            path,
            client_id,
            mtu_bytes,
            seat,
            last_heard_ns: now_ns,
            repeats: TokenBucket::default(),
            completions: vec![Completion::default(); window],
        }
    }

    /// Slots of the session.
    #[must_use]
    pub fn window(&self) -> usize {
        self.completions.len()
    }

    /// The completion of the slot that a sequence names.
    #[inline]
    pub fn completion_mut(&mut self, sequence: u64) -> &mut Completion {
        let mask = self.completions.len() as u64 - 1;
        &mut self.completions[(sequence & mask) as usize]
    }

    /// Whether it has been silent for too long.
    #[must_use]
    #[inline]
    pub fn is_expired(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.last_heard_ns) > SESSION_IDLE_NS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address_shares::AddressShares;

    fn seat() -> Seat {
        AddressShares::default().take(0, [127, 0, 0, 1].into(), 0)
    }

    #[test]
    fn newer_executes_equal_is_answered_again_older_is_dropped() {
        let mut completion = Completion::default();
        assert_eq!(completion.classify(1), Arrival::New);
        completion.begin(65);
        completion.record(MutationResult { version: 3, status: Status::Ok });
        assert_eq!(completion.classify(65), Arrival::Again);
        assert_eq!(completion.classify(1), Arrival::Old);
        assert_eq!(completion.classify(129), Arrival::New);
        assert_eq!(completion.results().len(), 1);
        completion.begin(129);
        assert_eq!(completion.results(), []);
        assert_eq!(completion.classify(65), Arrival::Old);
    }

    #[test]
    fn slots_are_independent() {
        let path = Path::to("127.0.0.1:1".parse().unwrap());
        let mut session = Session::new(1, path, [0; 16], 1472, 4, seat(), 0);
        session.completion_mut(4).begin(4);
        assert_eq!(session.completion_mut(5).classify(5), Arrival::New);
        assert_eq!(session.completion_mut(8).classify(8), Arrival::New);
        assert_eq!(session.completion_mut(4).classify(4), Arrival::Again);
    }

    #[test]
    fn a_session_expires_when_it_was_silent_for_too_long() {
        let path = Path::to("127.0.0.1:1".parse().unwrap());
        let session = Session::new(1, path, [0; 16], 1472, 4, seat(), 1000);
        assert!(!session.is_expired(1000 + SESSION_IDLE_NS));
        assert!(session.is_expired(1001 + SESSION_IDLE_NS));
        assert!(!session.is_expired(0), "a clock that steps back expires nobody");
    }
}
