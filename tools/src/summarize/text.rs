//! The report in words and tables.

use std::collections::BTreeSet;

use host::report::{Latency, Summary};

use super::build::Built;
use super::folder::{ClientFiles, RunFolder};
use crate::table::TextTable;

/// The parts of a report, put together by [`ReportText::terminal`] or [`ReportText::markdown`].
#[derive(Debug)]
pub(super) struct ReportText<'a> {
    folder: &'a RunFolder,
    summary: &'a Summary,
    has_latency_plot: bool,
}

impl<'a> ReportText<'a> {
    pub(super) fn new(folder: &'a RunFolder, built: &'a Built) -> Self {
        Self { folder, summary: &built.summary, has_latency_plot: built.histograms.is_some() }
    }

    /// The report for a terminal; other programs read its first lines.
    pub(super) fn terminal(&self) -> String {
        let summary = self.summary;
        let mut text = String::new();
        for server in &summary.servers {
            text += &format!("{} median {:.0} op/s\n", server.name, server.median_ops_per_s);
        }
        text += &format!("\ntotal {:.0} op/s\n", summary.total_ops_per_s);
        text += &format!("answered {:.0} op/s\n", summary.answered_ops_per_s);
        for (_, table) in self.tables() {
            text += &format!("\n{}", table.terminal());
        }
        text += &format!("\n{}\n", self.workload());
        if let Some(verdict) = &summary.verdict {
            text += &format!("\n{verdict}\n\n");
        }
        for note in &summary.notes {
            text += &format!("note: {note}\n");
        }
        text
    }

    /// `summary.md`.
    pub(super) fn markdown(&self) -> String {
        let summary = self.summary;
        let mut text = format!("# {}\n\n", summary.name);
        text += &format!(
            "**{:.0} op/s** answered; the servers executed **{:.0} op/s** in total. {}\n\n",
            summary.answered_ops_per_s,
            summary.total_ops_per_s,
            self.workload()
        );
        if let Some(run) = &self.folder.run {
            let machine = &run.machine;
            let commit = match run.commit.as_str() {
                "" => "an unknown commit".to_owned(),
                commit => format!("commit `{commit}`"),
            };
            let gib = machine.mem_bytes as f64 / f64::from(1 << 30);
            text += &format!(
                "Started {} at {commit} on {} cores of {}, {gib:.1} GiB, Linux {}.\n\n",
                run.started, machine.cores, machine.cpu, machine.kernel
            );
            text += &format!("```\n{}\n```\n\n", command_line(&run.arguments));
        }
        if let Some(verdict) = &summary.verdict {
            text += &format!("Its history: {verdict}.\n\n");
        }
        for (title, table) in self.tables() {
            text += &format!("## {title}\n\n{}\n", table.markdown());
        }
        text += "## Plots\n\n![Throughput over time](throughput.svg)\n";
        if self.has_latency_plot {
            text += "\n![Latency by percentile](latency.svg)\n";
        }
        if !summary.notes.is_empty() {
            text += "\n## Notes\n\n";
        }
        for note in &summary.notes {
            text += &format!("- {note}\n");
        }
        text
    }

    fn workload(&self) -> String {
        let summary = self.summary;
        let arrivals = match (summary.rate_ops_per_s, summary.rate_reached) {
            (Some(rate), Some(true)) => format!("open loop of {rate:.0} op/s, reached"),
            (Some(rate), _) => format!("open loop of {rate:.0} op/s, not reached"),
            (None, _) if summary.clients.iter().any(|client| client.rate_ops_per_s.is_some()) => {
                "open and closed loops".to_owned()
            }
            (None, _) => "closed loop".to_owned(),
        };
        format!(
            "{}, order {}, theta {}, {} records of {} bytes, {} streams, {arrivals}, {:.1} s measured.",
            summary.workload,
            summary.order,
            summary.theta,
            summary.records,
            summary.value_size,
            summary.streams,
            summary.secs
        )
    }

    /// Every table that has rows, with its title.
    fn tables(&self) -> Vec<(&'static str, TextTable)> {
        let tables = [
            ("Use of the machine, medians", self.usage()),
            ("Latency", self.latency("latency, µs", |c| &c.report.latency, &self.summary.latency)),
            (
                "Latency of GETs",
                self.latency("GETs, µs", |c| &c.report.get_latency, &self.summary.get_latency),
            ),
            (
                "Latency of PUTs",
                self.latency("PUTs, µs", |c| &c.report.put_latency, &self.summary.put_latency),
            ),
            ("Clients", self.clients()),
            ("Counters of the servers", self.counters()),
        ];
        tables.into_iter().filter(|(_, table)| !table.is_empty()).collect()
    }

