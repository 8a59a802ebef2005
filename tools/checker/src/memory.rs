//! Checks a history that is in memory, as simulations and tests have it.

use history::operation::{Action, Operation};

use crate::counterexample::{Collection, Witness};
use crate::explain::explain;
use crate::names::DisplayNames;
use crate::share_checker::{Assumptions, Finding, Share, ShareChecker};
use crate::verdict::{Verdict, Violation};

/// Checks operations in whatever order they are.
pub fn verify(operations: &[Operation]) -> Result<Verdict, Box<Violation>> {
    let mut sorted = operations.to_vec();
    sorted.sort_by_key(|operation| operation.end_ns);
    let share = pass(&sorted).map_err(|finding| Box::new(violation(&sorted, &finding)))?;
    let restarts = share.lives.restarts();
    let restarts =
        restarts.map_err(|two| Box::new(Violation { key: None, text: two.to_string() }))?;
    let Share { operations, keys, .. } = share;
    Ok(Verdict { operations, keys, unanswered_gets: 0, restarts })
}

fn pass(sorted: &[Operation]) -> Result<Share, Finding> {
    let mut horizon_ns = u64::MAX;
    let mut horizons: Vec<u64> = (sorted.iter().rev())
        .map(|operation| {
            if !matches!(operation.action, Action::Indeterminate(_)) {
                horizon_ns = horizon_ns.min(operation.start_ns);
            }
            horizon_ns
        })
        .collect();
    horizons.reverse();
    let mut checker = ShareChecker::new(Assumptions::default(), 0, 1);
    for (operation, horizon_ns) in sorted.iter().zip(horizons) {
        checker.set_horizon_ns(horizon_ns);
        checker.take(operation)?;
    }
    checker.finish()
}

fn violation(sorted: &[Operation], finding: &Finding) -> Violation {
    let id = finding.id;
    let mut collection = Collection::new(Assumptions::default());
    for &operation in sorted.iter().filter(|o| (o.key, o.incarnation) == (id.key, id.incarnation)) {
        collection.add(Witness { file: 0, operation });
    }
    let reason = collection.reason().expect("what the first pass found, the second finds again");
    let names = DisplayNames::Workload;
    Violation { key: Some(names.key(id.key)), text: explain(&reason, &names) }
}
