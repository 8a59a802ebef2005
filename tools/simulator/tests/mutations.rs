//! Correct histories, from the simulator, broken in ways that have a name: each is found, with
//! the versions that the answers told and without them.

#![expect(clippy::ptr_arg, reason = "all breakages have one type")]

use std::collections::BTreeMap;

use checker::verify;
use history::operation::{Action, Operation, ValueId};
use simulator::run_seed;

/// Histories that are tried for a place to break.
const SEEDS: u64 = 150;
/// Looking for a place takes the square of this.
const OPERATIONS_MAX: usize = 1000;
/// Histories that each way must have broken.
const BROKEN_MIN: usize = 5;

/// A way to break a history; whether there was a place for it.
type Breakage = fn(&mut Vec<Operation>) -> bool;

const BREAKAGES: [(&str, Breakage); 9] = [
    ("stale read", stale_read),
    ("lost update", lost_update),
    ("read from the future", read_from_the_future),
    ("value never written", value_never_written),
    ("overwritten value after a newer read", overwritten_value_after_a_newer_read),
    ("two orders seen by two readers", two_orders_seen_by_two_readers),
    ("duplicate execution", duplicate_execution),
    ("resurrection after a restart", resurrection_after_a_restart),
    ("nothing found after a value", nothing_found_after_a_value),
];

fn value_of(operation: &Operation) -> Option<ValueId> {
    match operation.action {
        Action::Found(value) | Action::Stored(value) | Action::Indeterminate(value) => Some(value),
        Action::NotFound => None,
    }
}

fn is_stored(operation: &&Operation) -> bool {
    matches!(operation.action, Action::Stored(_))
}

fn is_get(operation: &Operation) -> bool {
    matches!(operation.action, Action::Found(_) | Action::NotFound)
}

fn precedes(first: &Operation, second: &Operation) -> bool {
    first.end_ns < second.start_ns
}

fn register(operation: &Operation) -> (u64, u64) {
    (operation.key, operation.incarnation)
}

/// Two PUTs of one register, one after the other, of which the second is the given one.
fn overwritten_by(history: &[Operation], newer: &Operation) -> Option<Operation> {
    let mut of_register = history.iter().filter(|o| register(o) == register(newer));
    of_register.find(|older| is_stored(older) && precedes(older, newer)).copied()
}

/// The first GET for which `answer` has another answer gets that.
fn replace_one(
    history: &mut [Operation],
    answer: impl Fn(&[Operation], &Operation) -> Option<(Action, u64)>,
) -> bool {
    let place = (0..history.len())
        .filter(|&at| is_get(&history[at]))
        .find_map(|at| Some((at, answer(history, &history[at])?)));
    let Some((at, (action, version))) = place else { return false };
    history[at].action = action;
    history[at].version = version;
    true
}

/// The PUT that a register had answered before a GET began.
fn answered_before(history: &[Operation], get: &Operation) -> Option<Operation> {
    let mut before = (history.iter().filter(is_stored))
        .filter(|put| register(put) == register(get) && precedes(put, get));
    before.find(|put| overwritten_by(history, put).is_some()).copied()
}

fn found(put: &Operation) -> (Action, u64) {
    (Action::Found(value_of(put).expect("a PUT has a value")), put.version)
}

fn stale_read(history: &mut Vec<Operation>) -> bool {
    replace_one(history, |history, get| {
        let newer = answered_before(history, get)?;
        Some(found(&overwritten_by(history, &newer)?))
    })
}

/// A PUT was answered, and everybody goes on to find the value before it.
fn lost_update(history: &mut Vec<Operation>) -> bool {
    let lost = history.iter().filter(is_stored).find_map(|put| {
        let is_found = history
            .iter()
            .any(|get| is_get(get) && value_of(get) == value_of(put) && precedes(put, get));
        is_found.then_some(())?;
        Some((*put, overwritten_by(history, put)?))
    });
    let Some((lost, before)) = lost else { return false };
    for get in history.iter_mut().filter(|o| is_get(o)) {
        if value_of(get) == value_of(&lost) {
            (get.action, get.version) = found(&before);
        }
    }
    true
}

fn read_from_the_future(history: &mut Vec<Operation>) -> bool {
    replace_one(history, |history, get| {
        let mut puts = history.iter().filter(is_stored);
        puts.find(|put| register(put) == register(get) && precedes(get, put)).map(found)
    })
}

