//! What several tests run in the core loop.

use proto::transmit::{Flush, Path, Transmit};
use udp::core_loop::Endpoint;
use udp::counters::TransportCounters;

/// Has enough at its deadline, and does nothing until then.
#[derive(Debug)]
pub(crate) struct Deadline {
    pub(crate) at_ns: u64,
    /// How often it had its turn.
    pub(crate) rounds: u32,
}

impl Endpoint for Deadline {
    fn handle_datagram(&mut self, _: u64, _: Path, _: &[u8]) {}

    fn handle_timeout(&mut self, _: u64, _: bool) {
        self.rounds += 1;
    }

    fn poll_timeout(&self) -> Option<u64> {
        Some(self.at_ns)
    }

    fn poll_transmit(&mut self, _: u64, _: Flush) -> Option<Transmit<'_>> {
        None
    }

    fn goes_on(&mut self, now_ns: u64, _: &TransportCounters) -> bool {
        now_ns < self.at_ns
    }
}
