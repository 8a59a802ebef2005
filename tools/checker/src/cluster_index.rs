//! Finds among many clusters the one of a value, and those that conflict with one.
//!
//! A cluster lasts from its first end to its last start, if that is later; then each other
//! cluster comes before it as a whole or after it as a whole. Else its operations have a common
//! time, and it may come anywhere among those: from its last start to its first end. So two
//! that last must not overlap, and one that does not last must not lie within one that does
//! (Gibbons and Korach call them forward and backward zones).

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;
use history::operation::ValueId;

use crate::value_cluster::ValueCluster;
use crate::wrong::Wrong;

/// Where each cluster is, by its place. Of those in it no two conflict.
#[derive(Clone, Debug)]
pub struct ClusterIndex {
    places: HashMap<ValueId, usize, FixedState>,
    /// The clusters whose version is known.
    versions: HashMap<u64, usize, FixedState>,
    /// The last starts of those that last, by first end.
    lasting: BTreeMap<(u64, usize), u64>,
    /// The first ends of the others, by last start.
    others: BTreeMap<(u64, usize), u64>,
}

impl ClusterIndex {
    /// Of all of these.
    #[must_use]
    pub fn of(clusters: &[ValueCluster]) -> Self {
        let mut index = Self {
            places: HashMap::with_hasher(FixedState::with_seed(0)),
            versions: HashMap::with_hasher(FixedState::with_seed(0)),
            lasting: BTreeMap::new(),
            others: BTreeMap::new(),
        };
        for (place, cluster) in clusters.iter().enumerate() {
            index.add(place, cluster);
        }
        index
    }

    /// The place of the cluster of a value.
    #[must_use]
    pub fn place_of(&self, value: ValueId) -> Option<usize> {
        self.places.get(&value).copied()
    }

    /// Adds a cluster that conflicts with none.
    pub fn add(&mut self, place: usize, cluster: &ValueCluster) {
        self.places.insert(cluster.value, place);
        if cluster.version != 0 {
            self.versions.insert(cluster.version, place);
        }
        self.put(place, cluster);
    }

    /// A cluster has changed; an error if it conflicts with another now.
    pub fn update(
        &mut self,
        place: usize,
        before: &ValueCluster,
        now: &ValueCluster,
    ) -> Result<(), Wrong> {
        let zone = |cluster: &ValueCluster| (cluster.first_end_ns, cluster.last_start_ns);
        if zone(before) != zone(now) {
            if lasts(before) {
                self.lasting.remove(&(before.first_end_ns, place));
            } else {
                self.others.remove(&(before.last_start_ns, place));
            }
            if self.overlaps(now) {
                return Err(Wrong::TwoOrders);
            }
            self.put(place, now);
        }
        if now.version != before.version
            && self.versions.insert(now.version, place).is_some_and(|other| other != place)
        {
            return Err(Wrong::VersionOfValue);
        }
        Ok(())
    }

    fn put(&mut self, place: usize, cluster: &ValueCluster) {
        let ValueCluster { first_end_ns, last_start_ns, .. } = *cluster;
        if lasts(cluster) {
            self.lasting.insert((first_end_ns, place), last_start_ns);
        } else {
            self.others.insert((last_start_ns, place), first_end_ns);
        }
    }

    /// Whether a cluster that is not in the index comes before and after another that is.
    fn overlaps(&self, cluster: &ValueCluster) -> bool {
        let ValueCluster { first_end_ns, last_start_ns, .. } = *cluster;
        // Those that last are apart: the later one begins, the later it ends.
        let begins_before = self.lasting.range(..(last_start_ns, 0)).next_back();
        if begins_before.is_some_and(|(_, &their_last_start_ns)| first_end_ns < their_last_start_ns)
        {
            return true;
        }
        // Of those that start while this lasts, most end while it lasts, and are found at once;
        // the few that do not are concurrent with its end.
        lasts(cluster)
            && self
                .others
                .range((first_end_ns, usize::MAX)..(last_start_ns, 0))
                .any(|(_, &their_first_end_ns)| their_first_end_ns < last_start_ns)
    }
}

const fn lasts(cluster: &ValueCluster) -> bool {
    cluster.first_end_ns < cluster.last_start_ns
}
