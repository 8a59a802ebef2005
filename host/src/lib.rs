//! What the programs share of the machine they run on, in three folders.
//!
//! `formats` has the files of a run's folder: [`report`]. `facts` has what /proc and /sys tell:
//! [`machine`], [`memory_limit`] and [`sample`]; it knows the formats. `program` has what every program does in
//! the same way: [`flags`], [`output`], [`sample_file`], [`signals`] and [`time`]; it knows
//! neither.
#![forbid(unsafe_code)]

mod facts;
mod formats;
mod program;

pub use facts::{machine, memory_limit, sample};
pub use formats::report;
pub use program::{flags, output, sample_file, signals, time};
