//! The protocol, pure: no socket, clock, thread or entropy.
//!
//! Read top down: [`limits`] bounds everything, [`wire`] is every byte of a datagram,
//! [`pack`] and [`unpack`] turn operations into datagrams and back. [`client`] and
//! [`server`] are the two ends as state machines: they are handed datagrams and the time,
//! and hand out datagrams and answers. Drivers (`udp`, the simulator, the tests) own the
//! sockets and the clock.
//!
//! Times are nanoseconds of a monotonic clock whose zero is the driver's affair.
#![forbid(unsafe_code)]

pub mod client;
pub mod congestion;
pub mod cookie;
pub mod counters;
mod execution;
pub mod flight;
pub mod handshake;
pub mod inflight;
pub mod limits;
pub mod loss_detection;
pub mod order;
pub mod outcome;
pub mod pack;
pub mod placement;
pub mod planted;
pub mod replies;
pub mod reply_budget;
pub mod rto;
pub mod server;
pub mod session;
pub mod sessions;
pub mod store;
pub mod transmit;
pub mod unpack;
pub mod wire;
