//! What lies between clients and servers, for a [`crate::relay::Relay`].

use std::time::{Duration, Instant};

use crate::random::Random;
use crate::relay::{Network, Passage};

/// A network that loses 30 % of the datagrams each way, doubles 10 % and holds back 15 %.
pub struct Lossy {
    random: Random,
    held: Vec<(Instant, Passage)>,
    dropped: u64,
    doubled: u64,
    held_back: u64,
}

impl Lossy {
    /// One whose luck is `random`.
    #[must_use]
    pub const fn new(random: Random) -> Self {
        Self { random, held: Vec::new(), dropped: 0, doubled: 0, held_back: 0 }
    }

    /// Requires that much was lost, doubled and held back.
    #[expect(clippy::print_stdout, reason = "a test shows it where it fails")]
    pub fn assert_it_was_lossy(&self) {
        let Self { dropped, doubled, held_back, .. } = self;
        println!("dropped {dropped}, doubled {doubled}, held back {held_back}");
        assert!(*dropped > 30 && *doubled > 5 && *held_back > 5);
    }
}

impl Network for Lossy {
    fn carry(&mut self, now: Instant, passage: Passage, leaves: &mut Vec<Passage>) {
        if self.random.happens(30) {
            self.dropped += 1;
            return;
        }
        let is_doubled = self.random.happens(10);
        self.doubled += u64::from(is_doubled);
        for _ in 0..=u8::from(is_doubled) {
            if self.random.happens(15) {
                self.held_back += 1;
                let delay = Duration::from_micros(200 + self.random.below(8_000));
                self.held.push((now + delay, passage.clone()));
            } else {
                leaves.push(passage.clone());
            }
        }
    }

    fn release(&mut self, now: Instant, leaves: &mut Vec<Passage>) {
        leaves.extend(self.held.extract_if(.., |(due, _)| *due <= now).map(|(_, passage)| passage));
    }

    fn release_at(&self) -> Option<Instant> {
        self.held.iter().map(|(due, _)| *due).min()
    }
}

/// A network that lets through what a function lets through, and as that leaves it.
pub struct Filter<F>(pub F);

impl<F: FnMut(&mut Passage) -> bool + Send + 'static> Network for Filter<F> {
    fn carry(&mut self, _now: Instant, mut passage: Passage, leaves: &mut Vec<Passage>) {
        if (self.0)(&mut passage) {
            leaves.push(passage);
        }
    }
}
