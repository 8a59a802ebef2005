//! What one operation costs to make up; the generator's thread has this as its floor.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use generator::record::{KeyFormat, ValueFormat};
use generator::workload::{Mix, StreamRandom, Workload};
use generator::zipf::Zipf;
use history::operation::ValueId;
use rand::{Rng, SeedableRng};
use rand_pcg::Mcg128Xsl64;

const RECORDS: u64 = 1_000_000;
const THETA: f64 = 0.99;

/// Draws of one iteration: enough to hide what the measuring itself costs.
const DRAWS: u64 = 1024;

fn samples(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sample");
    group.throughput(Throughput::Elements(DRAWS));
    for (name, theta) in [("zipf", THETA), ("uniform", 0.0)] {
        let zipf = Zipf::new(RECORDS, theta).unwrap();
        let mut random = Mcg128Xsl64::seed_from_u64(1);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for _ in 0..DRAWS {
                    black_box(zipf.sample(|| random.next_u64()));
                }
            });
        });
    }
    group.finish();
}

fn operations(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("next");
    group.throughput(Throughput::Elements(DRAWS));
    let zipf = Arc::new(Zipf::new(RECORDS, THETA).unwrap());
    for mix in Mix::ALL {
        let workload = Workload::new(mix, zipf.clone());
        let mut random = StreamRandom::new(1, 0, 0);
        group.bench_function(mix.name(), |bencher| {
            bencher.iter(|| {
                for _ in 0..DRAWS {
                    // One by one: as a whole, it would be written and read back.
                    let operation = workload.next(&mut random);
                    black_box(operation.key);
                    black_box(operation.write);
                }
            });
        });
    }
    group.finish();
}

fn bytes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bytes");
    group.throughput(Throughput::Elements(DRAWS));

    let keys = KeyFormat::new(8, RECORDS).unwrap();
    let mut buffer = [0; proto::limits::KEY_BYTES_MAX];
    group.bench_function("key_8", |bencher| {
        bencher.iter(|| {
            for record in 0..DRAWS {
                black_box(keys.write(black_box(record), &mut buffer));
            }
        });
    });

    let values = ValueFormat::new(128);
    let mut value = [0; 128];
    group.bench_function("value_128", |bencher| {
        bencher.iter(|| {
            for counter in 0..DRAWS {
                values.fill(&mut value, ValueId { writer: 1, counter });
                black_box(&value);
            }
        });
    });
    group.finish();
}

fn table(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("table");
    group.sample_size(10);
    group.bench_function("build", |bencher| {
        bencher.iter_batched(
            || (RECORDS, THETA),
            |(records, theta)| Zipf::new(records, theta),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, samples, operations, bytes, table);
criterion_main!(benches);
