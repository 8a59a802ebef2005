//! Tells people why a register has no order, and draws the operations as intervals.

use std::collections::HashMap;
use std::fmt::Write as _;

use history::operation::{Action, ValueId};

use crate::counterexample::{Contradiction, Witness};
use crate::earliest::Earliest;
use crate::names::DisplayNames;
use crate::shown::shown_time;

/// Characters of the longest interval.
const WIDTH: usize = 64;

/// What the operations of a counterexample are called.
struct Labels<'a> {
    names: &'a DisplayNames,
    values: HashMap<ValueId, String>,
    witnesses: Vec<Witness>,
    origin_ns: u64,
    staleness_ns: u64,
}

/// The text of a counterexample: the operations with their times, why they have no order, and
/// their intervals. `staleness_ns`: how old the answers of near caches were allowed to be.
#[must_use]
pub fn explain(reason: &Contradiction, names: &DisplayNames, staleness_ns: u64) -> String {
    let mut witnesses = witnesses_of(reason);
    witnesses.sort_by_key(|w| (w.operation.start_ns, w.operation.end_ns));
    witnesses.dedup();
    let mut ids: Vec<ValueId> = witnesses.iter().filter_map(Witness::value).collect();
    ids.sort_unstable();
    ids.dedup();
    let origin_ns = witnesses.first().map_or(0, |w| w.operation.start_ns);
    let values = names.values(&ids);
    let labels = Labels { names, values, witnesses, origin_ns, staleness_ns };
    let mut text = String::new();
    for (index, witness) in labels.witnesses.iter().enumerate() {
        let _ = writeln!(text, "  {} {}", letter(index), labels.operation(witness));
    }
    let _ = writeln!(text, "{}", labels.why(reason));
    if let Some(age) = labels.age(reason) {
        let _ = writeln!(text, "{age}");
    }
    text + &labels.drawing()
}

fn witnesses_of(reason: &Contradiction) -> Vec<Witness> {
    match *reason {
        Contradiction::NeverWritten(found) => vec![found],
        Contradiction::Future { found, put } => vec![found, put],
        Contradiction::Absent { present, absent } => vec![present, absent],
        Contradiction::TwoOrders { first, after_first, second, after_second } => {
            vec![first, after_first, second, after_second]
        }
        Contradiction::WrittenTwice(first, second)
        | Contradiction::TwoVersions(first, second)
        | Contradiction::SharedVersion(first, second)
        | Contradiction::VersionOrder(first, second) => vec![first, second],
        Contradiction::VersionCount { answer, .. } => vec![answer],
    }
}

fn letter(index: usize) -> char {
    char::from(b'A' + index as u8)
}

/// From when on an answer of a cache may have been true.
fn as_if_called(witness: &Witness) -> String {
    let Earliest { ns, follows_own_put } = witness.earliest;
    if ns == witness.operation.start_ns {
        String::new()
    } else if follows_own_put {
        format!(", as if called at {ns} ns, when a put of its own client had been answered")
    } else {
        format!(", as if called at {ns} ns")
    }
}

