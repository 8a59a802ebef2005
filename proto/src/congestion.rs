//! A window that shrinks on loss: additive increase, multiplicative decrease.
//!
//! It counts request datagrams. The window starts at its maximum: what a server can take
//! is already bounded by its credit, what the client can take by its receive buffer; this
//! only reacts when both were too generous.
//!
//! A link that loses a datagram now and then is not overloaded, and a smaller window would
//! not lose less. So what counts is the share of a round that was lost (as in BBR, Cardwell
//! et al., 2022): a buffer that overflows loses far more. Only silence counts at once.

use crate::limits::LOSS_TOLERATED;

/// Window of one session. Requests are told apart by their order: the count of all that were
/// sent, when they were.
#[derive(Clone, Copy, Debug)]
pub struct Congestion {
    window: f64,
    window_max: f64,
    /// Losses of what was sent until here are of the same event.
    recovery_order: u64,
    /// What was sent after this is of the next round; and what became of operations since.
    round_order: u64,
    answered: u64,
    lost: u64,
}

/// What is left of the window after a loss (as CUBIC, RFC 9438).
const DECREASE: f64 = 0.7;

impl Congestion {
    /// A window of at most `window_max` datagrams, open.
    #[must_use]
    pub fn new(window_max: usize) -> Self {
        assert!(window_max > 0);
        Self {
            window: window_max as f64,
            window_max: window_max as f64,
            recovery_order: 0,
            round_order: 0,
            answered: 0,
            lost: 0,
        }
    }

    /// Datagrams that may be outstanding.
    #[must_use]
    #[inline]
    pub fn window(&self) -> usize {
        self.window as usize
    }

    /// A request was answered completely. At the end of a round the window grows by one
    /// datagram, or shrinks if too much was lost; returns whether it shrank.
    #[inline]
    pub fn on_answered(&mut self, sent_order: u64, latest_order: u64, operations: usize) -> bool {
        self.answered += operations as u64;
        sent_order > self.round_order && self.end_round(latest_order)
    }

    /// Operations of a request were not answered in time. Returns whether the window shrank:
    /// if nothing at all was heard for too long (`is_silent`), it does so at once, and once
    /// for all that was outstanding together.
    pub fn on_lost(
        &mut self,
        sent_order: u64,
        latest_order: u64,
        operations: usize,
        is_silent: bool,
    ) -> bool {
        if sent_order <= self.recovery_order {
            return false;
        }
        if is_silent {
            self.shrink(latest_order);
        } else {
            self.lost += operations as u64;
        }
        is_silent
    }

    fn end_round(&mut self, latest_order: u64) -> bool {
        let is_overloaded = self.lost * LOSS_TOLERATED > self.answered + self.lost;
        self.round_order = latest_order;
        (self.answered, self.lost) = (0, 0);
        if is_overloaded {
            self.shrink(latest_order);
        } else {
            self.window = (self.window + 1.0).min(self.window_max);
        }
        is_overloaded
    }

    fn shrink(&mut self, latest_order: u64) {
        self.recovery_order = latest_order;
        self.window = (self.window * DECREASE).max(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round of one request of 100 operations, of which some were lost.
    fn round(congestion: &mut Congestion, order: u64, lost: usize) -> bool {
        congestion.on_lost(order, order, lost, false);
        congestion.on_answered(order, order, 100 - lost)
    }

    #[test]
    fn silence_shrinks_the_window_once_for_one_flight() {
        let mut congestion = Congestion::new(10);
        assert!(congestion.on_lost(1, 5, 1, true));
        assert!(!congestion.on_lost(2, 5, 1, true));
        assert_eq!(congestion.window(), 7);
        assert!(congestion.on_lost(6, 9, 1, true));
        assert_eq!(congestion.window(), 4);
    }

    #[test]
    fn a_link_that_loses_a_little_keeps_its_window() {
        let mut congestion = Congestion::new(10);
        for order in 1..100 {
            assert!(!round(&mut congestion, order, 5));
        }
        assert_eq!(congestion.window(), 10);
    }

    #[test]
    fn a_round_that_lost_much_shrinks_the_window() {
        let mut congestion = Congestion::new(10);
        assert!(round(&mut congestion, 1, 10));
        assert_eq!(congestion.window(), 7);
        assert!(!round(&mut congestion, 2, 0));
        assert_eq!(congestion.window(), 8);
    }

    #[test]
    fn the_window_never_closes_and_grows_back() {
        let mut congestion = Congestion::new(8);
        for order in 1..100 {
            congestion.on_lost(order, order, 1, true);
        }
        assert_eq!(congestion.window(), 1);
        for order in 100..200 {
            round(&mut congestion, order, 0);
        }
        assert_eq!(congestion.window(), 8);
    }
}
