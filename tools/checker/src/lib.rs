//! Whether a history is linearizable: each operation took effect at one instant between its
//! call and its answer (invariant 2).
//!
//! [`check`] is the program: it finds the [`input`], and lets a thread for each core [`merge`]
//! the files and pass the operations of its share of the keys to a [`checker`], which has a
//! [`register`] and [`versions`] for each key. If one is wrong, a second pass over the files
//! collects the [`counterexample`] of that key, which [`explain`] tells.
#![forbid(unsafe_code)]

pub mod check;
pub mod checker;
pub mod counterexample;
pub mod csv;
pub mod csv_puts;
pub mod csv_quotes;
pub mod explain;
pub mod file;
pub mod input;
pub mod lives;
pub mod memory;
pub mod merge;
pub mod names;
pub mod places;
pub mod progress;
pub mod register;
pub mod versions;

pub use memory::verify;

use crate::lives::Restarts;

/// What was checked, of a history in which nothing is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Operations.
    pub operations: u64,
    /// Keys that they were on.
    pub keys: u64,
    /// GETs of CSV that were not answered: they say nothing, and are not among the operations.
    pub unanswered_gets: u64,
    /// What servers lost that started again.
    pub restarts: Vec<Restarts>,
}

/// Why a history is not linearizable.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The key; none if it is not about a single one.
    pub key: Option<String>,
    /// The counterexample, for people.
    pub text: String,
}
