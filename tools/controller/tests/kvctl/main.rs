//! The program `kvctl` with real servers.
#![forbid(unsafe_code)]

mod command_line;
mod load;
mod outcomes;
mod prompt;
mod running;
mod unwritable;
mod watching;
