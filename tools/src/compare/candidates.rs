//! Who takes part.

use std::fmt;

use anyhow::{Result, bail};
use clap::{Parser as _, ValueEnum as _};
use kv::table::Choice;
use proto::order::Order;

use crate::bench::baselines::Baseline;

/// The yardstick for a single round trip.
pub(super) const ECHO: &str = "echo";

/// One row of the comparison.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) server: ServerKind,
    pub(super) way: Way,
}

/// Which server a candidate asks. Candidates that ask the same share one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerKind {
    /// Ours, with this table.
    Kv(Choice),
    /// Another's.
    Baseline(Baseline),
}

impl fmt::Display for ServerKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kv(table) => write!(formatter, "kv-{}", table_name(*table)),
            Self::Baseline(baseline) => formatter.write_str(baseline.name()),
        }
    }
}

/// As `kv --table` takes it.
pub(super) fn table_name(table: Choice) -> String {
    table.to_possible_value().expect("no table is hidden").get_name().to_owned()
}

/// How the generator asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By our protocol, in this order.
    Kv(Order),
    /// By a baseline's protocol, named as `gen --target` names it.
    Target(&'static str),
}

impl Candidate {
    /// Whether it is ours, be it only the ceiling.
    pub(super) const fn is_ours(&self) -> bool {
        matches!(self.server, ServerKind::Kv(_))
    }

    /// Whether it answers with a constant.
    pub(super) fn is_null(&self) -> bool {
        self.server == ServerKind::Kv(Choice::Null)
    }
}

/// The table that `kv` has if nobody tells.
pub(super) fn default_table() -> Choice {
    kv::flags::Flags::parse_from(["kv"]).table
}

/// Strict order is what is claimed, of the default table; `async` shows what it costs, and the
/// ceiling of each is of its own order.
fn in_both_orders(table: Choice) -> bool {
    table == default_table() || table == Choice::Null
}

/// Every candidate, the ceiling first.
pub(super) fn all() -> Vec<Candidate> {
    let mut tables: Vec<Choice> = Choice::value_variants().to_vec();
    // Stable: the others stay in their order.
    tables.sort_by_key(|&table| table != Choice::Null);
    let mut all = Vec::new();
    for table in tables {
        let server = ServerKind::Kv(table);
        let name = server.to_string();
        all.push(Candidate { name: name.clone(), server, way: Way::Kv(Order::Strict) });
        if in_both_orders(table) {
            all.push(Candidate {
                name: format!("{name}-async"),
                server,
                way: Way::Kv(Order::Async),
            });
        }
    }
    for (baseline, way, target) in [
        (Baseline::Memcached, "tcp", "memcached"),
        (Baseline::Memcached, "udp", "memcached+udp"),
        (Baseline::Redis, "pipeline", "redis"),
        (Baseline::Redis, "mget", "redis+mget"),
        (Baseline::Valkey, "pipeline", "redis"),
        (Baseline::Valkey, "mget", "redis+mget"),
    ] {
        all.push(Candidate {
            name: format!("{}-{way}", baseline.name()),
            server: ServerKind::Baseline(baseline),
            way: Way::Target(target),
        });
    }
    all
}

/// The names that `--only` takes.
pub(super) fn names() -> Vec<String> {
    all().into_iter().map(|candidate| candidate.name).chain([ECHO.to_owned()]).collect()
}

/// Who was chosen.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub(super) candidates: Vec<Candidate>,
    pub(super) echo: bool,
}

/// Those that `--only` names, or all.
pub(super) fn choose(only: &[String]) -> Result<Chosen> {
    let known = names();
    if let Some(unknown) = only.iter().find(|name| !known.contains(name)) {
        bail!("--only names {unknown:?}: the candidates are {}", known.join(", "));
    }
    let is_chosen = |name: &str| only.is_empty() || only.iter().any(|n| n == name);
    let candidates = all().into_iter().filter(|candidate| is_chosen(&candidate.name)).collect();
    Ok(Chosen { candidates, echo: is_chosen(ECHO) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_takes_part_and_the_default_and_the_ceiling_in_two_orders() {
        let all = all();
        for table in Choice::value_variants() {
            let of_table = all.iter().filter(|one| one.server == ServerKind::Kv(*table));
            assert_eq!(of_table.count(), 1 + usize::from(in_both_orders(*table)));
        }
        assert!(all[0].is_null());
    }
}
