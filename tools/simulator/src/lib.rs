//! A deterministic simulation of generators, applications, servers and the network between them.
//!
//! The machines are the production's: the generator's driver with its history, the client
//! library with its deadlines and its near cache, the server's workers over the real tables. Time, network, clocks and every random number are the
//! simulation's, and come from one seed: [`config`] draws what goes wrong how often, [`run`]
//! lets it happen in a [`world`], [`checks`] says whether everything that must hold did. The same seed does
//! the same again, to the byte.
#![forbid(unsafe_code)]

pub mod addresses;
pub mod applications;
pub mod checks;
pub mod clocks;
pub mod config;
pub mod failure;
pub mod generators;
pub mod hoarder;
pub mod hostile;
pub mod link;
pub mod machine;
pub mod mishap;
pub mod mishaps;
pub mod network;
pub mod on_path;
pub mod queue;
pub mod random;
pub mod report;
pub mod run;
pub mod seed;
pub mod store;
pub mod trace;
pub mod world;

pub use failure::Failure;
pub use seed::{Outcome, run_seed};
