//! The client library of the store: calls with deadlines over UDP, and an answer to what became
//! of each.
//!
//! ```
//! use client::Client;
//!
//! let servers = client::resolve("127.0.0.1:7400")?;
//! # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
//! # let servers = [server.address];
//! let client = Client::connect(&servers)?;
//! let version = client.put(b"greeting", b"hello").wait()?;
//! let record = client.get(b"greeting").wait()?.expect("it was just written");
//! assert_eq!((record.value, record.version), ("hello".into(), version));
//! # Ok::<(), client::Error>(())
//! ```
//!
//! - [`Client`] is a handle for programs with threads or futures: cheap to clone. Each call can be
//!   waited for, or awaited in any executor. Whoever waits drives the sessions; a background thread
//!   does while nobody waits.
//! - [`Connection`] is driven by its caller, without another thread: the least latency.
//! - [`calls`] and [`pool`] are the machines below both, for a loop of your own: they have no
//!   socket, no clock and no thread.
//!
//! Each call ends at its deadline at the latest, with an answer or with an [`Error`] that says
//! whether it was executed; [`Error::may_retry`] says whether it may be made again. A read is
//! asked again until its deadline, over a new session too. A mutation is executed once or not at
//! all. Where nobody knows which, it is [`Error::Indeterminate`], and it is the caller who
//! decides what to do.
//!
//! Answers are linearizable: a read that is made after a write was answered reads it, or something
//! newer. Calls that are under way together are concurrent, in a pipeline too. The near cache
//! ([`Config::cache`], off by default) answers reads from memory, with values of a largest age.
//!
//! `docs/CLIENT.md` of the project leads from a clone to a working program, and says for each error
//! what to do.
//!
//! # Features
//!
//! Both are off by default, and cost nothing then. `docs/CLIENT.md` has the names.
//!
//! - `metrics`: calls by operation and result, their latency, hits of the near cache and sessions,
//!   for the recorder of the crate [metrics](https://docs.rs/metrics).
//! - `tracing`: sessions that open, are lost or refused, and calls that are late or not taken, as
//!   events of the crate [tracing](https://docs.rs/tracing).
#![forbid(unsafe_code)]

mod answer;
mod baton;
mod call;
pub mod calls;
mod commands;
mod config;
mod connection;
mod engine;
pub mod entropy;
mod error;
mod gather;
mod handle;
mod keeper;
pub mod limits;
pub mod near_cache;
mod observe;
mod planted;
pub mod pool;
mod servers;
mod service;
mod sleep;
mod socket;
mod told;
mod turn;
mod values;
mod waiters;

pub use answer::{Answer, Ping, Record, Results, Source, Version, WorkerStats};
pub use call::Call;
pub use config::Config;
pub use connection::{Connection, Pipeline};
pub use error::{Error, Refusal, TooLarge, Why};
pub use handle::Client;
pub use near_cache::CacheConfig;
pub use servers::{check_addresses, check_servers, resolve};
