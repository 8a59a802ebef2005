//! The memory of a table stays below its bound, whatever sizes are written (invariant 6).
//!
//! Resident memory is the process's, so there is one test at a time here.
#![forbid(unsafe_code)]
#![cfg(not(any(loom, shuttle)))]

use std::fs;
use std::sync::Mutex;

use kv::table::{Choice, Table};
use proto::store::{Full, Store as _};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MIB: u64 = 1 << 20;
/// What a table may have beside its bound. A server may have 64 MiB, for its code, its stacks
/// and its buffers too.
const BESIDE_BYTES: u64 = 12 * MIB;
/// Values of an earlier round that are never written again: one in so many.
const KEPT_ONE_IN: u64 = 40;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A table, and the resident memory of the process before it was made.
struct Watched {
    table: Table,
    memory_bytes: u64,
    before_bytes: u64,
    highest_bytes: u64,
}

impl Watched {
    fn new(choice: Choice, memory_bytes: u64) -> Self {
        let before_bytes = resident_bytes();
        let table = Table::new(choice, (memory_bytes / 256) as usize, memory_bytes);
        let table = table.expect("there is memory");
        Self { table, memory_bytes, before_bytes, highest_bytes: 0 }
    }

    fn put(&self, key: u64, value: &[u8]) -> Result<u64, Full> {
        (&self.table).put(&key.to_be_bytes(), value)
    }

    fn value(&self, key: u64) -> Option<Vec<u8>> {
        let mut value = None;
        (&self.table).get(&[&key.to_be_bytes()], |_, record| {
            value = record.map(|record| record.value.to_vec());
        });
        value
    }

    /// New keys of this size until one is refused; returns how many there are.
    fn fill(&self, value: &[u8]) -> u64 {
        let filled = (0..).find(|&key| self.put(key, value) == Err(Full)).expect("it gets full");
        assert!(filled > 0, "nothing fits");
        filled
    }

    fn assert_bound(&mut self, when: &str) {
        let bytes = resident_bytes().saturating_sub(self.before_bytes);
        self.highest_bytes = self.highest_bytes.max(bytes);
        let bound = self.memory_bytes + BESIDE_BYTES;
        assert!(bytes <= bound, "{} MiB of {} {when}", bytes / MIB, bound / MIB);
    }
}

fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("/proc is there");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("a number of pages") * 4096
}

/// Whatever a key was last written with.
fn value_of(key: u64, bytes: usize) -> Vec<u8> {
    vec![key as u8; bytes]
}

/// In some order that is not that of the first writes.
fn shuffled(count: u64) -> impl Iterator<Item = u64> {
    // A step that has no divisor in common with the count meets each key once.
    let step = (count / 2 + 1..).find(|&step| gcd(step, count) == 1).expect("there is a prime");
    (0..count).map(move |turn| (turn * step) % count)
}

fn gcd(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { gcd(other, one % other) }
}

/// Fills the table with values of 1400 bytes, and rewrites most of them smaller, round by round:
/// each size keeps some records for ever. Returns how many writes there were, and how many of them
/// were refused.
fn sizes_fall(choice: Choice, memory_bytes: u64) -> [u64; 2] {
    let _one = ONE_AT_A_TIME.lock();
    let mut watched = Watched::new(choice, memory_bytes);
    let keys = watched.fill(&value_of(0, 1400));
    watched.assert_bound("after the first fill");
    let mut bytes_of: Vec<usize> = vec![1400; keys as usize];
    let (mut written, mut refused) = (0, 0);
    for (round, bytes) in (0..).zip([0, 1200, 1000, 800, 700, 600, 500, 400, 300]) {
        for key in shuffled(keys).filter(|key| key % KEPT_ONE_IN != round) {
            written += 1;
            match watched.put(key, &value_of(key, bytes)) {
                Ok(_) => bytes_of[key as usize] = bytes,
                Err(Full) => refused += 1,
            }
        }
        watched.assert_bound(&format!("after values of {bytes} bytes"));
    }
    for (key, &bytes) in (0..).zip(&bytes_of) {
        let value = watched.value(key).expect("nothing stored is lost");
        assert_eq!(value.len(), bytes, "of {key}");
        assert!(bytes == 1400 || value == value_of(key, bytes), "of {key}");
    }
    [written, refused]
}

#[test]
fn memory_stays_bounded_while_sizes_fall() {
    let [written, refused] = sizes_fall(Choice::Bucket, 48 * MIB);
    assert!(refused * 50 <= written, "{refused} of {written} were refused");
}

#[test]
fn an_allocator_keeps_what_it_had_and_papaya_refuses_for_it() {
    sizes_fall(Choice::Papaya, 96 * MIB);
}

#[test]
#[ignore = "takes long: a bound as large as servers have"]
fn memory_stays_bounded_while_sizes_fall_in_a_large_table() {
    let [written, refused] = sizes_fall(Choice::Bucket, 1024 * MIB);
    assert!(refused * 50 <= written, "{refused} of {written} were refused");
}
