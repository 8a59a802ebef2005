//! What every table promises.

use std::sync::atomic::{AtomicU64, Ordering};

use proto::store::{Full, Store as _};

use super::{Choice, Memory, Table};

/// Calls a test with an empty table of each kind; a few buckets only, so that they overflow.
#[expect(clippy::print_stderr, reason = "a test shows it where it fails")]
fn with_each(memory_cap_bytes: u64, test: impl Fn(&Table)) {
    for choice in [Choice::Bucket, Choice::Papaya] {
        eprintln!("{choice:?}");
        test(&Table::new(choice, 8, memory_cap_bytes).unwrap());
    }
}

fn read(mut table: &Table, key: &[u8]) -> Option<(u64, Vec<u8>)> {
    let mut read = None;
    table.get(&[key], |_, record| {
        read = record.map(|record| (record.version, record.value.to_vec()));
    });
    read
}

fn records(table: &Table) -> u64 {
    table.gauges()[0].1
}

#[test]
fn a_write_is_read_with_the_next_version() {
    with_each(1 << 20, |mut table| {
        assert_eq!(read(table, b"k"), None);
        assert_eq!(table.put(b"k", b"one"), Ok(1));
        assert_eq!(table.put(b"k", b"two!"), Ok(2));
        assert_eq!(table.put(b"l", b""), Ok(1));
        assert_eq!(read(table, b"k"), Some((2, b"two!".to_vec())));
        assert_eq!(read(table, b"l"), Some((1, Vec::new())));
        assert_eq!(records(table), 2);
    });
}

#[test]
fn keys_that_begin_alike_are_told_apart() {
    with_each(1 << 20, |mut table| {
        let keys: [&[u8]; 6] =
            [b"k", b"k\0", b"12345678", b"123456789", b"12345678\0", b"123456780"];
        for (key, value) in keys.iter().zip(0u8..) {
            assert_eq!(table.put(key, &[value]), Ok(1));
        }
        for (key, value) in keys.iter().zip(0u8..) {
            assert_eq!(read(table, key), Some((1, vec![value])));
        }
    });
}

#[test]
fn a_group_is_answered_key_by_key_in_order() {
    with_each(1 << 20, |mut table| {
        table.put(b"a", b"1").unwrap();
        table.put(b"c", b"3").unwrap();
        let mut answers = Vec::new();
        table.get(&[b"c", b"b", b"a"], |index, record| {
            answers.push((index, record.map(|record| record.value.to_vec())));
        });
        assert_eq!(answers, [(0, Some(b"3".to_vec())), (1, None), (2, Some(b"1".to_vec()))]);
    });
}

#[test]
fn a_table_takes_many_more_records_than_it_was_made_for() {
    with_each(1 << 30, |mut table| {
        const RECORDS: u64 = 5_000;
        for round in 1..=2 {
            for key in 0..RECORDS {
                let value = vec![key as u8; key as usize % 300];
                assert_eq!(table.put(&key.to_le_bytes(), &value), Ok(round));
            }
        }
        assert_eq!(records(table), RECORDS);
        for key in 0..RECORDS {
            let value = vec![key as u8; key as usize % 300];
            assert_eq!(read(table, &key.to_le_bytes()), Some((2, value)));
        }
        assert_eq!(read(table, &RECORDS.to_le_bytes()), None);
    });
}

#[test]
fn at_its_cap_it_refuses_and_loses_nothing() {
    let cap = 2 * Memory::record_bytes(1, 10);
    with_each(cap, |mut table| {
        table.put(b"a", &[1; 10]).unwrap();
        table.put(b"b", &[2; 10]).unwrap();
        assert_eq!(table.put(b"c", &[]), Err(Full));
        assert_eq!(table.put(b"a", &[3; 11]), Err(Full));
        assert_eq!(read(table, b"a"), Some((1, vec![1; 10])));
        assert_eq!(read(table, b"c"), None);
        assert_eq!(table.put(b"a", &[4; 10]), Ok(2), "it does not grow");
        assert_eq!(table.put(b"a", &[]), Ok(3), "it shrinks");
        assert_eq!(table.put(b"b", &[5; 20]), Ok(2), "there is room again");
        assert_eq!(table.gauges()[1], ("record_bytes", cap));
    });
}

#[test]
fn concurrent_writers_lose_no_update() {
    const WRITES: u64 = 5_000;
    const KEYS: u64 = 50;
    with_each(1 << 30, |table| {
        std::thread::scope(|scope| {
            for writer in 0..4u64 {
                let mut table = table;
                scope.spawn(move || {
                    for write in 0..WRITES {
                        table.put(&(write % KEYS).to_le_bytes(), &[writer as u8; 40]).unwrap();
                    }
                });
            }
        });
        let versions: u64 = (0..KEYS).map(|key| read(table, &key.to_le_bytes()).unwrap().0).sum();
        assert_eq!(versions, 4 * WRITES, "each write has its version");
        assert_eq!(records(table), KEYS, "no key is held twice");
    });
}

