//! The protocol, pure: no socket, clock, thread or entropy.
//!
//! Read top down: [`limits`] bounds everything, [`wire`] is every byte of a datagram,
//! [`pack`] and [`unpack`] turn operations into datagrams and back. [`client`] and
//! [`server`] are the two ends as state machines. Drivers (`udp`, the simulator, the tests) own
//! the sockets and the clock.
//!
//! # How a driver runs a state machine
//!
//! [`client::Client`] and [`server::Server`] have four kinds of method:
//!
//! - **A. Getters** take `&self`, and change nothing.
//! - **B. Handlers**: `handle_datagram` takes a datagram that arrived, `handle_timeout` does
//!   what time has made due. A client tells how operations ended while they run, a server
//!   executes operations against the store that it is lent.
//! - **C. Commands of the application**: [`get`](client::Client::get),
//!   [`put`](client::Client::put), [`close`](client::Client::close) and their like. They send
//!   nothing themselves.
//! - **D. Polls**: `poll_transmit` hands out the next burst to send, `poll_timeout` says when
//!   `handle_timeout` or `poll_transmit` has something to do.
//!
//! After calls of B and C, whichever and in whatever order, the driver calls D. One round is:
//!
//! 1. Read the clock, once and after the datagrams were received. All calls of the round are
//!    given this time; it never falls from one round to the next.
//! 2. `handle_datagram` for each datagram. Between them, `poll_transmit` with
//!    [`Flush::Full`](transmit::Flush::Full) hands out what fills a burst already.
//! 3. `handle_timeout`, at least when `poll_timeout` is reached; it is cheap when nothing is due.
//!    It comes after the datagrams, because an answer that is there to be read is not late.
//! 4. The application's commands.
//! 5. `poll_transmit` with [`Flush::All`](transmit::Flush::All) until it returns `None`. A burst
//!    counts as sent when it is handed out: one that the driver cannot send is lost as on any
//!    network, and sent again when its time comes.
//! 6. `poll_timeout`, last, because each of the calls above may change it. Wait until then, or
//!    until a datagram or a command comes. A time that is past means now; `None` means that
//!    only input makes anything due.
//!
//! ```
//! use proto::client::{Client, ClientConfig, Finished};
//! use proto::transmit::Flush;
//!
//! /// One round; returns when the next is due if nothing comes.
//! fn round(
//!     client: &mut Client<u32>,
//!     now_ns: u64,
//!     received: &[&[u8]],
//!     send: impl Fn(&[u8]),
//! ) -> Option<u64> {
//!     let finished = |operation: Finished<'_, u32>| println!("{operation:?}");
//!     for datagram in received {
//!         client.handle_datagram(now_ns, datagram, finished);
//!     }
//!     client.handle_timeout(now_ns, finished);
//!     while let Some(transmit) = client.poll_transmit(now_ns, Flush::All) {
//!         transmit.datagrams().for_each(&send);
//!     }
//!     client.poll_timeout()
//! }
//!
//! let server = "127.0.0.1:7400".parse().unwrap();
//! let mut client = Client::new(0, server, [7; 16], ClientConfig::default());
//! let next = round(&mut client, 0, &[], |hello| assert_eq!(hello.len(), 1472));
//! assert!(next.is_some_and(|at_ns| at_ns > 0), "it says HELLO again if no answer comes");
//! ```
//!
//! Times are nanoseconds of a monotonic clock whose zero is the driver's affair.
#![forbid(unsafe_code)]

pub mod address_shares;
mod answer_limit;
pub mod client;
pub mod closed_clients;
pub mod congestion;
pub mod cookie;
pub mod counters;
pub mod entries_hash;
mod execution;
pub mod flight;
pub mod handshake;
pub mod host;
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
pub mod session_table;
mod stats_text;
pub mod store;
pub mod token_bucket;
pub mod top_list;
pub mod transmit;
pub mod unpack;
pub mod wire;
