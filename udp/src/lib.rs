//! Datagram I/O: the core loop that runs a state machine of `proto`, and the transport under it.
//!
//! Read [`core_loop`] first: a round of it is a datagram's way. [`transport`] is the seam below
//! it. [`socket`] moves datagrams over kernel sockets. [`way_out`] says whose burst goes now,
//! for any transport that has a send buffer: by an account of it (`send_buffer`) and queues
//! for each address (`outbox`).
#![deny(unsafe_code)]

pub mod alarm;
pub mod clock;
pub mod core_loop;
pub mod counters;
pub mod idle;
pub mod loss;
mod outbox;
pub mod pin;
#[allow(unsafe_code, reason = "a page that forks do not share; each block says why it is sound")]
pub mod process;
mod send_buffer;
#[allow(unsafe_code, reason = "options of sockets; each block says why it is sound")]
pub mod socket;
pub mod transport;
pub mod way_out;
