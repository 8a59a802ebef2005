//! The checker and a brute-force search say the same of every small history, and of many
//! random ones.

#[path = "differential/enumerate.rs"]
mod enumerate;
#[path = "differential/oracle.rs"]
mod oracle;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use history::operation::{Action, Operation, ValueId};
use oracle::is_linearizable;
use testkit::random::Random;
use tools::lincheck::verify;

const CLIENTS: usize = 3;

/// What both say; else the smallest part of the history of which they say different things
/// is shown.
fn judge(history: &[Operation]) -> bool {
    let verdict = is_linearizable(history);
    if verify(history).is_ok() == verdict {
        return verdict;
    }
    let agrees = |history: &[Operation]| verify(history).is_ok() == is_linearizable(history);
    let mut smallest = history.to_vec();
    while let Some(shorter) = (0..smallest.len()).find_map(|at| {
        let mut shorter = smallest.clone();
        shorter.remove(at);
        (!agrees(&shorter)).then_some(shorter)
    }) {
        smallest = shorter;
    }
    panic!(
        "brute force: {}, checker: {:?}, of {smallest:#?}",
        is_linearizable(&smallest),
        verify(&smallest)
    );
}

fn operation(action: Action, start_ns: u64, end_ns: u64) -> Operation {
    let (client, server, incarnation, key, version) = (0, 0, 1, 0, 0);
    Operation { client, server, incarnation, key, action, version, start_ns, end_ns }
}

fn value(counter: u64) -> ValueId {
    ValueId { writer: 1, counter }
}

#[test]
fn the_search_judges_what_people_can_judge() {
    use Action::{Found, Indeterminate, NotFound, Stored};
    let [first, second] = [value(1), value(2)];
    for (history, expected) in [
        (vec![], true),
        (vec![(NotFound, 1, 2)], true),
        (vec![(Found(first), 1, 2)], false),
        (vec![(Stored(first), 1, 2), (Found(first), 3, 4)], true),
        (vec![(Stored(first), 1, 2), (NotFound, 2, 4)], true),
        (vec![(Stored(first), 1, 2), (NotFound, 3, 4)], false),
        (vec![(Found(first), 1, 2), (Stored(first), 3, 4)], false),
        (vec![(Stored(first), 1, 2), (Stored(second), 3, 4), (Found(first), 5, 6)], false),
        (vec![(Stored(first), 1, 9), (Stored(second), 3, 4), (Found(first), 5, 6)], true),
        (vec![(Indeterminate(first), 1, 2), (NotFound, 3, 4), (Found(first), 5, 6)], true),
        (vec![(Indeterminate(first), 1, 2), (Found(first), 3, 4), (NotFound, 5, 6)], false),
        (vec![(Indeterminate(first), 1, 2), (NotFound, 3, 4)], true),
    ] {
        let history: Vec<_> = history.into_iter().map(|(a, s, e)| operation(a, s, e)).collect();
        assert_eq!(judge(&history), expected, "{history:#?}");
    }
}

#[test]
fn there_are_as_many_shapes_as_fishburn_counted() {
    let counts: Vec<usize> = (1..=6).map(|count| enumerate::shapes(count).len()).collect();
    assert_eq!(counts, [1, 2, 5, 15, 53, 217]);
}

#[test]
fn every_history_of_up_to_six_operations_is_judged_as_by_brute_force() {
    let shapes: Vec<_> = (1..=6)
        .flat_map(enumerate::shapes)
        .filter(|shape| enumerate::width(shape) <= CLIENTS)
        .collect();
    let (next, visited, right) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(shape) = shapes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut count_right = 0;
                    let count = enumerate::histories(shape, &mut |history| {
                        count_right += u64::from(judge(history));
                    });
                    visited.fetch_add(count, Ordering::Relaxed);
                    right.fetch_add(count_right, Ordering::Relaxed);
                }
            });
        }
    });
    let (visited, right) = (visited.into_inner(), right.into_inner());
    println!("{visited} histories, {right} of them linearizable");
    let expected = shapes.iter().map(|shape| histories_of(shape.len() as u32)).sum::<u64>();
    assert_eq!(visited, expected, "each is visited once");
    assert!(right > visited / 50);
}

/// How many histories a shape has: so many of its operations are PUTs, each answered or not,
/// and each of the others finds nothing, or one of their values, or one that nobody wrote.
fn histories_of(operations: u32) -> u64 {
    let choose =
        |puts: u32| (0..puts).fold(1, |c, at| c * u64::from(operations - at) / u64::from(at + 1));
    let nobodys = u64::from(operations as usize <= enumerate::NEVER_WRITTEN_MAX);
    (0..=operations)
        .map(|puts| {
            let answers = u64::from(puts) + 1 + nobodys;
            choose(puts) * 2_u64.pow(puts) * answers.pow(operations - puts)
        })
        .sum()
}

/// A history of a real register, in which every operation takes effect at one instant.
fn real_history(random: &mut Random) -> Vec<Operation> {
    let mut clients_ns = [0_u64; 4];
    let mut instants: Vec<(u64, Operation, bool)> = Vec::new();
    for number in 0..random.below(12) + 1 {
        let client = random.below(4) as usize;
        // Small numbers, so that many times are equal.
        let start_ns = clients_ns[client] + random.below(6);
        let end_ns = start_ns + random.below(12);
        let instant_ns = start_ns + random.below(end_ns - start_ns + 1);
        clients_ns[client] = end_ns + 1;
        let (action, is_done) = match random.below(6) {
            0 | 1 => (Action::Stored(value(number)), true),
            2 => (Action::Indeterminate(value(number)), random.below(2) == 0),
            _ => (Action::NotFound, true),
        };
        let late_ns = match action {
            Action::Indeterminate(_) => random.below(30),
            _ => 0,
        };
        instants.push((instant_ns + late_ns, operation(action, start_ns, end_ns), is_done));
    }
    instants.sort_by_key(|&(instant_ns, ..)| instant_ns);
    let mut now = None;
    for (_, operation, is_done) in &mut instants {
        match operation.action {
            Action::Stored(value) => now = Some(value),
            Action::Indeterminate(value) if *is_done => now = Some(value),
            Action::NotFound => operation.action = now.map_or(Action::NotFound, Action::Found),
            _ => {}
        }
    }
    instants.into_iter().map(|(_, operation, _)| operation).collect()
}

/// Changes what one GET found, or the times of one operation.
fn change(random: &mut Random, history: &mut [Operation]) {
    let at = random.below(history.len() as u64) as usize;
    match history[at].action {
        Action::Found(_) | Action::NotFound if random.below(4) > 0 => {
            history[at].action = match random.below(13) {
                12 => Action::NotFound,
                number => Action::Found(value(number)),
            };
        }
        _ => {
            history[at].start_ns += random.below(20);
            history[at].end_ns = history[at].end_ns.max(history[at].start_ns);
        }
    }
}

#[test]
fn a_hundred_thousand_random_histories_are_judged_as_by_brute_force() {
    const COUNT: u64 = 100_000;
    let mut random = Random::for_test("random histories");
    let mut right = 0;
    for number in 0..COUNT {
        let mut history = real_history(&mut random);
        let is_real = number % 2 == 0;
        for _ in 0..if is_real { 0 } else { random.below(3) + 1 } {
            change(&mut random, &mut history);
        }
        let verdict = judge(&history);
        assert!(verdict || !is_real, "it has an order: {history:#?}");
        right += u64::from(verdict);
    }
    println!("{right} of {COUNT} are linearizable");
    assert!((COUNT / 5..COUNT * 4 / 5).contains(&right), "{right}");
}
