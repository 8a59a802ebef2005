//! The client library beside a bare echo, the generator, and the `redis` crate with Redis:
//! `cargo bench -p tools --features beside-redis --bench clients -- [ROUNDS] [SECS]`.
//!
//! All take their turns in each round, so that what the machine does meanwhile meets them
//! alike. One core is the server's; a driven connection, the generator and the echo have
//! another to themselves.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "it is all for who runs it")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use client::{Client, Connection};
use generator::record::KeyFormat;
use generator::zipf::Zipf;
use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use tools::bench::baselines::Baseline;
use tools::bench::echo;
use tools::bench::generator::GeneratorProgram;
use tools::bench::processes::{StopSignal, ours};
use tools::bench::servers::{Kv, RunningServer};
use udp::pin::{allowed_cores, pin_to};

const RECORDS: u64 = 100_000;
const KEY_BYTES: usize = 8;
const VALUE_BYTES: usize = 128;
type Key = [u8; KEY_BYTES];
const THETA: f64 = 0.99;
/// Futures, and threads, that call at the same time.
const CALLERS: usize = 64;
/// Keys of one `get_many`.
const BATCH: usize = 1000;
/// Before what is measured.
const WARMUP: Duration = Duration::from_millis(200);

/// Everything that is measured, and what it is measured with.
struct Bench {
    kv: RunningServer,
    redis: RunningServer,
    generator: GeneratorProgram,
    keys: Vec<Vec<u8>>,
    cores: (usize, usize),
    measure: Duration,
    stop: StopSignal,
}

type Measure = fn(&Bench) -> Result<f64>;

/// A row of what is measured.
struct Row {
    name: &'static str,
    unit: &'static str,
    measure: Measure,
    /// Whether it calls from threads of this process.
    calls: bool,
}

impl Row {
    const fn of(name: &'static str, unit: &'static str, measure: Measure) -> Self {
        Self { name, unit, measure, calls: false }
    }

    const fn of_callers(name: &'static str, unit: &'static str, measure: Measure) -> Self {
        Self { calls: true, ..Self::of(name, unit, measure) }
    }

    fn measure(&self, bench: &Bench) -> Result<f64> {
        if self.calls { bench.call(self.measure) } else { (self.measure)(bench) }
    }
}

const ECHO: usize = 0;
const ONE_GET: usize = 1;
const GENERATOR: usize = 2;
const GET_MANY: usize = 3;
const FUTURES: usize = 4;
const REDIS_FUTURES: usize = 5;
const THREADS: usize = 6;
const REDIS_THREADS: usize = 7;

const ROWS: [Row; 8] = [
    Row::of("a bare echo", "us", Bench::echo),
    Row::of_callers("one GET, driven connection", "us", Bench::one_get),
    Row::of("gen, YCSB-C", "op/s", Bench::generator),
    Row::of_callers("get_many of 1000, driven connection", "op/s", Bench::get_many),
    Row::of_callers("64 futures, one handle", "op/s", Bench::futures),
    Row::of_callers("64 futures, redis multiplexed", "op/s", Bench::redis_futures),
    Row::of_callers("64 threads, one handle", "op/s", Bench::threads),
    Row::of_callers("64 threads, redis multiplexed", "op/s", Bench::redis_threads),
];

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|text| text != "--bench").collect();
    let number = |at: usize, otherwise: f64| {
        arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    };
    let (rounds, secs) = (number(0, 5.0) as usize, number(1, 1.0));
    let only = arguments.get(2).map_or("", String::as_str);
    let folder = tempfile::tempdir()?;
    let bench = Bench::start(folder.path(), Duration::from_secs_f64(secs))?;
    let mut figures: [Vec<f64>; ROWS.len()] = Default::default();
    for round in 1..=rounds {
        println!("round {round} of {rounds}");
        for (row, figures) in ROWS.iter().zip(&mut figures) {
            if row.name.contains(only) {
                let figure = row.measure(&bench)?;
                println!("  {}: {figure:.1} {}", row.name, row.unit);
                figures.push(figure);
            }
        }
    }
    println!("medians of {rounds} rounds of {secs} s:");
    for (row, figures) in ROWS.iter().zip(&figures) {
        if let Some(median) = median(figures) {
            println!("  {}: {median:.1} {}", row.name, row.unit);
        }
    }
    for (what, part, whole, wanted) in [
        ("one GET over the echo", ONE_GET, ECHO, "at most 1.15"),
        ("get_many over gen", GET_MANY, GENERATOR, "at least 0.4"),
        ("futures over those of redis", FUTURES, REDIS_FUTURES, "at least 5"),
        ("threads over those of redis", THREADS, REDIS_THREADS, "no figure"),
    ] {
        let pairs = figures[part].iter().zip(&figures[whole]);
        let ratios: Vec<_> = pairs.map(|(part, whole)| part / whole).collect();
        if let Some(median) = median(&ratios) {
            println!("{what}: {median:.2} (wanted: {wanted})");
        }
    }
    Ok(())
}

fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

impl Bench {
    fn start(folder: &Path, measure: Duration) -> Result<Self> {
        let cores = allowed_cores();
        let cores = (cores[0], cores[cores.len() - 1]);
        let stop = StopSignal::on_signals()?;
        let kv = Kv {
            program: ours("kv", Some(&beside("kv")?))?,
            table: None,
            records: RECORDS,
            value_size: VALUE_BYTES as u64,
            window: None,
            core: Some(cores.0),
        };
        let kv = kv.start("kv", &folder.join("kv.log"), &stop)?;
        let program = Baseline::Redis.find().with_context(|| Baseline::Redis.absent())?;
        let redis = Baseline::Redis.start(&program, cores.0, RECORDS * 256, folder, &stop)?;
        let generator = GeneratorProgram::new(ours("gen", Some(&beside("gen")?))?, stop.clone())?;
        let format = KeyFormat::new(KEY_BYTES, RECORDS)?;
        let mut buffer = [0; 512];
        let keys = (0..RECORDS).map(|record| format.write(record, &mut buffer).to_vec()).collect();
        let bench = Self { kv, redis, generator, keys, cores, measure, stop };
        bench.load()?;
        Ok(bench)
    }

    /// The same records into both stores.
    fn load(&self) -> Result<()> {
        let records: Vec<_> = self.keys.iter().map(|key| (key, [7; VALUE_BYTES])).collect();
        let mut connection = Connection::connect(&[self.kv_address()?])?;
        for records in records.chunks(10_000) {
            connection.put_many(records).into_iter().collect::<Result<Vec<_>, _>>()?;
        }
        let mut redis = redis::Client::open(self.redis_url())?.get_connection()?;
        for records in records.chunks(10_000) {
            let mut pipeline = redis::pipe();
            for (key, value) in records {
                pipeline.set(key.as_slice(), &value[..]).ignore();
            }
            pipeline.query::<()>(&mut redis)?;
        }
        Ok(())
    }

    fn kv_address(&self) -> Result<SocketAddr> {
        Ok(self.kv.address.parse()?)
    }

    fn redis_url(&self) -> String {
        format!("redis://{}/", self.redis.address)
    }

    /// The keys in the order in which one caller asks for them.
    fn draws(&self, seed: u64) -> impl Iterator<Item = &[u8]> + Clone {
        let zipf = Zipf::new(RECORDS, THETA).expect("sound bounds");
        let mut random = SmallRng::seed_from_u64(seed);
        let draws: Vec<_> =
            (0..1 << 14).map(|_| zipf.sample(|| random.next_u64()) as usize).collect();
        draws
            .into_iter()
            .map(|record| self.keys[record].as_slice())
            .collect::<Vec<_>>()
            .into_iter()
            .cycle()
    }

    /// The median time of a round trip, in microseconds.
    fn echo(&self) -> Result<f64> {
        Ok(echo::round_trips(WARMUP, self.measure, self.cores, &self.stop)?.p50_us)
    }

    /// The median time of one GET, in microseconds.
    fn one_get(&self) -> Result<f64> {
        let mut connection = Connection::connect(&[self.kv_address()?])?;
        let mut taken_ns = Histogram::<u64>::new(3)?;
        let begin = Instant::now();
        for key in self.draws(1) {
            let start = Instant::now();
            connection.get(key)?.context("it was loaded")?;
            if begin.elapsed() > WARMUP {
                taken_ns.record(start.elapsed().as_nanos() as u64)?;
            }
            if begin.elapsed() > WARMUP + self.measure {
                break;
            }
        }
        Ok(taken_ns.value_at_quantile(0.5) as f64 / 1000.0)
    }

    fn get_many(&self) -> Result<f64> {
        let mut connection = Connection::connect(&[self.kv_address()?])?;
        let mut draws = self.draws(2);
        let mut counted = 0;
        let mut begin = Instant::now();
        let mut is_warm = false;
        loop {
            let keys: Vec<_> = draws.by_ref().take(BATCH).collect();
            for record in connection.get_many(&keys) {
                counted += u64::from(record?.is_some());
            }
            if !is_warm && begin.elapsed() > WARMUP {
                (is_warm, counted, begin) = (true, 0, Instant::now());
            }
            if is_warm && begin.elapsed() > self.measure {
                return Ok(counted as f64 / begin.elapsed().as_secs_f64());
            }
        }
    }

    fn generator(&self) -> Result<f64> {
        let secs = self.measure.as_secs_f64().to_string();
        let (records, value_size) = (RECORDS.to_string(), VALUE_BYTES.to_string());
        let warmup = WARMUP.as_secs_f64().to_string();
        let arguments = [
            ["--servers", &self.kv.address],
            ["--workload", "ycsb-c"],
            ["--records", &records],
            ["--value-size", &value_size],
            ["--warmup", &warmup],
            ["--secs", &secs],
        ];
        let arguments: Vec<_> = arguments.as_flattened().iter().map(|&text| text.into()).collect();
        Ok(self.generator.run(&arguments, &[])?.ops_per_s)
    }

