//! `kvctl`: the store from a shell.
//!
//! [`flags`] has all that it takes, and [`run`] does it: a command of the command line, of the
//! prompt or of a line of stdin. Each command is a file; [`store`] connects to the servers.
#![forbid(unsafe_code)]

mod commands_of_stdin;
mod counters;
mod escapes;
pub mod failure;
pub mod flags;
mod get;
mod input;
mod interrupt;
mod json;
mod limits;
mod load;
mod load_progress;
mod output;
mod ping;
mod program;
mod prompt;
mod put;
mod records;
mod runner;
mod servers;
mod stats;
pub mod status;
pub mod store;
mod table;
mod watch;
mod words;

pub use program::run;
