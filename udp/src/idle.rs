//! What to do when there is nothing to do: spin, or sleep until something comes.
//!
//! Spinning saves the microseconds of a wake-up, and is right only where the core is ours
//! alone. Whether it is shows in the clock: between two looks at an empty socket next to
//! no time passes, unless somebody else ran. Who, the kernel tells: only time in which this
//! thread waited for its core counts, not what a hypervisor took from all of them.

/// How long to spin before sleeping.
const SPIN_NS: u64 = 100_000;
/// A gap between two empty looks that may tell of another's turn on this core.
const GAP_NS: u64 = 500_000;
/// If a thread waits for its core for more than 1 / this of the time, it is not its own.
/// What the kernel does on the side takes less.
const WAITED_SHARE: u64 = 20;
/// How long not to spin after that; doubles each time that it is found again at once.
const SHARED_NS_MIN: u64 = 250_000_000;
const SHARED_NS_MAX: u64 = 8_000_000_000;

/// Decides between spinning and sleeping.
#[derive(Clone, Debug)]
pub struct Idle {
    may_spin: bool,
    idle_since_ns: Option<u64>,
    looked_ns: u64,
    shared_until_ns: u64,
    shared_ns: u64,
    /// How long this thread had waited for its core, and when that was.
    waited: Option<Waited>,
}

/// How long a thread has waited for its core until a time.
#[derive(Clone, Copy, Debug)]
struct Waited {
    at_ns: u64,
    waited_ns: u64,
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
            waited: None,
        }
    }

    /// Whether a wait that is shorter than the kernel's sleeps may be spun at `now_ns`.
    #[must_use]
    pub const fn may_spin_at(&self, now_ns: u64) -> bool {
        self.may_spin && now_ns >= self.shared_until_ns
    }

    /// There was something to do.
    #[inline]
    pub const fn worked(&mut self) {
        self.idle_since_ns = None;
    }

    /// There was nothing to do at `now_ns`. `waited_ns` tells how long this thread has waited
    /// for its core since its start, if that can be told; it is asked seldom.
    #[inline]
    pub fn nothing(&mut self, now_ns: u64, waited_ns: impl FnOnce() -> Option<u64>) -> Rest {
        if !self.may_spin_at(now_ns) {
            self.idle_since_ns = None;
            return Rest::Sleep;
        }
        let Some(since_ns) = self.idle_since_ns else {
            self.idle_since_ns = Some(now_ns);
            self.looked_ns = now_ns;
            return Rest::Spin;
        };
        if now_ns - self.looked_ns > GAP_NS {
            self.gap(now_ns, waited_ns());
        }
        self.looked_ns = now_ns;
        if now_ns - since_ns < SPIN_NS { Rest::Spin } else { Rest::Sleep }
    }

    /// Something kept this thread from its core.
    #[cold]
    fn gap(&mut self, now_ns: u64, waited_ns: Option<u64>) {
        if let Some(waited_ns) = waited_ns {
            let now = Waited { at_ns: now_ns, waited_ns };
            let before = self.waited.replace(now);
            // Without a look before, or after one of another thread that had waited for longer,
            // there is nothing to compare with yet.
            let is_shared = before.is_some_and(|before| {
                let more_ns = waited_ns.saturating_sub(before.waited_ns);
                more_ns.saturating_mul(WAITED_SHARE) > now_ns.saturating_sub(before.at_ns)
            });
            if !is_shared {
                return;
            }
        }
        let again_ns = now_ns - self.shared_until_ns;
        self.shared_ns = match again_ns < self.shared_ns {
            true => (2 * self.shared_ns).min(SHARED_NS_MAX),
            false => SHARED_NS_MIN,
        };
        self.shared_until_ns = now_ns + self.shared_ns;
    }

    /// A sleep ended: the time that it took says nothing about who else ran.
    #[inline]
    pub const fn woke(&mut self) {
        self.idle_since_ns = None;
    }
}