    fn futures(&self) -> Result<f64> {
        let client = Client::connect(&[self.kv_address()?])?;
        self.run_futures(client, |client, key| {
            let read = client.get(&key);
            async { Ok(read.await?.is_some()) }
        })
    }

    fn redis_futures(&self) -> Result<f64> {
        let client = redis::Client::open(self.redis_url())?;
        let runtime = runtime()?;
        let connection = runtime.block_on(client.get_multiplexed_async_connection())?;
        self.run_futures_on(&runtime, connection, |connection, key| {
            let mut connection = connection.clone();
            async move { redis_get(&mut connection, &key).await }
        })
    }

    fn run_futures<C: Clone + Send + 'static, F>(
        &self,
        caller: C,
        get: impl Fn(&C, Key) -> F + Clone + Send + 'static,
    ) -> Result<f64>
    where
        F: Future<Output = Result<bool>> + Send,
    {
        let runtime = runtime()?;
        self.run_futures_on(&runtime, caller, get)
    }

    fn run_futures_on<C: Clone + Send + 'static, F>(
        &self,
        runtime: &tokio::runtime::Runtime,
        caller: C,
        get: impl Fn(&C, Key) -> F + Clone + Send + 'static,
    ) -> Result<f64>
    where
        F: Future<Output = Result<bool>> + Send,
    {
        let count = std::sync::Arc::new(AtomicU64::new(0));
        let is_over = std::sync::Arc::new(AtomicBool::new(false));
        let tasks: Vec<_> = (0..CALLERS as u64)
            .map(|seed| {
                let keys = self.draws(seed).take(1 << 12);
                let keys: Vec<Key> =
                    keys.map(|key| key.try_into().expect("a key's length")).collect();
                let (caller, get) = (caller.clone(), get.clone());
                let (count, is_over) = (count.clone(), is_over.clone());
                runtime.spawn(async move {
                    for key in keys.into_iter().cycle() {
                        if is_over.load(Ordering::Relaxed) {
                            break;
                        }
                        count.fetch_add(u64::from(get(&caller, key).await?), Ordering::Relaxed);
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        let rate = self.rate(&count);
        is_over.store(true, Ordering::Relaxed);
        for task in tasks {
            runtime.block_on(task)??;
        }
        Ok(rate)
    }

    fn threads(&self) -> Result<f64> {
        let client = Client::connect(&[self.kv_address()?])?;
        self.run_threads(|key| Ok(client.get(key).wait()?.is_some()))
    }

    fn redis_threads(&self) -> Result<f64> {
        let client = redis::Client::open(self.redis_url())?;
        let runtime = runtime()?;
        let connection = runtime.block_on(client.get_multiplexed_async_connection())?;
        self.run_threads(|key| {
            let mut connection = connection.clone();
            runtime.handle().block_on(redis_get(&mut connection, key))
        })
    }

    fn run_threads(&self, get: impl Fn(&[u8]) -> Result<bool> + Sync) -> Result<f64> {
        let (count, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let threads: Vec<_> = (0..CALLERS as u64)
                .map(|seed| {
                    let (count, is_over, get) = (&count, &is_over, &get);
                    scope.spawn(move || {
                        for key in self.draws(seed) {
                            if is_over.load(Ordering::Relaxed) {
                                break;
                            }
                            count.fetch_add(u64::from(get(key)?), Ordering::Relaxed);
                        }
                        anyhow::Ok(())
                    })
                })
                .collect();
            let rate = self.rate(&count);
            is_over.store(true, Ordering::Relaxed);
            for thread in threads {
                thread.join().expect("a caller does not panic")?;
            }
            Ok(rate)
        })
    }

    /// How fast a count grows, after a while.
    fn rate(&self, count: &AtomicU64) -> f64 {
        thread::sleep(WARMUP);
        let (before, begin) = (count.load(Ordering::Relaxed), Instant::now());
        thread::sleep(self.measure);
        (count.load(Ordering::Relaxed) - before) as f64 / begin.elapsed().as_secs_f64()
    }

    /// Runs a program that calls, with all its threads, on a core of its own: a server whose core
    /// others use too does not spin for a while, and what runs next is slower.
    fn call(&self, program: Measure) -> Result<f64> {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                // Unbound it is slower, and still says something.
                let _ = pin_to(self.cores.1);
                program(self)
            });
            thread.join().expect("it does not panic")
        })
    }
}

/// What runs futures: one thread.
fn runtime() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(1).enable_all().build()?)
}

async fn redis_get(connection: &mut MultiplexedConnection, key: &[u8]) -> Result<bool> {
    let value: Option<Vec<u8>> = connection.get(key).await?;
    Ok(value.is_some())
}

/// A program that was built like this bench.
fn beside(name: &str) -> Result<std::path::PathBuf> {
    let bench = std::env::current_exe()?;
    let folder = bench.parent().and_then(Path::parent).context("it is in a folder of a profile")?;
    Ok(folder.join(name))
}
