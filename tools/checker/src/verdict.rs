//! What a check comes to.

use crate::lives::Restarts;

/// What was checked, of a history in which nothing is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Operations.
    pub operations: u64,
    /// Of these, GETs that a near cache answered, or may have answered.
    pub cached: u64,
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
