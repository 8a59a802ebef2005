//! All small histories once more, without any thought about which are the same: by all times
//! and all labels, of which what is the same is sorted out afterwards.

use std::collections::BTreeSet;

use history::operation::{Action, Operation, ValueId};

use super::enumerate::{CLIENTS, Label, Times, labelings, permutations, relabel, structures};

/// A history as far as it matters: which pairs of operations precede each other, and labels.
/// Of all orders of the operations the one that makes this least.
type Meaning = (Vec<bool>, Vec<Label>);

fn least(precedence: &[bool], labels: &[Label], permutations: &[Vec<usize>]) -> Meaning {
    let count = labels.len();
    let renamed = permutations.iter().map(|moved| {
        let mut precedes = vec![false; count * count];
        for early in 0..count {
            for late in 0..count {
                precedes[moved[early] * count + moved[late]] = precedence[early * count + late];
            }
        }
        (precedes, relabel(labels, moved))
    });
    renamed.min().expect("there is a permutation of everything")
}

/// Which pairs of intervals precede each other, by row.
fn precedence(intervals: &[(u64, u64)]) -> Vec<bool> {
    let pairs = intervals.iter().flat_map(|early| intervals.iter().map(move |late| (early, late)));
    pairs.map(|(early, late)| early.1 < late.0).collect()
}

/// All histories of so many operations by all times that a start and an end of each need.
fn by_all_times(count: usize) -> BTreeSet<Meaning> {
    let times = 0..2 * count as u64;
    let intervals: Vec<(u64, u64)> = times
        .clone()
        .flat_map(|start_ns| (start_ns..times.end).map(move |end_ns| (start_ns, end_ns)))
        .collect();
    let mut precedences = BTreeSet::new();
    for mut number in 0..intervals.len().pow(count as u32) {
        let mut chosen = Vec::new();
        for _ in 0..count {
            chosen.push(intervals[number % intervals.len()]);
            number /= intervals.len();
        }
        let open_at =
            |time| chosen.iter().filter(|(start, end)| (*start..=*end).contains(&time)).count();
        if times.clone().all(|time| open_at(time) <= CLIENTS) {
            precedences.insert(precedence(&chosen));
        }
    }

    let labelings = by_all_labels(count);
    let permutations = permutations(count);
    let histories = precedences.iter().flat_map(|precedence| {
        labelings.iter().map(|labels| least(precedence, labels, &permutations))
    });
    histories.collect()
}

/// All rows of labels in which GETs find what some PUT wrote.
fn by_all_labels(count: usize) -> Vec<Vec<Label>> {
    let mut choices = vec![Label::Stored, Label::Indeterminate, Label::NotFound];
    choices.extend((0..count).map(Label::Found));
    let mut found = Vec::new();
    for mut number in 0..choices.len().pow(count as u32) {
        let mut labels = Vec::new();
        for _ in 0..count {
            labels.push(choices[number % choices.len()]);
            number /= choices.len();
        }
        let is_written = |label: &Label| match *label {
            Label::Found(put) => matches!(labels[put], Label::Stored | Label::Indeterminate),
            _ => true,
        };
        if labels.iter().all(is_written) {
            found.push(labels);
        }
    }
    found
}

/// What a history means, read from its operations.
fn meaning(operations: &[Operation], permutations: &[Vec<usize>]) -> Meaning {
    let intervals: Vec<(u64, u64)> =
        operations.iter().map(|operation| (operation.start_ns, operation.end_ns)).collect();
    let put_of = |value: ValueId| {
        let wrote = |operation: &Operation| {
            operation.action == Action::Stored(value)
                || operation.action == Action::Indeterminate(value)
        };
        operations.iter().position(wrote).expect("it was written")
    };
    let labels: Vec<Label> = operations
        .iter()
        .map(|operation| match operation.action {
            Action::Stored(_) => Label::Stored,
            Action::Indeterminate(_) => Label::Indeterminate,
            Action::NotFound => Label::NotFound,
            Action::Found(value) => Label::Found(put_of(value)),
        })
        .collect();
    least(&precedence(&intervals), &labels, permutations)
}

#[test]
fn up_to_four_operations_the_histories_are_those_of_all_times_and_labels_and_each_comes_once() {
    for count in 0..=4 {
        let permutations = permutations(count);
        let labelings = labelings(count, false);
        let expected = by_all_times(count);
        for times in [Times::Equal, Times::Distinct] {
            let mut visited = BTreeSet::new();
            for structure in structures(count) {
                for labels in labelings.iter().filter(|labels| structure.counts(labels)) {
                    let operations = structure.history(labels, times);
                    assert!(
                        visited.insert(meaning(&operations, &permutations)),
                        "twice: {labels:?}"
                    );
                }
            }
            assert!(visited == expected, "{count} operations");
        }
    }
}

#[test]
fn each_client_makes_one_operation_after_another() {
    for structure in structures(5) {
        for times in [Times::Equal, Times::Distinct] {
            let operations = structure.history(&[Label::NotFound; 5], times);
            for (place, late) in operations.iter().enumerate() {
                assert!(late.start_ns <= late.end_ns);
                let mut earlier = operations[..place].iter();
                assert!(
                    earlier
                        .all(|early| early.client != late.client || early.end_ns < late.start_ns)
                );
            }
        }
    }
}
