//! What to do when there is nothing to do: spin, or sleep until something comes.
//!
//! Spinning saves the microseconds of a wake-up, and is right only where the core is ours
//! alone. Whether it is shows in the clock: between two looks at an empty socket next to
//! no time passes, unless somebody else ran.

/// How long to spin before sleeping.
const SPIN_NS: u64 = 100_000;
/// A gap between two empty looks that tells of another's turn on this core.
const PREEMPTED_NS: u64 = 500_000;
/// How long not to spin after that; doubles each time.
const SHARED_NS_MIN: u64 = 250_000_000;
const SHARED_NS_MAX: u64 = 60_000_000_000;

/// Decides between spinning and sleeping.
#[derive(Clone, Debug)]
pub struct Idle {
    may_spin: bool,
    idle_since_ns: Option<u64>,
    looked_ns: u64,
    shared_until_ns: u64,
    shared_ns: u64,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Look again at once.
    Spin,
    /// Sleep until something comes.
    Sleep,
}

impl Idle {
    /// `may_spin`: as far as anybody knows, the core is ours.
    #[must_use]
    pub const fn new(may_spin: bool) -> Self {
        Self {
            may_spin,
            idle_since_ns: None,
            looked_ns: 0,
            shared_until_ns: 0,
            shared_ns: SHARED_NS_MIN,
        }
    }

    /// Whether the core is ours as far as anybody knew at the start.
    #[must_use]
    pub const fn may_spin(&self) -> bool {
        self.may_spin
    }

    /// There was something to do.
    #[inline]
    pub const fn worked(&mut self) {
        self.idle_since_ns = None;
    }

    /// There was nothing to do at `now_ns`.
    #[inline]
    pub fn nothing(&mut self, now_ns: u64) -> Rest {
        if !self.may_spin || now_ns < self.shared_until_ns {
            self.idle_since_ns = None;
            return Rest::Sleep;
        }
        let Some(since_ns) = self.idle_since_ns else {
            self.idle_since_ns = Some(now_ns);
            self.looked_ns = now_ns;
            return Rest::Spin;
        };
        if now_ns - self.looked_ns > PREEMPTED_NS {
            self.shared_until_ns = now_ns + self.shared_ns;
            self.shared_ns = (2 * self.shared_ns).min(SHARED_NS_MAX);
        }
        self.looked_ns = now_ns;
        if now_ns - since_ns < SPIN_NS { Rest::Spin } else { Rest::Sleep }
    }

    /// A sleep ended: the time that it took says nothing about who else ran.
    #[inline]
    pub const fn woke(&mut self) {
        self.idle_since_ns = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_spins_for_a_while_and_then_sleeps() {
        let mut idle = Idle::new(true);
        assert_eq!(idle.nothing(1000), Rest::Spin);
        assert_eq!(idle.nothing(1000 + SPIN_NS - 1), Rest::Spin);
        assert_eq!(idle.nothing(1000 + SPIN_NS), Rest::Sleep);
        idle.worked();
        assert_eq!(idle.nothing(1001 + SPIN_NS), Rest::Spin);
    }

    #[test]
    fn it_never_spins_where_it_may_not() {
        assert_eq!(Idle::new(false).nothing(1), Rest::Sleep);
    }

    #[test]
    fn a_core_that_others_use_is_left_to_them_for_longer_each_time() {
        let mut idle = Idle::new(true);
        let mut now_ns = 1;
        for round in 0..3 {
            assert_eq!(idle.nothing(now_ns), Rest::Spin, "round {round}");
            now_ns += PREEMPTED_NS + 1;
            assert_eq!(idle.nothing(now_ns), Rest::Sleep);
            now_ns += (SHARED_NS_MIN << round) - 1;
            assert_eq!(idle.nothing(now_ns), Rest::Sleep);
            now_ns += 1;
        }
    }
}
