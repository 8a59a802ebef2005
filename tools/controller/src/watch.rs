//! `stats --watch`: what each worker does, again and again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use client::Error;
use console::Term;
use host::time::unix_time_ms;
use proto::counters::ServerCounters;
use serde_json::{Value, json};

use crate::counters::{Counters, ServerStats, by_server, growth, of_all, of_server};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::status::Status;
use crate::store::Store;
use crate::table::aligned;

const HEADER: [&str; 9] =
    ["worker", "ops/s", "get/s", "put/s", "miss/s", "in MB/s", "out MB/s", "sessions", "trouble/s"];

/// Shows what each worker does until Ctrl-C, or so many times.
pub(crate) fn watch(
    every: Duration,
    count: Option<u64>,
    store: &mut Store,
    output: &Output,
    interrupt: &mut Interrupt,
) -> Result<Status, Failure> {
    interrupt.begin()?;
    let mut screen = Screen::default();
    let mut earlier = Look::take(store)?;
    let (mut worst, mut shown) = (Status::Done, 0);
    let mut next = earlier.taken + every;
    while count != Some(shown) && interrupt.wait_until(next) {
        shown += 1;
        next = (next + every).max(Instant::now());
        let look = Look::take(store)?;
        let rates = Rates::between(&earlier, &look);
        let errors = look.errors();
        worst = if errors.is_empty() { Status::Done } else { Status::Failed };
        if output.is_terminal() && !output.json {
            screen.show(rates.table(&look).into_iter().chain(errors).collect())?;
        } else {
            errors.into_iter().for_each(|error| output.error(error));
            let lines =
                if output.json { vec![rates.json(&look).to_string()] } else { rates.lines(&look) };
            lines.into_iter().try_for_each(|line| output.line(line))?;
        }
        earlier = look;
    }
    Ok(worst)
}

/// What the workers counted at a time.
struct Look {
    taken: Instant,
    servers: Vec<ServerStats>,
}

impl Look {
    fn take(store: &mut Store) -> Result<Self, Failure> {
        let workers = store.stats()?;
        Ok(Self { taken: Instant::now(), servers: by_server(store.servers(), workers) })
    }

    fn workers(&self) -> impl Iterator<Item = (SocketAddr, &Counters)> {
        self.servers.iter().flat_map(ServerStats::answered)
    }

    fn errors(&self) -> Vec<String> {
        let errors = self.servers.iter().flat_map(ServerStats::errors);
        errors.map(|(worker, error)| format!("{worker}: {error}")).collect()
    }
}

/// What the workers did between two looks.
struct Rates {
    seconds: f64,
    growth: BTreeMap<SocketAddr, Counters>,
}

impl Rates {
    fn between(earlier: &Look, now: &Look) -> Self {
        let before: BTreeMap<_, _> = earlier.workers().collect();
        let growth = now.workers().map(|(worker, counters)| {
            // One that was not met before has no earlier count to compare with.
            let before = before.get(&worker).copied().unwrap_or(counters);
            (worker, growth(before, counters))
        });
        let seconds = now.taken.duration_since(earlier.taken).as_secs_f64().max(1e-9);
        Self { seconds, growth: growth.collect() }
    }

    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.seconds
    }

    fn json(&self, look: &Look) -> Value {
        let worker = |(worker, counters): &(SocketAddr, Result<Counters, Error>)| {
            let counters = match counters {
                Ok(counters) => counters,
                Err(error) => return json!({ "worker": worker, "error": error.to_string() }),
            };
            let rates = self.growth[worker].iter();
            let rates: BTreeMap<_, _> =
                rates.map(|(name, &count)| (name, self.per_second(count))).collect();
            json!({ "worker": worker, "counters": counters, "per_second": rates })
        };
        let servers = look.servers.iter().map(|stats| {
            let workers: Vec<_> = stats.workers.iter().map(worker).collect();
            json!({ "server": stats.server, "workers": workers })
        });
        json!({
            "time_ms": unix_time_ms(),
            "interval_s": self.seconds,
            "servers": servers.collect::<Vec<_>>(),
        })
    }

    fn lines(&self, look: &Look) -> Vec<String> {
        let line = |(worker, counters): (SocketAddr, &Counters)| {
            let figures = self.figures(&self.growth[&worker], counters);
            let named = HEADER[1..].iter().zip(figures);
            let named: Vec<_> = named.map(|(name, figure)| format!("{name} {figure}")).collect();
            format!("{worker} {}", named.join(", "))
        };
        look.workers().map(line).collect()
    }

    /// The workers of each server, what its table holds, and below all what needs a look.
    fn table(&self, look: &Look) -> Vec<String> {
        let mut rows = vec![HEADER.map(str::to_owned).to_vec()];
        let mut tables = Vec::new();
        for stats in &look.servers {
            let server = stats.server;
            let workers: Vec<_> = stats.answered().collect();
            let grown = workers.iter().map(|(worker, _)| &self.growth[worker]);
            let sum = of_server(workers.iter().map(|(_, counters)| *counters));
            tables.push(table_line(&format!("server {server}"), &sum));
            for &(worker, counters) in &workers {
                rows.push(self.row(worker.to_string(), &self.growth[&worker], counters));
            }
            if workers.len() > 1 && look.servers.len() > 1 {
                rows.push(self.row(format!("all of {server}"), &of_all(grown), &sum));
            }
        }
        if look.workers().count() > 1 {
            let sum = of_all(look.workers().map(|(_, counters)| counters));
            rows.push(self.row("all".to_owned(), &of_all(self.growth.values()), &sum));
        }
        let mut lines = aligned(&rows);
        lines.push(String::new());
        lines.extend(tables);
        lines.extend(self.trouble());
        lines
    }

    fn row(&self, name: String, grown: &Counters, counters: &Counters) -> Vec<String> {
        std::iter::once(name).chain(self.figures(grown, counters)).collect()
    }

    /// What stands below [`HEADER`].
    fn figures(&self, grown: &Counters, counters: &Counters) -> [String; 8] {
        let rate = |name: &str| self.per_second(grown.get(name).copied().unwrap_or(0));
        let total = |name: &str| counters.get(name).copied().unwrap_or(0);
        let ended = total("sessions_closed").saturating_add(total("sessions_expired"));
        let trouble: f64 = ServerCounters::TROUBLE.iter().map(|name| rate(name)).sum();
        let megabytes = |name: &str| format!("{:.1}", rate(name) / 1e6);
        [
            format!("{:.0}", rate("gets") + rate("puts")),
            format!("{:.0}", rate("gets")),
            format!("{:.0}", rate("puts")),
            format!("{:.0}", rate("gets_not_found")),
            megabytes("bytes_received"),
            megabytes("bytes_sent"),
            total("sessions_opened").saturating_sub(ended).to_string(),
            format!("{trouble:.0}"),
        ]
    }

    /// A line for each counter of trouble that grew.
    fn trouble(&self) -> Vec<String> {
        let grown = self.growth.iter().flat_map(|(worker, grown)| {
            let trouble =
                grown.iter().filter(|(name, _)| ServerCounters::TROUBLE.contains(&name.as_str()));
            trouble.map(move |(name, &count)| {
                format!("trouble at {worker}: {name} {:.0}/s", self.per_second(count))
            })
        });
        grown.collect()
    }
}

