//! What a table costs without a network, side by side: groups of look-ups, writes, and both
//! by one and two threads. Those of `kv`, and those that it could have had.
//!
//! `cargo bench -p kv --bench table [-- NAME]`

mod alternatives;

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use alternatives::{CachedTable, DashTable, OneLockTable, ScalableTable, ShardedTable};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use generator::workload::{Draw, Mix, StreamRandom, Workload};
use generator::zipf::Zipf;
use kv::table::{BucketTable, PapayaTable};
use proto::store::{Record, Store};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: usize = 1_000_000;
const THETA: f64 = 0.99;
const VALUE: [u8; 128] = [7; 128];
const MEMORY_CAP_BYTES: u64 = 1 << 32;
/// Operations of a group.
const GROUP: usize = 64;
/// Operations that are drawn before anything is measured, and then repeated.
const DRAWN: usize = 1 << 20;

/// Operations in groups, without end.
struct Operations {
    drawn: Vec<Draw>,
    next: usize,
}

impl Operations {
    fn new(mix: Mix, theta: f64, stream: usize) -> Self {
        let zipf = Zipf::new(RECORDS as u64, theta).expect("the figures are sound");
        let workload = Workload::new(mix, Arc::new(zipf));
        let mut random = StreamRandom::new(1, 0, stream as u32);
        Self { drawn: (0..DRAWN).map(|_| workload.next(&mut random)).collect(), next: 0 }
    }

    #[inline]
    fn group(&mut self) -> &[Draw] {
        let group = &self.drawn[self.next..self.next + GROUP];
        self.next = (self.next + GROUP) % DRAWN;
        group
    }
}

/// Copies a value, as a reply does.
#[inline]
fn copy(record: Option<Record<'_>>) {
    let record = record.expect("every record was put");
    let value: [u8; VALUE.len()] = record.value.try_into().expect("as it was put");
    black_box(value);
}

/// Looks up what a group reads, all of it together, and then writes what it writes.
#[inline]
fn execute(mut table: impl Store, group: &[Draw]) {
    let mut bytes = [[0; 8]; GROUP];
    let mut reads = 0;
    for operation in group.iter().filter(|operation| !operation.write) {
        bytes[reads] = operation.key.to_be_bytes();
        reads += 1;
    }
    let keys: [&[u8]; GROUP] = std::array::from_fn(|index| &bytes[index][..]);
    table.get(&keys[..reads], |_, record| copy(record));
    for operation in group.iter().filter(|operation| operation.write) {
        table.put(&operation.key.to_be_bytes(), &VALUE).expect("there is room");
    }
}

/// How long these threads take together for so many groups: from when the first begins
/// until the last ends.
fn execute_by<T: Sync>(table: &T, threads: &mut [Operations], groups: u64) -> Duration
where
    for<'t> &'t T: Store,
{
    let groups_each = groups.div_ceil(threads.len() as u64);
    let start = Barrier::new(threads.len());
    let execute_all = |operations: &mut Operations| {
        start.wait();
        let began = Instant::now();
        for _ in 0..groups_each {
            execute(table, operations.group());
        }
        (began, Instant::now())
    };
    let times: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (threads.iter_mut())
            .map(|operations| scope.spawn(|| execute_all(operations)))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
    });
    let first = times.iter().map(|(began, _)| *began).min().expect("there is a thread");
    let last = times.iter().map(|(_, ended)| *ended).max().expect("there is a thread");
    last - first
}

fn measure<T: Sync>(criterion: &mut Criterion, name: &str, new: impl FnOnce() -> T)
where
    for<'t> &'t T: Store,
{
    let mut group = criterion.benchmark_group(name);
    let table = new();
    for key in 0..RECORDS as u64 {
        (&table).put(&key.to_be_bytes(), &VALUE).expect("there is room");
    }
    group.throughput(Throughput::Elements(GROUP as u64));
    for (keys, theta) in [("uniform", 0.0), ("Zipf", THETA)] {
        let mut operations = Operations::new(Mix::C, theta, 0);
        group.bench_function(format!("get a group, {keys}"), |bencher| {
            bencher.iter(|| execute(&table, operations.group()));
        });
    }
    let mut operations = Operations::new(Mix::C, 0.0, 1);
    group.bench_function("overwrite a group, uniform", |bencher| {
        bencher.iter(|| {
            for operation in operations.group() {
                (&table).put(&operation.key.to_be_bytes(), &VALUE).expect("there is room");
            }
        });
    });
    for threads in [1, 2] {
        let mut operations: Vec<_> =
            (0..threads).map(|stream| Operations::new(Mix::B, THETA, stream)).collect();
        group.bench_function(format!("YCSB-B, threads: {threads}"), |bencher| {
            bencher.iter_custom(|groups| execute_by(&table, &mut operations, groups));
        });
    }
}

fn tables(criterion: &mut Criterion) {
    measure(criterion, "bucket", || BucketTable::new(RECORDS, MEMORY_CAP_BYTES));
    measure(criterion, "papaya", || PapayaTable::new(RECORDS, MEMORY_CAP_BYTES));
    measure(criterion, "dashmap", || DashTable::new(RECORDS));
    measure(criterion, "scc", || ScalableTable::new(RECORDS));
    measure(criterion, "sharded", || ShardedTable::new(RECORDS));
    measure(criterion, "one lock", || OneLockTable::new(RECORDS));
    measure(criterion, "lru and sharded", || CachedTable::new(RECORDS));
}

criterion_group!(benches, tables);
criterion_main!(benches);
