//! What clients make of servers that change, misbehave, or are not what they seem.
#![forbid(unsafe_code)]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use client::{CacheConfig, Client, Config, Connection, Error, Source, Why};
use proto::pack;
use proto::unpack;
use proto::wire::{HEADER_BYTES, Header, Kind, Reason};
use testkit::networks::Filter;
use testkit::process::any_program;
use testkit::random::Random;
use testkit::relay::{Direction, Network, Passage, Relay};
use testkit::server::{Server, lasting_ports};

use common::{connection, handle, ms, start, wait_until};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = ms(50);

// -------------------------------------------------------------------- other lives

#[test]
fn a_server_that_starts_again_with_other_workers_is_followed() {
    let any = any_program();
    let mut server = Server::start_on(lasting_ports(4), &any, &["--cores", "2"]);
    let mut connection = connection(server.address, LONG);
    let client = handle(server.address, LONG);
    let keys: Vec<_> = (0..500_u32).map(u32::to_be_bytes).collect();
    let records: Vec<_> = keys.iter().map(|key| (key, b"value")).collect();
    for workers in [4, 1, 3, 2, 4] {
        server.restart(&any, &["--cores", &workers.to_string()]);
        // A read tells whether the session lives; writes of one that does not are indeterminate.
        assert!(connection.get_many(&keys).iter().all(|read| *read == Ok(None)));
        assert!(client.get_many(&keys).wait().unwrap().iter().all(|read| *read == Ok(None)));
        assert!(connection.put_many(&records).iter().all(Result::is_ok), "{workers} workers");
        let read = client.get_many(&keys).wait().unwrap();
        assert!(read.iter().all(|read| matches!(read, Ok(Some(_)))), "{workers} workers");
        wait_until("each worker is met", || {
            let pings = [connection.ping().unwrap(), client.ping().wait().unwrap()];
            pings.iter().all(|pings| {
                pings.len() == workers && pings.iter().all(|ping| ping.round_trip.is_ok())
            })
        });
    }
}

#[test]
fn another_life_of_a_server_empties_the_near_cache() {
    let any = any_program();
    let mut server = Server::start_on(lasting_ports(1), &any, &[]);
    let config = Config::default().with_timeout(LONG).with_cache(CacheConfig::new(100, LONG));
    let client = Client::connect_with(&[server.address], &config).unwrap();
    client.put(b"key", b"value").wait().unwrap();
    let is_cached = || {
        let read = client.get(b"key").wait().unwrap();
        read.is_some_and(|record| record.source == Source::Cache)
    };
    wait_until("it is cached", is_cached);
    server.restart(&any, &[]);
    assert!(is_cached(), "nobody knows yet");
    assert_eq!(client.get(b"other").wait(), Ok(None), "an answer of the new life");
    assert_eq!(client.get(b"key").wait(), Ok(None));
}

// -------------------------------------------------------------------- hostile answers

