//! How many answers addresses without a session get: all of them together, and each of them.
//!
//! An answer to a stranger costs a worker far more than the datagram that asked for it, and
//! anybody can ask. What counts is the [`Host`] of an address. The buckets of hosts are a table of
//! fixed size; which of them is a host's depends on a secret, so that nobody can choose to share
//! another's.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::host::Host;
use crate::limits::ADDRESS_BUCKETS;
use crate::planted::{Fault, is_planted};
use crate::token_bucket::{Rate, TokenBucket};

/// The limit of one kind of answer.
#[derive(Debug)]
pub(crate) struct AnswerLimit {
    key: [u8; 16],
    rate: Rate,
    rate_by_address: Rate,
    all: TokenBucket,
    by_address: Box<[TokenBucket]>,
    /// The address that was refused last, and its bucket: a flood from one is not hashed.
    last: (Host, u16),
}

impl AnswerLimit {
    /// Full buckets; `key` is random.
    pub(crate) fn new(key: [u8; 16], rate: Rate, rate_by_address: Rate) -> Self {
        let by_address = vec![TokenBucket::default(); ADDRESS_BUCKETS].into_boxed_slice();
        let mut limit = Self {
            key,
            rate,
            rate_by_address,
            all: TokenBucket::default(),
            by_address,
            last: (Host::default(), 0),
        };
        limit.last.1 = limit.bucket_of(Host::default());
        limit
    }

    /// Whether an address would get an answer.
    #[inline]
    pub(crate) fn admits(&mut self, now_ns: u64, host: Host) -> bool {
        if is_planted(Fault::AnswersUnlimited) {
            return true;
        }
        if !self.all.has_token(now_ns, self.rate) {
            return false;
        }
        if host != self.last.0 {
            self.last = (host, self.bucket_of(host));
        }
        self.by_address[usize::from(self.last.1)].has_token(now_ns, self.rate_by_address)
    }

    /// The same, and it gets it.
    pub(crate) fn take(&mut self, now_ns: u64, host: Host) -> bool {
        is_planted(Fault::AnswersUnlimited)
            || self.admits(now_ns, host)
                && self.by_address[usize::from(self.last.1)].take(now_ns, self.rate_by_address)
                && self.all.take(now_ns, self.rate)
    }

    fn bucket_of(&self, host: Host) -> u16 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write_u64(host.bits());
        (hasher.finish() as usize % ADDRESS_BUCKETS) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Rate = Rate::new(1000, 100);
    const EACH: Rate = Rate::new(10, 5);

    fn taken(limit: &mut AnswerLimit, now_ns: u64, address: &str) -> usize {
        let host = Host::of(address.parse().unwrap());
        (0..1000).filter(|_| limit.take(now_ns, host)).count()
    }

    #[test]
    fn one_address_takes_its_own_answers_and_not_those_of_others() {
        let mut limit = AnswerLimit::new([1; 16], ALL, EACH);
        assert_eq!(taken(&mut limit, 1, "10.0.0.1"), 5);
        assert_eq!(taken(&mut limit, 1, "::ffff:10.0.0.1"), 0, "the same host");
        assert_eq!(taken(&mut limit, 1, "10.0.0.2"), 5);
        assert_eq!(taken(&mut limit, 1, "fd77::1:0:0:0:1"), 5);
        assert_eq!(taken(&mut limit, 1, "fd77::1:0:0:0:2"), 0, "the same /64");
        assert_eq!(taken(&mut limit, 1, "fd77::2:0:0:0:1"), 5);
        assert_eq!(taken(&mut limit, 100_000_001, "10.0.0.1"), 1);
    }

    #[test]
    fn all_together_take_no_more_than_their_limit() {
        let mut limit = AnswerLimit::new([1; 16], ALL, EACH);
        let all: usize =
            (0..=255).map(|last| taken(&mut limit, 1, &format!("10.0.0.{last}"))).sum();
        assert_eq!(all, 100);
        assert_eq!(taken(&mut limit, 10_000_001, "10.9.0.0"), 5);
    }

    #[test]
    fn whose_bucket_is_whose_is_a_secret() {
        let buckets = |key| {
            let limit = AnswerLimit::new([key; 16], ALL, EACH);
            (0..64)
                .map(|last| limit.bucket_of(Host::of([10, 0, 0, last].into())))
                .collect::<Vec<_>>()
        };
        assert_eq!(buckets(1), buckets(1));
        assert_ne!(buckets(1), buckets(2));
    }
}
