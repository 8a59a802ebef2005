//! What several clients saw over a network that loses, doubles and reorders, of servers that are
//! stopped and killed, is right: without a near cache linearizable, with one no older than it
//! may be; and what a client said was not executed was not.
#![forbid(unsafe_code)]

#[path = "../common/mod.rs"]
mod common;
mod judge;
mod operation;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::{CacheConfig, Client, Config, Connection, Record, Results, Version};
use testkit::networks::Lossy;
use testkit::process::any_program;
use testkit::random::Random;
use testkit::relay::Relay;
use testkit::server::{Server, lasting_ports};

use common::executor::block_on;
use common::{ms, wait_until};
use judge::{Group, Judge, Restart};
use operation::{End, Operation};

const KEYS: u64 = 6;
/// Of each caller.
const STEPS: usize = 120;
/// Calls made together.
const BATCH: u64 = 5;
/// Some are shorter than a round trip, most shorter than the wait for a datagram that was lost.
const TIMEOUTS: [Duration; 4] = [ms(2), ms(20), ms(200), ms(10_000)];
/// A call that takes so much longer than it may hangs, however busy the machine is.
const SLACK: Duration = Duration::from_secs(20);

/// Who makes calls; a cache is shared by all who hold clones of a handle.
enum Caller {
    Driven(Box<Connection>),
    Handle(Client),
}

impl Caller {
    fn get(&mut self, timeout: Duration, awaits: bool, key: &[u8]) -> operation::Read {
        match self {
            Self::Driven(connection) => {
                connection.set_timeout(timeout);
                connection.get(key)
            }
            Self::Handle(client) => {
                let call = client.with_timeout(timeout).get(key);
                if awaits { block_on(call) } else { call.wait() }
            }
        }
    }

    fn put(
        &mut self,
        timeout: Duration,
        awaits: bool,
        key: &[u8],
        value: &[u8],
    ) -> operation::Written {
        match self {
            Self::Driven(connection) => {
                connection.set_timeout(timeout);
                connection.put(key, value)
            }
            Self::Handle(client) => {
                let call = client.with_timeout(timeout).put(key, value);
                if awaits { block_on(call) } else { call.wait() }
            }
        }
    }

    fn get_many(&mut self, timeout: Duration, keys: &[Vec<u8>]) -> Results<Option<Record>> {
        match self {
            Self::Driven(connection) => {
                connection.set_timeout(timeout);
                connection.get_many(keys)
            }
            Self::Handle(client) => {
                let read = client.with_timeout(timeout).get_many(keys).wait();
                read.unwrap_or_else(|error| vec![Err(error); keys.len()])
            }
        }
    }

    fn put_many(&mut self, timeout: Duration, records: &[(Vec<u8>, Vec<u8>)]) -> Results<Version> {
        match self {
            Self::Driven(connection) => {
                connection.set_timeout(timeout);
                connection.put_many(records)
            }
            Self::Handle(client) => {
                let written = client.with_timeout(timeout).put_many(records).wait();
                written.unwrap_or_else(|error| vec![Err(error); records.len()])
            }
        }
    }
}

/// What all callers of a run share.
struct Run {
    began: Instant,
    steps: AtomicUsize,
    operations: Mutex<Vec<Operation>>,
}

