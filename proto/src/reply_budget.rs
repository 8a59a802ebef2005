//! What the replies to outstanding requests may take of the client's receive buffer.
//!
//! Each operation is charged, when it is taken, with the bytes that its answer is expected to
//! take there. A GET is charged for the space that an answer of the longest recent value takes
//! in a full datagram.

use crate::limits::DATAGRAM_OVERHEAD_BYTES;
use crate::wire::{HEADER_BYTES, Op, REPLY_ENTRY_BYTES};

/// The budget of one session.
#[derive(Clone, Copy, Debug)]
pub struct ReplyBudget {
    mtu_bytes: usize,
    max_bytes: usize,
    charged_bytes: usize,
    /// The longest recent answer to a GET, and what a GET is charged for it.
    recent_entry_bytes: usize,
    get_charge_bytes: usize,
}

impl ReplyBudget {
    /// Nothing charged; until a GET is answered, its answer is taken to fill a datagram.
    #[must_use]
    pub fn new(mtu_bytes: usize, max_bytes: usize) -> Self {
        let recent_entry_bytes = mtu_bytes - HEADER_BYTES;
        let get_charge_bytes = charge_bytes(mtu_bytes, recent_entry_bytes);
        Self { mtu_bytes, max_bytes, charged_bytes: 0, recent_entry_bytes, get_charge_bytes }
    }

    /// Changes how many bytes may be charged.
    pub const fn set_max_bytes(&mut self, bytes: usize) {
        self.max_bytes = bytes;
    }

    /// What an operation is charged.
    #[inline]
    #[must_use]
    pub fn charge_of(&self, op: Op) -> usize {
        match op {
            Op::Get => self.get_charge_bytes,
            Op::Put => charge_bytes(self.mtu_bytes, REPLY_ENTRY_BYTES),
            Op::Stats => self.mtu_bytes + DATAGRAM_OVERHEAD_BYTES,
        }
    }

    /// Whether so much more may be charged. One operation always may be outstanding.
    #[inline]
    #[must_use]
    pub const fn admits(&self, bytes: usize) -> bool {
        self.charged_bytes + bytes <= self.max_bytes || self.charged_bytes == 0
    }

    /// Charges an operation that is taken.
    #[inline]
    pub const fn charge(&mut self, bytes: usize) {
        self.charged_bytes += bytes;
    }

    /// Gives back what the operations of a request were charged.
    pub const fn refund(&mut self, bytes: usize) {
        self.charged_bytes -= bytes;
    }

    /// Whether nothing is charged.
    #[must_use]
    pub const fn is_untouched(&self) -> bool {
        self.charged_bytes == 0
    }

    /// Notes the longest answer of a reply. The longest recent one is slowly forgotten.
    #[inline]
    pub fn note_answer(&mut self, entry_bytes: usize) {
        let recent = entry_bytes.max(self.recent_entry_bytes - self.recent_entry_bytes / 64);
        if recent != self.recent_entry_bytes {
            self.recent_entry_bytes = recent;
            self.get_charge_bytes = charge_bytes(self.mtu_bytes, recent);
        }
    }
}

/// What an answer of `entry_bytes` takes of a receive buffer: its share of a datagram that is
/// full of such answers, and padded, and of the kernel's bookkeeping for it.
#[inline]
fn charge_bytes(mtu_bytes: usize, entry_bytes: usize) -> usize {
    let entries = (mtu_bytes - HEADER_BYTES) / entry_bytes;
    (mtu_bytes + DATAGRAM_OVERHEAD_BYTES).div_ceil(entries.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_operation_may_always_be_outstanding_and_more_within_the_budget() {
        let mut budget = ReplyBudget::new(1472, 100);
        assert!(budget.admits(1000));
        budget.charge(60);
        assert!(budget.admits(40) && !budget.admits(41));
        budget.refund(60);
        assert!(budget.is_untouched() && budget.admits(1000));
    }

    #[test]
    fn a_get_is_charged_its_share_of_a_datagram_full_of_the_longest_recent_answer() {
        let mut budget = ReplyBudget::new(1472, 1 << 20);
        assert_eq!(budget.charge_of(Op::Get), 1472 + 832);
        for _ in 0..1000 {
            budget.note_answer(144);
        }
        assert_eq!(budget.charge_of(Op::Get), (1472_usize + 832).div_ceil(10));
        budget.note_answer(720);
        assert_eq!(budget.charge_of(Op::Get), (1472 + 832) / 2, "a longer one counts at once");
    }
}
