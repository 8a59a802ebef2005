//! What is wrong with one register, from all of its operations: the few that conflict, and
//! why no order of them exists.
//!
//! The online check only says which register is wrong. This looks at that one again, forgets
//! nothing, and keeps of each value the operations that can matter.

use std::collections::BTreeMap;

use history::operation::{Action, Operation, ValueId};

use crate::assumptions::Assumptions;
use crate::earliest::Earliest;

/// An operation, and the number of the file that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Number of its file.
    pub file: usize,
    /// The operation.
    pub operation: Operation,
    /// From when on it may have taken effect.
    pub earliest: Earliest,
}

impl Witness {
    /// What it wrote or found.
    #[must_use]
    pub const fn value(&self) -> Option<ValueId> {
        match self.operation.action {
            Action::Found(value) | Action::Stored(value) | Action::Indeterminate(value) => {
                Some(value)
            }
            Action::NotFound => None,
        }
    }

    /// When it ended; none if it was not answered.
    #[must_use]
    pub const fn end_ns(&self) -> Option<u64> {
        match self.operation.action {
            Action::Indeterminate(_) => None,
            _ => Some(self.operation.end_ns),
        }
    }
}

/// Why no order of the operations exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contradiction {
    /// This GET found a value that nobody wrote.
    NeverWritten(Witness),
    /// This value was found before its PUT was called.
    Future {
        /// The GET.
        found: Witness,
        /// The PUT.
        put: Witness,
    },
    /// Nothing was found after something had been there.
    Absent {
        /// It shows that a value was there.
        present: Witness,
        /// It found none, and started later.
        absent: Witness,
    },
    /// Two values come before each other.
    TwoOrders {
        /// Of the first value: ended before `after_first` started.
        first: Witness,
        /// Of the second value.
        after_first: Witness,
        /// Of the second value: ended before `after_second` started.
        second: Witness,
        /// Of the first value.
        after_second: Witness,
    },
    /// Two PUTs wrote the same value, so that nobody can tell which one a GET found.
    WrittenTwice(Witness, Witness),
    /// One value with two versions.
    TwoVersions(Witness, Witness),
    /// One version of two values.
    SharedVersion(Witness, Witness),
    /// The first ended before the second started, and yet its version is not smaller.
    VersionOrder(Witness, Witness),
    /// The answer has a version that is larger than the number of PUTs.
    VersionCount {
        /// The answer.
        answer: Witness,
        /// PUTs of the key.
        puts: u64,
    },
}

/// What is kept of the operations of one value.
#[derive(Clone, Copy, Debug)]
struct ValueWitnesses {
    put: Option<Witness>,
    second_put: Option<Witness>,
    /// The GET that ended first.
    found: Option<Witness>,
    first_end: Witness,
    last_start: Witness,
    versioned: Option<Witness>,
    other_version: Option<Witness>,
}

/// Collects the operations of one register.
#[derive(Clone, Debug)]
pub struct Collection {
    assumptions: Assumptions,
    clusters: BTreeMap<ValueId, ValueWitnesses>,
    last_absent: Option<Witness>,
    largest_version: Option<Witness>,
    puts: u64,
}

impl Collection {
    /// An empty one.
    #[must_use]
    pub const fn new(assumptions: Assumptions) -> Self {
        Self {
            assumptions,
            clusters: BTreeMap::new(),
            last_absent: None,
            largest_version: None,
            puts: 0,
        }
    }

    /// Takes an operation of the register; they come in any order.
    pub fn add(&mut self, witness: Witness) {
        let version = witness.operation.version;
        if version > self.largest_version.map_or(0, |largest| largest.operation.version) {
            self.largest_version = Some(witness);
        }
        let Some(value) = witness.value() else {
            later(&mut self.last_absent, witness, |w| w.earliest.ns);
            return;
        };
        let cluster = self.clusters.entry(value).or_insert(ValueWitnesses {
            put: None,
            second_put: None,
            found: None,
            first_end: witness,
            last_start: witness,
            versioned: None,
            other_version: None,
        });
        if matches!(witness.operation.action, Action::Found(_)) {
            if cluster.found.is_none_or(|found| witness.end_ns() < found.end_ns()) {
                cluster.found = Some(witness);
            }
        } else {
            self.puts += 1;
            if cluster.put.is_some() {
                cluster.second_put = Some(witness);
            } else {
                cluster.put = Some(witness);
            }
        }
        if end_or_never(&witness) < end_or_never(&cluster.first_end) {
            cluster.first_end = witness;
        }
        if witness.earliest.ns > cluster.last_start.earliest.ns {
            cluster.last_start = witness;
        }
        match cluster.versioned {
            None if version > 0 => cluster.versioned = Some(witness),
            Some(other) if version > 0 && version != other.operation.version => {
                cluster.other_version = Some(witness);
            }
            _ => {}
        }
    }

    /// What is wrong: what says most, and then what came first.
    #[must_use]
    pub fn reason(&self) -> Option<Contradiction> {
        self.doubtful_value()
            .or_else(|| self.absence())
            .or_else(|| self.two_orders())
            .or_else(|| self.versions_of_values())
            .or_else(|| self.version_order())
            .or_else(|| self.version_count())
    }

    fn precedes(&self, first: &Witness, second: &Witness) -> bool {
        let first = self.assumptions.access(&first.operation, first.earliest.ns);
        let second = self.assumptions.access(&second.operation, second.earliest.ns);
        first.end_ns < second.start_ns
    }