    fn usage(&self) -> TextTable {
        let mut table = TextTable::new(&["use, medians", "op/s", "cpu %", "memory %", "network"]);
        for server in &self.summary.servers {
            table.add(vec![
                server.name.clone(),
                format!("{:.0}", server.median_ops_per_s),
                format!("{:.1}", server.cpu_pct),
                format!("{:.1}", server.mem_pct),
                format!("{:.1} %", server.net_pct),
            ]);
        }
        for client in &self.summary.clients {
            table.add(vec![
                client.name.clone(),
                format!("{:.0}", client.ops_per_s),
                format!("{:.1}", client.cpu_pct),
                format!("{:.1}", client.mem_pct),
                format!("{:.1} %", client.net_pct),
            ]);
        }
        let node = &self.summary.node;
        table.add(vec![
            "node".to_owned(),
            String::new(),
            format!("{:.1}", node.cpu_pct),
            format!("{:.1}", node.mem_pct),
            format!("{:.1} MB/s", node.net_bytes_per_s / 1e6),
        ]);
        table
    }

    /// Of each client, and of all; no rows if there were no such operations.
    fn latency(&self, what: &str, of: fn(&ClientFiles) -> &Latency, of_all: &Latency) -> TextTable {
        let mut table = TextTable::new(&[what, "p50", "p90", "p99", "p99.9", "max", "mean"]);
        let clients = &self.folder.clients;
        if clients.iter().any(|client| of(client).count > 0) {
            for client in clients {
                table.add(latency_row(&client.name, of(client)));
            }
            table.add(latency_row("all", of_all));
        }
        table
    }

    fn clients(&self) -> TextTable {
        type Column = (&'static str, fn(&ClientFiles) -> u64);
        let columns: [Column; 5] = [
            ("retransmits", |client| client.report.retransmits),
            ("indeterminate", |client| client.report.indeterminate),
            ("unanswered gets", |client| client.report.unanswered_gets),
            ("refused", |client| client.report.refused),
            ("not found", |client| client.report.not_found),
        ];
        let mut header = vec!["clients"];
        header.extend(columns.iter().map(|(name, _)| name));
        let mut table = TextTable::new(&header);
        for client in &self.folder.clients {
            let mut row = vec![client.name.clone()];
            row.extend(columns.iter().map(|(_, value)| value(client).to_string()));
            table.add(row);
        }
        table
    }

    /// What is not operations is told whenever it is not zero: nothing is hidden.
    fn counters(&self) -> TextTable {
        let servers = &self.summary.servers;
        let nonzero = servers.iter().flat_map(|server| &server.counters);
        let names: BTreeSet<&String> = nonzero
            .filter(|(name, value)| **value > 0 && !matches!(name.as_str(), "gets" | "puts"))
            .map(|(name, _)| name)
            .collect();
        let mut header = vec!["counters"];
        header.extend(servers.iter().map(|server| server.name.as_str()));
        let mut table = TextTable::new(&header);
        for name in names {
            let mut row = vec![name.clone()];
            let value =
                |counters: &host::report::Counters| counters.get(name).copied().unwrap_or(0);
            row.extend(servers.iter().map(|server| value(&server.counters).to_string()));
            table.add(row);
        }
        table
    }
}

/// No operations have no percentiles: zeros would look like a fine latency.
fn latency_row(name: &str, latency: &Latency) -> Vec<String> {
    let figures = [
        latency.p50_us,
        latency.p90_us,
        latency.p99_us,
        latency.p999_us,
        latency.max_us,
        latency.mean_us,
    ];
    let mut row = vec![name.to_owned()];
    row.extend(figures.map(
        |us| {
            if latency.count == 0 { "-".to_owned() } else { format!("{us:.1}") }
        },
    ));
    row
}

/// Arguments as a shell takes them, so that a reader can run the same.
fn command_line(arguments: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c);
    let quoted = arguments.iter().map(|argument| {
        if !argument.is_empty() && argument.chars().all(is_plain) {
            argument.clone()
        } else {
            format!("'{}'", argument.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_run_again() {
        let arguments = ["./cluster.sh", "--kv-args", "--cores 2", "", "it's"];
        assert_eq!(
            command_line(&arguments.map(str::to_owned)),
            r"./cluster.sh --kv-args '--cores 2' '' 'it'\''s'"
        );
    }
}
