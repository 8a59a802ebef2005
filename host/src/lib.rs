//! What the programs share of the machine they run on.
//!
//! `sample` reads /proc, `machine` collects the facts of `run.json`, `report` is the
//! formats of a run's folder, `flags` turns a wrong flag into one line, `output` prints,
//! `signals` turns SIGINT and SIGTERM into a flag, `time` tells the time of day.
#![forbid(unsafe_code)]

pub mod flags;
pub mod machine;
pub mod output;
pub mod report;
pub mod sample;
pub mod signals;
pub mod time;
