//! `stats`: what servers and workers count.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::counters::{Counters, ServerStats, by_server, of_all, of_server};
use crate::escapes::escaped;
use crate::failure::Failure;
use crate::output::Output;
use crate::status::Status;
use crate::store::Store;
use crate::table::aligned;

/// Most workers of a server that have a column each.
const COLUMNS_MAX: usize = 8;

/// Prints what servers and workers count.
pub(crate) fn stats(store: &mut Store, output: &Output) -> Result<Status, Failure> {
    let workers = store.stats()?;
    let servers = by_server(store.servers(), workers);
    let mut status = Status::Done;
    for (worker, error) in servers.iter().flat_map(ServerStats::errors) {
        status.add(Status::Failed);
        output.error(format_args!("{worker}: {error}"));
    }
    if output.json {
        output.line(json!({ "servers": servers.iter().map(json).collect::<Vec<_>>() }))?;
        return Ok(status);
    }
    let mut sums = Vec::new();
    for stats in &servers {
        let workers: Vec<_> = stats.answered().collect();
        let sum = of_server(workers.iter().map(|(_, counters)| *counters));
        print(&format!("server {}", stats.server), &sum, &workers, output)?;
        sums.push(sum);
    }
    if let [_, _, ..] = sums[..] {
        print(&format!("all {} servers", sums.len()), &of_all(&sums), &[], output)?;
    }
    Ok(status)
}

fn json(stats: &ServerStats) -> Value {
    let workers = stats.workers.iter().map(|(worker, counters)| match counters {
        Ok(counters) => json!({ "worker": worker, "counters": counters }),
        Err(error) => json!({ "worker": worker, "error": error.to_string() }),
    });
    json!({ "server": stats.server, "workers": workers.collect::<Vec<_>>() })
}

/// A column of the sums, and one for each worker if there are several and they fit.
fn print(
    title: &str,
    sum: &Counters,
    workers: &[(SocketAddr, &Counters)],
    output: &Output,
) -> Result<(), Failure> {
    let shown = if (2..=COLUMNS_MAX).contains(&workers.len()) { workers } else { &[] };
    let mut header = vec![title.to_owned(), String::new()];
    if !shown.is_empty() {
        header[1] = "all".to_owned();
        header.extend(shown.iter().map(|(worker, _)| format!(":{}", worker.port())));
    }
    aligned(&rows(header, sum, shown)).into_iter().try_for_each(|line| output.line(line))
}

/// The header, and a row for each counter. A server may tell any name.
fn rows(
    header: Vec<String>,
    sum: &Counters,
    workers: &[(SocketAddr, &Counters)],
) -> Vec<Vec<String>> {
    let mut rows = vec![header];
    for (name, count) in sum {
        let of_workers = workers.iter().map(|(_, counters)| {
            // One that is zero is left out of what a worker tells.
            counters.get(name).map_or("0".to_owned(), u64::to_string)
        });
        let first = [format!("  {}", escaped(name.as_bytes())), count.to_string()];
        rows.push(first.into_iter().chain(of_workers).collect());
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_take_over_the_terminal() {
        let worker: SocketAddr = ([127, 0, 0, 1], 7400).into();
        let counters: Counters = [("\x1b[2J".to_owned(), 5)].into();
        let rows = rows(Vec::new(), &counters, &[(worker, &counters)]);
        assert_eq!(rows[1], ["  \\x1b[2J", "5", "5"]);
    }
}
