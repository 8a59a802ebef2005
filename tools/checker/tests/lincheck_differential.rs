//! The checker against brute force, written from the definition alone: on every small history,
//! and on random ones that are larger.

mod differential;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use differential::clusters;
use differential::compare::{Disagreement, compare, compare_stale, lincheck};
use differential::enumerate::{Label, Structure, Times, labelings, structures};
use differential::{generate, stale};
use history::operation::{Action, Operation};
use testkit::random::Random;

/// Histories, and how many of them are linearizable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    histories: u64,
    linearizable: u64,
}

/// Judges all histories of so many operations, of which [`labelings`] says more.
fn judge_all(operations: usize, others: bool) -> Count {
    let structures = structures(operations);
    let labelings = labelings(operations, others);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut count = Count::default();
        while let Some(structure) = structures.get(next.fetch_add(1, Ordering::Relaxed)) {
            judge_structure(structure, &labelings, &mut count)?;
        }
        Ok::<Count, Box<Disagreement>>(count)
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut sum = Count::default();
        for worker in workers {
            let count = worker.join().expect("no judge panics");
            let count = count.unwrap_or_else(|disagreement| panic!("{disagreement}"));
            sum.histories += count.histories;
            sum.linearizable += count.linearizable;
        }
        sum
    })
}

fn judge_structure(
    structure: &Structure,
    labelings: &[Vec<Label>],
    count: &mut Count,
) -> Result<(), Box<Disagreement>> {
    for labels in labelings.iter().filter(|labels| structure.counts(labels)) {
        let is_linearizable = compare(&structure.history(labels, Times::Equal), &lincheck)?;
        // The order in which operations are given does not matter either.
        let mut history = structure.history(labels, Times::Distinct);
        history.reverse();
        assert_eq!(compare(&history, &lincheck)?, is_linearizable);
        count.histories += 1;
        count.linearizable += u64::from(is_linearizable);
    }
    Ok(())
}

#[test]
fn every_history_of_up_to_six_operations_is_judged_as_by_brute_force() {
    let expected = [
        (1, 1),
        (3, 3),
        (21, 18),
        (236, 164),
        (3_907, 2_092),
        (86_506, 33_890),
        (2_348_531, 633_180),
    ];
    for (operations, (histories, linearizable)) in expected.into_iter().enumerate() {
        let count = judge_all(operations, false);
        assert_eq!(count, Count { histories, linearizable }, "{operations} operations");
    }
}

#[test]
fn every_history_in_which_a_get_finds_what_nobody_wrote_is_wrong() {
    // Such a GET makes any history wrong, whatever else is in it: few operations suffice.
    for (operations, histories) in [0, 1, 11, 166, 3_359].into_iter().enumerate() {
        let count = judge_all(operations, true);
        assert_eq!(count, Count { histories, linearizable: 0 }, "{operations} operations");
    }
}

#[test]
fn a_hundred_thousand_random_histories_are_judged_as_by_brute_force() {
    const HISTORIES: u64 = 100_000;
    let mut random = Random::for_test("lincheck_differential");
    let mut linearizable = 0;
    for _ in 0..HISTORIES {
        let mut history = generate::right(&mut random);
        let is_mutated = random.happens(50);
        if is_mutated {
            generate::mutate(&mut history, &mut random);
        }
        generate::shuffle(&mut history, &mut random);
        match compare(&history, &lincheck) {
            Ok(is_linearizable) => {
                assert!(is_linearizable || is_mutated, "a register did this: {history:?}");
                linearizable += u64::from(is_linearizable);
            }
            Err(disagreement) => panic!("{disagreement}"),
        }
    }
    println!("{linearizable} of {HISTORIES} are linearizable");
    assert!((HISTORIES / 5..=HISTORIES / 5 * 4).contains(&linearizable), "{linearizable}");
}

