//! Says whether what callers saw is right.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use checker::check::{CheckRequest, check};
use client::{Source, Version};
use proto::placement::server_of;

use crate::operation::{End, Operation};

const SERVERS: usize = 2;

/// Callers that share a near cache, or have none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) max_age: Option<Duration>,
}

/// A server was killed, and started again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restart {
    pub(crate) server: usize,
    pub(crate) kill_ns: u64,
    pub(crate) ready_ns: u64,
}

/// What is known of a run beside its operations.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    groups: Vec<Group>,
    restarts: Vec<Restart>,
}

impl Judge {
    pub(crate) fn add_group(&mut self, group: Group) -> usize {
        self.groups.push(group);
        self.groups.len() - 1
    }

    pub(crate) fn restarted(&mut self, restart: Restart) {
        self.restarts.push(restart);
    }

    /// Requires that all operations of a run, and the reads at its end, are right.
    pub(crate) fn judge(&self, name: &str, operations: Vec<Operation>) {
        tell(&operations);
        assert_none_was_executed_that_was_told_not_to_be(&operations);
        assert_each_value_has_one_version(&operations);
        let lives = self.lives(&operations);
        self.assert_cached_answers_are_right(&operations, &lives);
        for server in 0..SERVERS {
            let of_server = |key: &str| server_of(key.as_bytes(), SERVERS) == server;
            for life in 0..=self.restarts_of(server).count() {
                let rows = operations.iter().filter(|operation| of_server(&operation.key));
                let rows: Vec<_> =
                    rows.filter_map(|row| self.row(row, server, life, &lives)).collect();
                assert_linearizable(&format!("{name}-{server}-{life}"), &rows);
            }
        }
    }

    fn restarts_of(&self, server: usize) -> impl Iterator<Item = &Restart> {
        self.restarts.iter().filter(move |restart| restart.server == server)
    }

    /// The place of each incarnation among the lives of its server.
    fn lives(&self, operations: &[Operation]) -> HashMap<u64, usize> {
        let mut first_end_ns: BTreeMap<(usize, u64), u64> = BTreeMap::new();
        for operation in operations {
            if let End::Found { version, .. } | End::Stored { version, .. } = &operation.end {
                let server = server_of(operation.key.as_bytes(), SERVERS);
                let first = first_end_ns.entry((server, version.incarnation())).or_insert(u64::MAX);
                *first = (*first).min(operation.end_ns);
            }
        }
        let mut lives = HashMap::new();
        for server in 0..SERVERS {
            let of_server = first_end_ns.iter().filter(|((of, _), _)| *of == server);
            for ((_, incarnation), end_ns) in of_server {
                // It answered first after its start, and before its end.
                let life = self.restarts_of(server).filter(|restart| restart.kill_ns < *end_ns);
                let life = life.count();
                assert!(lives.insert(*incarnation, life).is_none());
            }
            let met = lives.len();
            assert!(met > 0, "server {server} answered nothing");
        }
        lives
    }

    /// A row of the history of one life of a server, if the operation belongs there.
    fn row(
        &self,
        operation: &Operation,
        server: usize,
        life: usize,
        lives: &HashMap<u64, usize>,
    ) -> Option<String> {
        let Operation { caller, key, start_ns, end_ns, end, .. } = operation;
        let is_of_life = |version: &Version| lives[&version.incarnation()] == life;
        match end {
            End::Found { value, version, source: Source::Server } if is_of_life(version) => {
                Some(format!("{caller},{key},get,{value},{start_ns},{end_ns}"))
            }
            End::Stored { value, version } if is_of_life(version) => {
                Some(format!("{caller},{key},put,{value},{start_ns},{end_ns}"))
            }
            // It may have happened in any life, but in one only: see below.
            End::Indeterminate { value } => Some(format!("{caller},{key},put,{value},{start_ns},")),
            // Nothing tells its life but the time.
            End::NotFound => {
                let restarts: Vec<_> = self.restarts_of(server).collect();
                let began_before = life == 0 || restarts[life - 1].ready_ns < *start_ns;
                let ended_after = restarts.get(life).is_none_or(|next| *end_ns < next.kill_ns);
                (began_before && ended_after)
                    .then(|| format!("{caller},{key},get,,{start_ns},{end_ns}"))
            }
            _ => None,
        }
    }

