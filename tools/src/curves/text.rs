//! The curves in tables.

use super::results::{CurveResults, Measured};
use crate::bench::figures::{rate_text, slower};
use crate::bench::folder::ResultsFolder;
use crate::table::TextTable;

/// The report for a terminal.
pub(super) fn terminal(results: &CurveResults, folder: &ResultsFolder) -> String {
    let mut text = String::new();
    for curve in &results.curves {
        text += &format!("{}\n", table(curve).terminal());
    }
    text += &format!("{}\n", results.setting.text());
    text + &format!("\nresults: {}\n", folder.path.display())
}

/// `curves.md`.
pub(super) fn markdown(results: &CurveResults, folder: &ResultsFolder) -> String {
    let mut text = format!("# {}\n\n", results.run.name);
    text += &format!("{}\n\n{}\n\n", results.setting.text(), folder.machine_text());
    text += &format!("```\n{}\n```\n", results.run.arguments.join(" "));
    for curve in &results.curves {
        let name = curve.name;
        text += &format!("\n## {name}\n\n{}\n![{name}]({name}.svg)\n", table(curve).markdown());
    }
    text
}

fn table(curve: &Measured) -> TextTable {
    let mut table = TextTable::new(&[
        curve.name.axis(),
        "op/s",
        "lowest",
        "highest",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "CPU s/Mop",
        "",
    ]);
    for point in &curve.points {
        let figures = &point.figures;
        let mut cells = vec![point.x.to_string()];
        if point.rounds.is_empty() {
            cells.extend(std::iter::repeat_n("-".to_owned(), 7));
        } else {
            let rates =
                [figures.median_ops_per_s, figures.lowest_ops_per_s, figures.highest_ops_per_s];
            cells.extend(rates.map(rate_text));
            let latencies = [figures.p50_us, figures.p99_us, figures.p999_us];
            cells.extend(latencies.map(|us| format!("{us:.1}")));
            cells.push(format!("{:.3}", figures.cpu_s_per_million_ops));
        }
        let unanswered: u64 = point.rounds.iter().map(|round| round.unanswered).sum();
        let reason = point.skipped.clone().or_else(|| point.failed.clone());
        cells.push(reason.unwrap_or_else(|| match (unanswered, slower(&point.rounds)) {
            (0, 0) => String::new(),
            (0, rounds) => format!("the rate was not reached in {rounds} rounds"),
            (count, _) => format!("{count} were not answered"),
        }));
        table.add(cells);
    }
    table
}
