//! The clusters of one register: a value's PUT and the GETs that found it.
//!
//! Mostly there are a few, which are looked through. Where GETs may be stale there can be as
//! many as PUTs in that time: then an index finds the one of a value, and those that conflict.

use history::operation::ValueId;
use smallvec::SmallVec;

use crate::cluster_index::ClusterIndex;
use crate::value_cluster::ValueCluster;
use crate::wrong::Wrong;

/// Fewest clusters that are looked through for some to forget.
const FORGET_AT_MIN: usize = 2;
/// More clusters than these have an index.
const INDEXED_FROM: usize = 48;

/// The clusters that somebody may still find. No two conflict: the first conflict is an error.
#[derive(Clone, Debug)]
pub struct Clusters {
    clusters: SmallVec<[ValueCluster; 2]>,
    index: Option<Box<ClusterIndex>>,
    /// When the next cluster is added, look for some to forget if there are so many.
    forget_at: u32,
}

impl Default for Clusters {
    fn default() -> Self {
        Self { clusters: SmallVec::new(), index: None, forget_at: FORGET_AT_MIN as u32 }
    }
}

impl Clusters {
    /// The place of the cluster of a value; a new one if there is none. No access to come
    /// starts before `horizon_ns`.
    #[inline]
    pub fn place_of(&mut self, value: ValueId, horizon_ns: u64) -> usize {
        let known = match &self.index {
            None => self.clusters.iter().position(|cluster| cluster.value == value),
            Some(index) => index.place_of(value),
        };
        known.unwrap_or_else(|| self.add(value, horizon_ns))
    }

    /// The cluster at a place.
    #[inline]
    #[must_use]
    pub fn at(&self, place: usize) -> &ValueCluster {
        &self.clusters[place]
    }

    /// Replaces a cluster by what is known of it now; an error if it conflicts with another.
    #[inline]
    pub fn update(&mut self, place: usize, cluster: ValueCluster) -> Result<(), Wrong> {
        let before = std::mem::replace(&mut self.clusters[place], cluster);
        if let Some(index) = &mut self.index {
            return index.update(place, &before, &cluster);
        }
        let mut others = self.clusters.iter().enumerate().filter(|&(at, _)| at != place);
        others.try_for_each(|(_, other)| cluster.check_against(other))
    }

    /// Whether the PUT of each came by.
    #[must_use]
    pub fn are_written(&self) -> bool {
        self.clusters.iter().all(|cluster| cluster.is_written)
    }

    /// Reads from each cache line that the next operation needs.
    #[inline]
    #[must_use]
    pub fn touch(&self) -> u64 {
        let clusters = self.clusters.iter().take(INDEXED_FROM);
        clusters.map(|cluster| cluster.first_end_ns).fold(0, u64::wrapping_add)
    }

    fn add(&mut self, value: ValueId, horizon_ns: u64) -> usize {
        if self.clusters.len() >= self.forget_at as usize {
            self.forget(horizon_ns);
            let forget_at = (2 * self.clusters.len()).max(FORGET_AT_MIN);
            self.forget_at = u32::try_from(forget_at).unwrap_or(u32::MAX);
            self.index = None;
        }
        let place = self.clusters.len();
        let cluster = ValueCluster {
            value,
            first_end_ns: u64::MAX,
            last_start_ns: 0,
            version: 0,
            is_written: false,
            is_over: false,
        };
        self.clusters.push(cluster);
        match &mut self.index {
            Some(index) => index.add(place, &cluster),
            None if self.clusters.len() > INDEXED_FROM => {
                self.index = Some(Box::new(ClusterIndex::of(&self.clusters)));
            }
            None => {}
        }
        place
    }

    /// Forgets the clusters that nobody may find any more; those whose PUT has not come by
    /// wait for it.
    fn forget(&mut self, horizon_ns: u64) {
        // The latest start of a cluster that nothing to come precedes, and of another.
        let (mut latest_ns, mut second_ns, mut latest_index) = (0, 0, usize::MAX);
        for (index, cluster) in self.clusters.iter().enumerate() {
            if cluster.first_end_ns < horizon_ns {
                if cluster.last_start_ns > latest_ns {
                    (second_ns, latest_ns, latest_index) =
                        (latest_ns, cluster.last_start_ns, index);
                } else {
                    second_ns = second_ns.max(cluster.last_start_ns);
                }
            }
        }
        let mut index = 0;
        self.clusters.retain(|cluster| {
            let followed_ns = if index == latest_index { second_ns } else { latest_ns };
            index += 1;
            cluster.is_over |= cluster.first_end_ns < followed_ns;
            !(cluster.is_over && cluster.is_written)
        });
    }
}
