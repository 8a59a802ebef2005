//! What is compared with the tables of `kv` does what they do.
#![forbid(unsafe_code)]
#![cfg(not(any(loom, shuttle)))]

#[path = "../benches/alternatives/mod.rs"]
mod alternatives;

use std::thread;

use alternatives::{CachedTable, DashTable, OneLockTable, ScalableTable, ShardedTable};
use proto::store::Store;

const RECORDS: usize = 4096;

fn read(mut table: impl Store, key: &[u8]) -> Option<(u64, Vec<u8>)> {
    let mut read = None;
    table.get(&[key], |_, record| {
        read = record.map(|record| (record.version, record.value.to_vec()));
    });
    read
}

/// A module of the same tests for each table.
macro_rules! test_each {
    ($($name:ident: $table:ty),*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn a_write_is_read_with_the_next_version() {
                a_write_is_read(&<$table>::new(RECORDS));
            }

            #[test]
            fn a_group_is_answered_key_by_key_in_order() {
                a_group_is_answered(&<$table>::new(RECORDS));
            }

            #[test]
            fn concurrent_writers_lose_no_update() {
                no_update_is_lost(&<$table>::new(RECORDS));
            }

            #[test]
            fn nothing_older_is_read_once_a_write_was_answered() {
                nothing_older_is_read(&<$table>::new(RECORDS));
            }
        }
    )*};
}

test_each!(
    cached: CachedTable,
    dash: DashTable,
    one_lock: OneLockTable,
    scalable: ScalableTable,
    sharded: ShardedTable
);

fn a_write_is_read(mut table: impl Store + Copy) {
    assert_eq!(read(table, b"k"), None);
    assert_eq!(table.put(b"k", b"one"), Ok(1));
    assert_eq!(read(table, b"k"), Some((1, b"one".to_vec())));
    assert_eq!(table.put(b"k", b"two!"), Ok(2));
    assert_eq!(table.put(b"l", b""), Ok(1));
    assert_eq!(read(table, b"k"), Some((2, b"two!".to_vec())));
    assert_eq!(read(table, b"l"), Some((1, Vec::new())));
}

fn a_group_is_answered(mut table: impl Store) {
    table.put(b"a", b"1").unwrap();
    table.put(b"c", b"3").unwrap();
    let mut answers = Vec::new();
    table.get(&[b"c", b"b", b"a"], |index, record| {
        answers.push((index, record.map(|record| record.value.to_vec())));
    });
    assert_eq!(answers, [(0, Some(b"3".to_vec())), (1, None), (2, Some(b"1".to_vec()))]);
}

fn no_update_is_lost(table: impl Store + Copy + Send) {
    const WRITERS: u64 = 4;
    const WRITES: u64 = 5_000;
    const KEYS: u64 = 50;
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let mut table = table;
            scope.spawn(move || {
                for write in 0..WRITES {
                    table.put(&(write % KEYS).to_le_bytes(), &[writer as u8; 40]).unwrap();
                }
            });
        }
    });
    let versions: u64 = (0..KEYS).map(|key| read(table, &key.to_le_bytes()).unwrap().0).sum();
    assert_eq!(versions, WRITERS * WRITES, "each write has its version");
}

/// A reader keeps bringing records into the cache, if there is one, while they are written.
fn nothing_older_is_read(table: impl Store + Copy + Send) {
    // Some more than are cached, so that they come and go all the time.
    const KEYS: u64 = RECORDS as u64 / 8;
    const ROUNDS: u64 = 50;
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut last = vec![0; KEYS as usize];
            while last.iter().sum::<u64>() < KEYS * ROUNDS {
                for (key, last) in (0..KEYS).zip(&mut last) {
                    let version = read(table, &key.to_le_bytes()).map_or(0, |(version, _)| version);
                    assert!(version >= *last, "{version} after {last}");
                    *last = version;
                }
            }
        });
        let mut table = table;
        for round in 1..=ROUNDS {
            for key in 0..KEYS {
                assert_eq!(table.put(&key.to_le_bytes(), &round.to_le_bytes()), Ok(round));
                // Those before it, too: a reader may have been slow to bring one in.
                for key in key.saturating_sub(3)..=key {
                    let read = read(table, &key.to_le_bytes());
                    assert_eq!(read, Some((round, round.to_le_bytes().to_vec())));
                }
            }
        }
        reader.join().unwrap();
    });
}
