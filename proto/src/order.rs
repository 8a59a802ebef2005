//! Order modes as a rule of scheduling: what a stream may send next.
//!
//! A [`Barrier`] watches one sequence of operations. In `strict` order a stream has one
//! for all servers, in `shard` order one for each server, in `async` order one that never
//! bars: the modes differ in nothing else.

use std::fmt;
use std::str::FromStr;

use crate::planted::{Fault, is_planted};

/// How the operations of one stream wait for each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// A PUT waits for all that came before it, and all that follows waits for it.
    #[default]
    Strict,
    /// The same, for each pair of stream and server.
    Shard,
    /// Nothing waits.
    Async,
}

impl Order {
    /// Barriers that a stream needs with so many servers.
    #[must_use]
    pub const fn barriers(self, servers: usize) -> usize {
        match self {
            Self::Shard => servers,
            Self::Strict | Self::Async => 1,
        }
    }

    /// Which of a stream's barriers an operation for `server` has to pass.
    #[must_use]
    #[inline]
    pub const fn barrier_of(self, server: usize) -> usize {
        match self {
            Self::Shard => server,
            Self::Strict | Self::Async => 0,
        }
    }
}

impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "strict" => Ok(Self::Strict),
            "shard" => Ok(Self::Shard),
            "async" => Ok(Self::Async),
            _ => Err("expected strict, shard or async".to_owned()),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Strict => "strict",
            Self::Shard => "shard",
            Self::Async => "async",
        })
    }
}

/// What is outstanding of one sequence of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Barrier {
    gets_outstanding: u32,
    puts_outstanding: u32,
}

impl Barrier {
    /// Whether the next operation, in the sequence's own order, may be sent now.
    /// `batch` bounds what may be outstanding together.
    #[must_use]
    #[inline]
    pub fn admits(&self, order: Order, is_put: bool, batch: u32) -> bool {
        match order {
            Order::Async => self.outstanding() < batch,
            _ if is_planted(Fault::BarrierSkipped) => self.outstanding() < batch,
            Order::Strict | Order::Shard => {
                self.puts_outstanding == 0
                    && if is_put {
                        self.gets_outstanding == 0
                    } else {
                        self.gets_outstanding < batch
                    }
            }
        }
    }

    #[inline]
    const fn outstanding(&self) -> u32 {
        self.gets_outstanding + self.puts_outstanding
    }

    /// An operation was sent.
    #[inline]
    pub const fn sent(&mut self, is_put: bool) {
        if is_put {
            self.puts_outstanding += 1;
        } else {
            self.gets_outstanding += 1;
        }
    }

    /// An operation was answered, or given up.
    ///
    /// # Panics
    /// If nothing of the kind was outstanding.
    #[inline]
    pub const fn answered(&mut self, is_put: bool) {
        let outstanding =
            if is_put { &mut self.puts_outstanding } else { &mut self.gets_outstanding };
        assert!(*outstanding > 0, "an answer without a question");
        *outstanding -= 1;
    }

    /// Whether nothing is outstanding.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.gets_outstanding == 0 && self.puts_outstanding == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: bool = false;
    const PUT: bool = true;

    fn after(sent: &[bool]) -> Barrier {
        let mut barrier = Barrier::default();
        for &is_put in sent {
            barrier.sent(is_put);
        }
        barrier
    }

    #[test]
    fn gets_between_two_puts_go_together_up_to_the_batch() {
        assert!(after(&[]).admits(Order::Strict, GET, 2));
        assert!(after(&[GET]).admits(Order::Strict, GET, 2));
        assert!(!after(&[GET, GET]).admits(Order::Strict, GET, 2));
    }

    #[test]
    fn a_put_waits_for_every_earlier_get() {
        let mut barrier = after(&[GET, GET]);
        assert!(!barrier.admits(Order::Strict, PUT, 8));
        barrier.answered(GET);
        assert!(!barrier.admits(Order::Strict, PUT, 8));
        barrier.answered(GET);
        assert!(barrier.admits(Order::Strict, PUT, 8));
    }

    #[test]
    fn nothing_passes_an_unanswered_put() {
        let mut barrier = after(&[PUT]);
        assert!(!barrier.admits(Order::Strict, GET, 8));
        assert!(!barrier.admits(Order::Strict, PUT, 8));
        barrier.answered(PUT);
        assert!(barrier.admits(Order::Strict, GET, 8) && barrier.is_idle());
    }

    #[test]
    fn async_waits_for_nothing_but_its_window() {
        assert!(after(&[PUT, GET]).admits(Order::Async, PUT, 3));
        assert!(!after(&[PUT, GET, GET]).admits(Order::Async, GET, 3));
    }

    #[test]
    fn shard_has_a_barrier_for_each_server_and_strict_one_for_all() {
        assert_eq!((Order::Shard.barriers(4), Order::Shard.barrier_of(3)), (4, 3));
        assert_eq!((Order::Strict.barriers(4), Order::Strict.barrier_of(3)), (1, 0));
        assert_eq!((Order::Async.barriers(4), Order::Async.barrier_of(3)), (1, 0));
    }

    #[test]
    fn names_are_read_in_any_case_and_written_in_lower() {
        for name in ["strict", "shard", "async"] {
            let order: Order = name.to_uppercase().parse().unwrap();
            assert_eq!(order.to_string(), name);
        }
        assert!("serial".parse::<Order>().is_err());
    }
}
