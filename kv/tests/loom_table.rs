//! The bucket table under loom: every order in which two or three threads can meet.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p kv --release --test loom_table`; without the flag
//! this file is empty.
#![cfg(loom)]

use std::sync::Arc;

use foldhash::fast::FixedState;
use kv::table;
use loom::thread;
use proto::store::Store as _;

type BucketTable = table::BucketTable<FixedState>;

fn table() -> Arc<BucketTable> {
    // One bucket: all keys meet in it.
    Arc::new(BucketTable::with_hasher(1, 1 << 20, FixedState::default()))
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
    loom::model(|| {
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
    loom::model(|| {
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
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let table = table();
        for key in 0..7u8 {
            put(&table, &[key], b"");
        }
        let other = table.clone();
        let writer = thread::spawn(move || put(&other, b"one", b"1"));
        put(&table, b"two", b"2");
        writer.join().unwrap();
        assert_eq!(get(&table, b"one"), Some((1, b"1".to_vec())));
        assert_eq!(get(&table, b"two"), Some((1, b"2".to_vec())));
        assert_eq!(table.len(), 9);
    });
}

#[test]
fn a_reader_sees_whole_records_and_never_an_older_one_after_a_newer() {
    loom::model(|| {
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
