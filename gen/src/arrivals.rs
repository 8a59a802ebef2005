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

    /// Tells, once for each operation that is due by now, its stream, and how many of that
    /// stream are. However late it is called, no stream is told of more than three times.
    #[inline]
    pub fn take_due(&mut self, now_ns: u64, mut due: impl FnMut(u32, u64)) {
        if self.due_ns(self.arrived + self.streams) <= now_ns {
            let turns = self.whole_turns(now_ns);
            let next = self.arrived % self.streams;
            for stream in (next..self.streams).chain(0..next) {
                due(stream as u32, turns);
            }
            self.arrived += turns * self.streams;
        }
        while self.due_ns(self.arrived) <= now_ns {
            due((self.arrived % self.streams) as u32, 1);
            self.arrived += 1;
        }
    }

    /// How often every stream has had its turn since, at least once.
    #[cold]
    fn whole_turns(&self, now_ns: u64) -> u64 {
        let arrived = ((now_ns - self.start_ns) as f64 / self.interval_ns) as u64;
        (arrived.saturating_sub(self.arrived) / self.streams).max(1)
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

    /// Operations that were due before `end_ns`, the last that it tells of, and are not among
    /// those `sent`. Nobody has to have taken them.
    pub fn backlog(&mut self, end_ns: u64, sent: u64) -> u64 {
        self.take_due(end_ns.saturating_sub(1), |_, _| {});
        self.arrived - sent
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
        for now_ns in [2_500, 5_000] {
            arrivals.take_due(now_ns, |stream, count| due.push((stream, count)));
        }
        assert_eq!(due, [(0, 1), (1, 1), (2, 1), (0, 1), (1, 1)]);
        assert_eq!(arrivals.next_ns(), 6_000);
        assert_eq!(arrivals.intended_ns(0, 0), 1_000);
        assert_eq!(arrivals.intended_ns(1, 1), 5_000, "the fifth operation of all");
    }

    #[test]
    fn what_nobody_took_until_the_end_is_in_the_backlog_and_what_is_due_at_the_end_is_not() {
        let mut arrivals = Arrivals::new(1_000, 1e6, 3);
        arrivals.take_due(2_500, |_, _| {});
        assert_eq!(arrivals.backlog(1_000_001_000, 2), 1_000_000 - 2);
        assert_eq!(Arrivals::new(1_000, 1e6, 3).backlog(500, 0), 0, "before its start");
    }

    #[test]
    fn what_is_due_late_is_due_in_the_same_turns() {
        for (rate, streams) in [(1e9, 1024), (1e9, 1), (7e8, 3), (1e6, 1000), (3.0, 7)] {
            let (mut late, mut next) = (Arrivals::new(17, rate, streams), 0u64);
            let mut due_of = vec![0; streams];
            for now_ns in [0, 17, 18, 1_000, 1_000_000, 1_000_017, 30_000_000_000] {
                let (mut first_told, mut told) = (Vec::new(), 0);
                late.take_due(now_ns, |stream, count| {
                    due_of[stream as usize] += count;
                    told += 1;
                    if !first_told.contains(&stream) && first_told.len() < 8 {
                        first_told.push(stream);
                    }
                });
                assert!(told <= 3 * streams, "rate {rate}, {streams} streams: told {told} times");
                let in_turn: Vec<_> = (next..late.arrived)
                    .take(8.min(streams))
                    .map(|n| (n % streams as u64) as u32)
                    .collect();
                assert_eq!(first_told, in_turn, "rate {rate}, {streams} streams, at {now_ns}");
                next = late.arrived;
                assert!(late.next_ns() > now_ns, "nothing that is due is left out");
                assert!(next == 0 || late.due_ns(next - 1) <= now_ns, "and nothing is early");
                for (stream, &due) in due_of.iter().enumerate() {
                    let (streams, stream) = (streams as u64, stream as u64);
                    assert_eq!(due, (next + streams - 1 - stream) / streams);
                }
            }
        }
    }
}
