//! Baselines: other stores, driven by the same workload, so that their figures stand beside
//! ours.
//!
//! A [`target`] names a store and its protocol, [`stores`] are those of a run. Each thread is a
//! [`BaselineThread`](thread::BaselineThread) with a few [`lane`]s, which draw operations;
//! [`memcached`] and [`redis`] write the requests of a [`batch`] and read each [`reply`] to it,
//! over a TCP [`connection`] or in the datagrams of [`memcached_udp`]. What came back goes
//! into the thread's [`Ledger`](crate::ledger::Ledger).
//!
//! Whatever a store sends is input: it ends in an answer or in an error that says what it
//! was, with no more memory than the answer to a batch takes.

pub mod batch;
pub mod connection;
pub mod frame;
pub mod keys;
pub mod lane;
pub mod link;
pub mod memcached;
pub mod memcached_udp;
pub mod redis;
pub mod reply;
pub mod stores;
pub mod target;
#[cfg(test)]
mod testing;
pub mod thread;

/// What a report names the order in which connections work: each in its own.
pub const ORDER: &str = "pipelined";
/// Operations of a batch, unless a flag says otherwise.
pub const BATCH_DEFAULT: u32 = 100;
/// Most operations of a batch: over UDP each may have a request of its own, and a request's
/// number has 16 bits.
pub const BATCH_MAX: u32 = 1 << 14;
/// Most connections of a thread to each store.
pub const CONNECTIONS_MAX: u64 = 1024;
/// Largest value: what memcached stores unless told otherwise.
pub const VALUE_BYTES_MAX: usize = (1 << 20) - 1024;
/// Seconds to wait for an answer over UDP, where nothing is asked again: a lost datagram
/// makes its connection wait so long.
pub const ANSWER_TIMEOUT_UDP_DEFAULT: f64 = 0.5;
/// Longest line of an answer; a longer one belongs to no protocol spoken here.
pub const LINE_BYTES_MAX: usize = 2048;

const _: () = assert!(BATCH_MAX <= 1 << 16 && BATCH_DEFAULT <= BATCH_MAX);
