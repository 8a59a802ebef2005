//! A table that finds no memory refuses, and loses nothing.

use proto::store::{Full, Store as _};

use super::{BucketTable, KeyHash};

/// Sends all keys to the first bucket.
#[derive(Debug)]
struct OneBucket;

impl KeyHash for OneBucket {
    fn hash(&self, key: &[u8]) -> u64 {
        u64::from(key[0]) << 48
    }
}

/// With one more it is crowded, and grows.
const RECORDS: u8 = 64;

#[test]
fn a_bucket_that_finds_no_memory_to_migrate_is_read_where_it_is_and_migrates_later() {
    let table = BucketTable::with_hash(usize::from(RECORDS), 1 << 20, OneBucket);
    let put = |key: u8, value: &[u8]| (&table).put(&[key], value);
    let version = |key: u8| {
        let mut version = None;
        (&table).get(&[&[key]], |_, record| version = record.map(|record| record.version));
        version
    };
    for key in 0..=RECORDS {
        assert_eq!(put(key, b"value"), Ok(1));
    }
    let mut taken = Vec::new();
    while let Some(bucket) = table.cells.take_bucket() {
        taken.push(bucket.cast());
    }
    for _ in 0..2 {
        // Each of these tries to migrate.
        assert!((0..=RECORDS).all(|key| version(key) == Some(1)), "it is read where it was");
        assert_eq!(put(0, b"other"), Err(Full));
        assert_eq!(put(RECORDS + 1, b"value"), Err(Full));
    }
    table.cells.give(taken.into_iter());
    assert_eq!(put(0, b"other"), Ok(2));
    assert_eq!(put(RECORDS + 1, b"value"), Ok(1));
    assert!((1..=RECORDS + 1).all(|key| version(key) == Some(1)) && version(0) == Some(2));
}
