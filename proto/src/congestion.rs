//! A window that shrinks on loss: additive increase, multiplicative decrease.
//!
//! It counts request datagrams. The window starts at its maximum: what a server can take
//! is already bounded by its credit, what the client can take by its receive buffer; this
//! only reacts when both were too generous.

/// Window of one session.
#[derive(Clone, Copy, Debug)]
pub struct Congestion {
    window: f64,
    window_max: f64,
    /// Losses of what was sent before this are of the same event.
    recovery_from_ns: u64,
}

/// What is left of the window after a loss (as CUBIC, RFC 9438).
const DECREASE: f64 = 0.7;

impl Congestion {
    /// A window of at most `window_max` datagrams, open.
    #[must_use]
    pub fn new(window_max: usize) -> Self {
        assert!(window_max > 0);
        Self { window: window_max as f64, window_max: window_max as f64, recovery_from_ns: 0 }
    }

    /// Datagrams that may be outstanding.
    #[must_use]
    #[inline]
    pub fn window(&self) -> usize {
        self.window as usize
    }

    /// A request was answered completely: one more datagram per window answered.
    #[inline]
    pub fn on_answered(&mut self) {
        if self.window < self.window_max {
            self.window = (self.window + 1.0 / self.window).min(self.window_max);
        }
    }

    /// A request sent at `sent_at_ns` was not answered in time. Returns whether the window
    /// shrank: it does so once for all that was outstanding together.
    pub fn on_lost(&mut self, now_ns: u64, sent_at_ns: u64) -> bool {
        if sent_at_ns < self.recovery_from_ns {
            return false;
        }
        self.recovery_from_ns = now_ns;
        self.window = (self.window * DECREASE).max(1.0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_of_one_flight_shrink_the_window_once() {
        let mut congestion = Congestion::new(10);
        assert!(congestion.on_lost(100, 50));
        assert!(!congestion.on_lost(101, 60));
        assert_eq!(congestion.window(), 7);
        assert!(congestion.on_lost(200, 150));
        assert_eq!(congestion.window(), 4);
    }

    #[test]
    fn the_window_never_closes_and_grows_back() {
        let mut congestion = Congestion::new(8);
        for time in 1..100 {
            congestion.on_lost(time * 10, time * 10 - 1);
        }
        assert_eq!(congestion.window(), 1);
        for _ in 0..100 {
            congestion.on_answered();
        }
        assert_eq!(congestion.window(), 8);
    }
}
