//! The server: pinned workers, each with a socket of its own, over one shared table.
//!
//! [`server`] starts and ends them, [`worker`] is what each runs, [`table`] is what they
//! share. [`observed`] is what there is to see of them: [`reporter`] tells it once a second, and
//! [`metrics`] to those who ask.
#![deny(unsafe_code)]

pub mod flags;
pub mod limits;
pub mod memory_bound;
#[cfg(not(any(loom, shuttle)))] // Nor has tokio a network then.
pub mod metrics;
pub mod observed;
pub mod reporter;
#[cfg(not(any(loom, shuttle)))]
pub mod server;
#[allow(unsafe_code, reason = "the bucket table; each block says why it is sound")]
pub mod table;
pub mod worker;
