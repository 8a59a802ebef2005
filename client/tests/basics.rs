//! What a connection and a handle do with a server that answers.
#![forbid(unsafe_code)]

use std::thread;
use std::time::Duration;

use client::{
    Answer, CacheConfig, Client, Config, Connection, Error, Record, Results, Source, TooLarge,
};
use testkit::process::any_program;
use testkit::server::Server;

fn start() -> Server {
    Server::start(&any_program(), &["--cores", "2"])
}

#[test]
fn a_connection_reads_what_it_wrote() {
    let server = start();
    let mut connection = Connection::connect(&[server.address]).unwrap();
    assert_eq!(connection.get(b"key"), Ok(None));
    let first = connection.put(b"key", b"one").unwrap();
    let second = connection.put(b"key", b"two").unwrap();
    assert_eq!(first.incarnation(), second.incarnation());
    assert!(first.number() < second.number());
    let record = connection.get(b"key").unwrap().unwrap();
    assert_eq!((&record.value[..], record.version), (&b"two"[..], second));
    assert_eq!(record.source, Source::Server);
}

#[test]
fn many_are_answered_in_the_order_of_their_calls() {
    let server = start();
    let mut connection = Connection::connect(&[server.address]).unwrap();
    let records: Vec<_> = (0..20_000_u64).map(|n| (n.to_be_bytes(), n.to_le_bytes())).collect();
    assert!(connection.put_many(&records).iter().all(Result::is_ok));
    let keys: Vec<_> = (0..20_001_u64).map(u64::to_be_bytes).collect();
    let read = connection.get_many(&keys);
    for (n, record) in read.iter().take(20_000).enumerate() {
        let record = record.as_ref().unwrap().as_ref().unwrap();
        assert_eq!(record.value, &(n as u64).to_le_bytes()[..]);
    }
    assert_eq!(read[20_000], Ok(None));
    let mut pipeline = connection.pipeline();
    pipeline.get(&7_u64.to_be_bytes());
    pipeline.put(b"", b"no key");
    pipeline.put(b"other", b"value");
    let answers = pipeline.run();
    assert!(matches!(answers[0], Ok(Answer::Found(_))));
    let what = TooLarge::Key { bytes: 0, max: 512 };
    assert_eq!(answers[1], Err(Error::TooLarge { what }));
    assert!(matches!(answers[2], Ok(Answer::Stored(_))));
}

#[test]
fn a_handle_is_shared_by_threads() {
    let server = start();
    let client = Client::connect(&[server.address]).unwrap();
    thread::scope(|scope| {
        for thread in 0..8_u64 {
            let client = client.clone();
            scope.spawn(move || {
                for n in 0..200_u64 {
                    let key = (thread << 32 | n).to_be_bytes();
                    client.put(&key, &key).wait().unwrap();
                    assert_eq!(client.get(&key).wait().unwrap().unwrap().value, &key[..]);
                }
            });
        }
    });
    let keys: Vec<_> = (0..200_u64).map(u64::to_be_bytes).collect();
    let read = client.get_many(&keys).wait().unwrap();
    assert!(read.iter().all(|record| matches!(record, Ok(Some(_)))));
}

#[test]
fn each_worker_tells_its_counters_and_answers_a_ping() {
    let server = start();
    let mut connection = Connection::connect(&[server.address]).unwrap();
    connection.put(b"key", b"value").unwrap();
    let client = Client::connect(&[server.address]).unwrap();
    for stats in [connection.stats().unwrap(), client.stats().wait().unwrap()] {
        let ports: Vec<_> = stats.iter().map(|stats| stats.worker.port()).collect();
        assert_eq!(ports, [server.address.port(), server.address.port() + 1]);
        let counters = stats.iter().map(|stats| stats.counters.as_ref().unwrap());
        let puts: u64 = counters.filter_map(|counters| counters.get("puts")).sum();
        assert_eq!(puts, 1);
    }
    for pings in [connection.ping().unwrap(), client.ping().wait().unwrap()] {
        assert_eq!(pings.len(), 2);
        assert!(pings.iter().all(|ping| ping.round_trip.is_ok()));
    }
}

#[test]
fn many_reads_are_answered_from_the_near_cache_where_it_can() {
    let server = start();
    let cache = CacheConfig::new(1000, Duration::from_secs(60));
    let config = Config::default().with_cache(cache);
    let client = Client::connect_with(&[server.address], &config).unwrap();
    let mut connection = Connection::connect_with(&[server.address], &config).unwrap();
    let keys: Vec<_> = (0..10_u64).map(u64::to_be_bytes).collect();
    let records: Vec<_> = keys.iter().map(|key| (key, b"value")).collect();
    client.put_many(&records).wait().unwrap();
    // What is sent in the moment of the answer is not kept: this one is, and the others later.
    client.get(b"another").wait().unwrap();
    let mut read = |keys: &[[u8; 8]]| {
        let sources = |results: Results<Option<Record>>| -> Vec<_> {
            results.into_iter().map(|result| result.unwrap().unwrap().source).collect()
        };
        [sources(client.get_many(keys).wait().unwrap()), sources(connection.get_many(keys))]
    };
    for sources in read(&keys[..5]) {
        assert_eq!(sources, [Source::Server; 5]);
    }
    // What is read in the very round in which a write was answered is not kept.
    while read(&keys[..5]).concat() != [Source::Cache; 10] {}
    for sources in read(&keys) {
        assert_eq!(sources[..5], [Source::Cache; 5]);
        assert_eq!(sources[5..], [Source::Server; 5]);
    }
}
