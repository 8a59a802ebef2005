//! Writers and readers of a table at its bound, whatever sizes they write (invariant 6): nothing is
//! lost, and the process stays within the bound.
//!
//! `cargo test -p kv --release --test memory_churn -- --ignored --nocapture` does so for ten minutes,
//! and prints what it costs; `CHURN_SECS` and `CHURN_MIB` change how long, and how large.
#![forbid(unsafe_code)]
#![cfg(not(any(loom, shuttle)))]
#![expect(clippy::print_stderr, reason = "what it is for")]

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kv::table::BucketTable;
use proto::store::{Full, Store as _};
use testkit::random::Random;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MIB: u64 = 1 << 20;
/// What the process may have beside the table.
const BESIDE_BYTES: u64 = 24 * MIB;
const WRITERS: u64 = 2;
/// Of the time that GETs take: what the test keeps counts as memory, too.
const SAMPLES_MAX: usize = 1 << 20;
const VALUE_BYTES_MAX: u64 = 1400;
/// The first bytes of a value are its key and its length.
const VALUE_BYTES_MIN: u64 = 10;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What is written.
#[derive(Clone, Copy, Debug)]
enum Sizes {
    Steady,
    Falling,
    Rising,
    Random,
    /// Each key once, so that the table gets full and stays so.
    UniqueKeys,
}

const ALL: [Sizes; 5] =
    [Sizes::Steady, Sizes::Falling, Sizes::Rising, Sizes::Random, Sizes::UniqueKeys];

impl Sizes {
    /// Bytes of a value, when so much of the time is over, from 0 to 1.
    fn bytes(self, part: f64, random: &mut Random) -> u64 {
        let range = VALUE_BYTES_MAX - VALUE_BYTES_MIN;
        let bytes = match self {
            Self::Steady => 128,
            // Three times in the time there is.
            Self::Falling => ((1.0 - 3.0 * part % 1.0) * range as f64) as u64,
            Self::Rising => (3.0 * part % 1.0 * range as f64) as u64,
            Self::Random | Self::UniqueKeys => random.below(range),
        };
        bytes + VALUE_BYTES_MIN
    }
}

/// What happened.
#[derive(Debug, Default)]
struct Seen {
    written_bytes: AtomicU64,
    writes: AtomicU64,
    refused: AtomicU64,
    resident_most: AtomicU64,
}

fn value_of(key: u64, bytes: u64) -> Vec<u8> {
    let mut value = vec![key as u8; bytes as usize];
    value[..8].copy_from_slice(&key.to_be_bytes());
    value[8..10].copy_from_slice(&(bytes as u16).to_be_bytes());
    value
}

fn assert_whole(key: u64, value: &[u8]) {
    assert_eq!(value, value_of(key, value.len() as u64), "of {key}");
}

fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("/proc is there");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("a number of pages") * 4096
}

/// Writes to keys of its own, and reads some of them, until it is time.
fn write(mut table: &BucketTable, sizes: Sizes, writer: u64, secs: f64, keys: u64, seen: &Seen) {
    let mut random = Random::for_test(&format!("churn {writer}"));
    // The length of what was written last; 0 for nothing.
    let mut lengths = vec![0; if matches!(sizes, Sizes::UniqueKeys) { 0 } else { keys as usize }];
    let begun = Instant::now();
    let mut part = 0.0;
    for turn in 0.. {
        if turn % 64 == 0 {
            part = begun.elapsed().as_secs_f64() / secs;
            if part >= 1.0 {
                break;
            }
        }
        let bytes = sizes.bytes(part, &mut random);
        let own = if lengths.is_empty() { turn } else { random.below(keys) };
        let key = own * WRITERS + writer;
        match table.put(&key.to_be_bytes(), &value_of(key, bytes)) {
            Ok(_) => {
                if let Some(length) = lengths.get_mut(own as usize) {
                    *length = bytes;
                }
                seen.writes.fetch_add(1, Ordering::Relaxed);
                seen.written_bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            Err(Full) => drop(seen.refused.fetch_add(1, Ordering::Relaxed)),
        }
    }
    for (own, length) in (0..).zip(lengths) {
        let key: u64 = own * WRITERS + writer;
        table.get(&[&key.to_be_bytes()], |_, record| {
            let value = record.map(|record| record.value).unwrap_or_default();
            assert_eq!(value.len() as u64, length, "what was written last to {key}");
        });
    }
}

/// Reads keys of all until it is to stop; returns how many nanoseconds GETs took, or a sample of
/// them.
fn read(mut table: &BucketTable, keys: u64, stop: &AtomicBool) -> Vec<u32> {
    let mut random = Random::for_test("churn reader");
    let mut took = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let key = random.below(keys * WRITERS);
        let begun = Instant::now();
        table.get(&[&key.to_be_bytes()], |_, record| {
            if let Some(record) = record {
                assert_whole(key, record.value);
            }
        });
        let ns = u32::try_from(begun.elapsed().as_nanos()).unwrap_or(u32::MAX);
        if took.len() < SAMPLES_MAX {
            took.push(ns);
        } else {
            let at = random.index(SAMPLES_MAX);
            took[at] = ns;
        }
        // Of millions a second, enough.
        thread::sleep(Duration::from_micros(20));
    }
    took
}