fn table_line(name: &str, counters: &Counters) -> String {
    let of = |name: &str| counters.get(name).copied().unwrap_or(0);
    let megabytes = of("record_bytes") as f64 / 1e6;
    format!("{name}: {} records, {megabytes:.1} MB", of("records"))
}

/// Lines that are drawn over those before.
#[derive(Default)]
struct Screen {
    lines: usize,
}

impl Screen {
    fn show(&mut self, mut lines: Vec<String>) -> Result<(), Failure> {
        let terminal = Term::stdout();
        let (height, width) = terminal.size();
        // A line that breaks, or scrolls away, could not be drawn over.
        let room = usize::from(height).saturating_sub(2).max(1);
        if lines.len() > room {
            let left_out = lines.len() + 1 - room;
            lines.truncate(room - 1);
            lines.push(format!("… {left_out} more lines: a higher window shows them"));
        }
        let mut text = String::new();
        if self.lines > 0 {
            text += &format!("\x1b[{}A\x1b[J", self.lines);
        }
        for line in &lines {
            text.extend(line.chars().take(usize::from(width)));
            text.push('\n');
        }
        self.lines = lines.len();
        crate::output::write(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(taken: Instant, counts: &[(&str, u64)]) -> Look {
        let server: SocketAddr = ([127, 0, 0, 1], 7400).into();
        let counters = counts.iter().map(|&(name, count)| (name.to_owned(), count)).collect();
        Look { taken, servers: vec![ServerStats { server, workers: vec![(server, Ok(counters))] }] }
    }

    #[test]
    fn rates_are_what_grew_by_the_second() {
        let begin = Instant::now();
        let earlier = look(begin, &[("gets", 100), ("sessions_opened", 3)]);
        let counts =
            [("gets", 300), ("puts", 40), ("malformed", 4), ("records", 7), ("sessions_opened", 3)];
        let now = look(begin + Duration::from_secs(2), &counts);
        let rates = Rates::between(&earlier, &now);
        let lines = rates.lines(&now);
        assert_eq!(
            lines,
            ["127.0.0.1:7400 ops/s 120, get/s 100, put/s 20, miss/s 0, in MB/s 0.0, \
             out MB/s 0.0, sessions 3, trouble/s 2"]
        );
        let table = rates.table(&now);
        assert!(
            table.contains(&"server 127.0.0.1:7400: 7 records, 0.0 MB".to_owned()),
            "{table:?}"
        );
        assert_eq!(table.last().unwrap(), "trouble at 127.0.0.1:7400: malformed 2/s");
        assert_eq!(rates.json(&now)["servers"][0]["workers"][0]["per_second"]["gets"], 100.0);
    }
}