#[test]
fn readers_see_whole_records_whose_versions_only_grow() {
    const WRITES: u64 = 20_000;
    with_each(1 << 30, |table| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut table = table;
                for write in 1..=WRITES {
                    // Each value names its version, and fills as many bytes as it says.
                    let value = vec![write as u8; 1 + write as usize % 200];
                    assert_eq!(table.put(b"key", &value), Ok(write));
                }
            });
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = 0;
                    while last < WRITES {
                        let Some((version, value)) = read(table, b"key") else { continue };
                        assert!(version >= last, "{version} after {last}");
                        assert_eq!(value, vec![version as u8; 1 + version as usize % 200]);
                        last = version;
                    }
                });
            }
        });
    });
}

#[test]
fn while_a_table_grows_every_record_is_found_and_no_update_is_lost() {
    const RECORDS: u64 = 20_000;
    const HOT: u64 = 50;
    with_each(1 << 30, |table| {
        let written = AtomicU64::new(HOT);
        let mut first = table;
        for key in 0..HOT {
            first.put(&key.to_le_bytes(), &key.to_le_bytes()).unwrap();
        }
        let hot_writes: u64 = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut table = table;
                for key in HOT..RECORDS {
                    assert_eq!(table.put(&key.to_le_bytes(), &key.to_le_bytes()), Ok(1));
                    written.store(key + 1, Ordering::Release);
                }
            });
            // Reads anywhere among what is there.
            scope.spawn(|| {
                let mut key = 0;
                loop {
                    let below = written.load(Ordering::Acquire);
                    key = (key + 7_919) % below;
                    let read = read(table, &key.to_le_bytes());
                    let (version, value) = read.unwrap_or_else(|| panic!("{key} of {below}"));
                    assert_eq!(
                        (version == 1, value),
                        (key >= HOT || version == 1, key.to_le_bytes().to_vec())
                    );
                    if below == RECORDS {
                        break;
                    }
                }
            });
            let writers = [(); 2].map(|()| {
                scope.spawn(|| {
                    let mut table = table;
                    let mut writes = 0;
                    let mut versions = [1; HOT as usize];
                    while written.load(Ordering::Acquire) < RECORDS {
                        let key = writes % HOT;
                        let version = table.put(&key.to_le_bytes(), &key.to_le_bytes()).unwrap();
                        let last = &mut versions[key as usize];
                        assert!(version > *last, "{version} after {last}");
                        *last = version;
                        writes += 1;
                    }
                    writes
                })
            });
            writers.map(|writer| writer.join().unwrap()).iter().sum()
        });
        let versions = (0..HOT).map(|key| read(table, &key.to_le_bytes()).unwrap().0);
        assert_eq!(versions.sum::<u64>(), HOT + hot_writes, "each write has its version");
        assert_eq!(records(table), RECORDS, "no key is held twice");
        for key in 0..RECORDS {
            assert!(read(table, &key.to_le_bytes()).is_some(), "{key}");
        }
    });
}

#[test]
fn a_bucket_table_grows_with_what_it_holds() {
    let mut table = &Table::new(Choice::Bucket, 1, 1 << 30).unwrap();
    for key in 0..100_000u64 {
        table.put(&key.to_le_bytes(), b"").unwrap();
    }
    // What the last growth has not migrated yet, reads migrate too.
    for _ in 0..100_000 {
        read(table, b"");
    }
    let gauges = table.gauges();
    assert_eq!(gauges.last(), Some(&("buckets", 32_768)), "{gauges:?}");
}

#[cfg(feature = "planted-faults")]
#[test]
fn a_planted_fault_answers_an_update_that_is_not_stored() {
    use proto::planted::{Fault, plant};
    with_each(1 << 20, |mut table| {
        plant(Some(Fault::LostUpdate));
        table.put(b"k", b"first").unwrap();
        let one_in = Fault::LOST_UPDATE_ONE_IN;
        let versions: Vec<_> = (0..one_in).map(|_| table.put(b"k", b"next").unwrap()).collect();
        assert_eq!(versions.last(), Some(&(one_in + 1)), "it is answered like the others");
        assert_eq!(read(table, b"k").unwrap().0, one_in, "it is not stored");
        plant(None);
        assert_eq!(table.put(b"k", b"last"), Ok(one_in + 1));
    });
}
