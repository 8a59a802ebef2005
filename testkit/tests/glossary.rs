//! `docs/COUNTERS.md` has a line for each counter, and each of its lines is of a counter.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use client::calls::CallCounters;
use generator::report::GeneratorCounters;
use kv::observed::ProcessCounters;
use kv::table::TableGauges;
use kv::worker::TimeCounters;
use proto::counters::{ClientCounters, ServerCounters};
use udp::counters::TransportCounters;

const GLOSSARY: &str = include_str!("../../docs/COUNTERS.md");

/// By the heading of its table and its name, whether a counter tells of trouble.
type Counters = BTreeMap<(String, String), bool>;

fn declared() -> Counters {
    let mut counters = Counters::new();
    macro_rules! declare {
        ($($heading:literal: $kind:ty,)+) => {
            $(for (name, _) in <$kind>::default().named() {
                let is_trouble = <$kind>::TROUBLE.contains(&name);
                counters.insert(($heading.to_owned(), name.to_owned()), is_trouble);
            })+
        };
    }
    declare! {
        "Server": ServerCounters,
        "Time": TimeCounters,
        "Table": TableGauges,
        "Server process": ProcessCounters,
        "Calls": CallCounters,
        "Client": ClientCounters,
        "Generator process": GeneratorCounters,
        "Transport": TransportCounters,
    }
    counters
}

/// The lines of the tables that have a heading, as lists of their cells, with the heading.
fn lines() -> Vec<(String, Vec<String>)> {
    let mut heading = String::new();
    let mut lines = Vec::new();
    for line in GLOSSARY.lines() {
        if let Some(text) = line.strip_prefix("## ") {
            heading = text.to_owned();
        } else if line.starts_with("| `") && !heading.is_empty() {
            let cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
            lines.push((heading.clone(), cells.collect()));
        }
    }
    lines
}

#[test]
fn each_counter_has_one_line_in_the_glossary_and_each_line_is_of_a_counter() {
    let lines = lines();
    let explained: Counters = (lines.iter())
        .map(|(heading, cells)| {
            let name = cells[0].trim_matches('`').to_owned();
            ((heading.clone(), name), cells[2] == "yes")
        })
        .collect();
    assert_eq!(explained.len(), lines.len(), "no counter has two lines");
    assert_eq!(explained, declared());
}

#[test]
fn each_line_says_the_unit_what_a_counter_means_and_what_to_do() {
    for (heading, cells) in lines() {
        assert_eq!(cells.len(), 5, "{heading}: {cells:?}");
        assert!(
            cells.iter().enumerate().all(|(at, cell)| at == 2 || !cell.is_empty()),
            "{cells:?}"
        );
    }
}
