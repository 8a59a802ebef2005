//! The counts that are kept in the repository, and when others are as good as they.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// A count may change by so much without a reason.
pub(crate) const CHANGE_PCT_MAX: u64 = 3;
/// And be so much above that of the anchor, whatever was recorded since.
pub(crate) const ABOVE_ANCHOR_PCT_MAX: u64 = 5;

/// What counts depend on besides the code. The version of valgrind stands for that of the
/// distribution, too, and so for that of the C library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) compiler: String,
    pub(crate) valgrind: String,
    pub(crate) machine: String,
}

/// What is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recorded {
    pub(crate) taken: Taken,
    pub(crate) instructions: BTreeMap<String, u64>,
    pub(crate) anchor: Anchor,
}

/// The counts of an earlier commit, so that changes too small for the gate don't add up
/// unseen. Recording anew leaves them as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Anchor {
    pub(crate) commit: String,
    pub(crate) instructions: BTreeMap<String, u64>,
}

impl Recorded {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// How much more a workload takes now; nothing if it was never recorded.
    pub(crate) fn change_pct(&self, name: &str, now: u64) -> Option<f64> {
        change_pct(&self.instructions, name, now)
    }

    /// How much more it takes than at the anchor; nothing if it was not there.
    pub(crate) fn change_since_anchor_pct(&self, name: &str, now: u64) -> Option<f64> {
        change_pct(&self.anchor.instructions, name, now)
    }

    /// Whether a workload takes about as much as it did. Much less is a change as well: it
    /// would hide the next one.
    pub(crate) fn is_kept(&self, name: &str, now: u64) -> bool {
        let recorded = self.instructions.get(name);
        recorded.is_some_and(|&before| now.abs_diff(before) * 100 <= before * CHANGE_PCT_MAX)
    }

    /// Whether a workload takes not much more than it did at the anchor, if it was there.
    pub(crate) fn is_near_anchor(&self, name: &str, now: u64) -> bool {
        let anchor = self.anchor.instructions.get(name);
        anchor.is_none_or(|&anchor| now * 100 <= anchor * (100 + ABOVE_ANCHOR_PCT_MAX))
    }

    /// Workloads that are recorded, but not counted any more.
    pub(crate) fn not_among<'a>(&'a self, names: &[&str]) -> Vec<&'a str> {
        let recorded = self.instructions.keys().map(String::as_str);
        recorded.filter(|name| !names.contains(name)).collect()
    }
}

fn change_pct(counts: &BTreeMap<String, u64>, name: &str, now: u64) -> Option<f64> {
    let before = *counts.get(name)? as f64;
    Some((now as f64 / before - 1.0) * 100.0)
}

impl Taken {
    /// Why counts that were taken under other circumstances say nothing about these.
    pub(crate) fn difference(&self, now: &Self) -> Option<String> {
        let fields = [
            ("compiler", &self.compiler, &now.compiler),
            ("valgrind", &self.valgrind, &now.valgrind),
            ("machine", &self.machine, &now.machine),
        ];
        let (name, recorded, now) =
            fields.into_iter().find(|(_, recorded, now)| recorded != now)?;
        Some(format!("the {name} is '{now}', and was '{recorded}'"))
    }
}
