//! Linearizability of one register from its definition: a search for an order.

use std::collections::HashSet;

use history::operation::{Action, Operation, ValueId};

/// Whether some of the indeterminate PUTs, and all other operations, have an order in which
/// none comes before one that had ended when it started, and each GET returns what was put
/// last.
pub(crate) fn is_linearizable(operations: &[Operation]) -> bool {
    assert!(operations.len() <= 16);
    let mut search = Search { operations, dead_ends: HashSet::new() };
    search.goes_on(0, None)
}

struct Search<'a> {
    operations: &'a [Operation],
    /// What is done, and the value then, from where no order leads on.
    dead_ends: HashSet<(u16, Option<ValueId>)>,
}

impl Search<'_> {
    fn goes_on(&mut self, done: u16, value: Option<ValueId>) -> bool {
        let is_done = |at: usize| done & (1 << at) != 0;
        let must = |at: usize| !matches!(self.operations[at].action, Action::Indeterminate(_));
        let all = 0..self.operations.len();
        if all.clone().all(|at| is_done(at) || !must(at)) {
            return true;
        }
        if !self.dead_ends.insert((done, value)) {
            return false;
        }
        for next in all.clone().filter(|&at| !is_done(at)) {
            let operation = self.operations[next];
            let waits = all.clone().any(|at| {
                must(at) && !is_done(at) && self.operations[at].end_ns < operation.start_ns
            });
            let after = match operation.action {
                Action::Stored(put) | Action::Indeterminate(put) => Some(Some(put)),
                Action::Found(found) => (value == Some(found)).then_some(value),
                Action::NotFound => value.is_none().then_some(None),
            };
            if let (false, Some(after)) = (waits, after)
                && self.goes_on(done | 1 << next, after)
            {
                return true;
            }
        }
        false
    }
}