fn churn(sizes: Sizes, memory_bytes: u64, secs: f64) {
    let _one = ONE_AT_A_TIME.lock();
    let before_bytes = resident_bytes();
    // As many as fill the table, on average.
    let mean_bytes = match sizes {
        Sizes::Steady => 190,
        _ => 750,
    };
    let keys = memory_bytes * 9 / 10 / mean_bytes / WRITERS;
    let table = BucketTable::new((keys * WRITERS) as usize, memory_bytes);
    let (seen, stop) = (Seen::default(), AtomicBool::new(false));
    let mut took = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| (&table, &seen, writer))
            .map(|(table, seen, writer)| {
                scope.spawn(move || write(table, sizes, writer, secs, keys, seen))
            })
            .collect();
        let reader = scope.spawn(|| read(&table, keys, &stop));
        while !writers.iter().all(thread::ScopedJoinHandle::is_finished) {
            let bytes = resident_bytes().saturating_sub(before_bytes);
            seen.resident_most.fetch_max(bytes, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(10));
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().for_each(|writer| writer.join().expect("it lost nothing"));
        reader.join().expect("it read whole records")
    });
    took.sort_unstable();
    let percentile = |of_1000: usize| took[(took.len() - 1) * of_1000 / 1000] / 1000;
    let [written, writes, refused, resident] =
        [&seen.written_bytes, &seen.writes, &seen.refused, &seen.resident_most]
            .map(|count| count.load(Ordering::Relaxed));
    let gauges: Vec<_> = (&table).gauges();
    eprintln!(
        "{sizes:?}: {} MiB of {}; {writes} writes of {} MiB, {refused} refused; moved {:.2} bytes \
         for each written; GETs p50 {} µs, p99 {} µs, p99.9 {} µs; {gauges:?}",
        resident / MIB,
        memory_bytes / MIB,
        written / MIB,
        table.bytes_moved() as f64 / written as f64,
        percentile(500),
        percentile(990),
        percentile(999),
    );
    let bound = memory_bytes + BESIDE_BYTES;
    assert!(resident <= bound, "{} MiB of {} for {sizes:?}", resident / MIB, bound / MIB);
    assert!(writes > 0 && !table.is_empty(), "it takes records");
}

/// A figure from the environment, or this.
fn asked(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}

#[test]
fn sizes_that_change_stay_within_the_bound_and_lose_nothing() {
    for sizes in ALL {
        churn(sizes, 32 * MIB, 0.7);
    }
}

#[test]
#[ignore = "takes ten minutes"]
fn sizes_that_change_for_long_stay_within_the_bound_and_lose_nothing() {
    let (secs, memory_bytes) = (asked("CHURN_SECS", 600), asked("CHURN_MIB", 256) * MIB);
    for sizes in ALL {
        churn(sizes, memory_bytes, secs as f64 / ALL.len() as f64);
    }
}
