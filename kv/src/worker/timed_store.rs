//! A table whose answers are timed, by kind: for a few request datagrams out of a thousand.

use proto::store::{Full, Record, Store};
use udp::clock::now_ns;

use crate::table::Table;

/// How many operations of a kind were timed, and what they took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timed {
    pub(super) operations: u64,
    pub(super) ns: u64,
}

/// The table for one request.
#[derive(Debug)]
pub(super) struct TimedStore<'a> {
    table: &'a Table,
    /// What a look at the clock takes.
    look_ns: u64,
    looks: u64,
    pub(super) gets: Timed,
    pub(super) puts: Timed,
}

impl<'a> TimedStore<'a> {
    pub(super) fn new(table: &'a Table, look_ns: u64) -> Self {
        Self { table, look_ns, looks: 0, gets: Timed::default(), puts: Timed::default() }
    }

    /// What this took for itself.
    pub(super) const fn own_ns(&self) -> u64 {
        self.looks * self.look_ns
    }

    #[inline]
    fn time<R>(&mut self, of: impl FnOnce(&Table) -> R) -> (R, u64) {
        let began_ns = now_ns();
        let result = of(self.table);
        self.looks += 2;
        (result, now_ns().saturating_sub(began_ns + self.look_ns))
    }
}

impl Store for TimedStore<'_> {
    fn get(&mut self, keys: &[&[u8]], found: impl FnMut(usize, Option<Record<'_>>)) {
        let ((), ns) = self.time(|mut table| table.get(keys, found));
        self.gets.operations += keys.len() as u64;
        self.gets.ns += ns;
    }

    fn prefetch(&mut self, keys: &[&[u8]]) {
        let ((), ns) = self.time(|mut table| table.prefetch(keys));
        self.puts.ns += ns;
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<u64, Full> {
        let (result, ns) = self.time(|mut table| table.put(key, value));
        self.puts.operations += 1;
        self.puts.ns += ns;
        result
    }

    fn gauges(&self) -> Vec<(&'static str, u64)> {
        self.table.gauges()
    }
}

/// What a look at the clock takes, about.
pub(super) fn look_ns() -> u64 {
    const LOOKS: usize = 16;
    let look = |_| {
        let before_ns = now_ns();
        now_ns().saturating_sub(before_ns)
    };
    (0..LOOKS).map(look).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Choice;

    #[test]
    fn each_kind_is_timed_apart_and_answered_by_the_table() {
        let table = Table::new(Choice::Bucket, 100, 1 << 20).unwrap();
        let mut store = TimedStore::new(&table, 0);
        store.prefetch(&[b"a", b"b"]);
        assert_eq!((store.put(b"a", b"1"), store.put(b"b", b"2")), (Ok(1), Ok(1)));
        let mut found = Vec::new();
        let keys: [&[u8]; 3] = [b"a", b"none", b"b"];
        store.get(&keys, |at, record| found.push((at, record.map(|record| record.value.to_vec()))));
        assert_eq!(found, [(0, Some(b"1".to_vec())), (1, None), (2, Some(b"2".to_vec()))]);
        assert_eq!((store.gets.operations, store.puts.operations, store.looks), (3, 2, 8));
        assert_eq!(store.gauges(), (&table).gauges());
    }

    #[test]
    fn what_timing_takes_is_in_no_time() {
        let table = Table::new(Choice::Null, 1, 1 << 20).unwrap();
        let mut store = TimedStore::new(&table, u64::MAX / 4);
        store.put(b"a", b"1").unwrap();
        assert_eq!(store.puts.ns, 0);
    }
}
