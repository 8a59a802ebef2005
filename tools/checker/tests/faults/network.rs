//! Networks that can be cut, and that lose and double some of what they carry.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use testkit::random::Random;
use testkit::relay::{Direction, Network, Passage};

/// What does not come through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cut {
    Nothing = 0,
    ToServer = 1,
    ToClient = 2,
    Both = 3,
}

/// Cuts and heals a network while it is in use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Switch(Arc<AtomicU8>);

impl Switch {
    pub(crate) fn set(&self, cut: Cut) {
        self.0.store(cut as u8, Ordering::Relaxed);
    }

    /// The network that it cuts.
    pub(crate) fn network(&self) -> Wire {
        Wire { switch: self.clone(), lost: [0; 2] }
    }
}

/// A network that loses all that goes in a direction that is cut.
#[derive(Debug)]
pub(crate) struct Wire {
    switch: Switch,
    lost: [u64; 2],
}

impl Wire {
    /// Requires that something was lost in each direction.
    #[expect(clippy::print_stdout, reason = "a test shows it where it fails")]
    pub(crate) fn assert_it_was_cut(&self) {
        println!("lost {} to servers and {} to clients", self.lost[0], self.lost[1]);
        assert!(self.lost.iter().all(|&lost| lost > 0));
    }
}

impl Network for Wire {
    fn carry(&mut self, _now: Instant, passage: Passage, leaves: &mut Vec<Passage>) {
        let (place, cut) = match passage.direction {
            Direction::ToServer => (0, Cut::ToServer),
            Direction::ToClient => (1, Cut::ToClient),
        };
        if self.switch.0.load(Ordering::Relaxed) & cut as u8 != 0 {
            self.lost[place] += 1;
        } else {
            leaves.push(passage);
        }
    }
}

/// A network that loses one datagram in ten, and doubles another.
#[derive(Debug)]
pub(crate) struct Lossy {
    random: Random,
    pub(crate) lost: u64,
}

impl Lossy {
    pub(crate) const fn new(random: Random) -> Self {
        Self { random, lost: 0 }
    }
}

impl Network for Lossy {
    fn carry(&mut self, _now: Instant, passage: Passage, leaves: &mut Vec<Passage>) {
        match self.random.below(10) {
            0 => self.lost += 1,
            1 => leaves.extend([passage.clone(), passage]),
            _ => leaves.push(passage),
        }
    }
}
