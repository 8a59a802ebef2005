//! The comparison in tables.

use super::results::{ComparisonResults, Row, RowState};
use crate::bench::figures::rate_text;
use crate::bench::folder::ResultsFolder;
use crate::table::TextTable;

/// The report for a terminal.
pub(super) fn terminal(results: &ComparisonResults, folder: &ResultsFolder) -> String {
    let mut text = String::new();
    for (_, table) in tables(results) {
        text += &format!("{}\n", table.terminal());
    }
    text += &format!("{}\n", results.setting.text());
    for note in notes(results) {
        text += &format!("note: {note}\n");
    }
    text + &format!("\nresults: {}\n", folder.path.display())
}

/// `compare.md`.
pub(super) fn markdown(results: &ComparisonResults, folder: &ResultsFolder) -> String {
    let mut text = format!("# {}\n\n", results.run.name);
    text += &format!("{}\n\n{}\n\n", results.setting.text(), folder.machine_text());
    text += &format!("```\n{}\n```\n\n", results.run.arguments.join(" "));
    for (title, table) in tables(results) {
        text += &format!("## {title}\n\n{}\n", table.markdown());
    }
    text += "![Throughput](compare.svg)\n";
    let notes = notes(results);
    if !notes.is_empty() {
        text += "\n## Notes\n\n";
    }
    for note in notes {
        text += &format!("- {note}\n");
    }
    text
}

fn notes(results: &ComparisonResults) -> Vec<String> {
    let states = results.candidates.iter().filter_map(|row| match &row.state {
        RowState::Measured => None,
        RowState::Absent(reason) => Some(reason.clone()),
        RowState::Failed(reason) => Some(format!("{} failed: {reason}", row.name)),
    });
    let echo = results.echo.as_ref().and_then(|echo| echo.failure.as_ref());
    let echo = echo.map(|reason| format!("echo failed: {reason}"));
    let mut notes: Vec<String> = states.chain(echo).chain(results.notes.clone()).collect();
    // Two candidates of one baseline that is absent have one reason.
    notes.dedup();
    notes
}

fn tables(results: &ComparisonResults) -> Vec<(&'static str, TextTable)> {
    let tables = [
        ("Throughput", throughput(results)),
        ("Latency in µs, at a part of each one's own throughput", latency(results)),
        ("One at a time, round trip in µs", round_trips(results)),
    ];
    tables.into_iter().filter(|(_, table)| !table.is_empty()).collect()
}

fn throughput(results: &ComparisonResults) -> TextTable {
    let mut table = TextTable::new(&[
        "",
        "op/s",
        "lowest",
        "highest",
        "/ null",
        "/ baseline",
        "CPU s/Mop",
        "B/record",
        "at",
    ]);
    for row in &results.candidates {
        let mut cells = vec![row.name.clone()];
        if row.rounds.is_empty() {
            let state = match row.state {
                RowState::Absent(_) => "absent",
                RowState::Failed(_) | RowState::Measured => "failed",
            };
            cells.extend([state, "", "", "", "", "", "", ""].map(str::to_owned));
        } else {
            let figures = &row.figures;
            cells.extend([
                rate_text(figures.median_ops_per_s),
                rate_text(figures.lowest_ops_per_s),
                rate_text(figures.highest_ops_per_s),
                ratio_text(row.ratio_to_null),
                ratio_text(row.ratio_to_best_baseline),
                format!("{:.3}", figures.cpu_s_per_million_ops),
                format!("{:.0}", row.bytes_per_record),
                at(row),
            ]);
        }
        table.add(cells);
    }
    table
}

fn at(row: &Row) -> String {
    row.found.as_ref().map_or_else(|| "defaults".to_owned(), super::results::BestPlace::text)
}

fn latency(results: &ComparisonResults) -> TextTable {
    let mut table = TextTable::new(&[
        "",
        "load",
        "op/s",
        "p50",
        "p99",
        "p99 low",
        "p99 high",
        "p99.9",
        "CPU s/Mop",
    ]);
    for row in &results.candidates {
        for load in row.at_load.iter().filter(|load| !load.rounds.is_empty()) {
            let figures = &load.figures;
            table.add(vec![
                row.name.clone(),
                format!("{} %", load.load_pct),
                rate_text(figures.median_ops_per_s),
                format!("{:.1}", figures.p50_us),
                format!("{:.1}", figures.p99_us),
                format!("{:.1}", figures.p99_lowest_us),
                format!("{:.1}", figures.p99_highest_us),
                format!("{:.1}", figures.p999_us),
                format!("{:.3}", figures.cpu_s_per_million_ops),
            ]);
        }
    }
    table
}

fn round_trips(results: &ComparisonResults) -> TextTable {
    let mut table = TextTable::new(&["", "p50", "p99", "p99.9", "/ echo"]);
    let Some(echo) = results.echo.as_ref().filter(|echo| !echo.rounds.is_empty()) else {
        return table;
    };
    let bare = format!("echo of {} bytes", echo.datagram_bytes);
    for (name, trip, ratio) in
        [(bare, &echo.echo, Some(1.0)), ("one GET".to_owned(), &echo.get, echo.ratio_p50)]
    {
        let times = [trip.p50_us, trip.p99_us, trip.p999_us].map(|us| format!("{us:.1}"));
        table.add([name].into_iter().chain(times).chain([ratio_text(ratio)]).collect());
    }
    table
}

fn ratio_text(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
}
