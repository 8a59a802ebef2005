//! What the end-to-end tests share: real processes, real sockets, and what lies between.
//!
//! [`process`] runs a program and ends it whatever happens, [`server`] is a `kv` that is
//! ready, and a [`relay`] stands between clients and servers and does what a [`relay::Network`]
//! says; some are in [`networks`]. Nothing waits without a deadline.
//!
//! [`attack`] has those who mean harm.
//!
//! [`harness`] is apart from all that: what must hold for any bytes, without a socket.
#![forbid(unsafe_code)]

#[cfg(feature = "attack")]
pub mod attack;
pub mod harness;
pub mod hosts;
pub mod networks;
pub mod process;
pub mod random;
pub mod relay;
pub mod server;

use std::time::Duration;

/// After so long, what a test waits for will not come. Far longer than anything takes, for
/// a machine that is busy.
pub const DEADLINE: Duration = Duration::from_secs(60);
