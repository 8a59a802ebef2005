//! Programs that measure, and that read what runs leave behind.
//!
//! `compare` sets the store beside others and `curves` shows how it grows; both take servers,
//! generators and their figures from `bench`. `summarize` turns a run's folder into its report.
//! `run_description` says what was run, and on which machine. The binaries in `src/bin` only
//! read their flags. The checker and the simulator are crates of their own beside this one.
#![forbid(unsafe_code)]

pub mod bench;
pub mod compare;
pub mod curves;
mod median;
mod plot;
pub mod run_description;
pub mod summarize;
mod table;
