//! Sums of the workers' counters, and their growth. A server may report any number, so sums
//! saturate.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use client::{Error, WorkerStats};

/// Figures of a server's whole table, which each of its workers reports. They may fall.
pub(crate) const GAUGES: [&str; 8] = [
    "records",
    "record_bytes",
    "page_bytes",
    "free_page_bytes",
    "garbage_bytes",
    "index_bytes",
    "records_moved",
    "buckets",
];

/// Counters by their names.
pub(crate) type Counters = BTreeMap<String, u64>;

/// Whether a figure is of a server's table.
pub(crate) fn is_gauge(name: &str) -> bool {
    GAUGES.contains(&name)
}

/// The workers of a server, each with its counters or an error.
pub(crate) struct ServerStats {
    pub(crate) server: SocketAddr,
    pub(crate) workers: Vec<(SocketAddr, Result<Counters, Error>)>,
}

impl ServerStats {
    /// The workers that answered.
    pub(crate) fn answered(&self) -> impl Iterator<Item = (SocketAddr, &Counters)> {
        self.workers
            .iter()
            .filter_map(|(worker, counters)| Some((*worker, counters.as_ref().ok()?)))
    }

    /// The workers that did not answer, and why.
    pub(crate) fn errors(&self) -> impl Iterator<Item = (SocketAddr, &Error)> {
        self.workers
            .iter()
            .filter_map(|(worker, counters)| Some((*worker, counters.as_ref().err()?)))
    }
}

/// The workers of each server, in the order of the list of servers.
pub(crate) fn by_server(servers: &[SocketAddr], workers: Vec<WorkerStats>) -> Vec<ServerStats> {
    let mut by_server: Vec<_> =
        servers.iter().map(|&server| ServerStats { server, workers: Vec::new() }).collect();
    for WorkerStats { server, worker, counters, .. } in workers {
        let of_server = by_server.iter_mut().find(|stats| stats.server == server);
        of_server.expect("it was asked").workers.push((worker, counters));
    }
    by_server
}

/// The counters of a server: its workers' sums, and the gauges of its table.
pub(crate) fn of_server<'a>(workers: impl IntoIterator<Item = &'a Counters>) -> Counters {
    let mut all = Counters::new();
    for (name, &count) in workers.into_iter().flatten() {
        let sum = all.entry(name.clone()).or_default();
        *sum = if is_gauge(name) { count.max(*sum) } else { sum.saturating_add(count) };
    }
    all
}

/// The counters of all servers.
pub(crate) fn of_all<'a>(servers: impl IntoIterator<Item = &'a Counters>) -> Counters {
    let mut all = Counters::new();
    for (name, &count) in servers.into_iter().flatten() {
        let sum = all.entry(name.clone()).or_default();
        *sum = sum.saturating_add(count);
    }
    all
}

/// How much each counter has grown. One that fell counts from zero: its server has restarted.
pub(crate) fn growth(earlier: &Counters, now: &Counters) -> Counters {
    let grown = now.iter().filter(|(name, _)| !is_gauge(name)).map(|(name, &count)| {
        let before = earlier.get(name).copied().unwrap_or(0);
        (name.clone(), count.checked_sub(before).unwrap_or(count))
    });
    grown.filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(counts: &[(&str, u64)]) -> Counters {
        counts.iter().map(|&(name, count)| (name.to_owned(), count)).collect()
    }

    #[test]
    fn gauges_are_those_of_the_table() {
        let glossary = include_str!("../../../docs/COUNTERS.md");
        let of_table = glossary.split("\n## Table").nth(1).unwrap().split("\n## ").next().unwrap();
        let of_table =
            of_table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let of_table: Vec<_> = of_table.collect();
        assert_eq!(of_table, GAUGES);
    }

    #[test]
    fn workers_of_a_server_share_their_table() {
        let workers = [counters(&[("gets", 2), ("records", 5)]), counters(&[("gets", 3)])];
        assert_eq!(of_server(&workers), counters(&[("gets", 5), ("records", 5)]));
        let servers = [counters(&[("records", 5)]), counters(&[("records", 6)])];
        assert_eq!(of_all(&servers), counters(&[("records", 11)]));
    }

    #[test]
    fn sums_of_numbers_that_no_server_reaches_saturate() {
        let most = counters(&[("gets", u64::MAX)]);
        let two = [most.clone(), counters(&[("gets", 1)])];
        assert_eq!((of_server(&two), of_all(&two)), (most.clone(), most));
    }

    #[test]
    fn a_server_that_started_again_has_grown_from_zero() {
        let earlier = counters(&[("gets", 10), ("puts", 4), ("records", 9)]);
        let now = counters(&[("gets", 7), ("puts", 4), ("malformed", 1), ("records", 8)]);
        assert_eq!(growth(&earlier, &now), counters(&[("gets", 7), ("malformed", 1)]));
    }
}
