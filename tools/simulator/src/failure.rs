//! What a check tells.

/// Something that must hold and did not.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was checked.
    pub check: &'static str,
    /// The record that it is about, if it is about one.
    pub key: Option<u64>,
    /// What is wrong.
    pub text: String,
}
