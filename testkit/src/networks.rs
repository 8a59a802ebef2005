//! What lies between clients and servers, for a [`crate::relay::Relay`].

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proto::pack;
use proto::unpack;
use proto::wire::{HEADER_BYTES, Header, Kind, Op};

use crate::random::Random;
use crate::relay::{Direction, Network, Passage};

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

/// A network that loses the answers to writes, and no others, while it is told to.
pub struct WithoutAnswersToWrites {
    loses: Arc<AtomicBool>,
    /// The operations of each request, by the server, the client and its sequence.
    requests: HashMap<(usize, SocketAddr, u64), Vec<Op>>,
}

impl WithoutAnswersToWrites {
    /// One that loses them while `loses` is set.
    #[must_use]
    pub fn new(loses: Arc<AtomicBool>) -> Self {
        Self { loses, requests: HashMap::new() }
    }

    fn note(&mut self, passage: &Passage) {
        let (kind, header) = unpack::header(&passage.bytes).expect("they speak the protocol");
        if kind == Kind::Request {
            let mut spans = Vec::new();
            unpack::requests(&passage.bytes, header.entries, &mut spans).expect("it is one");
            let place = (passage.server, passage.client, header.sequence);
            self.requests.insert(place, spans.iter().map(|span| span.op).collect());
        }
    }

    /// What is left of a reply; nothing if it only answered writes.
    fn without_writes(&self, mut passage: Passage) -> Option<Passage> {
        let (kind, mut header) = unpack::header(&passage.bytes).expect("they speak the protocol");
        if kind != Kind::Reply {
            return Some(passage);
        }
        let mut left = vec![0; HEADER_BYTES];
        let answers = header.entries;
        header.entries = 0;
        for answer in unpack::replies(&passage.bytes, &Header { entries: answers, ..header }) {
            let answer = answer.expect("the server's own");
            let asked = &self.requests[&(passage.server, passage.client, answer.sequence)];
            if asked[usize::from(answer.index)] != Op::Put {
                let delta = answer.sequence.wrapping_sub(header.sequence) as i16;
                let unpack::Answer { index, status, version, value, .. } = answer;
                pack::reply_entry(&mut left, delta, index, status, version, value);
                header.entries += 1;
            }
        }
        pack::seal(&mut left, header);
        passage.bytes = left;
        (header.entries > 0).then_some(passage)
    }
}

impl Network for WithoutAnswersToWrites {
    fn carry(&mut self, _now: Instant, passage: Passage, leaves: &mut Vec<Passage>) {
        match passage.direction {
            Direction::ToServer => {
                self.note(&passage);
                leaves.push(passage);
            }
            Direction::ToClient if self.loses.load(Ordering::Relaxed) => {
                leaves.extend(self.without_writes(passage));
            }
            Direction::ToClient => leaves.push(passage),
        }
    }
}
