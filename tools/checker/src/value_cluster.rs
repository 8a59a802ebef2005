//! What is known of one value's operations.

use history::operation::ValueId;

use crate::wrong::Wrong;

/// A PUT and the GETs of its value.
#[derive(Clone, Copy, Debug)]
pub struct ValueCluster {
    /// The value.
    pub value: ValueId,
    /// The first end of its operations.
    pub first_end_ns: u64,
    /// The last start of its operations.
    pub last_start_ns: u64,
    /// What the answers said; 0 if none did.
    pub version: u64,
    /// Whether its PUT came by.
    pub is_written: bool,
    /// Whether another cluster follows in every order, so that nobody may find it any more.
    pub is_over: bool,
}

impl ValueCluster {
    /// Whether it comes before the other in every order.
    #[inline]
    #[must_use]
    pub const fn precedes(&self, other: &Self) -> bool {
        self.first_end_ns < other.last_start_ns
    }

    /// An error if no order has it beside the other.
    pub fn check_against(&self, other: &Self) -> Result<(), Wrong> {
        if self.precedes(other) && other.precedes(self) {
            Err(Wrong::TwoOrders)
        } else if self.version != 0 && self.version == other.version {
            Err(Wrong::VersionOfValue)
        } else {
            Ok(())
        }
    }
}
