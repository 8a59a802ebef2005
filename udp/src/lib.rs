//! Datagram I/O: a socket that sends and receives bursts, pinning, and the core loop that
//! runs a state machine of `proto` over them.
//!
//! Read [`core_loop`] first: the rest serves it.
#![forbid(unsafe_code)]

pub mod clock;
pub mod core_loop;
pub mod idle;
pub mod loss;
pub mod pin;
pub mod receiver;
pub mod sender;
pub mod socket;
