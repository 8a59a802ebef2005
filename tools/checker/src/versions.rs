//! The second check, which looks at nothing but versions and times.
//!
//! A record's version grows by one with each PUT. So the answers themselves tell the order
//! in which the PUTs of a key took effect, and it is one that explains the history if and
//! only if no operation that ended before another started has a later version, and no PUT
//! has the version of something before it.

use smallvec::SmallVec;

use crate::register::Access;
use crate::wrong::Wrong;

/// The largest version of what had ended by a time.
#[derive(Clone, Copy, Debug)]
struct Seen {
    end_ns: u64,
    version: u64,
}

/// What is known of the versions of one key. Operations come in the order of their ends.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    /// Both numbers grow. Up to half of them, and one more, may be of before the horizon.
    seen: SmallVec<[Seen; 1]>,
    puts: u32,
}

impl Versions {
    /// Takes the next operation. No access to come starts before `horizon_ns`.
    #[inline]
    pub fn take(&mut self, access: &Access, horizon_ns: u64) -> Result<(), Wrong> {
        self.puts = self.puts.saturating_add(u32::from(access.is_put));
        if access.version == 0 && access.value.is_some() {
            return Ok(()); // The answer did not say, or there was none.
        }
        let before = self.ended_before(access.start_ns);
        let before = before.checked_sub(1).map_or(0, |last| self.seen[last].version);
        if before > access.version || (before == access.version && access.is_put) {
            return Err(Wrong::VersionOrder);
        }
        if access.version > self.largest() {
            self.note(Seen { end_ns: access.end_ns, version: access.version }, horizon_ns);
        }
        Ok(())
    }

    /// Reads from the cache line that the next operation needs.
    #[inline]
    #[must_use]
    pub fn touch(&self) -> u64 {
        self.largest()
    }

    /// Says whether there were as many PUTs as versions. `is_complete`: the history has all
    /// PUTs.
    pub fn finish(&self, is_complete: bool) -> Result<(), Wrong> {
        let has_too_many = is_complete && self.largest() > u64::from(self.puts);
        if has_too_many { Err(Wrong::VersionCount) } else { Ok(()) }
    }

    /// How many of those that were seen ended before a time.
    #[inline]
    fn ended_before(&self, time_ns: u64) -> usize {
        self.seen.partition_point(|seen| seen.end_ns < time_ns)
    }

    #[inline]
    fn largest(&self) -> u64 {
        self.seen.last().map_or(0, |seen| seen.version)
    }

    #[inline]
    fn note(&mut self, seen: Seen, horizon_ns: u64) {
        let is_only = self.seen.len() == 1;
        match self.seen.last_mut() {
            // Nothing to come starts between the two.
            Some(last) if last.end_ns == seen.end_ns => *last = seen,
            Some(last) if is_only && seen.end_ns < horizon_ns => *last = seen,
            _ => {
                // Half of them at once, so that each is moved once at most.
                let gone = self.ended_before(horizon_ns).saturating_sub(1);
                if 2 * gone >= self.seen.len() {
                    self.seen.drain(..gone);
                }
                self.seen.push(seen);
            }
        }
    }
}
