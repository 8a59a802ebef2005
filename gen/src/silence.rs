//! Which servers do not answer, as the threads of a run see it: for whoever waits.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use client::pool::Silent;

/// How often a thread looks.
pub const LOOK_NS: u64 = 100_000_000;
/// A server that answers may take so long.
const PATIENCE_NS: u64 = 1_000_000_000;

/// What each thread saw last.
#[derive(Debug)]
pub struct Silence {
    threads: Vec<Mutex<Vec<Silent>>>,
}

impl Silence {
    /// Of so many threads, none of which waits.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self { threads: (0..threads).map(|_| Mutex::default()).collect() }
    }

    /// Notes the workers that this thread waits for; short waits are left out.
    pub fn note(&self, thread: usize, now_ns: u64, silent: impl Iterator<Item = Silent>) {
        let mut noted = self.threads[thread].lock().unwrap_or_else(PoisonError::into_inner);
        noted.clear();
        noted.extend(silent.filter(|silent| now_ns >= silent.since_ns + PATIENCE_NS));
    }

    /// Names the workers that do not answer, with the time that has passed; none if all do.
    #[must_use]
    pub fn describe(&self, now_ns: u64) -> Option<String> {
        let mut workers: BTreeMap<SocketAddr, u64> = BTreeMap::new();
        for noted in &self.threads {
            for silent in noted.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                let since_ns = workers.entry(silent.worker).or_insert(silent.since_ns);
                *since_ns = silent.since_ns.min(*since_ns);
            }
        }
        let described = workers.iter().map(|(worker, since_ns)| {
            let secs = now_ns.saturating_sub(*since_ns) / 1_000_000_000;
            format!("{worker} for {secs} s")
        });
        let described: Vec<_> = described.collect();
        (!described.is_empty()).then(|| format!("no answer from {}", described.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    fn silent(port: u16, since_s: u64) -> Silent {
        let worker = SocketAddr::from(([127, 0, 0, 1], port));
        Silent { worker, since_ns: since_s * SECOND_NS }
    }

    #[test]
    fn a_worker_is_named_once_with_the_longest_wait_and_until_it_answers() {
        let silence = Silence::new(2);
        let now_ns = 10 * SECOND_NS;
        assert_eq!(silence.describe(now_ns), None);
        silence.note(0, now_ns, [silent(7401, 7), silent(7400, 4)].into_iter());
        silence.note(1, now_ns, [silent(7401, 5)].into_iter());
        let described = "no answer from 127.0.0.1:7400 for 6 s, 127.0.0.1:7401 for 5 s";
        assert_eq!(silence.describe(now_ns).as_deref(), Some(described));
        silence.note(0, now_ns, std::iter::empty());
        silence.note(1, now_ns, std::iter::empty());
        assert_eq!(silence.describe(now_ns), None);
    }

    #[test]
    fn a_short_wait_is_no_silence() {
        let silence = Silence::new(1);
        silence.note(0, 10 * SECOND_NS, [silent(7400, 9)].into_iter());
        assert!(silence.describe(10 * SECOND_NS).is_some());
        silence.note(0, 10 * SECOND_NS - 1, [silent(7400, 9)].into_iter());
        assert_eq!(silence.describe(10 * SECOND_NS), None);
    }
}
