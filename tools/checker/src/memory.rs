//! Checks a history that is in memory, as simulations and tests have it.

use history::operation::{Action, Operation};

use crate::assumptions::Assumptions;
use crate::counterexample::{Collection, Witness};
use crate::earliest::EarliestTimes;
use crate::explain::explain;
use crate::names::DisplayNames;
use crate::share_checker::{Finding, Share, ShareChecker};
use crate::verdict::{Verdict, Violation};

/// An operation, and the number of the history that it is of.
type Numbered = (usize, Operation);

/// Checks operations in whatever order they are.
pub fn verify(operations: &[Operation]) -> Result<Verdict, Box<Violation>> {
    let sorted = operations.iter().map(|&operation| (0, operation));
    judge(sorted.collect(), &Assumptions::default())
}

/// Checks histories, of each of which the operations went through one near cache: what that
/// answered may have been true `staleness_ns` before its call, as far as the PUTs of the same
/// history allow.
pub fn verify_stale(
    histories: &[Vec<Operation>],
    staleness_ns: u64,
) -> Result<Verdict, Box<Violation>> {
    let operations = histories.iter().enumerate().flat_map(|(history, operations)| {
        operations.iter().map(move |&operation| (history, operation))
    });
    judge(operations.collect(), &Assumptions { staleness_ns, ..Assumptions::default() })
}

fn judge(
    mut operations: Vec<Numbered>,
    assumptions: &Assumptions,
) -> Result<Verdict, Box<Violation>> {
    operations.sort_by_key(|(_, operation)| operation.end_ns);
    let share = pass(&operations, assumptions)
        .map_err(|finding| Box::new(violation(&operations, assumptions, &finding)))?;
    let restarts = share.lives.restarts();
    let restarts =
        restarts.map_err(|two| Box::new(Violation { key: None, text: two.to_string() }))?;
    let Share { operations, cached, keys, .. } = share;
    Ok(Verdict { operations, cached, keys, unanswered_gets: 0, restarts })
}

fn pass(sorted: &[Numbered], assumptions: &Assumptions) -> Result<Share, Finding> {
    let mut horizon_ns = u64::MAX;
    let mut horizons: Vec<u64> = (sorted.iter().rev())
        .map(|(_, operation)| {
            if !matches!(operation.action, Action::Indeterminate(_)) {
                horizon_ns = horizon_ns.min(operation.start_ns);
            }
            horizon_ns
        })
        .collect();
    horizons.reverse();
    let mut checker = ShareChecker::new(assumptions.clone(), 0, 1);
    for ((history, operation), horizon_ns) in sorted.iter().zip(horizons) {
        checker.set_horizon_ns(horizon_ns);
        checker.take(*history as u64, operation)?;
    }
    checker.finish()
}

fn violation(sorted: &[Numbered], assumptions: &Assumptions, finding: &Finding) -> Violation {
    let id = finding.id;
    let mut earliest = EarliestTimes::new(assumptions.staleness_ns);
    let mut collection = Collection::new(assumptions.clone());
    for &(file, operation) in sorted.iter().filter(|(_, operation)| operation.key == id.key) {
        let earliest = earliest.of(file as u64, &operation, 0);
        if operation.incarnation == id.incarnation {
            collection.add(Witness { file, operation, earliest });
        }
    }
    let reason = collection.reason().expect("what the first pass found, the second finds again");
    let names = DisplayNames::Workload;
    let text = explain(&reason, &names, assumptions.staleness_ns);
    Violation { key: Some(names.key(id.key)), text }
}
