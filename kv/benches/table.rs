//! What the table costs without a network: groups of look-ups, and writes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kv::table::{Choice, Table};
use proto::limits::LOOKUP_GROUP_MAX;
use proto::store::Store as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: u64 = 1_000_000;
const VALUE: [u8; 128] = [7; 128];

/// Keys in an order that no cache foresees (a full-period linear congruence).
fn next_key(key: &mut u64) -> [u8; 8] {
    *key = key.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    ((*key >> 20) % RECORDS).to_be_bytes()
}

fn table(criterion: &mut Criterion) {
    for choice in [Choice::Bucket, Choice::Papaya] {
        let table = Table::new(choice, RECORDS as usize, 1 << 32);
        for key in 0..RECORDS {
            (&table).put(&key.to_be_bytes(), &VALUE).expect("there is room");
        }
        let mut group = criterion.benchmark_group(format!("{choice:?}, 1 M records of 8 + 128 B"));
        let mut key = 1;
        group.throughput(Throughput::Elements(LOOKUP_GROUP_MAX as u64));
        group.bench_function("get, a group of uniform keys", |bencher| {
            bencher.iter(|| {
                let keys: [[u8; 8]; LOOKUP_GROUP_MAX] = std::array::from_fn(|_| next_key(&mut key));
                let keys: [&[u8]; LOOKUP_GROUP_MAX] = std::array::from_fn(|index| &keys[index][..]);
                let mut sum = 0;
                (&table).get(&keys, |_, record| {
                    let value: [u8; 128] = record.unwrap().value.try_into().unwrap();
                    sum += usize::from(black_box(value)[0]);
                });
                sum
            });
        });
        group.throughput(Throughput::Elements(1));
        group.bench_function("put, overwriting", |bencher| {
            bencher.iter(|| (&table).put(&next_key(&mut key), &VALUE).unwrap());
        });
    }
}

criterion_group!(benches, table);
criterion_main!(benches);
