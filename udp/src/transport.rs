//! What the core loop needs of a way to move datagrams: kernel sockets, a simulated network,
//! a test's own.

use std::io;
use std::task::Waker;
use std::time::Duration;

use proto::transmit::{Path, Transmit};

use crate::counters::TransportCounters;

/// Moves bursts of datagrams. Nothing but [`Self::wait`] waits.
pub trait Transport {
    /// What it receives into.
    type Inbox: Inbox;

    /// An empty inbox for [`Self::receive`].
    fn inbox(&self) -> Self::Inbox;

    /// Takes in a burst, in the place of the one before; an error ends the loop.
    fn receive(&mut self, inbox: &mut Self::Inbox) -> io::Result<Received>;

    /// Sends a burst. What there is no room for waits in a bounded queue of its address;
    /// what that has no room for is dropped and counted.
    fn send(&mut self, now_ns: u64, burst: Transmit<'_>);

    /// Sends what waits for room, as far as there is some; returns how many bursts it sent
    /// something of. Called once a round, and cheap when nothing waits.
    fn flush(&mut self, now_ns: u64) -> usize;

    /// Waits until something arrives, there may be room for what waits, or a waker wakes it:
    /// at most `timeout`. It may end early.
    fn wait(&mut self, timeout: Duration) -> io::Result<()>;

    /// Ends a wait from any thread, now or at its beginning.
    fn waker(&mut self) -> io::Result<Waker>;

    /// What happened so far.
    fn counters(&self) -> &TransportCounters;

    /// The clock of the loop, in nanoseconds: it only goes on.
    fn now_ns(&self) -> u64;
}

/// What one call received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Messages in the inbox.
    pub messages: usize,
    /// Whether nothing more was there.
    pub is_drained: bool,
}

/// Messages that were received together: each has a path, and datagrams that came on it.
pub trait Inbox {
    /// One of the messages that were received last.
    fn message(&self, index: usize) -> (Path, impl Iterator<Item = &[u8]>);
}
