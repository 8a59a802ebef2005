//! Every small history, each once.
//!
//! # What is the same history
//!
//! Whether a history is linearizable depends on which operations precede which, on which are
//! GETs and PUTs, and on whose value each GET found. So histories are the same if one becomes
//! the other by renaming operations, clients or values, or by moving times without changing
//! what precedes what. (That nothing has to come after a PUT without answer is for a checker to
//! know: here it precedes what starts after its client gave it up, as any other operation does.)
//!
//! # Intervals
//!
//! Sort all starts and ends by time, at equal times the starts first, because equal times are
//! concurrent. This is a row of starts, then a row of ends, then starts again, and so on:
//! *phases*, each of some starts and then some ends. An operation precedes another if its end is
//! in an earlier phase than the other's start, so that within a row any order means the same.
//! A history is thus given by a multiset of intervals of phases, in which each phase has at
//! least a start and an end (else it would not be a phase of its own, but part of a neighbour).
//!
//! No two such multisets mean the same precedence. What starts in a phase is preceded by all that
//! ended in earlier ones, and each phase has an end: the sets of predecessors grow from phase to
//! phase, so that an operation's first phase is the number of sets that are smaller than its
//! own. Its last phase follows from the sets of successors in the same way. Renaming operations
//! changes neither, so that the only renamings that leave the precedence as it is are those
//! among operations with equal intervals: the *symmetries*.
//!
//! # Labels
//!
//! Each operation is a PUT that was stored, a PUT without answer, or a GET that found nothing,
//! or the value of some PUT. Values have no names but their PUT's place. Of the labelings that
//! symmetries make of each other, the least one counts.
//!
//! # Clients
//!
//! If at most three intervals share a phase, three sequential clients can make the operations:
//! in the order of their starts, each is made by any client that is free, and one is, because
//! the operations of those that are not share the phase of the start. Which client makes which
//! operation has no influence on what is right.

use history::operation::{Action, Operation, ValueId};

use super::notation::operation;

/// Clients, each of which makes one operation after another.
pub(crate) const CLIENTS: usize = 3;

/// What an operation does, and by its place the PUT whose value a GET found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Label {
    Stored,
    Indeterminate,
    NotFound,
    Found(usize),
    /// A GET that found what nobody wrote.
    FoundOther,
}

/// From the phase in which an operation starts to that in which it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Interval {
    first: usize,
    last: usize,
}

/// The intervals of a history's operations, in ascending order.
pub(crate) struct Structure {
    intervals: Vec<Interval>,
    /// Where each symmetry moves each operation.
    symmetries: Vec<Vec<usize>>,
}

/// How times are given to the starts and ends of phases.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Times {
    /// One time for a whole phase.
    Equal,
    /// No time twice; operations that start later in a phase end earlier in one.
    Distinct,
}

/// Every structure of so many operations.
pub(crate) fn structures(count: usize) -> Vec<Structure> {
    let mut found = Vec::new();
    for phases in 0..=count {
        let choices: Vec<Interval> = (0..phases)
            .flat_map(|first| (first..phases).map(move |last| Interval { first, last }))
            .collect();
        let mut chosen = Vec::new();
        choose_intervals(count, &choices, &mut chosen, &mut |intervals| {
            if (0..phases).all(|phase| is_phase(intervals, phase)) {
                let intervals = intervals.to_vec();
                found.push(Structure { symmetries: symmetries(&intervals), intervals });
            }
        });
    }
    found
}

fn is_phase(intervals: &[Interval], phase: usize) -> bool {
    let open =
        intervals.iter().filter(|interval| interval.first <= phase && phase <= interval.last);
    intervals.iter().any(|interval| interval.first == phase)
        && intervals.iter().any(|interval| interval.last == phase)
        && open.count() <= CLIENTS
}

/// All ways to choose from ascending choices, each as often as one likes.
fn choose_intervals(
    count: usize,
    choices: &[Interval],
    chosen: &mut Vec<Interval>,
    visit: &mut impl FnMut(&[Interval]),
) {
    if chosen.len() == count {
        visit(chosen);
        return;
    }
    for (place, &choice) in choices.iter().enumerate() {
        chosen.push(choice);
        choose_intervals(count, &choices[place..], chosen, visit);
        chosen.pop();
    }
}

/// All permutations of operations with equal intervals.
fn symmetries(intervals: &[Interval]) -> Vec<Vec<usize>> {
    let all = permutations(intervals.len());
    let keep = |moved: &Vec<usize>| {
        moved.iter().enumerate().all(|(from, &to)| intervals[from] == intervals[to])
    };
    all.into_iter().filter(keep).collect()
}