    /// Own writes are read, no answer is older than it may be, and none is of a life that is over
    /// and whose successor has answered.
    fn assert_cached_answers_are_right(
        &self,
        operations: &[Operation],
        lives: &HashMap<u64, usize>,
    ) {
        let life = |version: &Version| (lives[&version.incarnation()], version.number());
        for cached in operations {
            let End::Found { version, source: Source::Cache, .. } = &cached.end else { continue };
            let max_age = self.groups[cached.group].max_age.expect("it has a cache");
            let fresh_ns = cached.start_ns.saturating_sub(max_age.as_nanos() as u64);
            let server = server_of(cached.key.as_bytes(), SERVERS);
            for other in operations {
                let is_own = other.group == cached.group && other.end_ns < cached.start_ns;
                let version_of_other = match &other.end {
                    End::Stored { version, .. } => version,
                    End::Found { version, source: Source::Server, .. } => version,
                    _ => continue,
                };
                let is_of_server = server_of(other.key.as_bytes(), SERVERS) == server;
                assert!(
                    !is_own || !is_of_server || life(version).0 >= life(version_of_other).0,
                    "{cached:?} is of a life that was over: {other:?}"
                );
                if other.key != cached.key || !matches!(other.end, End::Stored { .. }) {
                    continue;
                }
                let is_newer = life(version_of_other) > life(version);
                assert!(!is_own || !is_newer, "{cached:?} does not know of {other:?}");
                assert!(
                    !is_newer || other.end_ns >= fresh_ns,
                    "{cached:?} was written over too long ago by {other:?}"
                );
            }
        }
    }
}

/// How much there was of each.
#[expect(clippy::print_stdout, reason = "a test shows it where it fails")]
fn tell(operations: &[Operation]) {
    let count = |is: fn(&End) -> bool| operations.iter().filter(|of| is(&of.end)).count();
    println!(
        "{} operations: found {} and {} in a cache, stored {}, indeterminate {}, not executed {}, \
         reads without an answer {}",
        operations.len(),
        count(|end| matches!(end, End::Found { source: Source::Server, .. })),
        count(|end| matches!(end, End::Found { source: Source::Cache, .. })),
        count(|end| matches!(end, End::Stored { .. })),
        count(|end| matches!(end, End::Indeterminate { .. })),
        count(|end| matches!(end, End::NotExecuted { .. })),
        count(|end| matches!(end, End::Unknown)),
    );
    assert!(count(|end| matches!(end, End::Stored { .. })) > 0, "or this shows nothing");
    assert!(count(|end| matches!(end, End::Indeterminate { .. })) > 0, "or this shows nothing");
}

fn assert_none_was_executed_that_was_told_not_to_be(operations: &[Operation]) {
    let told = operations.iter().filter_map(|operation| match &operation.end {
        End::NotExecuted { value, error } => Some((value, error)),
        _ => None,
    });
    let told: HashMap<_, _> = told.collect();
    for operation in operations {
        if let End::Found { value, .. } = &operation.end {
            assert_eq!(told.get(value), None, "{operation:?}");
        }
    }
}

/// No write is executed twice, not even in two lives: its value is found under one version, and
/// under that which its writer was told.
fn assert_each_value_has_one_version(operations: &[Operation]) {
    let mut versions: HashMap<&String, Version> = HashMap::new();
    let mut values: BTreeSet<(&String, u64, u64)> = BTreeSet::new();
    for operation in operations {
        if let End::Found { value, version, .. } | End::Stored { value, version } = &operation.end {
            let first = versions.entry(value).or_insert_with(|| {
                let place = (&operation.key, version.incarnation(), version.number());
                assert!(values.insert(place), "two values of one version: {operation:?}");
                *version
            });
            assert_eq!(first, version, "{operation:?}");
        }
    }
}

fn assert_linearizable(name: &str, rows: &[String]) {
    let mut table = "client,key,op,value,start_ns,end_ns\n".to_owned();
    rows.iter().for_each(|row| writeln!(table, "{row}").expect("memory takes it"));
    let path = format!("{}/{name}.csv", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&path, table).expect("a place for files of tests");
    let request =
        CheckRequest { paths: vec![path.clone().into()], threads: 1, ..CheckRequest::default() };
    match check(&request).expect("it is a table") {
        Ok(verdict) => assert_eq!(verdict.operations, rows.len() as u64),
        Err(violation) => panic!("{path}: key {:?}\n{}", violation.key, violation.text),
    }
}