/// How long the calling thread has waited for its core since its start; none where the
/// kernel does not tell.
#[must_use]
pub fn waited_ns() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks twice at an empty socket, with a gap between; afterwards it is `now_ns`.
    fn gap(idle: &mut Idle, now_ns: &mut u64, waited_ns: Option<u64>) -> Rest {
        idle.nothing(*now_ns, || None);
        *now_ns += GAP_NS + 1;
        idle.nothing(*now_ns, || waited_ns);
        idle.woke();
        idle.nothing(*now_ns, || unreachable!("no gap"))
    }

    #[test]
    fn it_spins_for_a_while_and_then_sleeps() {
        let mut idle = Idle::new(true);
        let nothing = |idle: &mut Idle, now_ns| idle.nothing(now_ns, || unreachable!("no gap"));
        assert_eq!(nothing(&mut idle, 1000), Rest::Spin);
        assert_eq!(nothing(&mut idle, 1000 + SPIN_NS - 1), Rest::Spin);
        assert_eq!(nothing(&mut idle, 1000 + SPIN_NS), Rest::Sleep);
        idle.worked();
        assert_eq!(nothing(&mut idle, 1001 + SPIN_NS), Rest::Spin);
    }

    #[test]
    fn it_never_spins_where_it_may_not() {
        assert_eq!(Idle::new(false).nothing(1, || None), Rest::Sleep);
    }

    #[test]
    fn a_core_that_others_use_is_left_to_them_for_longer_each_time() {
        let mut idle = Idle::new(true);
        let mut now_ns = SHARED_NS_MIN + 1;
        for round in 0..3 {
            assert_eq!(gap(&mut idle, &mut now_ns, None), Rest::Sleep, "round {round}");
            now_ns += (SHARED_NS_MIN << round) - 1;
            assert_eq!(idle.nothing(now_ns, || None), Rest::Sleep);
            assert!(!idle.may_spin_at(now_ns));
            now_ns += 1;
        }
        // A long time in which nobody came is forgiven.
        now_ns += SHARED_NS_MAX;
        assert_eq!(gap(&mut idle, &mut now_ns, None), Rest::Sleep);
        assert_eq!(idle.nothing(now_ns + SHARED_NS_MIN, || None), Rest::Spin);
    }

    #[test]
    fn only_time_that_was_waited_for_the_core_counts() {
        let mut idle = Idle::new(true);
        let mut now_ns = SHARED_NS_MIN + 1;
        // A hypervisor's doing: gaps, and no waiting.
        for _ in 0..10 {
            assert_eq!(gap(&mut idle, &mut now_ns, Some(7_000)), Rest::Spin);
        }
        // Somebody else's: a part of the gap was waiting.
        assert_eq!(gap(&mut idle, &mut now_ns, Some(7_000 + GAP_NS / 2)), Rest::Sleep);
    }

    #[test]
    fn another_thread_that_goes_on_has_waited_for_less_or_more() {
        let mut idle = Idle::new(true);
        let mut now_ns = SHARED_NS_MIN + 1;
        assert_eq!(gap(&mut idle, &mut now_ns, Some(1 << 40)), Rest::Spin);
        assert_eq!(gap(&mut idle, &mut now_ns, Some(7)), Rest::Spin, "nothing to compare with");
        assert_eq!(gap(&mut idle, &mut now_ns, Some(u64::MAX)), Rest::Sleep);
    }

    #[test]
    fn a_busy_thread_on_the_same_core_shows_in_what_was_waited() {
        let Some(before_ns) = waited_ns() else {
            eprintln!("not tested: this kernel does not tell how long a thread waited");
            return;
        };
        let core = crate::pin::allowed_cores()[0];
        assert!(crate::pin::pin_to(core));
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(crate::pin::pin_to(core));
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            // Ends when the other had its turn, which it gets sooner or later.
            while waited_ns().expect("it was told before") == before_ns {
                std::hint::spin_loop();
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
