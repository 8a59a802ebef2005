//! Linearizability of one register whose values are all distinct, for histories that are too
//! long for brute force: by comparing each value with each other (Gibbons and Korach).

use std::collections::BTreeMap;

use history::operation::{Action, Operation, ValueId};

/// A PUT and the GETs of its value.
struct Cluster {
    put_start_ns: Option<u64>,
    first_end_ns: u64,
    last_start_ns: u64,
}

pub(crate) fn is_linearizable(operations: &[Operation]) -> bool {
    let mut clusters: BTreeMap<ValueId, Cluster> = BTreeMap::new();
    let mut absent_start_ns = 0;
    for operation in operations {
        let (value, is_put, end_ns) = match operation.action {
            Action::Found(value) => (value, false, operation.end_ns),
            Action::Stored(value) => (value, true, operation.end_ns),
            Action::Indeterminate(value) => (value, true, u64::MAX),
            Action::NotFound => {
                absent_start_ns = absent_start_ns.max(operation.start_ns);
                continue;
            }
        };
        let cluster = clusters.entry(value).or_insert(Cluster {
            put_start_ns: None,
            first_end_ns: u64::MAX,
            last_start_ns: 0,
        });
        if is_put {
            cluster.put_start_ns = Some(operation.start_ns);
        }
        cluster.first_end_ns = cluster.first_end_ns.min(end_ns);
        cluster.last_start_ns = cluster.last_start_ns.max(operation.start_ns);
    }
    let all: Vec<Cluster> = clusters.into_values().collect();
    let is_right = |cluster: &Cluster| {
        cluster.put_start_ns.is_some_and(|start_ns| start_ns <= cluster.first_end_ns)
            && absent_start_ns <= cluster.first_end_ns
    };
    let precedes = |a: &Cluster, b: &Cluster| a.first_end_ns < b.last_start_ns;
    all.iter().all(is_right)
        && all
            .iter()
            .enumerate()
            .all(|(place, a)| all[..place].iter().all(|b| !(precedes(a, b) && precedes(b, a))))
}