/// All histories of so many operations, in which any of the GETs are from caches whose answers
/// may be of 1 to 3 phases before.
fn judge_all_stale(operations: usize) -> Count {
    let mut count = Count::default();
    let labelings = labelings(operations, false);
    for structure in structures(operations) {
        for labels in labelings.iter().filter(|labels| structure.counts(labels)) {
            let mut history = structure.history(labels, Times::Equal);
            let gets = stale::places_of_gets(&history);
            for cached in 1_u32..1 << gets.len() {
                for (bit, &place) in gets.iter().enumerate() {
                    history[place].is_cached = cached & 1 << bit != 0;
                }
                for staleness_ns in 1..=3 {
                    let judged = compare_stale(&history, staleness_ns);
                    let is_linearizable = judged.unwrap_or_else(|wrong| panic!("{wrong}"));
                    count.histories += 1;
                    count.linearizable += u64::from(is_linearizable);
                }
            }
        }
    }
    count
}

#[test]
fn every_small_history_with_stale_answers_is_judged_as_by_brute_force() {
    let expected = [(3, 3), (54, 45), (1_194, 792), (34_530, 17_527)];
    for (operations, (histories, linearizable)) in (1..).zip(expected) {
        let count = judge_all_stale(operations);
        assert_eq!(count, Count { histories, linearizable }, "{operations} operations");
    }
}

#[test]
fn random_histories_with_stale_answers_are_judged_as_by_brute_force() {
    const HISTORIES: u64 = 50_000;
    let mut random = Random::for_test("lincheck_differential stale");
    let (mut linearizable, mut only_stale) = (0, 0);
    for _ in 0..HISTORIES {
        let staleness_ns = 1 + random.below(40);
        let mut history = generate::right_but_stale(staleness_ns, &mut random);
        let is_mutated = random.happens(50);
        if is_mutated {
            generate::mutate(&mut history, &mut random);
        }
        generate::shuffle(&mut history, &mut random);
        let judged = compare_stale(&history, staleness_ns);
        let is_linearizable = judged.unwrap_or_else(|wrong| panic!("{staleness_ns} ns: {wrong}"));
        assert!(is_linearizable || is_mutated, "a cache did this: {history:?}");
        linearizable += u64::from(is_linearizable);
        only_stale += u64::from(is_linearizable && lincheck(&history).is_some());
    }
    println!("{linearizable} of {HISTORIES} are linearizable, {only_stale} with old answers only");
    assert!((HISTORIES / 5..=HISTORIES / 5 * 4).contains(&linearizable), "{linearizable}");
    assert!(only_stale > HISTORIES / 20, "{only_stale}");
}

/// The more a GET may find, the more is kept of a key, and an index finds it.
#[test]
fn long_histories_of_a_key_are_judged_as_by_comparing_all_pairs_of_values() {
    const HISTORIES: u64 = 400;
    let mut random = Random::for_test("lincheck_differential long");
    let mut linearizable = 0;
    for _ in 0..HISTORIES {
        let staleness_ns = [0, 1, 100, 1_000, 100_000][random.index(5)];
        let (clients, count) = (1 + random.index(8), 200 + random.index(1_800));
        let mut history = generate::seen(clients, count, staleness_ns, &mut random);
        let is_nudged = random.happens(60);
        if is_nudged {
            (0..1 + random.below(8)).for_each(|_| generate::nudge(&mut history, &mut random));
        }
        let expected = clusters::is_linearizable(&stale::widened(&history, staleness_ns));
        let judged = stale::lincheck(&history, staleness_ns);
        assert_eq!(judged.is_none(), expected, "{staleness_ns} ns: {judged:?}\n{history:?}");
        assert!(expected || is_nudged, "a cache did this: {history:?}");
        linearizable += u64::from(expected);
    }
    println!("{linearizable} of {HISTORIES} are linearizable");
    assert!((HISTORIES / 5..=HISTORIES / 5 * 4).contains(&linearizable), "{linearizable}");
}

/// Each GET may find any of 30,000 values.
#[test]
fn a_staleness_that_allows_everything_costs_little_more() {
    let mut random = Random::for_test("lincheck_differential everything");
    let mut history = generate::seen(8, 60_000, u64::MAX, &mut random);
    assert_eq!(stale::lincheck(&history, u64::MAX), None);
    let is_found = |o: &&mut Operation| matches!(o.action, Action::Found(_));
    let last = history.iter_mut().rfind(is_found).expect("some are found");
    last.is_cached = false;
    last.action = Action::NotFound;
    assert!(stale::lincheck(&history, u64::MAX).is_some());
}
