//! The processes' clocks, which jump ahead, and their pauses.

/// One process: all its machines share its clock.
#[derive(Clone, Debug)]
pub struct Process {
    /// What to add to the true time, from which true time on.
    jumps: Vec<(u64, u64)>,
    /// It does nothing until then.
    pub paused_until_ns: u64,
}

impl Process {
    /// A clock that is ahead by so much from the start.
    #[must_use]
    pub fn new(ahead_ns: u64) -> Self {
        Self { jumps: vec![(0, ahead_ns)], paused_until_ns: 0 }
    }

    /// How far the clock is ahead now.
    #[must_use]
    pub fn ahead_ns(&self) -> u64 {
        self.jumps.last().expect("there is always one").1
    }

    /// What the clock shows.
    #[must_use]
    pub fn clock_ns(&self, now_ns: u64) -> u64 {
        now_ns + self.ahead_ns()
    }

    /// The clock jumps.
    pub fn jump(&mut self, now_ns: u64, by_ns: u64) {
        let ahead_ns = self.ahead_ns() + by_ns;
        self.jumps.push((now_ns, ahead_ns));
    }

    /// The true time at which the clock showed this.
    #[must_use]
    pub fn true_ns(&self, clock_ns: u64) -> u64 {
        let jump =
            self.jumps.iter().rev().find(|(from_ns, ahead_ns)| from_ns + ahead_ns <= clock_ns);
        let (_, ahead_ns) = jump.expect("no clock shows a time before its start");
        clock_ns - ahead_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_is_read_back() {
        let mut process = Process::new(100);
        let mut shown = vec![(5, process.clock_ns(5))];
        process.jump(10, 1000);
        shown.extend([(10, process.clock_ns(10)), (17, process.clock_ns(17))]);
        process.jump(20, 7);
        shown.push((20, process.clock_ns(20)));
        for (now_ns, clock_ns) in shown {
            assert_eq!(process.true_ns(clock_ns), now_ns);
        }
    }
}
