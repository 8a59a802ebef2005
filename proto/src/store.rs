//! What a server asks of a table.

/// A record as it is at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Grows by one with each mutation of the key; the first is 1.
    pub version: u64,
    /// The value.
    pub value: &'a [u8],
}

/// The store's memory is at its cap; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A table that many workers share. Each call takes effect at one instant between its
/// beginning and its end (invariant 2).
pub trait Store {
    /// Looks up a group of at most [`crate::limits::LOOKUP_GROUP_MAX`] keys, and calls
    /// `found` once for each, in their order. A group is not a snapshot: each key is read
    /// at an instant of its own.
    fn get(&mut self, keys: &[&[u8]], found: impl FnMut(usize, Option<Record<'_>>));

    /// Tells that a group of at most as many keys will be written next: a hint, for a table
    /// that can overlap their cache misses.
    fn prefetch(&mut self, _keys: &[&[u8]]) {}

    /// Writes a record and returns its version.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<u64, Full>;

    /// Figures of the table itself, for STATS.
    fn gauges(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

impl<S: Store> Store for &mut S {
    #[inline]
    fn get(&mut self, keys: &[&[u8]], found: impl FnMut(usize, Option<Record<'_>>)) {
        (**self).get(keys, found);
    }

    #[inline]
    fn prefetch(&mut self, keys: &[&[u8]]) {
        (**self).prefetch(keys);
    }

    #[inline]
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<u64, Full> {
        (**self).put(key, value)
    }

    fn gauges(&self) -> Vec<(&'static str, u64)> {
        (**self).gauges()
    }
}
