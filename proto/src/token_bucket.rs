//! Token buckets: how often something may happen, on average and at once.

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens a second.
    pub per_s: u64,
    /// Tokens in a full bucket.
    pub burst: u64,
    /// How long a token takes to come.
    token_ns: u64,
}

/// A bucket, full at first. It is kept as the time at which it is full again.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenBucket {
    full_at_ns: u64,
}

impl Rate {
    /// So many tokens a second, and in a full bucket; neither is 0.
    #[must_use]
    pub const fn new(per_s: u64, burst: u64) -> Self {
        assert!(per_s > 0 && burst > 0);
        Self { per_s, burst, token_ns: 1_000_000_000 / per_s }
    }
}

impl TokenBucket {
    /// Whether it holds a token.
    #[inline]
    #[must_use]
    pub const fn has_token(&self, now_ns: u64, rate: Rate) -> bool {
        self.full_at_ns.saturating_sub(now_ns) <= (rate.burst - 1) * rate.token_ns
    }

    /// Takes a token, if it holds one.
    #[inline]
    pub fn take(&mut self, now_ns: u64, rate: Rate) -> bool {
        let has_token = self.has_token(now_ns, rate);
        if has_token {
            self.full_at_ns = self.full_at_ns.max(now_ns) + rate.token_ns;
        }
        has_token
    }

    /// Puts a token in.
    #[inline]
    pub const fn give(&mut self, rate: Rate) {
        self.full_at_ns = self.full_at_ns.saturating_sub(rate.token_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate::new(1000, 4);
    const MS: u64 = 1_000_000;

    fn taken(bucket: &mut TokenBucket, now_ns: u64) -> u32 {
        (0..100).map(|_| u32::from(bucket.take(now_ns, RATE))).sum()
    }

    #[test]
    fn a_bucket_is_full_at_first_and_fills_at_its_rate_up_to_its_size() {
        let mut bucket = TokenBucket::default();
        assert_eq!(taken(&mut bucket, 5 * MS), 4);
        assert_eq!(taken(&mut bucket, 6 * MS - 1), 0);
        assert_eq!(taken(&mut bucket, 6 * MS), 1);
        assert_eq!(taken(&mut bucket, 8 * MS), 2);
        assert_eq!(taken(&mut bucket, 1000 * MS), 4);
        assert_eq!(taken(&mut bucket, 0), 0, "a clock that steps back gives nothing");
    }

    #[test]
    fn what_is_put_in_can_be_taken_and_never_more_than_it_holds() {
        let mut bucket = TokenBucket::default();
        assert_eq!(taken(&mut bucket, MS), 4);
        bucket.give(RATE);
        bucket.give(RATE);
        assert_eq!(taken(&mut bucket, MS), 2);
        for _ in 0..100 {
            bucket.give(RATE);
        }
        assert_eq!(taken(&mut bucket, MS), 4);
    }
}
