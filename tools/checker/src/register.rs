//! One register, checked while its operations pass by, in the order of their ends.
//!
//! Every PUT writes another value, so the operations fall into clusters: a PUT and the GETs
//! that found its value (Gibbons and Korach, "Testing Shared Memories", SIAM J. Comput. 1997).
//! A cluster has its first end and its last start. Cluster A comes before cluster B in every
//! order if something of A ended before something of B started: `A.first_end < B.last_start`.
//! The register is linearizable if and only if
//!
//! 1. every value that was found was written, and not after it was found;
//! 2. nothing was found to be absent after something had been found or written;
//! 3. no two clusters come before each other. (In a longer circle of clusters, two that do
//!    are always found: the one with the earliest last start and its predecessor.)
//!
//! Made online, as by Golab, Li and Shah ("Analyzing Consistency Properties for Fun and
//! Profit", PODC 2011): a cluster is forgotten once each further GET of it would be wrong
//! anyway. That is so when another cluster comes after it, and had its first end before
//! anything that is still to come starts. All such clusters are forgotten at one time, so
//! that none stays behind which should come before a forgotten one. A value that is found
//! after it was forgotten looks like one that nobody wrote.

use history::operation::ValueId;

use crate::clusters::Clusters;
use crate::wrong::Wrong;

/// An operation, as a register sees it.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// What it wrote or found; none if it found nothing.
    pub value: Option<ValueId>,
    /// Whether it wrote.
    pub is_put: bool,
    /// What its answer said; 0 if it did not.
    pub version: u64,
    /// Not before its call.
    pub start_ns: u64,
    /// Its answer; [`u64::MAX`] if there was none.
    pub end_ns: u64,
}

/// What is known of one register.
#[derive(Clone, Debug)]
pub struct Register {
    clusters: Clusters,
    /// The earliest end of anything that found or wrote a value.
    present_end_ns: u64,
    /// The latest start of a GET that found none.
    absent_start_ns: u64,
}

impl Default for Register {
    fn default() -> Self {
        Self { clusters: Clusters::default(), present_end_ns: u64::MAX, absent_start_ns: 0 }
    }
}

impl Register {
    /// Takes the next operation. No access to come starts before `horizon_ns`.
    /// `is_vouched_for`: the value's PUT may be missing from the history.
    #[inline]
    pub fn take(
        &mut self,
        access: &Access,
        horizon_ns: u64,
        is_vouched_for: bool,
    ) -> Result<(), Wrong> {
        let Some(value) = access.value else {
            self.absent_start_ns = self.absent_start_ns.max(access.start_ns);
            return self.check_absence();
        };
        self.present_end_ns = self.present_end_ns.min(access.end_ns);
        self.check_absence()?;
        let place = self.clusters.place_of(value, horizon_ns);
        let mut cluster = *self.clusters.at(place);
        if access.is_put {
            if cluster.is_written && !is_vouched_for {
                return Err(Wrong::WrittenTwice);
            }
            cluster.is_written = true;
            if cluster.first_end_ns < access.start_ns {
                return Err(Wrong::Future);
            }
        } else if cluster.is_over {
            return Err(Wrong::TwoOrders);
        }
        cluster.is_written |= is_vouched_for;
        if access.version != 0 {
            if cluster.version != 0 && cluster.version != access.version {
                return Err(Wrong::VersionOfValue);
            }
            cluster.version = access.version;
        }
        cluster.first_end_ns = cluster.first_end_ns.min(access.end_ns);
        cluster.last_start_ns = cluster.last_start_ns.max(access.start_ns);
        self.clusters.update(place, cluster)
    }

    /// Says whether each value that was found was written.
    pub fn finish(&self) -> Result<(), Wrong> {
        if self.clusters.are_written() { Ok(()) } else { Err(Wrong::NotWritten) }
    }

    /// Reads from each cache line of it that the next operation needs.
    #[inline]
    #[must_use]
    pub fn touch(&self) -> u64 {
        self.present_end_ns.wrapping_add(self.clusters.touch())
    }

    /// Whether a value was ever there.
    #[must_use]
    pub const fn was_present(&self) -> bool {
        self.present_end_ns != u64::MAX
    }

    const fn check_absence(&self) -> Result<(), Wrong> {
        if self.present_end_ns < self.absent_start_ns { Err(Wrong::Absent) } else { Ok(()) }
    }
}
