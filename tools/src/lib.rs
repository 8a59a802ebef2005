//! Programs that measure, and that read what runs leave behind.
//!
//! `compare` sets the store beside others and `curves` shows how it grows, both with what
//! `bench` has for them. `summarize` turns a run's folder into its report, `facts` writes what was run and on
//! which machine. The binaries in `src/bin` only read their flags.
#![forbid(unsafe_code)]

pub mod bench;
pub mod compare;
pub mod curves;
pub mod facts;
mod median;
mod plot;
pub mod summarize;
mod table;
