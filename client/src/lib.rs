//! The client library of the store.
#![forbid(unsafe_code)]

mod answer;
pub mod calls;
pub mod entropy;
mod error;
pub mod limits;
pub mod near_cache;
mod planted;
pub mod pool;

pub use answer::{Answer, Ping, Record, Source, Version, WorkerStats};
pub use error::{Error, Refusal, TooLarge, Why};
pub use near_cache::CacheConfig;
