//! What a near cache answers, and what it must not.
#![forbid(unsafe_code)]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use client::{CacheConfig, Client, Config, Connection, Error, Record, Source, Why};
use testkit::networks::WithoutAnswersToWrites;
use testkit::relay::Relay;

use common::{connection, counter, ms, start, wait_until};

const LONG: Duration = Duration::from_secs(60);
const READERS: u64 = 4;

fn config(max_age: Duration) -> Config {
    Config::default().with_timeout(LONG).with_cache(CacheConfig::new(1000, max_age))
}

fn cached_handle(server: SocketAddr, max_age: Duration) -> Client {
    Client::connect_with(&[server], &config(max_age)).unwrap()
}

fn source(read: Result<Option<Record>, Error>) -> Source {
    read.unwrap().unwrap().source
}

fn wait_until_cached(client: &Client) {
    wait_until("it is cached", || source(client.get(b"key").wait()) == Source::Cache);
}

#[test]
fn reads_are_answered_from_the_cache_of_a_handle_and_of_its_clones_alone() {
    let server = start(&[]);
    let client = cached_handle(server.address, LONG);
    let (clone, other) = (client.with_timeout(ms(5000)), cached_handle(server.address, LONG));
    client.put(b"key", b"value").wait().unwrap();
    wait_until_cached(&client);
    assert_eq!(source(clone.get(b"key").wait()), Source::Cache);
    assert_eq!(source(clone.get_many(&[b"key"]).wait().unwrap().remove(0)), Source::Cache);
    assert_eq!(source(other.get(b"key").wait()), Source::Server);
    let mut connection = Connection::connect_with(&[server.address], &config(LONG)).unwrap();
    assert_eq!(source(connection.get(b"key")), Source::Server);
    assert_eq!(source(connection.get(b"key")), Source::Cache);
    let asked = counter(&mut connection, "gets");
    assert_eq!(source(connection.get_many(&[b"key"]).remove(0)), Source::Cache);
    assert_eq!(source(client.get_many(&[b"key"]).wait().unwrap().remove(0)), Source::Cache);
    assert_eq!(counter(&mut connection, "gets"), asked, "none were asked of the server");
}

#[test]
fn an_answer_grows_old_from_the_call_that_read_it() {
    let server = start(&[]);
    let client = cached_handle(server.address, ms(200));
    client.put(b"key", b"value").wait().unwrap();
    let mut called = Instant::now();
    // A read that is sent in the moment of the write's answer is not kept.
    wait_until("it is cached", || {
        let before = Instant::now();
        let source = source(client.get(b"key").wait());
        if source == Source::Server {
            called = before;
        }
        source == Source::Cache
    });
    wait_until("it is too old", || source(client.get(b"key").wait()) == Source::Server);
    assert!(called.elapsed() >= ms(200), "{:?}", called.elapsed());
}

#[test]
fn who_writes_reads_the_write_even_without_a_wait_for_it() {
    let server = start(&[]);
    let client = cached_handle(server.address, LONG);
    let mut other = connection(server.address, LONG);
    for round in 0..500_u32 {
        let value = round.to_be_bytes();
        let write = client.put(b"key", &value);
        // Concurrent with the write: the one before, or this. But not from the cache.
        let read = client.get(b"key").wait().unwrap();
        assert!(read.is_none_or(|read| read.source == Source::Server));
        let version = write.wait().unwrap();
        let read = client.get(b"key").wait().unwrap().unwrap();
        assert_eq!((&read.value[..], read.version), (&value[..], version));
        // Somebody else's is read once the cache has forgotten, or was never told.
        if round % 100 == 0 {
            other.put(b"key", b"of another").unwrap();
        }
    }
}

#[test]
fn clones_in_many_threads_never_read_what_was_before_a_write_that_was_answered() {
    let server = start(&["--cores", "2"]);
    let client = cached_handle(server.address, LONG);
    let latest = Arc::new(AtomicU64::new(0));
    client.put(b"key", &0_u64.to_be_bytes()).wait().unwrap();
    let (is_over, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let read = |_| {
            let (client, latest) = (client.clone(), latest.clone());
            let (is_over, reads) = (&is_over, &reads);
            scope.spawn(move || {
                let mut from_cache = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    let before = latest.load(Ordering::SeqCst);
                    let read = client.get(b"key").wait().unwrap().unwrap();
                    let value = u64::from_be_bytes(read.value[..].try_into().unwrap());
                    assert!(value >= before, "{value} after {before}, from {:?}", read.source);
                    from_cache += u64::from(read.source == Source::Cache);
                    reads.fetch_add(1, Ordering::Relaxed);
                }
                assert!(from_cache > 0, "or this shows nothing");
            })
        };
        let readers: Vec<_> = (0..READERS).map(read).collect();
        for value in 1..=1000_u64 {
            client.put(b"key", &value.to_be_bytes()).wait().unwrap();
            latest.store(value, Ordering::SeqCst);
            // Reads have their turn in between.
            let enough = reads.load(Ordering::Relaxed) + READERS;
            let has_failed = || readers.iter().any(ScopedJoinHandle::is_finished);
            while reads.load(Ordering::Relaxed) < enough && !has_failed() {
                thread::yield_now();
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn nothing_is_cached_of_a_key_whose_write_is_indeterminate_until_that_is_answered() {
    let server = start(&[]);
    let loses = Arc::new(AtomicBool::new(false));
    let network = WithoutAnswersToWrites::new(loses.clone());
    let relay = Relay::start(&[server.address], network);
    let client = cached_handle(relay.fronts[0], LONG);
    let mut driven = Connection::connect_with(&relay.fronts, &config(LONG)).unwrap();
    client.put(b"key", b"before").wait().unwrap();
    loses.store(true, Ordering::Relaxed);
    let indeterminate = Err(Error::Indeterminate(Why::Deadline));
    let late = client.with_timeout(ms(20)).put(b"key", b"late");
    assert_eq!(late.wait(), indeterminate);
    driven.set_timeout(ms(20));
    assert_eq!(driven.put(b"key", b"late too"), indeterminate);
    driven.set_timeout(LONG);
    for _ in 0..50 {
        assert_eq!(source(client.get(b"key").wait()), Source::Server);
        assert_eq!(source(driven.get(b"key")), Source::Server);
    }
    loses.store(false, Ordering::Relaxed);
    wait_until_cached(&client);
    wait_until("it is cached", || source(driven.get(b"key")) == Source::Cache);
}
