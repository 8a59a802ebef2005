//! From when on each operation may have taken effect: from its call on, or before it if it is
//! a GET that a near cache answered.

use history::operation::{Action, Operation};

use crate::own_puts::OwnPuts;

/// From when on an operation may have taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Earliest {
    /// From this time on.
    pub ns: u64,
    /// Not earlier, because a PUT through the same cache had been answered by then.
    pub follows_own_put: bool,
}

/// Tells it for one operation after another. A GET from a cache may have taken effect
/// `staleness_ns` before its call, but not before the end of a PUT of its key that went
/// through the same cache and was answered before the GET was called.
#[derive(Clone, Debug)]
pub struct EarliestTimes {
    staleness_ns: u64,
    own_puts: OwnPuts,
}

impl EarliestTimes {
    /// For a history's first operation.
    #[must_use]
    pub fn new(staleness_ns: u64) -> Self {
        Self { staleness_ns, own_puts: OwnPuts::default() }
    }

    /// Takes the next operation, in the order of their ends, which went through the cache of
    /// this number. No operation to come takes effect before `horizon_ns`.
    #[inline]
    pub fn of(&mut self, cache: u64, operation: &Operation, horizon_ns: u64) -> Earliest {
        let called = Earliest { ns: operation.start_ns, follows_own_put: false };
        if self.staleness_ns == 0 {
            return called;
        }
        match operation.action {
            Action::Stored(_) => {
                self.own_puts.add(cache, operation.key, operation.end_ns, horizon_ns);
                called
            }
            _ if operation.is_cached => self.of_cached(cache, operation),
            _ => called,
        }
    }

    fn of_cached(&self, cache: u64, operation: &Operation) -> Earliest {
        let ns = operation.start_ns.saturating_sub(self.staleness_ns);
        match self.own_puts.latest_before(cache, operation.key, operation.start_ns) {
            // What ends before another starts comes before it, and at the same time either.
            Some(end_ns) if end_ns >= ns => Earliest { ns: end_ns + 1, follows_own_put: true },
            _ => Earliest { ns, follows_own_put: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use history::operation::ValueId;

    use super::*;

    const VALUE: ValueId = ValueId { writer: 1, counter: 1 };

    fn operation(key: u64, action: Action, start_ns: u64, end_ns: u64) -> Operation {
        Operation {
            client: 0,
            server: 0,
            incarnation: 1,
            key,
            action,
            is_cached: action == Action::Found(VALUE),
            version: 0,
            start_ns,
            end_ns,
        }
    }

    #[test]
    fn a_cached_get_takes_effect_before_its_call_but_after_a_put_through_its_cache() {
        let mut times = EarliestTimes::new(50);
        let mut of = |cache, operation| times.of(cache, &operation, 0);
        let put = |start_ns, end_ns| operation(5, Action::Stored(VALUE), start_ns, end_ns);
        let get = |key, start_ns| operation(key, Action::Found(VALUE), start_ns, start_ns);
        let at = |ns, follows_own_put| Earliest { ns, follows_own_put };
        assert_eq!(of(1, get(5, 20)), at(0, false));
        assert_eq!(of(1, put(90, 100)), at(90, false));
        assert_eq!(of(1, get(5, 100)), at(50, false), "it had not ended before");
        assert_eq!(of(1, get(5, 110)), at(101, true));
        assert_eq!(of(2, get(5, 110)), at(60, false), "another cache");
        assert_eq!(of(1, get(6, 110)), at(60, false), "another key");
        assert_eq!(of(1, put(115, 120)), at(115, false));
        assert_eq!(of(1, operation(5, Action::Found(VALUE), 115, 130)), at(101, true));
        assert_eq!(of(1, get(5, 170)), at(121, true));
        assert_eq!(of(1, get(5, 171)), at(121, false));
        assert_eq!(of(1, Operation { is_cached: false, ..get(5, 130) }), at(130, false));
    }
}