/// A relay that does something to what comes from the server, while it is told to; and counts
/// what is sent to it.
fn relay_to_client(
    server: SocketAddr,
    mut change: impl FnMut(&mut Passage) + Send + 'static,
) -> (Relay<impl Network>, Arc<AtomicBool>, Arc<AtomicU64>) {
    let (changes, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (told, count) = (changes.clone(), sent.clone());
    let filter = move |passage: &mut Passage| {
        if passage.direction == Direction::ToServer {
            count.fetch_add(1, Ordering::Relaxed);
        } else if told.load(Ordering::Relaxed) {
            change(passage);
        }
        true
    };
    (Relay::start(&[server], Filter(filter)), changes, sent)
}

/// Requires that calls end in their time, whatever they come to, and that all is well once the
/// server behaves.
fn bears(relay: &Relay<impl Network>, changes: &AtomicBool) {
    let mut connection = connection(relay.fronts[0], SHORT);
    let client = handle(relay.fronts[0], SHORT);
    changes.store(true, Ordering::Relaxed);
    let keys: Vec<_> = (0..100_u32).map(u32::to_be_bytes).collect();
    for round in 0..40_u32 {
        let began = Instant::now();
        let _ = connection.get(&round.to_be_bytes());
        let _ = client.put(&round.to_be_bytes(), &[7; 100]).wait();
        let _ = connection.get_many(&keys);
        let _ = client.get_many(&keys).wait();
        let _ = (connection.stats(), client.ping().wait());
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
    let began = Instant::now();
    drop(Connection::connect_with(&relay.fronts, &Config::default().with_connect_timeout(SHORT)));
    drop(Client::connect_with(&relay.fronts, &Config::default().with_connect_timeout(SHORT)));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    changes.store(false, Ordering::Relaxed);
    connection.set_timeout(LONG);
    wait_until("the connection is of use", || connection.put(b"key", b"value").is_ok());
    wait_until("the handle is of use", || client.put(b"key", b"value").wait().is_ok());
    assert_eq!(connection.get(b"key").unwrap().unwrap().value, &b"value"[..]);
}

#[test]
fn answers_with_damage_that_their_checksums_do_not_show_are_borne() {
    let mut random = Random::for_test("damaged answers");
    let server = start(&[]);
    let (relay, changes, _) = relay_to_client(server.address, move |passage| {
        if random.happens(50) {
            for _ in 0..=random.index(4) {
                let length = passage.bytes.len();
                passage.bytes[random.index(length)] ^= 1 << random.index(8);
            }
            if random.happens(10) {
                passage.bytes.truncate(HEADER_BYTES + random.index(20));
            }
            let header = unpack::unchecked_header(&passage.bytes);
            pack::seal(&mut passage.bytes, header);
        }
    });
    bears(&relay, &changes);
}

#[test]
fn answers_of_any_bytes_and_of_others_are_borne() {
    let mut random = Random::for_test("any answers");
    let mut earlier: Vec<Vec<u8>> = Vec::new();
    let server = start(&[]);
    let (relay, changes, _) = relay_to_client(server.address, move |passage| {
        earlier.push(passage.bytes.clone());
        passage.bytes = match random.index(4) {
            0 => return,
            1 => {
                let length = random.index(3000);
                random.bytes(length)
            }
            // Of another session or time.
            _ => earlier[random.index(earlier.len())].clone(),
        };
    });
    bears(&relay, &changes);
}

#[test]
fn refusals_without_end_are_borne_and_do_not_make_a_storm() {
    let server = start(&[]);
    // Sessions open, and are forgotten with the first request.
    let (relay, changes, sent) = relay_to_client(server.address, |passage| {
        let (kind, header) = unpack::header(&passage.bytes).expect("the server's own");
        if kind == Kind::Reply {
            let mut refusal = Header::new(Kind::Refuse, header.session, header.sequence);
            refusal.flags = Reason::UnknownSession as u8;
            pack::bare(&mut passage.bytes, refusal);
        }
    });
    let client = handle(relay.fronts[0], ms(1000));
    let mut connection = connection(relay.fronts[0], ms(1000));
    changes.store(true, Ordering::Relaxed);
    let before = sent.load(Ordering::Relaxed);
    for read in [connection.get(b"key"), client.get(b"key").wait()] {
        let error = read.unwrap_err();
        let is_right = matches!(error, Error::Unanswered(Why::Deadline) | Error::NoServer { .. });
        assert!(is_right, "{error}");
    }
    let sent = sent.load(Ordering::Relaxed) - before;
    assert!(sent < 200, "{sent} datagrams in two seconds");
    bears(&relay, &changes);
}

#[test]
fn datagrams_of_strangers_are_passed_over() {
    let server = start(&[]);
    let addresses = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = addresses.clone();
    let relay = Relay::start(
        &[server.address],
        Filter(move |passage: &mut Passage| {
            seen.lock().expect("nobody panicked").push(passage.client);
            true
        }),
    );
    let mut connection = connection(relay.fronts[0], LONG);
    connection.put(b"key", b"value").unwrap();
    let at = addresses.lock().unwrap()[0];
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut refusal = Vec::new();
    for session in 0..1000 {
        let mut header = Header::new(Kind::Refuse, session, 1);
        header.flags = Reason::UnknownSession as u8;
        pack::bare(&mut refusal, header);
        stranger.send_to(&refusal, at).unwrap();
        stranger.send_to(&refusal[..9], at).unwrap();
    }
    assert_eq!(connection.get(b"key").unwrap().unwrap().value, &b"value"[..]);
    assert_eq!(common::counter(&mut connection, "sessions_opened"), 1);
}
