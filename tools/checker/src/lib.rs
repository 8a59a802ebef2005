//! Whether a history is linearizable: each operation took effect at one instant between its
//! call and its answer (invariant 2).
//!
//! [`check`] is the program: it finds the [`input`], and lets a thread for each core [`merge`]
//! the files and pass the operations of its share of the keys to a [`share_checker`], which has a
//! [`register`] and [`versions`] for each key. What a near cache answered may have been read
//! [`earliest`] some time before. If one is wrong, a second pass over the files
//! collects the [`counterexample`] of that key, which [`explain`] tells.
#![forbid(unsafe_code)]

pub mod assumptions;
pub mod check;
pub mod cluster_index;
pub mod clusters;
pub mod counterexample;
pub mod csv;
pub mod csv_puts;
pub mod csv_quotes;
pub mod earliest;
pub mod explain;
pub mod file;
pub mod input;
pub mod input_error;
pub mod lives;
pub mod memory;
pub mod merge;
pub mod names;
pub mod own_puts;
pub mod progress;
pub mod register;
pub mod register_numbers;
pub mod share_checker;
pub mod shown;
pub mod value_cluster;
pub mod verdict;
pub mod versions;
pub mod wrong;

pub use memory::{verify, verify_stale};
pub use verdict::{Verdict, Violation};
