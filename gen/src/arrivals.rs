//! Open loop: when operations are due, whatever came back of earlier ones.
//!
//! Operation `n` of a thread is due at `start + n × interval` and belongs to stream
//! `n mod streams`, so the times of each stream need no queue.

/// The schedule of one thread.
#[derive(Clone, Copy, Debug)]
pub struct Arrivals {
    start_ns: u64,
    interval_ns: f64,
    streams: u64,
    /// Operations that have become due.
    arrived: u64,
}

impl Arrivals {
    /// A schedule of `ops_per_s` operations, dealt out to `streams` in turn.
    #[must_use]
    pub fn new(start_ns: u64, ops_per_s: f64, streams: usize) -> Self {
        assert!(ops_per_s > 0.0 && streams > 0);
        Self { start_ns, interval_ns: 1e9 / ops_per_s, streams: streams as u64, arrived: 0 }
    }

    /// The stream of the next operation that is due by now, once for each.
    #[inline]
    pub fn next_due(&mut self, now_ns: u64) -> Option<u32> {
        if self.due_ns(self.arrived) > now_ns {
            return None;
        }
        let stream = (self.arrived % self.streams) as u32;
        self.arrived += 1;
        Some(stream)
    }

    /// When the `index`th operation of a stream was due.
    #[must_use]
    #[inline]
    pub fn intended_ns(&self, stream: u32, index: u64) -> u64 {
        self.due_ns(index * self.streams + u64::from(stream))
    }

    /// When the next operation of any stream will be due.
    #[must_use]
    pub fn next_ns(&self) -> u64 {
        self.due_ns(self.arrived)
    }

    /// Operations that have become due so far.
    #[must_use]
    pub const fn arrived(&self) -> u64 {
        self.arrived
    }

    fn due_ns(&self, operation: u64) -> u64 {
        self.start_ns + (operation as f64 * self.interval_ns) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_due_evenly_and_dealt_out_in_turn() {
        let mut arrivals = Arrivals::new(1_000, 1e6, 3);
        let mut due = Vec::new();
        while let Some(stream) = arrivals.next_due(5_000) {
            due.push(stream);
        }
        assert_eq!(due, [0, 1, 2, 0, 1]);
        assert_eq!(arrivals.next_ns(), 6_000);
        assert_eq!(arrivals.intended_ns(0, 0), 1_000);
        assert_eq!(arrivals.intended_ns(1, 1), 5_000, "the fifth operation of all");
    }
}
