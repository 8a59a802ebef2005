//! The bucket table under loom: every order in which two threads can meet that interrupt each
//! other two or three times at most (a third thread is too many: it was not done in six minutes).
//! Nothing is freed meanwhile: for that, and for three threads, there is `shuttle_table`.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p kv --release --test loom_table`; without the flag
//! this file is empty.
#![cfg(loom)]

use std::sync::Arc;

use kv::table::{self, KeyHash};
use loom::thread;
use proto::store::Store as _;

type BucketTable = table::BucketTable<OneBucket>;

/// Sends all keys to the first bucket, with the last byte of each as its tag.
#[derive(Clone, Copy, Debug)]
struct OneBucket;

impl KeyHash for OneBucket {
    fn hash(&self, key: &[u8]) -> u64 {
        u64::from(*key.last().expect("no key is empty")) << 48
    }
}

/// Four buckets, of which one is used, and which are crowded with more than four records.
fn table() -> Arc<BucketTable> {
    Arc::new(BucketTable::with_hash(4, 1 << 20, OneBucket))
}

/// Tries every order in which a thread is interrupted at most so often.
fn bounded(interruptions: usize, test: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(interruptions);
    // A move takes many steps.
    model.max_branches = 10_000;
    model.check(test);
}

fn put(table: &BucketTable, key: &[u8], value: &[u8]) -> u64 {
    (&mut &*table).put(key, value).expect("there is room")
}

fn get(table: &BucketTable, key: &[u8]) -> Option<(u64, Vec<u8>)> {
    let mut read = None;
    (&mut &*table).get(&[key], |_, record| {
        read = record.map(|record| (record.version, record.value.to_vec()));
    });
    read
}

#[test]
fn two_writers_of_a_new_key_hold_it_once() {
    bounded(3, || {
        let table = table();
        let other = table.clone();
        let writer = thread::spawn(move || put(&other, b"key", b"1"));
        let mut versions = [put(&table, b"key", b"2"), writer.join().unwrap()];
        versions.sort_unstable();
        assert_eq!((versions, table.len()), ([1, 2], 1));
        assert_eq!(get(&table, b"key").unwrap().0, 2);
    });
}

#[test]
fn writers_of_two_keys_that_meet_in_a_slot_are_both_found() {
    bounded(3, || {
        let table = table();
        let other = table.clone();
        let writer = thread::spawn(move || put(&other, b"one", b"1"));
        put(&table, b"two", b"2");
        writer.join().unwrap();
        assert_eq!(get(&table, b"one"), Some((1, b"1".to_vec())));
        assert_eq!(get(&table, b"two"), Some((1, b"2".to_vec())));
    });
}

#[test]
fn writers_of_a_full_bucket_meet_in_one_overflow() {
    bounded(3, || {
        let table = table();
        for key in 0..2u8 {
            put(&table, &[key], b"");
        }
        let other = table.clone();
        let writer = thread::spawn(move || put(&other, b"one", b"1"));
        put(&table, b"two", b"2");
        writer.join().unwrap();
        assert_eq!(get(&table, b"one"), Some((1, b"1".to_vec())));
        assert_eq!(get(&table, b"two"), Some((1, b"2".to_vec())));
        assert_eq!(table.len(), 4);
    });
}

#[test]
fn a_reader_sees_whole_records_and_never_an_older_one_after_a_newer() {
    bounded(3, || {
        let table = table();
        let other = table.clone();
        let writer = thread::spawn(move || {
            put(&other, b"key", b"first");
            put(&other, b"key", b"second");
        });
        let read: Vec<_> = (0..2).map(|_| get(&table, b"key")).collect();
        for record in read.iter().flatten() {
            let value: &[u8] = if record.0 == 1 { b"first" } else { b"second" };
            assert_eq!(record.1, value);
        }
        assert!(read[0].as_ref().map(|r| r.0) <= read[1].as_ref().map(|r| r.0));
        writer.join().unwrap();
        assert_eq!(get(&table, b"key"), Some((2, b"second".to_vec())));
    });
}

