//! Which requests are lost, because requests that were sent after them are answered: the packet
//! threshold of RFC 9002, 6.1.1.

use crate::limits::REORDER_MAX;

/// The order in which requests were sent, and how far it is answered. A request that is sent
/// again has a new place in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct LossDetector {
    /// Place of the request sent last; the first has 1.
    sent_order: u64,
    /// Place of the latest request that was answered.
    answered_order: u64,
    /// Whether requests sent before that one were unanswered at the last look, and whether
    /// it is time for another.
    has_gap: bool,
    is_due: bool,
}

impl LossDetector {
    /// The place of a request that is sent now.
    #[inline]
    pub const fn sent(&mut self) -> u64 {
        self.sent_order += 1;
        self.sent_order
    }

    /// The place of the request sent last.
    #[must_use]
    #[inline]
    pub const fn sent_order(&self) -> u64 {
        self.sent_order
    }

    /// A request is answered, by its latest sending.
    #[inline]
    pub const fn answered(&mut self, order: u64) {
        if order > self.answered_order {
            // Answers come in the order of their requests, or one between was lost.
            let is_next = order == self.answered_order + 1;
            self.answered_order = order;
            self.is_due |= self.has_gap || !is_next;
        }
    }

    /// Whether some may be lost: time to look through those that are outstanding.
    #[must_use]
    #[inline]
    pub const fn is_due(&self) -> bool {
        self.is_due
    }

    /// Whether an outstanding request is lost: one sent well after it is answered.
    #[must_use]
    pub const fn is_lost(&self, order: u64) -> bool {
        order + REORDER_MAX <= self.answered_order
    }

    /// The outstanding requests are looked through.
    pub const fn begin_look(&mut self) {
        self.is_due = false;
    }

    /// Notes the places of the requests that stay outstanding.
    pub fn end_look(&mut self, mut outstanding: impl Iterator<Item = u64>) {
        self.has_gap = outstanding.any(|order| order < self.answered_order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_lost_when_one_sent_three_later_is_answered() {
        let mut detector = LossDetector::default();
        let orders: Vec<_> = (0..4).map(|_| detector.sent()).collect();
        assert_eq!(orders, [1, 2, 3, 4]);
        detector.answered(3);
        assert!(detector.is_due() && !detector.is_lost(1));
        detector.answered(4);
        assert!(detector.is_lost(1) && !detector.is_lost(2));
    }

    #[test]
    fn while_answers_come_in_order_nobody_needs_to_look() {
        let mut detector = LossDetector::default();
        for _ in 0..3 {
            let order = detector.sent();
            detector.answered(order);
            assert!(!detector.is_due());
        }
    }

    #[test]
    fn while_there_is_a_gap_each_answer_makes_a_look_due() {
        let mut detector = LossDetector::default();
        detector.sent();
        for order in [2, 3] {
            detector.sent();
            detector.answered(order);
            assert!(detector.is_due());
            detector.begin_look();
            detector.end_look([1].into_iter());
        }
        detector.end_look(std::iter::empty());
        detector.sent();
        detector.answered(4);
        assert!(!detector.is_due(), "the gap is closed");
    }
}
