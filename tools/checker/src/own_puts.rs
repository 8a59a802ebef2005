//! When the PUTs of each key that went through one cache were answered.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

/// Fewest that are looked through for some to forget.
const FORGET_AT_MIN: usize = 1 << 12;

/// The ends of PUTs that may matter, by cache and key.
#[derive(Clone, Debug)]
pub struct OwnPuts {
    /// Ascending.
    ends_ns: HashMap<(u64, u64), SmallVec<[u64; 2]>, FixedState>,
    forget_at: usize,
}

impl Default for OwnPuts {
    fn default() -> Self {
        Self { ends_ns: HashMap::with_hasher(FixedState::with_seed(0)), forget_at: FORGET_AT_MIN }
    }
}

impl OwnPuts {
    /// A PUT was answered, after all that were added before. Ends before `horizon_ns` do not
    /// matter any more.
    pub fn add(&mut self, cache: u64, key: u64, end_ns: u64, horizon_ns: u64) {
        if self.ends_ns.len() >= self.forget_at {
            self.ends_ns.retain(|_, ends_ns| ends_ns.last() >= Some(&horizon_ns));
            self.forget_at = (2 * self.ends_ns.len()).max(FORGET_AT_MIN);
        }
        let ends_ns = self.ends_ns.entry((cache, key)).or_default();
        // Half of them at once, so that each is moved once at most.
        if ends_ns.get(ends_ns.len() / 2).is_some_and(|&end_ns| end_ns < horizon_ns) {
            let gone = ends_ns.partition_point(|&end_ns| end_ns < horizon_ns);
            ends_ns.drain(..gone);
        }
        ends_ns.push(end_ns);
    }

    /// The latest end before a time, if it may matter.
    #[must_use]
    pub fn latest_before(&self, cache: u64, key: u64, time_ns: u64) -> Option<u64> {
        let ends_ns = self.ends_ns.get(&(cache, key))?;
        let before = ends_ns.partition_point(|&end_ns| end_ns < time_ns);
        before.checked_sub(1).map(|last| ends_ns[last])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_before_the_horizon_is_forgotten() {
        let mut puts = OwnPuts::default();
        const PUTS: u64 = 100 * FORGET_AT_MIN as u64;
        for end_ns in 0..PUTS {
            puts.add(1, 7, end_ns, end_ns.saturating_sub(10));
            puts.add(2, end_ns, end_ns, end_ns.saturating_sub(10));
            assert_eq!(puts.latest_before(1, 7, end_ns), end_ns.checked_sub(1));
        }
        assert!(puts.ends_ns.len() <= FORGET_AT_MIN + 1, "{}", puts.ends_ns.len());
        assert!(puts.ends_ns[&(1, 7)].len() <= 24, "{}", puts.ends_ns[&(1, 7)].len());
        assert_eq!(puts.latest_before(2, PUTS - 1, PUTS), Some(PUTS - 1));
        assert_eq!(puts.latest_before(2, PUTS - 1, PUTS - 1), None);
    }
}
