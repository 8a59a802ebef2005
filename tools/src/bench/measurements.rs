//! What a program that measures comes to.

/// What it prints, and what it could not measure.
#[derive(Debug)]
pub struct Measurements {
    /// The report for a terminal.
    pub text: String,
    /// The same as JSON.
    pub json: String,
    /// What could not be measured although it should, and why.
    pub failures: Vec<String>,
}
