//! What every program does in the same way: [`flags`] turns a wrong flag into one line,
//! [`output`] writes to stdout and stderr, [`sample_file`] writes samples, [`signals`] turns
//! SIGINT and SIGTERM into a flag to end, [`time`] tells the time of day.

pub mod flags;
mod outlet;
pub mod output;
pub mod sample_file;
pub mod signals;
pub mod time;