/// All permutations of the numbers below `count`.
pub(crate) fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(count - 1);
    shorter
        .iter()
        .flat_map(|permutation| {
            (0..count).map(move |place| {
                let mut longer = permutation.clone();
                longer.insert(place, count - 1);
                longer
            })
        })
        .collect()
}

/// Every labeling of so many operations that can be told apart. `others` says whether GETs
/// may find what nobody wrote; then only those labelings are given in which one does.
pub(crate) fn labelings(count: usize, others: bool) -> Vec<Vec<Label>> {
    let mut kinds = Vec::new();
    // A GET that found nothing stands for all GETs, until what they found is chosen.
    let choices = [Label::Stored, Label::Indeterminate, Label::NotFound];
    choose_labels(count, &|_| choices.to_vec(), &mut Vec::new(), &mut kinds);
    let mut found = Vec::new();
    for kinds in kinds {
        let puts = (0..count).filter(|&place| kinds[place] != Label::NotFound);
        let mut gets = vec![Label::NotFound];
        gets.extend(puts.map(Label::Found));
        gets.extend(others.then_some(Label::FoundOther));
        let choices = |place: usize| match kinds[place] {
            Label::NotFound => gets.clone(),
            put => vec![put],
        };
        choose_labels(count, &choices, &mut Vec::new(), &mut found);
    }
    found.retain(|labels| labels.contains(&Label::FoundOther) == others);
    found
}

/// All ways to choose a label for each place.
fn choose_labels(
    count: usize,
    choices: &impl Fn(usize) -> Vec<Label>,
    chosen: &mut Vec<Label>,
    found: &mut Vec<Vec<Label>>,
) {
    if chosen.len() == count {
        found.push(chosen.clone());
        return;
    }
    for choice in choices(chosen.len()) {
        chosen.push(choice);
        choose_labels(count, choices, chosen, found);
        chosen.pop();
    }
}

/// The labels after each operation went to another place.
pub(crate) fn relabel(labels: &[Label], moved: &[usize]) -> Vec<Label> {
    let mut relabeled = labels.to_vec();
    for (from, &label) in labels.iter().enumerate() {
        relabeled[moved[from]] = match label {
            Label::Found(put) => Label::Found(moved[put]),
            other => other,
        };
    }
    relabeled
}

impl Structure {
    /// Whether a labeling stands for those that symmetries make of it.
    pub(crate) fn counts(&self, labels: &[Label]) -> bool {
        self.symmetries.iter().all(|moved| relabel(labels, moved).as_slice() >= labels)
    }

    /// The history with these labels.
    pub(crate) fn history(&self, labels: &[Label], times: Times) -> Vec<Operation> {
        let clients = self.clients();
        // Each client numbers its PUTs in the order in which it makes them.
        let value = |put: usize| {
            let is_put =
                |place: &usize| matches!(labels[*place], Label::Stored | Label::Indeterminate);
            let earlier = (0..put).filter(|&place| clients[place] == clients[put]).filter(is_put);
            ValueId { writer: 100 + u64::from(clients[put]), counter: earlier.count() as u64 }
        };
        let other = match times {
            Times::Equal => ValueId { writer: 100, counter: 99 },
            Times::Distinct => ValueId { writer: ValueId::FOREIGN, counter: 99 },
        };
        let operations = labels.iter().enumerate().map(|(place, label)| {
            let (start_ns, end_ns) = self.times(place, times);
            let action = match *label {
                Label::Stored => Action::Stored(value(place)),
                Label::Indeterminate => Action::Indeterminate(value(place)),
                Label::NotFound => Action::NotFound,
                Label::Found(put) => Action::Found(value(put)),
                Label::FoundOther => Action::Found(other),
            };
            operation(clients[place], start_ns, end_ns, action)
        });
        operations.collect()
    }

    fn times(&self, place: usize, times: Times) -> (u64, u64) {
        let Interval { first, last } = self.intervals[place];
        let count = self.intervals.len();
        let (start, end) = match times {
            Times::Equal => (first, last),
            Times::Distinct => (2 * count * first + place, 2 * count * (last + 1) - place),
        };
        (start as u64, end as u64)
    }

    /// Who makes each operation: the first client that is free.
    fn clients(&self) -> Vec<u32> {
        // The phase from which on each client is free.
        let mut free = [0; CLIENTS];
        let clients = self.intervals.iter().map(|interval| {
            let client = free
                .iter()
                .position(|&phase| phase <= interval.first)
                .expect("no more intervals than clients share a phase");
            free[client] = interval.last + 1;
            client as u32
        });
        clients.collect()
    }
}
