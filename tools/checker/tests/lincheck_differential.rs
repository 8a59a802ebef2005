//! The checker against brute force, written from the definition alone: on every small history,
//! and on random ones that are larger.

mod differential;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use differential::compare::{Disagreement, compare, lincheck};
use differential::enumerate::{Label, Structure, Times, labelings, structures};
use differential::generate;
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
        let is_linearizable = compare(&structure.history(labels, Times::Equal), lincheck)?;
        // The order in which operations are given does not matter either.
        let mut history = structure.history(labels, Times::Distinct);
        history.reverse();
        assert_eq!(compare(&history, lincheck)?, is_linearizable);
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
        match compare(&history, lincheck) {
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