    fn doubtful_value(&self) -> Option<Contradiction> {
        let mut clusters: Vec<&ValueWitnesses> = self.clusters.values().collect();
        clusters.sort_by_key(|cluster| end_or_never(&cluster.first_end));
        clusters.into_iter().find_map(|cluster| match (cluster.put, cluster.found) {
            (None, Some(found)) => {
                let writer = found.value().map(|value| value.writer);
                let is_vouched_for =
                    writer.is_some_and(|w| self.assumptions.killed_writers.contains(&w));
                (!is_vouched_for).then_some(Contradiction::NeverWritten(found))
            }
            (Some(put), _) if cluster.second_put.is_some() => {
                Some(Contradiction::WrittenTwice(put, cluster.second_put?))
            }
            (Some(put), Some(found)) if self.precedes(&found, &put) => {
                Some(Contradiction::Future { found, put })
            }
            _ => None,
        })
    }

    fn absence(&self) -> Option<Contradiction> {
        let absent = self.last_absent?;
        let present = self.clusters.values().map(|cluster| cluster.first_end);
        let present = present.min_by_key(end_or_never)?;
        self.precedes(&present, &absent).then_some(Contradiction::Absent { present, absent })
    }

    /// Two clusters of which each has an operation that ended before one of the other's
    /// started; of all such, the pair that was complete first.
    fn two_orders(&self) -> Option<Contradiction> {
        let mut clusters: Vec<&ValueWitnesses> = self.clusters.values().collect();
        clusters.sort_by_key(|cluster| end_or_never(&cluster.first_end));
        // For each, those before it are the ones that ended first earlier than it started
        // last; the one of them that started last conflicts, if any does.
        let mut latest: Vec<[Option<usize>; 2]> = Vec::with_capacity(clusters.len());
        let start_of = |at: usize| clusters[at].last_start.earliest.ns;
        for at in 0..clusters.len() {
            let [first, second] = latest.last().copied().unwrap_or_default();
            latest.push(match first {
                Some(first) if start_of(first) >= start_of(at) => match second {
                    Some(second) if start_of(second) >= start_of(at) => [Some(first), Some(second)],
                    _ => [Some(first), Some(at)],
                },
                _ => [Some(at), first],
            });
        }
        let mut pairs = Vec::new();
        for (at, cluster) in clusters.iter().enumerate() {
            let before = clusters
                .partition_point(|other| self.precedes(&other.first_end, &cluster.last_start));
            let Some(&candidates) = before.checked_sub(1).and_then(|last| latest.get(last)) else {
                continue;
            };
            let other = candidates.into_iter().flatten().find(|&other| other != at);
            if let Some(other) = other.map(|other| clusters[other])
                && self.precedes(&cluster.first_end, &other.last_start)
            {
                pairs.push((other, *cluster));
            }
        }
        let complete_ns = |(a, b): &(&ValueWitnesses, &ValueWitnesses)| {
            a.last_start.operation.end_ns.max(b.last_start.operation.end_ns)
        };
        let (a, b) = pairs.into_iter().min_by_key(complete_ns)?;
        let (a, b) =
            if end_or_never(&a.first_end) <= end_or_never(&b.first_end) { (a, b) } else { (b, a) };
        Some(Contradiction::TwoOrders {
            first: a.first_end,
            after_first: b.last_start,
            second: b.first_end,
            after_second: a.last_start,
        })
    }

    fn versions_of_values(&self) -> Option<Contradiction> {
        let mut seen: BTreeMap<u64, Witness> = BTreeMap::new();
        for cluster in self.clusters.values() {
            let Some(versioned) = cluster.versioned else { continue };
            if let Some(other) = cluster.other_version {
                return Some(Contradiction::TwoVersions(versioned, other));
            }
            if let Some(other) = seen.insert(versioned.operation.version, versioned) {
                return Some(Contradiction::SharedVersion(other, versioned));
            }
        }
        None
    }

    fn version_order(&self) -> Option<Contradiction> {
        let mut clusters: Vec<(u64, &ValueWitnesses)> = (self.clusters.values())
            .filter_map(|cluster| Some((cluster.versioned?.operation.version, cluster)))
            .collect();
        clusters.sort_by_key(|(version, _)| *version);
        // Of all that have a smaller version, the one that started last.
        let mut latest: Option<Witness> = None;
        for (_, cluster) in clusters {
            if let Some(latest) = latest
                && self.precedes(&cluster.first_end, &latest)
            {
                return Some(Contradiction::VersionOrder(cluster.first_end, latest));
            }
            later(&mut latest, cluster.last_start, |w| w.earliest.ns);
        }
        None
    }

    fn version_count(&self) -> Option<Contradiction> {
        let answer = self.largest_version?;
        let is_complete = self.assumptions.killed_writers.is_empty();
        (is_complete && answer.operation.version > self.puts)
            .then_some(Contradiction::VersionCount { answer, puts: self.puts })
    }
}

fn later(kept: &mut Option<Witness>, new: Witness, key: impl Fn(&Witness) -> u64) {
    if kept.as_ref().is_none_or(|kept| key(&new) > key(kept)) {
        *kept = Some(new);
    }
}

fn end_or_never(witness: &Witness) -> u64 {
    witness.end_ns().unwrap_or(u64::MAX)
}