impl Labels<'_> {
    fn of(&self, witness: &Witness) -> char {
        let index = self.witnesses.iter().position(|other| other == witness);
        letter(index.expect("every witness is listed"))
    }

    fn value(&self, witness: &Witness) -> String {
        match witness.value() {
            None => "nothing".to_owned(),
            Some(value) => match self.values.get(&value) {
                Some(name) => format!("'{name}'"),
                None => "a value".to_owned(),
            },
        }
    }

    fn operation(&self, witness: &Witness) -> String {
        let operation = &witness.operation;
        let value = self.value(witness);
        let what = match operation.action {
            Action::Found(_) | Action::NotFound => format!("get found {value}"),
            Action::Stored(_) => format!("put {value}"),
            Action::Indeterminate(_) => format!("put {value}, not answered"),
        };
        let version = match operation.version {
            0 => String::new(),
            version => format!(" version {version}"),
        };
        let start_ns = operation.start_ns;
        let end = match witness.end_ns() {
            Some(end_ns) => format!("{end_ns} ns (+{} ns)", end_ns - self.origin_ns),
            None => "no end".to_owned(),
        };
        let client = self.names.client(witness.file, operation);
        let cache = match self.names {
            DisplayNames::Workload if operation.is_cached => " in its cache",
            _ => "",
        };
        format!(
            "{what}{version}{cache}, {client}, from {start_ns} ns (+{} ns) to {end}{}",
            start_ns - self.origin_ns,
            as_if_called(witness)
        )
    }

    fn why(&self, reason: &Contradiction) -> String {
        match reason {
            Contradiction::NeverWritten(found) => format!(
                "{} found a value that no put of this history wrote: it is from elsewhere, from \
                 an earlier life of the server, or its put is not in these files",
                self.of(found)
            ),
            Contradiction::Future { found, put } => format!(
                "{} found the value of {} and ended before {} was called: it read from the future",
                self.of(found),
                self.of(put),
                self.of(put)
            ),
            Contradiction::Absent { present, absent } => format!(
                "{} shows that the key had a value, and ended before {} started, which found \
                 none: nothing removes a value, so no order puts {} after {}",
                self.of(present),
                self.of(absent),
                self.of(absent),
                self.of(present)
            ),
            Contradiction::TwoOrders { first, after_first, second, after_second } => format!(
                "{} comes before {}, because {} ended before {} started; and {} comes before {}, \
                 because {} ended before {} started: no order has both",
                self.value(first),
                self.value(second),
                self.of(first),
                self.of(after_first),
                self.value(second),
                self.value(first),
                self.of(second),
                self.of(after_second),
            ),
            Contradiction::WrittenTwice(first, second) => format!(
                "{} and {} wrote the same value: which of them a get found cannot be told, and \
                 puts of one key must have distinct values",
                self.of(first),
                self.of(second)
            ),
            Contradiction::TwoVersions(first, second) => format!(
                "{} and {} tell different versions of one value: it was written twice, or one of \
                 them is wrong",
                self.of(first),
                self.of(second)
            ),
            Contradiction::SharedVersion(first, second) => format!(
                "{} and {} tell the same version of two values: each put makes a version of its \
                 own",
                self.of(first),
                self.of(second)
            ),
            Contradiction::VersionOrder(first, second) => format!(
                "{} ended before {} started, and yet its version is not the smaller one",
                self.of(first),
                self.of(second)
            ),
            Contradiction::VersionCount { answer, puts } => format!(
                "{} tells version {}, but the history has only {puts} puts of this key: one was \
                 executed more than once, or is not in these files",
                self.of(answer),
                answer.operation.version
            ),
        }
    }

    /// How old an answer of a cache was, if that is what is wrong.
    fn age(&self, reason: &Contradiction) -> Option<String> {
        let (stale, newer) = match reason {
            Contradiction::TwoOrders { second, after_second, .. }
                if after_second.operation.is_cached =>
            {
                (after_second, second)
            }
            Contradiction::TwoOrders { first, after_first, .. } => (after_first, first),
            Contradiction::Absent { present, absent } => (absent, present),
            Contradiction::VersionOrder(first, second) => (second, first),
            _ => return None,
        };
        if !stale.operation.is_cached {
            return None;
        }
        let age_ns = stale.operation.start_ns.checked_sub(newer.end_ns()?)?;
        let rule = if stale.earliest.follows_own_put {
            "and its own client had put another value since".to_owned()
        } else if self.staleness_ns > 0 {
            format!("more than the {} of --staleness", shown_time(self.staleness_ns))
        } else {
            "and without --staleness no answer may be old".to_owned()
        };
        let (stale, age) = (self.of(stale), shown_time(age_ns));
        Some(format!("what {stale} found was at least {age} old when {stale} was called, {rule}"))
    }

    /// One line an operation, all to one scale; `>` stands for no end, and dots lead from where
    /// a GET from a cache may have taken effect to its call.
    fn drawing(&self) -> String {
        let ends = self.witnesses.iter().map(|w| w.end_ns().unwrap_or(w.operation.start_ns));
        let length_ns = (ends.max().unwrap_or(0) - self.origin_ns).max(1);
        let column = |time_ns: u64| {
            let since_ns = u128::from(time_ns - self.origin_ns);
            (since_ns * (WIDTH as u128 - 1) / u128::from(length_ns)) as usize
        };
        let mut text = String::new();
        for (index, witness) in self.witnesses.iter().enumerate() {
            let from = column(witness.operation.start_ns);
            let earliest = column(witness.earliest.ns.max(self.origin_ns));
            let (to, last) = match witness.end_ns() {
                Some(end_ns) => (column(end_ns), '|'),
                None => (WIDTH - 1, '>'),
            };
            let bar = "=".repeat((to - from).saturating_sub(1));
            let space = " ".repeat(earliest) + &".".repeat(from - earliest);
            let first = if to > from { "|" } else { "" };
            let _ = writeln!(text, "  {} {space}{first}{bar}{last}", letter(index));
        }
        text
    }
}
