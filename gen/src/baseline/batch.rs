//! The operations of a connection that are outstanding together, in their order.

use super::keys::{DIGITS, Records};
use crate::ledger::{Answer, Ledger};

/// An operation that was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its record.
    pub digits: [u8; DIGITS],
    /// Whether it is a PUT; otherwise it is a GET.
    pub is_put: bool,
    /// When its latency began to count.
    pub started_ns: u64,
}

impl Asked {
    /// The answer to it came.
    #[inline]
    pub fn answered(&self, now_ns: u64, answer: Answer<'_>, ledger: &mut Ledger) {
        ledger.report.client.operations_answered += 1;
        ledger.answered(now_ns.saturating_sub(self.started_ns), self.is_put, answer);
    }

    /// Nobody will know how it ended.
    pub fn given_up(&self, ledger: &mut Ledger) {
        if self.is_put {
            ledger.report.client.indeterminate += 1;
        } else {
            ledger.report.client.unanswered_gets += 1;
        }
    }
}

/// Operations in their order, and how many of them were answered.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    asked: Vec<Asked>,
    answered: usize,
}

impl Batch {
    /// Appends an operation.
    #[inline]
    pub fn push(&mut self, asked: Asked) {
        self.asked.push(asked);
    }

    /// Begins anew with `asked`.
    pub fn set(&mut self, asked: &[Asked]) {
        self.clear();
        self.asked.extend_from_slice(asked);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.asked.clear();
        self.answered = 0;
    }

    /// All of its operations.
    #[must_use]
    pub fn asked(&self) -> &[Asked] {
        &self.asked
    }

    /// Those that were not answered yet.
    #[must_use]
    pub fn outstanding(&self) -> &[Asked] {
        &self.asked[self.answered..]
    }

    /// The PUT that is to be answered next, if it is one.
    #[inline]
    pub fn next_put(&mut self) -> Option<Asked> {
        self.next(true)
    }

    /// The GET that is to be answered next, if it is one.
    #[inline]
    pub fn next_get(&mut self) -> Option<Asked> {
        self.next(false)
    }

    #[inline]
    fn next(&mut self, is_put: bool) -> Option<Asked> {
        let asked = *self.asked.get(self.answered).filter(|asked| asked.is_put == is_put)?;
        self.answered += 1;
        Some(asked)
    }

    /// How many GETs there are before the one of `key`, up to the next PUT; none if there is
    /// no such GET.
    #[inline]
    pub fn place_of(&self, key: &[u8], records: &Records) -> Option<usize> {
        let mut gets = self.outstanding().iter().take_while(|asked| !asked.is_put);
        gets.position(|get| records.is_key(key, &get.digits))
    }

    /// Ends it; whatever was outstanding is not any more.
    pub fn give_up(&mut self) {
        self.answered = self.asked.len();
    }

    /// How many GETs there are before the next PUT.
    #[must_use]
    pub fn gets(&self) -> usize {
        self.outstanding().iter().take_while(|asked| !asked.is_put).count()
    }
}

/// Whether two operations that follow each other may share a request.
#[must_use]
pub fn are_gets(one: &Asked, next: &Asked) -> bool {
    !one.is_put && !next.is_put
}
