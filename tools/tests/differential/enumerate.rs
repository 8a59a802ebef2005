//! All histories of one register, up to symmetry.
//!
//! Linearizability depends on the times only through which operation precedes which. Such an
//! order of intervals has exactly one shape on points 1 to m in which each point is the start
//! of an interval and the end of one (Greenough's minimal endpoint representation); renaming
//! the operations permutes a shape's intervals. So the shapes, as sorted lists, are all orders
//! up to renaming: 1, 2, 5, 15, 53, 217 … of them (Fishburn's numbers, OEIS A022493), of which
//! those with at most 3 operations at one time are what 3 clients can do (Dilworth). A value
//! is named by the place of its PUT, which leaves no renaming of values. Histories in which a
//! GET finds a value that nobody wrote are wrong whatever the rest is: they are enumerated
//! with up to [`NEVER_WRITTEN_MAX`] operations.

use history::operation::{Action, Operation, ValueId};

/// Most operations of histories with a value that nobody wrote.
pub(crate) const NEVER_WRITTEN_MAX: usize = 4;

/// First and last point of each operation, from 1.
pub(crate) type Shape = Vec<(usize, usize)>;

/// All shapes of `count` operations.
pub(crate) fn shapes(count: usize) -> Vec<Shape> {
    let mut shapes = Vec::new();
    for points in 1..=count {
        let intervals: Vec<_> =
            (1..=points).flat_map(|start| (start..=points).map(move |end| (start, end))).collect();
        extend(&mut Vec::new(), 0, count, &intervals, points, &mut shapes);
    }
    shapes
}

fn extend(
    shape: &mut Shape,
    from: usize,
    count: usize,
    intervals: &[(usize, usize)],
    points: usize,
    shapes: &mut Vec<Shape>,
) {
    if shape.len() == count {
        let is_minimal = (1..=points).all(|point| {
            shape.iter().any(|&(start, _)| start == point)
                && shape.iter().any(|&(_, end)| end == point)
        });
        if is_minimal {
            shapes.push(shape.clone());
        }
        return;
    }
    for at in from..intervals.len() {
        shape.push(intervals[at]);
        extend(shape, at, count, intervals, points, shapes);
        shape.pop();
    }
}

/// Most operations at one time.
pub(crate) fn width(shape: &Shape) -> usize {
    let points = shape.iter().map(|&(_, end)| end).max().unwrap_or(0);
    let at = |point| shape.iter().filter(|&&(start, end)| start <= point && point <= end).count();
    (1..=points).map(at).max().unwrap_or(0)
}

/// Calls `each` with every history of a shape; returns how many there are.
pub(crate) fn histories(shape: &Shape, each: &mut impl FnMut(&[Operation])) -> u64 {
    let mut actions = Vec::new();
    choose_puts(shape, &mut actions, each)
}

/// What an operation is, before the GETs know which values there are.
#[derive(Clone, Copy)]
enum Kind {
    Get,
    Put,
    Indeterminate,
}

fn choose_puts(shape: &Shape, kinds: &mut Vec<Kind>, each: &mut impl FnMut(&[Operation])) -> u64 {
    if kinds.len() == shape.len() {
        return choose_answers(shape, kinds, &mut Vec::new(), each);
    }
    let mut count = 0;
    for kind in [Kind::Get, Kind::Put, Kind::Indeterminate] {
        kinds.push(kind);
        count += choose_puts(shape, kinds, each);
        kinds.pop();
    }
    count
}

fn choose_answers(
    shape: &Shape,
    kinds: &[Kind],
    history: &mut Vec<Operation>,
    each: &mut impl FnMut(&[Operation]),
) -> u64 {
    let at = history.len();
    if at == shape.len() {
        each(history);
        return 1;
    }
    let value = |place: usize| ValueId { writer: 1, counter: place as u64 };
    let mut actions = Vec::new();
    match kinds[at] {
        Kind::Put => actions.push(Action::Stored(value(at))),
        Kind::Indeterminate => actions.push(Action::Indeterminate(value(at))),
        Kind::Get => {
            actions.push(Action::NotFound);
            let puts = (0..kinds.len()).filter(|&put| !matches!(kinds[put], Kind::Get));
            actions.extend(puts.map(|put| Action::Found(value(put))));
            if shape.len() <= NEVER_WRITTEN_MAX {
                actions.push(Action::Found(value(shape.len())));
            }
        }
    }
    let mut count = 0;
    for action in actions {
        history.push(operation(action, shape[at]));
        count += choose_answers(shape, kinds, history, each);
        history.pop();
    }
    count
}

/// All starts of a point come before all of its ends, and these before the next point.
fn operation(action: Action, (first, last): (usize, usize)) -> Operation {
    Operation {
        client: 0,
        server: 0,
        incarnation: 1,
        key: 0,
        action,
        version: 0,
        start_ns: 20 * first as u64,
        end_ns: 20 * last as u64 + 10,
    }
}
