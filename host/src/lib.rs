//! What the programs share of the machine they run on.
//!
//! `sample` reads /proc, `machine` collects the facts of `run.json`, `report` is the
//! formats of a run's folder, `sample_file` writes samples, `output` writes to stdout and
//! stderr, `flags` turns a wrong flag into one line, `signals` turns SIGINT and SIGTERM into
//! a flag, `time` tells the time of day.
#![forbid(unsafe_code)]

pub mod flags;
pub mod machine;
pub mod output;
pub mod report;
pub mod sample;
pub mod sample_file;
pub mod signals;
pub mod time;