/// One bucket with one record more than it is for: it is to be left, and nothing is moved yet.
fn growing() -> Arc<BucketTable> {
    let table = Arc::new(BucketTable::with_hash(1, 1 << 20, OneBucket));
    put(&table, b"a", b"first");
    put(&table, b"b", b"first");
    table
}

#[test]
fn while_a_table_grows_a_reader_finds_what_is_there_and_never_an_older_after_a_newer() {
    bounded(2, || {
        let table = growing();
        let other = table.clone();
        let writer = thread::spawn(move || put(&other, b"a", b"second"));
        let versions = [0, 1].map(|_| get(&table, b"a").expect("it was always there").0);
        assert!(versions[0] <= versions[1], "{versions:?}");
        assert_eq!(writer.join().unwrap(), 2);
        assert_eq!(get(&table, b"a"), Some((2, b"second".to_vec())));
        assert_eq!(get(&table, b"b"), Some((1, b"first".to_vec())));
    });
}

#[test]
fn while_a_table_grows_two_writers_of_a_key_lose_no_update() {
    bounded(2, || {
        let table = growing();
        let other = table.clone();
        let writer = thread::spawn(move || put(&other, b"b", b"2"));
        let mut versions = [put(&table, b"b", b"3"), writer.join().unwrap()];
        versions.sort_unstable();
        assert_eq!((versions, table.len()), ([2, 3], 2));
        assert_eq!(get(&table, b"b").unwrap().0, 3);
    });
}

#[test]
fn while_a_table_grows_two_writers_of_a_new_key_hold_it_once() {
    bounded(2, || {
        let table = growing();
        let other = table.clone();
        let writer = thread::spawn(move || put(&other, b"new", b"1"));
        let mut versions = [put(&table, b"new", b"2"), writer.join().unwrap()];
        versions.sort_unstable();
        assert_eq!((versions, table.len()), ([1, 2], 3));
        assert_eq!(get(&table, b"new").unwrap().0, 2);
    });
}

/// Two records of different sizes: the page of the first is evacuated into cells of the second.
fn movable() -> Arc<BucketTable> {
    let table = table();
    put(&table, b"a", b"first");
    put(&table, b"b", b"a value that is longer");
    table
}

#[test]
fn a_record_that_is_moved_is_always_found() {
    bounded(3, || {
        let table = movable();
        let other = table.clone();
        let mover = thread::spawn(move || other.evacuate(4));
        for _ in 0..2 {
            assert_eq!(get(&table, b"a"), Some((1, b"first".to_vec())));
        }
        mover.join().unwrap();
        assert_eq!(get(&table, b"a"), Some((1, b"first".to_vec())));
        assert!(table.bytes_moved() > 0);
    });
}

#[test]
fn a_record_that_is_moved_while_it_is_written_is_the_last_that_was_written() {
    bounded(3, || {
        let table = movable();
        let other = table.clone();
        let mover = thread::spawn(move || other.evacuate(4));
        assert_eq!(put(&table, b"a", b"second"), 2);
        assert_eq!(get(&table, b"a"), Some((2, b"second".to_vec())));
        mover.join().unwrap();
        assert_eq!(get(&table, b"a"), Some((2, b"second".to_vec())));
        assert_eq!(table.len(), 2);
    });
}

#[test]
fn records_are_moved_while_their_bucket_migrates() {
    bounded(3, || {
        let table = Arc::new(BucketTable::with_hash(1, 1 << 20, OneBucket));
        put(&table, b"a", b"first");
        put(&table, b"b", b"a value that is longer");
        let other = table.clone();
        let mover = thread::spawn(move || other.evacuate(4));
        assert_eq!(put(&table, b"a", b"second"), 2);
        mover.join().unwrap();
        assert_eq!(get(&table, b"a"), Some((2, b"second".to_vec())));
        assert_eq!(get(&table, b"b"), Some((1, b"a value that is longer".to_vec())));
    });
}
