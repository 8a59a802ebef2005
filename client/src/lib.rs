//! The client library of the store.
#![forbid(unsafe_code)]

mod answer;
pub mod calls;
mod commands;
mod config;
mod connection;
pub mod entropy;
mod error;
mod gather;
mod handle;
pub mod limits;
pub mod near_cache;
mod observe;
mod planted;
pub mod pool;
mod resolve;
mod service;
mod socket;

pub use answer::{Answer, Ping, Record, Results, Source, Version, WorkerStats};
pub use config::Config;
pub use connection::{Connection, Pipeline};
pub use error::{Error, Refusal, TooLarge, Why};
pub use handle::{Call, Client};
pub use near_cache::CacheConfig;
pub use resolve::resolve;
