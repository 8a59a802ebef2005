//! Programs that read what runs leave behind.
//!
//! `summarize` turns a run's folder into its report, `facts` writes what was run and on
//! which machine. The binaries in `src/bin` only read their flags.
#![forbid(unsafe_code)]

pub mod facts;
pub mod lincheck;
pub mod output;
pub mod sim;
pub mod summarize;
