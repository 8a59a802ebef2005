//! A closed loop of batches, and where they come from.

use proto::placement::server_of;

use super::batch::Asked;
use super::keys::digits;
use super::link::Link;
use crate::arrivals::Arrivals;
use crate::plan::Plan;
use crate::workload::{Draw, StreamRandom};

/// Where batches come from.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// PUTs of the thread's records, from this one on.
    Load {
        /// It is written next.
        next: u64,
    },
    /// As many operations as a batch holds.
    Closed,
    /// Those that are due.
    Open(Arrivals),
    /// Nothing any more.
    Ended,
}

/// A stream of operations, and its way to each store.
#[derive(Debug)]
pub struct Lane {
    /// One for each store.
    pub links: Vec<Link>,
    /// Its place among the thread's.
    index: u32,
    random: StreamRandom,
    /// Whether its batch was sent and not answered yet.
    is_busy: bool,
    /// Whether it is in the queue of those that can go on.
    is_ready: bool,
    /// Open loop: operations due and not sent yet, and operations sent.
    due: usize,
    sent: u64,
}

impl Lane {
    /// The thread's lane at `index`, with the plan's stream of this `number`.
    #[must_use]
    pub fn new(index: usize, number: usize, seed: u64, links: Vec<Link>) -> Self {
        Self {
            links,
            index: index as u32,
            random: StreamRandom::new(seed, 0, number as u32),
            is_busy: false,
            is_ready: false,
            due: 0,
            sent: 0,
        }
    }

    /// Whether its batch was sent and not answered yet.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Open loop: operations that were sent.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// Draws the next batch; returns how many operations it has.
    #[inline]
    pub fn draw(&mut self, source: &mut Source, plan: &Plan, now_ns: u64) -> usize {
        self.is_ready = false;
        self.links.iter_mut().for_each(|link| link.batch().clear());
        let batch = plan.batch as usize;
        let mut drawn = 0;
        match source {
            Source::Load { next } => {
                while drawn < batch && *next < plan.workload.records() {
                    self.ask(Draw { key: *next, write: true }, now_ns);
                    *next += plan.threads as u64;
                    drawn += 1;
                }
            }
            Source::Closed => {
                drawn = batch;
                for _ in 0..drawn {
                    let operation = plan.workload.next(&mut self.random);
                    self.ask(operation, now_ns);
                }
            }
            Source::Open(arrivals) => {
                drawn = self.due.min(batch);
                for _ in 0..drawn {
                    let operation = plan.workload.next(&mut self.random);
                    self.ask(operation, arrivals.intended_ns(self.index, self.sent));
                    self.sent += 1;
                }
                self.due -= drawn;
            }
            Source::Ended => {}
        }
        self.is_busy = drawn > 0;
        drawn
    }

    #[inline]
    fn ask(&mut self, operation: Draw, started_ns: u64) {
        let digits = digits(operation.key);
        let server = server_of(&digits, self.links.len());
        self.links[server].batch().push(Asked { digits, is_put: operation.write, started_ns });
    }

    /// So many operations are due; returns whether the lane can go on because of them.
    pub fn are_due(&mut self, operations: usize) -> bool {
        self.due += operations;
        !self.is_busy && self.make_ready()
    }

    /// Ends its batch if all of it was answered; returns whether the lane can go on.
    #[inline]
    pub fn settle(&mut self, source: &Source) -> bool {
        if !self.is_busy || !self.links.iter().all(Link::is_idle) {
            return false;
        }
        self.is_busy = false;
        let goes_on = match source {
            Source::Load { .. } | Source::Closed => true,
            Source::Open(_) => self.due > 0,
            Source::Ended => false,
        };
        goes_on && self.make_ready()
    }

    /// Returns whether it was not ready before, and now has a place in the queue to get.
    pub fn make_ready(&mut self) -> bool {
        !std::mem::replace(&mut self.is_ready, true)
    }
}
