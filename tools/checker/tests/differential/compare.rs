//! What two judges say of a history, and the smallest part of it on which they disagree.

use std::error::Error;
use std::fmt;

use history::operation::{Action, Operation};

use super::notation::show;
use super::{oracle, stale};

/// A judge: nothing if a history is linearizable, else what is wrong.
pub(crate) type Judge<'a> = &'a dyn Fn(&[Operation]) -> Option<String>;

/// The checker that is tested.
pub(crate) fn lincheck(operations: &[Operation]) -> Option<String> {
    checker::verify(operations).err().map(|violation| violation.text)
}

/// A history on which a judge was wrong.
#[derive(Debug)]
pub(crate) struct Disagreement {
    history: Vec<Operation>,
    smallest: Vec<Operation>,
    violation: Option<String>,
}

/// Lets a judge and brute force judge a history: whether it is linearizable.
pub(crate) fn compare(
    operations: &[Operation],
    judge: Judge<'_>,
) -> Result<bool, Box<Disagreement>> {
    compare_with(operations, judge, &oracle::is_linearizable)
}

/// The same of a history in which the answers of caches may be so old: brute force is given
/// the wider intervals.
pub(crate) fn compare_stale(
    operations: &[Operation],
    staleness_ns: u64,
) -> Result<bool, Box<Disagreement>> {
    compare_with(operations, &|part| stale::lincheck(part, staleness_ns), &|part| {
        oracle::is_linearizable(&stale::widened(part, staleness_ns))
    })
}

fn compare_with(
    operations: &[Operation],
    judge: Judge<'_>,
    oracle: &dyn Fn(&[Operation]) -> bool,
) -> Result<bool, Box<Disagreement>> {
    let is_linearizable = oracle(operations);
    if judge(operations).is_none() == is_linearizable {
        return Ok(is_linearizable);
    }
    let smallest = minimize(operations, |part| {
        oracle(part) == is_linearizable && judge(part).is_none() != is_linearizable
    });
    let violation = judge(&smallest);
    Err(Box::new(Disagreement { history: operations.to_vec(), smallest, violation }))
}

/// Drops operations one at a time, as long as a property persists. What is found stays written:
/// a GET that finds what nobody wrote is wrong in its own way, which would hide what is wrong.
fn minimize(operations: &[Operation], persists: impl Fn(&[Operation]) -> bool) -> Vec<Operation> {
    let mut smallest = operations.to_vec();
    let mut place = 0;
    while place < smallest.len() {
        let dropped = smallest.remove(place);
        if !is_found(&smallest, dropped.action) && persists(&smallest) {
            // What could not be dropped before may be superfluous now.
            place = 0;
        } else {
            smallest.insert(place, dropped);
            place += 1;
        }
    }
    smallest
}

/// Whether a GET found what this action, if it is a PUT, wrote.
fn is_found(operations: &[Operation], action: Action) -> bool {
    match action {
        Action::Stored(value) | Action::Indeterminate(value) => {
            operations.iter().any(|operation| operation.action == Action::Found(value))
        }
        Action::Found(_) | Action::NotFound => false,
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brute_force = match self.violation {
            Some(_) => "linearizable",
            None => "not linearizable",
        };
        let judge = match &self.violation {
            Some(text) => format!("not linearizable, \"{text}\""),
            None => "linearizable".to_string(),
        };
        writeln!(f, "a history is judged in two ways:\n{}", show(&self.history))?;
        writeln!(f, "what suffices of it:\n{}", show(&self.smallest))?;
        writeln!(f, "brute force: {brute_force}\nlincheck: {judge}")
    }
}

impl Error for Disagreement {}

mod tests {
    use history::operation::Action::{Found, NotFound, Stored};

    use super::super::notation::{operation, value};
    use super::{compare, show};

    #[test]
    fn a_disagreement_is_told_with_the_fewest_operations() {
        let superfluous = operation(2, 1, 2, NotFound);
        let unread = operation(0, 3, 4, Stored(value(0)));
        let put = operation(0, 5, 6, Stored(value(1)));
        let stale = operation(1, 7, 8, NotFound);
        let harmless = operation(2, 9, 10, Found(value(1)));
        let history = [superfluous, unread, put, stale, harmless];
        let disagreement = compare(&history, &|_| None).expect_err("it is not linearizable");
        assert_eq!(disagreement.smallest, [put, stale]);
        let text = disagreement.to_string();
        assert!(text.contains(&show(&history)), "{text}");
        assert!(text.contains("  client 1    7 to   8  GET found nothing\n"), "{text}");
        assert!(
            text.ends_with("brute force: not linearizable\nlincheck: linearizable\n"),
            "{text}"
        );
    }

    #[test]
    fn a_false_alarm_is_told_with_the_fewest_operations() {
        let history = [operation(0, 1, 2, Stored(value(0))), operation(1, 3, 4, Found(value(0)))];
        let disagreement =
            compare(&history, &|_| Some("odd".to_string())).expect_err("it is linearizable");
        assert_eq!(disagreement.smallest, []);
        let text = disagreement.to_string();
        assert!(text.ends_with("brute force: linearizable\nlincheck: not linearizable, \"odd\"\n"));
    }
}
