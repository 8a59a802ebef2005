//! Loss on purpose, to see what a network that loses datagrams would cost.

use proto::transmit::{Flush, Path, Transmit};
use rand::{Rng as _, SeedableRng as _};
use rand_pcg::Mcg128Xsl64;

use crate::core_loop::Endpoint;
use crate::counters::TransportCounters;

/// Drops a share of the datagrams that arrive, each by a draw of its own.
#[derive(Clone, Debug)]
pub struct Loss {
    random: Mcg128Xsl64,
    /// A draw of 64 bits below this drops.
    below: u64,
}

impl Loss {
    /// Drops `pct` percent of them; the same seed drops the same ones.
    #[must_use]
    pub fn new(pct: f64, seed: u64) -> Self {
        assert!((0.0..=100.0).contains(&pct));
        let below = (pct / 100.0 * (1_u128 << 64) as f64) as u64;
        Self { random: Mcg128Xsl64::seed_from_u64(seed), below }
    }

    /// Whether the next datagram is dropped.
    #[inline]
    pub fn drops(&mut self) -> bool {
        self.random.next_u64() < self.below
    }
}

/// An endpoint to which not everything comes that arrives.
#[derive(Debug)]
pub struct Lossy<E> {
    /// What runs behind the loss.
    pub endpoint: E,
    loss: Loss,
    dropped: u64,
}

impl<E> Lossy<E> {
    /// Puts a loss before an endpoint.
    pub const fn new(endpoint: E, loss: Loss) -> Self {
        Self { endpoint, loss, dropped: 0 }
    }
}

impl<E: Endpoint> Endpoint for Lossy<E> {
    fn handle_datagram(&mut self, now_ns: u64, path: Path, datagram: &[u8]) {
        if self.loss.drops() {
            self.dropped += 1;
        } else {
            self.endpoint.handle_datagram(now_ns, path, datagram);
        }
    }

    fn handle_timeout(&mut self, now_ns: u64, is_drained: bool) {
        self.endpoint.handle_timeout(now_ns, is_drained);
    }

    fn poll_timeout(&self) -> Option<u64> {
        self.endpoint.poll_timeout()
    }

    fn poll_transmit(&mut self, now_ns: u64, flush: Flush) -> Option<Transmit<'_>> {
        self.endpoint.poll_transmit(now_ns, flush)
    }

    fn goes_on(&mut self, now_ns: u64, transport: &TransportCounters) -> bool {
        let counters = TransportCounters { datagrams_dropped: self.dropped, ..*transport };
        self.endpoint.goes_on(now_ns, &counters)
    }

    fn rested(&mut self, now_ns: u64) {
        self.endpoint.rested(now_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_dropped_that_was_asked_for() {
        const SEED: u64 = 5;
        for (pct, from, to) in [(0.0, 0, 0), (1.0, 850, 1150), (50.0, 49_000, 51_000)] {
            let mut loss = Loss::new(pct, SEED);
            let dropped = (0..100_000).filter(|_| loss.drops()).count();
            assert!((from..=to).contains(&dropped), "seed {SEED}, {pct} %: {dropped}");
        }
    }
}
