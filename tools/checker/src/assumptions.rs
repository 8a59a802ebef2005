//! What holds for a whole history.

use history::operation::{Action, Operation};

use crate::register::Access;

/// What holds for a whole history.
#[derive(Clone, Debug, Default)]
pub struct Assumptions {
    /// Added to both ends of each operation, for clocks that differ by up to twice this.
    pub clock_error_ns: u64,
    /// How long before its call a GET from a near cache may have taken effect.
    pub staleness_ns: u64,
    /// Writers that were killed: some of their PUTs may be missing.
    pub killed_writers: Vec<u64>,
}

impl Assumptions {
    /// An operation that took effect after `earliest_ns`, as its register sees it.
    #[inline]
    #[must_use]
    pub fn access(&self, operation: &Operation, earliest_ns: u64) -> Access {
        let (value, is_put, has_end) = match operation.action {
            Action::Found(value) => (Some(value), false, true),
            Action::NotFound => (None, false, true),
            Action::Stored(value) => (Some(value), true, true),
            Action::Indeterminate(value) => (Some(value), true, false),
        };
        let end_ns = operation.end_ns.saturating_add(self.clock_error_ns);
        Access {
            value,
            is_put,
            version: operation.version,
            start_ns: earliest_ns.saturating_sub(self.clock_error_ns),
            end_ns: if has_end { end_ns } else { u64::MAX },
        }
    }

    /// No access to come starts before this, if no answered operation to come is called before
    /// `horizon_ns`.
    #[inline]
    #[must_use]
    pub const fn access_horizon_ns(&self, horizon_ns: u64) -> u64 {
        horizon_ns.saturating_sub(self.staleness_ns).saturating_sub(self.clock_error_ns)
    }
}
