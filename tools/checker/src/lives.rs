//! The lives of the servers: each begins empty, and after the one before.

use std::collections::BTreeMap;
use std::fmt;

use history::operation::Operation;

use crate::register::Access;

/// A life of a server, as its answers show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ObservedLife {
    server: u16,
    /// The first end of what it answered, and the last start.
    first_end_ns: u64,
    last_start_ns: u64,
    /// Keys that held a value in it.
    keys: u64,
}

/// All lives of all servers, by incarnation.
#[derive(Clone, Debug, Default)]
pub struct Lives {
    lives: BTreeMap<u64, ObservedLife>,
}

/// What the restarts of one server did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restarts {
    /// Place of the server in the cluster's list.
    pub server: u16,
    /// How often it started again.
    pub restarts: u64,
    /// How often a key lost what it held.
    pub lost_keys: u64,
}

/// Two lives of one server both answered, in turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwoLives {
    /// Place of the server in the cluster's list.
    pub server: u16,
    /// The two.
    pub incarnations: [u64; 2],
}

impl fmt::Display for TwoLives {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, incarnations: [first, second] } = self;
        write!(
            formatter,
            "server {server} answered from two lives in turns, {first:016x} and {second:016x}: a \
             server that starts again never answers from its former life"
        )
    }
}

impl Lives {
    /// Lives that are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lives.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lives.is_empty()
    }

    /// Takes the next operation.
    #[inline]
    pub fn note(&mut self, operation: &Operation, access: &Access) {
        if access.end_ns == u64::MAX {
            return; // Nobody answered it.
        }
        let life = self.lives.entry(operation.incarnation).or_insert(ObservedLife {
            server: operation.server,
            first_end_ns: u64::MAX,
            last_start_ns: 0,
            keys: 0,
        });
        life.first_end_ns = life.first_end_ns.min(access.end_ns);
        life.last_start_ns = life.last_start_ns.max(access.start_ns);
    }

    /// A key held a value in this life.
    pub fn note_key(&mut self, incarnation: u64) {
        if let Some(life) = self.lives.get_mut(&incarnation) {
            life.keys += 1;
        }
    }

    /// Adds what other operations of the same history showed.
    pub fn add(&mut self, other: &Self) {
        for (&incarnation, theirs) in &other.lives {
            let ours = self.lives.entry(incarnation).or_insert(ObservedLife { keys: 0, ..*theirs });
            ours.first_end_ns = ours.first_end_ns.min(theirs.first_end_ns);
            ours.last_start_ns = ours.last_start_ns.max(theirs.last_start_ns);
            ours.keys += theirs.keys;
        }
    }

    /// What restarts lost, server by server; an error if two lives of a server overlap.
    pub fn restarts(&self) -> Result<Vec<Restarts>, TwoLives> {
        let mut by_server: BTreeMap<u16, Vec<(u64, ObservedLife)>> = BTreeMap::new();
        for (&incarnation, &life) in &self.lives {
            by_server.entry(life.server).or_default().push((incarnation, life));
        }
        let mut restarts = Vec::new();
        for (server, mut lives) in by_server {
            // A life comes before another if it answered something before the other was last
            // asked. Where that holds both ways there is no order. Else the one that has to
            // come first has the lesser sum; an answer that was long on its way makes either
            // time alone misleading.
            lives.sort_by_key(|(_, life)| {
                u128::from(life.first_end_ns) + u128::from(life.last_start_ns)
            });
            let mut last_asked: Option<(u64, ObservedLife)> = None;
            for &(second, life) in &lives {
                if let Some((first, _)) =
                    last_asked.filter(|(_, before)| life.first_end_ns < before.last_start_ns)
                {
                    return Err(TwoLives { server, incarnations: [first, second] });
                }
                if last_asked.is_none_or(|(_, before)| before.last_start_ns < life.last_start_ns) {
                    last_asked = Some((second, life));
                }
            }
            if let [before @ .., _] = lives.as_slice()
                && !before.is_empty()
            {
                restarts.push(Restarts {
                    server,
                    restarts: before.len() as u64,
                    lost_keys: before.iter().map(|(_, life)| life.keys).sum(),
                });
            }
        }
        Ok(restarts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lives(of: &[(u64, u64)]) -> Lives {
        let life = |(at, &(first_end_ns, last_start_ns)): (usize, &(u64, u64))| {
            (at as u64, ObservedLife { server: 0, first_end_ns, last_start_ns, keys: 1 << at })
        };
        Lives { lives: of.iter().enumerate().map(life).collect() }
    }

    #[test]
    fn a_life_whose_only_answer_came_late_is_still_the_earlier_one() {
        // Asked at 10, answered at 60, long after the server had started again.
        let restarts = lives(&[(60, 10), (50, 90)]).restarts().unwrap();
        assert_eq!(restarts, [Restarts { server: 0, restarts: 1, lost_keys: 1 }]);
    }

    #[test]
    fn lives_that_each_answered_before_the_other_was_asked_have_no_order() {
        assert!(lives(&[(20, 70), (50, 90)]).restarts().is_err());
    }

    /// An order in which no life was asked after a later one had answered.
    fn has_order(of: &mut Vec<(u64, u64)>, placed: usize) -> bool {
        placed == of.len()
            || (placed..of.len()).any(|next| {
                of.swap(placed, next);
                let fits = of[..placed].iter().all(|before| before.1 <= of[placed].0);
                let found = fits && has_order(of, placed + 1);
                of.swap(placed, next);
                found
            })
    }

    #[test]
    fn an_order_is_found_exactly_if_there_is_one() {
        const TIMES: u64 = 5;
        for number in 0..TIMES.pow(6) {
            let time = |place: u32| number / TIMES.pow(place) % TIMES;
            let of: Vec<_> = (0..3).map(|life| (time(2 * life), time(2 * life + 1))).collect();
            assert_eq!(lives(&of).restarts().is_ok(), has_order(&mut of.clone(), 0), "{of:?}");
        }
    }
}
