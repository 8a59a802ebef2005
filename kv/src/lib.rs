//! The server: pinned workers, each with a socket of its own, over one shared table.
//!
//! [`server`] starts and ends them, [`worker`] is what each runs, [`table`] is what they
//! share, [`reporter`] tells once a second what they do.
#![deny(unsafe_code)]

pub mod flags;
pub mod memory_bound;
pub mod reporter;
pub mod server;
#[allow(unsafe_code, reason = "the bucket table; each block says why it is sound")]
pub mod table;
pub mod worker;
