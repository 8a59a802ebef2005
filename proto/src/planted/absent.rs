//! The hooks of a build without planted faults: they do nothing.

use super::Fault;
use crate::store::Store;

/// Whether a test has planted this fault: never.
#[must_use]
#[inline]
pub const fn is_planted(_fault: Fault) -> bool {
    false
}

/// What stands before a worker's store while it takes one datagram: nothing.
#[inline]
pub(crate) fn lying<S: Store>(store: &mut S, _secret: [u8; 16]) -> &mut S {
    store
}

/// The version to answer a PUT with that [`Fault::LostUpdate`] loses: it loses none.
#[inline]
pub fn lost_update(_store: &mut impl Store, _key: &[u8]) -> Option<u64> {
    None
}
