//! The bucket table under shuttle: schedules of three threads by chance, while records are moved.
//! What was retired is freed as soon as no reader may have it, and what is free is poisoned.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p kv --test shuttle_table`; without the flag this file
//! is empty. `SHUTTLE_SCHEDULES` says how many schedules a test tries.
#![cfg(shuttle)]

use std::sync::Arc;

use kv::table::{self, KeyHash};
use proto::store::{Full, Store as _};
use shuttle::rand::{Rng as _, thread_rng};
use shuttle::thread;

type BucketTable = table::BucketTable<TwoBuckets>;

const SCHEDULES: usize = 10_000;
/// Of threads, in half of the schedules.
const INTERRUPTIONS: usize = 4;
/// So small that free pages run low.
const MEMORY_BYTES: u64 = 1 << 16;

/// Sends keys to two buckets, with the last byte of each as its tag.
#[derive(Clone, Copy, Debug, Default)]
struct TwoBuckets;

impl KeyHash for TwoBuckets {
    fn hash(&self, key: &[u8]) -> u64 {
        let last = u64::from(*key.last().expect("no key is empty"));
        last << 48 | last & 1
    }
}

/// Tries so many schedules, or as many as the environment says.
fn schedules(test: impl Fn() + Sync + Send + 'static) {
    let asked = std::env::var("SHUTTLE_SCHEDULES").ok().and_then(|count| count.parse().ok());
    let schedules = asked.unwrap_or(SCHEDULES);
    let test = Arc::new(test);
    let again = test.clone();
    shuttle::check_random(move || test(), schedules / 2);
    // Those in which threads are rarely interrupted.
    shuttle::check_pct(move || again(), schedules / 2, INTERRUPTIONS);
}

fn table(records: usize) -> Arc<BucketTable> {
    Arc::new(BucketTable::with_hash(records, MEMORY_BYTES, TwoBuckets))
}

/// A value that shows whether it is whole: its length follows from its bytes.
fn value(seed: u8) -> Vec<u8> {
    vec![seed; usize::from(seed % 7) * 200]
}

fn put(table: &BucketTable, key: u8, seed: u8) -> Result<u64, Full> {
    (&mut &*table).put(&[key], &value(seed))
}

/// The version and the value of a key, which is whole.
fn get(table: &BucketTable, key: u8) -> Option<(u64, Vec<u8>)> {
    let mut read = None;
    (&mut &*table).get(&[&[key]], |_, record| {
        // While the record is looked at, others go on.
        thread::yield_now();
        read = record.map(|record| (record.version, record.value.to_vec()));
    });
    if let Some((_, read)) = &read
        && let Some(&seed) = read.first()
    {
        assert_eq!(*read, value(seed), "a value is whole");
    }
    read
}

/// Writes to a key that nobody else writes to, and reads what it wrote.
fn write_own(table: &BucketTable, key: u8, writes: u64) {
    let (mut version, mut last) = get(table, key).unwrap_or_default();
    for _ in 0..writes {
        let seed = thread_rng().gen_range(0..=255);
        match put(table, key, seed) {
            Ok(put) => {
                assert_eq!(put, version + 1, "no update is lost");
                (version, last) = (put, value(seed));
            }
            Err(Full) => {}
        }
        let found = get(table, key);
        assert_eq!(found.unwrap_or_default(), (version, last.clone()), "what was written last");
    }
}

/// Reads a key whose versions only grow.
fn read(table: &BucketTable, key: u8, reads: u64) {
    let mut version = 0;
    for _ in 0..reads {
        let read = get(table, key).map_or(0, |(version, _)| version);
        assert!(read >= version, "{read} after {version}");
        version = read;
    }
}

#[test]
fn records_that_are_moved_are_found_and_written() {
    schedules(|| {
        let table = table(16);
        for key in 0..4 {
            put(&table, key, 3 + key).unwrap();
        }
        let (writer, mover) = (table.clone(), table.clone());
        let threads = [
            thread::spawn(move || write_own(&writer, 0, 4)),
            thread::spawn(move || (0..3).for_each(|_| mover.evacuate(8))),
        ];
        read(&table, 0, 2);
        write_own(&table, 1, 2);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(get(&table, 2), Some((1, value(5))), "it was only moved");
        assert_eq!(get(&table, 3), Some((1, value(6))), "it was only moved");
    });
}

#[test]
fn records_are_moved_while_the_table_grows() {
    schedules(|| {
        let table = table(1);
        put(&table, 0, 3).unwrap();
        let (writer, mover) = (table.clone(), table.clone());
        let threads = [
            thread::spawn(move || (1..4).for_each(|key| write_own(&writer, key, 1))),
            thread::spawn(move || (0..4).for_each(|_| mover.evacuate(8))),
        ];
        read(&table, 0, 2);
        write_own(&table, 4, 2);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(get(&table, 0), Some((1, value(3))), "it was only moved");
        assert_eq!(table.len(), (0..5).filter(|&key| get(&table, key).is_some()).count() as u64);
    });
}

#[test]
fn a_record_that_is_moved_while_its_bucket_migrates_is_not_freed_while_it_is_read() {
    schedules(|| {
        let table = table(2);
        // Of one bucket, which is crowded with the last; that has larger cells to move to.
        for (key, seed) in [(0, 8), (2, 8), (4, 10)] {
            put(&table, key, seed).unwrap();
        }
        let (writer, mover) = (table.clone(), table.clone());
        let threads = [
            thread::spawn(move || assert!(put(&writer, 4, 1).is_ok())),
            thread::spawn(move || mover.evacuate(8)),
        ];
        for _ in 0..2 {
            assert_eq!(get(&table, 0), Some((1, value(8))));
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(get(&table, 0), Some((1, value(8))));
    });
}

#[test]
fn three_writers_without_memory_to_spare_lose_nothing() {
    schedules(|| {
        let table = table(8);
        let mut filled = 0;
        while put(&table, 100 + filled, 6).is_ok() {
            filled += 1;
        }
        let others = [0, 1].map(|key| {
            let table = table.clone();
            thread::spawn(move || write_own(&table, key, 5))
        });
        let written: Vec<bool> =
            (0..filled).map(|key| put(&table, 100 + key, key % 3).is_ok()).collect();
        write_own(&table, 2, 3);
        others.into_iter().for_each(|thread| thread.join().unwrap());
        for (key, is_written) in (0..).zip(written) {
            let last = if is_written { (2, value(key % 3)) } else { (1, value(6)) };
            assert_eq!(get(&table, 100 + key), Some(last));
        }
    });
}
