//! Random histories: what clients of a real register see, and then something wrong.

use history::operation::{Action, Operation, ValueId};
use testkit::random::Random;

use super::notation::operation;

const MOST_CLIENTS: usize = 4;
const MOST_OPERATIONS: usize = 12;

/// What clients saw of a register that applied each operation at some time in its interval.
pub(crate) fn right(random: &mut Random) -> Vec<Operation> {
    let clients = 1 + random.index(MOST_CLIENTS);
    let count = 1 + random.index(MOST_OPERATIONS).max(random.index(MOST_OPERATIONS));
    seen(clients, count, 0, random)
}

/// The same, with caches whose answers are of up to so long before their call. Each client has
/// its own, which reads what went through it.
pub(crate) fn right_but_stale(staleness_ns: u64, random: &mut Random) -> Vec<Operation> {
    let clients = 1 + random.index(MOST_CLIENTS);
    let count = 1 + random.index(MOST_OPERATIONS).max(random.index(MOST_OPERATIONS));
    seen(clients, count, staleness_ns, random)
}

/// What so many clients saw in so many operations.
pub(crate) fn seen(
    clients: usize,
    count: usize,
    staleness_ns: u64,
    random: &mut Random,
) -> Vec<Operation> {
    // Many times are equal if operations are short, and many intervals overlap if they are long.
    let longest_ns = 1 + random.below(12);
    let put_percent = 20 + random.below(50);
    let lost_percent = random.below(60);
    let mut free_ns = vec![0; clients];
    let mut puts = vec![0; clients];
    let cached_percent = if staleness_ns > 0 { random.below(101) } else { 0 };
    let mut after_own_put_ns = vec![0; clients];
    let mut planned = Vec::new();
    for _ in 0..count {
        let client = random.index(clients);
        let start_ns = free_ns[client] + random.below(longest_ns);
        let end_ns = start_ns + random.below(longest_ns);
        free_ns[client] = end_ns + 1;
        let value = ValueId { writer: 100 + client as u64, counter: puts[client] };
        let mut applied_ns = Some(start_ns + random.below(end_ns - start_ns + 1));
        let mut is_cached = false;
        let action = if !random.happens(put_percent) {
            is_cached = staleness_ns > 0 && random.happens(cached_percent);
            if is_cached {
                let from_ns = start_ns.saturating_sub(staleness_ns).max(after_own_put_ns[client]);
                applied_ns = Some(from_ns + random.below(end_ns - from_ns + 1));
            }
            Action::NotFound
        } else if !random.happens(lost_percent) {
            puts[client] += 1;
            after_own_put_ns[client] = end_ns + 1;
            Action::Stored(value)
        } else {
            puts[client] += 1;
            let delay_ns = random.below(4 * longest_ns);
            applied_ns = random.happens(70).then_some(start_ns + delay_ns);
            Action::Indeterminate(value)
        };
        let operation = operation(client as u32, start_ns, end_ns, action);
        planned.push((applied_ns, random.number(), Operation { is_cached, ..operation }));
    }
    // At equal times the order is any.
    planned.sort_by_key(|(applied_ns, tie, _)| (*applied_ns, *tie));
    let mut register = None;
    let apply = |(applied_ns, _, mut operation): (Option<u64>, u64, Operation)| {
        match operation.action {
            Action::Stored(value) => register = Some(value),
            Action::Indeterminate(value) if applied_ns.is_some() => register = Some(value),
            Action::Indeterminate(_) => {}
            _ => operation.action = register.map_or(Action::NotFound, Action::Found),
        }
        operation
    };
    planned.into_iter().map(apply).collect()
}

/// Changes what a GET found, or when something happened: a few times.
pub(crate) fn mutate(history: &mut [Operation], random: &mut Random) {
    for _ in 0..2 + random.below(6) {
        let place = random.index(history.len());
        match history[place].action {
            Action::Found(_) | Action::NotFound if random.happens(60) => {
                history[place].action = found(history, random);
            }
            _ => {
                let (start_ns, end_ns) = other_interval(history, place, random);
                history[place].start_ns = start_ns;
                history[place].end_ns = end_ns;
            }
        }
    }
}

/// Changes one operation of a long history a little.
pub(crate) fn nudge(history: &mut [Operation], random: &mut Random) {
    let place = random.index(history.len());
    let near = history[(place + random.index(17)).saturating_sub(8).min(history.len() - 1)].action;
    let nudged = &mut history[place];
    match (nudged.action, near) {
        (Action::Found(_) | Action::NotFound, Action::Found(_) | Action::NotFound) => {
            nudged.action = near;
        }
        (Action::Found(_) | Action::NotFound, Action::Stored(value)) => {
            nudged.action = Action::Found(value);
        }
        _ => {
            nudged.start_ns += random.below(20);
            nudged.end_ns = nudged.end_ns.max(nudged.start_ns);
        }
    }
}

/// Anything that a GET may find; rarely what nobody wrote.
fn found(history: &[Operation], random: &mut Random) -> Action {
    let mut choices = vec![Action::NotFound];
    choices.extend(history.iter().filter_map(|operation| match operation.action {
        Action::Stored(value) | Action::Indeterminate(value) => Some(Action::Found(value)),
        Action::Found(_) | Action::NotFound => None,
    }));
    if random.happens(2) {
        choices = vec![Action::Found(ValueId { writer: ValueId::FOREIGN, counter: 1 })];
    }
    choices[random.index(choices.len())]
}

/// Another interval for an operation, between what its client does before and after it.
fn other_interval(history: &[Operation], place: usize, random: &mut Random) -> (u64, u64) {
    let moved = history[place];
    let others = || history.iter().filter(|other| other.client == moved.client);
    let earlier = others().filter(|other| other.end_ns < moved.start_ns);
    let later = others().filter(|other| other.start_ns > moved.end_ns);
    let from_ns = earlier.map(|other| other.end_ns + 1).max().unwrap_or(0);
    let most_ns = history.iter().map(|operation| operation.end_ns + 1).max().unwrap_or(0);
    let to_ns = later.map(|other| other.start_ns - 1).min().unwrap_or(most_ns);
    let start_ns = from_ns + random.below(to_ns - from_ns + 1);
    (start_ns, start_ns + random.below(to_ns - start_ns + 1))
}

/// Any order of the operations.
pub(crate) fn shuffle(history: &mut [Operation], random: &mut Random) {
    for place in (1..history.len()).rev() {
        history.swap(place, random.index(place + 1));
    }
}
