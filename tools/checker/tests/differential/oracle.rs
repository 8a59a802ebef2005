//! Linearizability of one register, straight from its definition.
//!
//! A history is linearizable if there are a subset of the PUTs without answer and a total order
//! of them and all other operations, such that what ended before another started comes before
//! it, and each GET returns the value of the latest PUT before it, or nothing if there is none.
//! A PUT without answer may take effect at any time after its start: it comes after what ended
//! before it started, but nothing has to come after it.

use history::operation::{Action, Operation};

/// More operations have more orders than anybody waits for.
const MOST_OPERATIONS: usize = 16;

/// Whether operations on a single key, whose PUTs write distinct values, are linearizable.
pub(crate) fn is_linearizable(operations: &[Operation]) -> bool {
    assert!(operations.len() <= MOST_OPERATIONS, "{} operations", operations.len());
    let mut search = Search {
        operations,
        predecessors: operations
            .iter()
            .map(|late| set_of(operations, |o| precedes(o, late)))
            .collect(),
        needed: set_of(operations, |operation| !is_indeterminate(operation)),
        seen: vec![0; 1 << operations.len()],
    };
    search.can_complete(0, None)
}

/// Whether `late` may only take effect after `early`.
fn precedes(early: &Operation, late: &Operation) -> bool {
    !is_indeterminate(early) && early.end_ns < late.start_ns
}

fn is_indeterminate(operation: &Operation) -> bool {
    matches!(operation.action, Action::Indeterminate(_))
}

/// A bit for each operation, by its place in the history.
fn set_of(operations: &[Operation], is_member: impl Fn(&Operation) -> bool) -> u32 {
    let members = operations.iter().enumerate().filter(|(_, operation)| is_member(operation));
    members.fold(0, |set, (place, _)| set | 1 << place)
}

struct Search<'a> {
    operations: &'a [Operation],
    /// What has to come before each operation.
    predecessors: Vec<u32>,
    /// What has to be in the order.
    needed: u32,
    /// For each set of operations, with which registers it was tried in vain: bit 0 if with an
    /// absent one, bit `place + 1` if with the value of the PUT at that place.
    seen: Vec<u32>,
}

impl Search<'_> {
    /// Whether an order that begins with the operations `done`, and leaves the register with
    /// the value of the PUT at `current`, can be completed. How the beginning is ordered has no
    /// influence on what may follow, so that each pair needs only one trial.
    fn can_complete(&mut self, done: u32, current: Option<usize>) -> bool {
        if self.needed & !done == 0 {
            return true;
        }
        let register = 1 << current.map_or(0, |place| place + 1);
        if self.seen[done as usize] & register != 0 {
            return false;
        }
        self.seen[done as usize] |= register;
        (0..self.operations.len()).any(|next| {
            let is_next = done & 1 << next == 0 && self.predecessors[next] & !done == 0;
            is_next
                && match self.operations[next].action {
                    Action::Stored(_) | Action::Indeterminate(_) => {
                        self.can_complete(done | 1 << next, Some(next))
                    }
                    _ => {
                        self.returns(next, current) && self.can_complete(done | 1 << next, current)
                    }
                }
        })
    }

    /// Whether the GET at `next` returned what is in the register.
    fn returns(&self, next: usize, current: Option<usize>) -> bool {
        let content = current.map(|place| match self.operations[place].action {
            Action::Stored(value) | Action::Indeterminate(value) => value,
            Action::Found(_) | Action::NotFound => unreachable!("GETs write nothing"),
        });
        match self.operations[next].action {
            Action::Found(value) => content == Some(value),
            Action::NotFound => content.is_none(),
            Action::Stored(_) | Action::Indeterminate(_) => false,
        }
    }
}

mod tests {
    use Action::{Found, Indeterminate, NotFound, Stored};
    use history::operation::{Action, Operation, ValueId};

    use super::super::notation::{operation, value};
    use super::is_linearizable;

