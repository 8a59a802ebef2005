//! The load generator: many sequential streams, each in its order mode, share the
//! datagrams of a few threads.
//!
//! [`run`] is one run from its flags to its report. Each thread runs a [`driver`]: the
//! [`streams`] that draw operations from a [`workload`], the sessions that carry them (`client::pool`),
//! and the [`ledger`] of those that ended, with a [`recorder`] of how fast they came back and,
//! if asked for, a [`history`] of what they did. Threads share a [`coordination`],
//! and tell each other's watcher whose [`silence`] they wait through. Other stores are driven for comparison by what is in [`baseline`].
#![forbid(unsafe_code)]

pub mod arrivals;
pub mod baseline;
pub mod coordination;
pub mod driver;
pub mod excerpt;
pub mod flags;
pub mod history;
pub mod ledger;
pub mod limits;
pub mod plan;
pub mod progress;
pub mod record;
pub mod recorder;
pub mod report;
pub mod run;
pub mod silence;
pub mod streams;
pub mod threads;
pub mod token;
pub mod workload;
pub mod zipf;