impl Run {
    fn now_ns(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    fn key(number: u64) -> Vec<u8> {
        format!("key {number}").into_bytes()
    }

    /// Makes calls, and notes what they came to.
    fn call(&self, mut caller: Caller, number: usize, group: usize, mut random: Random) {
        for step in 0..STEPS {
            let timeout = TIMEOUTS[random.index(TIMEOUTS.len())];
            let (is_write, is_many) = (random.happens(45), random.happens(20));
            let count = if is_many { 1 + random.below(BATCH) } else { 1 };
            let keys: Vec<_> = (0..count).map(|_| Self::key(random.below(KEYS))).collect();
            let value = |place| {
                let padding = "x".repeat(random.index(500));
                format!("{number} {step} {place} {padding}").into_bytes()
            };
            let records: Vec<_> = keys.iter().cloned().zip((0..count).map(value)).collect();
            let start_ns = self.now_ns();
            let awaits = step % 2 == 0;
            let ends: Vec<End> = match (is_write, is_many) {
                (false, false) => vec![End::of_read(caller.get(timeout, awaits, &keys[0]))],
                (false, true) => {
                    caller.get_many(timeout, &keys).into_iter().map(End::of_read).collect()
                }
                (true, false) => {
                    let (key, value) = &records[0];
                    vec![End::of_write(caller.put(timeout, awaits, key, value), value)]
                }
                (true, true) => {
                    let written = caller.put_many(timeout, &records);
                    let values = records.iter().map(|(_, value)| value);
                    written.into_iter().zip(values).map(|(w, v)| End::of_write(w, v)).collect()
                }
            };
            let end_ns = self.now_ns();
            let took = Duration::from_nanos(end_ns - start_ns);
            assert!(took <= timeout + SLACK, "a call of {timeout:?} took {took:?}");
            assert_eq!(ends.len(), keys.len());
            let seen = keys.into_iter().zip(ends).map(|(key, end)| Operation {
                caller: number,
                group,
                key: String::from_utf8(key).expect("it is text"),
                start_ns,
                end_ns,
                end,
            });
            self.operations.lock().expect("nobody panicked").extend(seen);
            self.steps.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Two servers behind a network that is lossy, and clients with these caches: of each a
/// connection and two threads with a handle.
fn run(name: &str, caches: &[Option<CacheConfig>]) {
    let any = any_program();
    let mut random = Random::for_test(name);
    let mut servers = [(); 2].map(|()| Server::start_on(lasting_ports(1), &any, &[]));
    let addresses = servers.each_ref().map(|server| server.address);
    let relay = Relay::start(&addresses, Lossy::new(random.split()));
    let run = Run {
        began: Instant::now(),
        steps: AtomicUsize::new(0),
        operations: Mutex::new(Vec::new()),
    };
    let mut judge = Judge::default();
    let all_steps = 3 * caches.len() * STEPS;
    thread::scope(|scope| {
        let mut number = 0;
        let mut spawn = |caller, group, random| {
            let (run, own) = (&run, number);
            number += 1;
            scope.spawn(move || run.call(caller, own, group, random));
        };
        for &cache in caches {
            let mut config = Config::default().with_connect_timeout(Duration::from_secs(60));
            config.cache = cache;
            let connection = Connection::connect_with(&relay.fronts, &config).unwrap();
            let client = Client::connect_with(&relay.fronts, &config).unwrap();
            let max_age = cache.map(|cache| cache.max_age);
            let [driven, threads] = [(); 2].map(|()| judge.add_group(Group { max_age }));
            spawn(Caller::Driven(Box::new(connection)), driven, random.split());
            spawn(Caller::Handle(client.clone()), threads, random.split());
            spawn(Caller::Handle(client), threads, random.split());
        }
        // One server starts again in the middle, and both are stopped for a while, again and
        // again.
        let done = || run.steps.load(Ordering::Relaxed);
        for pause in 0..10 {
            let until = all_steps * (pause + 1) / 12;
            wait_until("they go on", || done() >= until);
            if pause == 3 || pause == 7 {
                let kill_ns = run.now_ns();
                servers[0].restart(&any, &[]);
                judge.restarted(Restart { server: 0, kill_ns, ready_ns: run.now_ns() });
            }
            let _stopped = servers[pause % 2].stop();
            thread::sleep(Duration::from_millis(random.below(60)));
        }
    });
    relay.stop().assert_it_was_lossy();
    let mut operations = run.operations.into_inner().expect("nobody panicked");
    operations.extend(last_reads(&addresses, run.began));
    judge.judge(name, operations);
}

/// What is there at the end, read without a network between.
fn last_reads(servers: &[SocketAddr], began: Instant) -> Vec<Operation> {
    let mut reader = Connection::connect(servers).unwrap();
    let now_ns = || began.elapsed().as_nanos() as u64;
    let read = (0..KEYS).map(|key| {
        let key = Run::key(key);
        let start_ns = now_ns();
        let end = End::of_read(reader.get(&key));
        let key = String::from_utf8(key).expect("it is text");
        Operation { caller: usize::MAX, group: usize::MAX, key, start_ns, end_ns: now_ns(), end }
    });
    read.collect()
}

#[test]
fn without_a_near_cache_histories_are_linearizable() {
    run("histories", &[None, None, None]);
}

#[test]
fn with_a_near_cache_own_writes_are_read_and_no_answer_is_too_old() {
    let cache = |age| Some(CacheConfig::new(100, age));
    run("cached-histories", &[cache(ms(20)), cache(ms(2000)), None]);
}