    fn judge<const COUNT: usize>(history: [(u32, u64, u64, Action); COUNT]) -> bool {
        let operations: Vec<Operation> = history
            .into_iter()
            .map(|(client, start_ns, end_ns, action)| operation(client, start_ns, end_ns, action))
            .collect();
        is_linearizable(&operations)
    }

    const A: ValueId = ValueId { writer: 1, counter: 0 };
    const B: ValueId = ValueId { writer: 2, counter: 0 };

    #[test]
    fn a_register_starts_absent() {
        assert!(judge([]));
        assert!(judge([(0, 1, 2, NotFound)]));
        assert!(!judge([(0, 1, 2, Found(value(7)))]));
    }

    #[test]
    fn a_get_after_a_put_finds_its_value() {
        assert!(judge([(0, 1, 2, Stored(A)), (1, 3, 4, Found(A))]));
        assert!(!judge([(0, 1, 2, Stored(A)), (1, 3, 4, NotFound)]));
    }

    #[test]
    fn a_get_does_not_find_what_was_overwritten_before_it() {
        let overwritten = [(0, 1, 2, Stored(A)), (0, 3, 4, Stored(B))];
        assert!(!judge([overwritten[0], overwritten[1], (1, 5, 6, Found(A))]));
        assert!(judge([overwritten[0], overwritten[1], (1, 4, 6, Found(A))]));
    }

    #[test]
    fn a_get_does_not_find_what_is_put_after_it() {
        assert!(!judge([(0, 1, 2, Found(A)), (1, 3, 4, Stored(A))]));
    }

    #[test]
    fn an_end_and_a_start_at_the_same_time_are_concurrent() {
        assert!(judge([(0, 1, 3, Found(A)), (1, 3, 4, Stored(A))]));
        assert!(judge([(0, 1, 3, Stored(A)), (1, 3, 4, NotFound)]));
        assert!(judge([(0, 3, 3, Stored(A)), (1, 3, 3, NotFound), (2, 3, 3, Found(A))]));
    }

    #[test]
    fn concurrent_puts_take_effect_in_either_order_but_in_one() {
        let puts = [(0, 1, 9, Stored(A)), (1, 1, 9, Stored(B))];
        assert!(judge([puts[0], puts[1], (2, 2, 3, Found(A)), (2, 4, 5, Found(B))]));
        assert!(judge([puts[0], puts[1], (2, 2, 3, Found(B)), (2, 4, 5, Found(A))]));
        let there_and_back = [(2, 2, 3, Found(A)), (2, 4, 5, Found(B)), (2, 6, 7, Found(A))];
        let [first, second, third] = there_and_back;
        assert!(!judge([puts[0], puts[1], first, second, third]));
    }

    #[test]
    fn gets_do_not_go_back_to_absence() {
        let put = (0, 1, 9, Stored(A));
        assert!(judge([put, (1, 2, 3, NotFound), (1, 4, 5, Found(A))]));
        assert!(!judge([put, (1, 2, 3, Found(A)), (1, 4, 5, NotFound)]));
    }

    #[test]
    fn a_put_without_answer_happens_never_or_once_whenever_after_its_start() {
        let lost = (0, 3, 4, Indeterminate(A));
        assert!(judge([lost, (1, 5, 6, NotFound)]));
        assert!(judge([lost, (1, 5, 6, NotFound), (1, 7, 8, Found(A))]));
        assert!(!judge([lost, (1, 5, 6, Found(A)), (1, 7, 8, NotFound)]));
        assert!(!judge([lost, (1, 1, 2, Found(A))]));
        assert!(judge([lost, (1, 5, 6, Stored(B)), (1, 7, 8, Found(B)), (1, 9, 9, Found(A))]));
        let twice = [(1, 5, 6, Found(A)), (1, 7, 8, Stored(B)), (1, 9, 9, Found(A))];
        assert!(!judge([lost, twice[0], twice[1], twice[2]]));
    }
}
