//! What a run did, operation by operation, in files that a checker reads.
//!
//! A generator's thread has a [`writer`], a checker a [`reader`] for each file; both hold to
//! `docs/HISTORY.md`, whose bytes are in [`mod@format`]. [`sample`] decides which keys are kept.
#![forbid(unsafe_code)]

pub mod format;
pub mod operation;
pub mod reader;
pub mod sample;
pub mod writer;