fn value_never_written(history: &mut Vec<Operation>) -> bool {
    let value = ValueId { writer: 1, counter: u64::MAX };
    replace_one(history, |_, get| Some((Action::Found(value), get.version)))
}

fn overwritten_value_after_a_newer_read(history: &mut Vec<Operation>) -> bool {
    replace_one(history, |history, late| {
        let mut earlier = history.iter().filter(|o| {
            matches!(o.action, Action::Found(_))
                && register(o) == register(late)
                && precedes(o, late)
        });
        earlier.find_map(|newer_read| {
            let newer = history
                .iter()
                .filter(is_stored)
                .find(|put| value_of(put) == value_of(newer_read))?;
            Some(found(&overwritten_by(history, newer)?))
        })
    })
}

/// Two PUTs at one time, and two readers that see them in different orders.
fn two_orders_seen_by_two_readers(history: &mut Vec<Operation>) -> bool {
    let Some(&like) = history.iter().find(is_stored) else { return false };
    let of_register = history.iter().filter(|o| register(o) == register(&like));
    let version = of_register.map(|o| o.version).max().unwrap_or(0);
    let after_ns = history.iter().map(|operation| operation.end_ns).max().unwrap_or(0) + 10;
    let values = [8, 9].map(|counter| ValueId { writer: 1, counter });
    for (which, value) in [0, 1].into_iter().zip(values) {
        let version = version + 1 + which;
        let at = |action, from_ns| Operation {
            action,
            version,
            start_ns: after_ns + from_ns,
            end_ns: after_ns + from_ns + 10,
            ..like
        };
        history.push(at(Action::Stored(value), 0));
        history.push(at(Action::Found(value), 20 + 20 * which));
        history.push(at(Action::Found(value), 40 - 20 * which));
    }
    true
}

/// A PUT is executed again after the one that overwrote it, and read.
fn duplicate_execution(history: &mut Vec<Operation>) -> bool {
    replace_one(history, |history, get| {
        let newer = answered_before(history, get)?;
        let older = overwritten_by(history, &newer)?;
        Some((found(&older).0, newer.version + 1))
    })
}

/// A key has a value of its server's life before.
fn resurrection_after_a_restart(history: &mut Vec<Operation>) -> bool {
    let mut first_ends: BTreeMap<u64, u64> = BTreeMap::new();
    for operation in history.iter() {
        let first = first_ends.entry(operation.incarnation).or_insert(u64::MAX);
        *first = operation.end_ns.min(*first);
    }
    replace_one(history, |history, get| {
        let mut puts = history.iter().filter(is_stored);
        let put = puts.find(|put| {
            (put.key, put.server) == (get.key, get.server)
                && first_ends[&put.incarnation] < first_ends[&get.incarnation]
        })?;
        Some(found(put))
    })
}

fn nothing_found_after_a_value(history: &mut Vec<Operation>) -> bool {
    replace_one(history, |history, get| {
        let mut puts = history.iter().filter(is_stored);
        puts.find(|put| register(put) == register(get) && precedes(put, get))?;
        Some((Action::NotFound, 0))
    })
}

#[test]
fn each_named_way_to_break_a_correct_history_is_found() {
    let mut broken: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..SEEDS {
        let outcome = run_seed(seed, false);
        assert!(outcome.failure.is_none(), "seed {seed}");
        let correct: Vec<Operation> = outcome.histories.into_iter().flatten().collect();
        if correct.len() > OPERATIONS_MAX {
            continue;
        }
        for (name, breakage) in BREAKAGES {
            let mut history = correct.clone();
            if !breakage(&mut history) {
                continue;
            }
            *broken.entry(name).or_default() += 1;
            assert!(verify(&history).is_err(), "seed {seed}: {name} was not found");
            history.iter_mut().for_each(|operation| operation.version = 0);
            assert!(verify(&history).is_err(), "seed {seed}: {name} needs versions to be found");
        }
    }
    println!("histories broken: {broken:?}");
    for (name, _) in BREAKAGES {
        assert!(broken.get(name).is_some_and(|&count| count >= BROKEN_MIN), "{name}: {broken:?}");
    }
}
