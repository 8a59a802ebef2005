//! Nobody's calls keep others waiting, and nothing leaves or is answered after its time.
#![forbid(unsafe_code)]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::{CacheConfig, Client, Config, Connection, Error, Source, Why};
use common::{connection, handle, ms, start};
use proto::placement::server_of;

/// Lets time pass: it is what the test is about.
fn pass(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        thread::sleep(time.saturating_sub(begin.elapsed()));
    }
}

#[test]
fn what_a_pipeline_has_not_sent_by_its_deadline_is_withdrawn() {
    let server = start(&[]);
    let mut connection = connection(server.address, ms(20));
    let mut pipeline = connection.pipeline();
    pipeline.put(b"early", b"value");
    pass(ms(30));
    pipeline.put(b"late", b"value");
    pipeline.get(b"key");
    let withdrawn = Err(Error::NotExecuted(Why::Deadline));
    assert_eq!(pipeline.run(), [withdrawn.clone(), withdrawn.clone(), withdrawn]);
    connection.set_timeout(Duration::from_secs(10));
    let read = connection.get_many(&["early", "late"]);
    assert_eq!(read, [Ok(None), Ok(None)]);
}

#[test]
fn what_a_dropped_pipeline_has_not_sent_is_never_sent() {
    let server = start(&[]);
    let mut connection = connection(server.address, Duration::from_secs(10));
    let mut pipeline = connection.pipeline();
    pipeline.put(b"key", b"value");
    drop(pipeline);
    assert_eq!(connection.get(b"other"), Ok(None));
    assert_eq!(connection.get(b"key"), Ok(None));
    assert_eq!(connection.stats().unwrap()[0].counters.as_ref().unwrap().get("puts"), None);
}

#[test]
fn a_pipeline_reads_from_the_near_cache_by_the_clock_of_each_read() {
    let server = start(&[]);
    let config = Config::default().with_timeout(Duration::from_secs(60));
    let config = config.with_cache(CacheConfig::new(10, ms(100)));
    let mut connection = Connection::connect_with(&[server.address], &config).unwrap();
    connection.put(b"key", b"value").unwrap();
    connection.get(b"key").unwrap();
    let mut pipeline = connection.pipeline();
    pass(ms(110));
    pipeline.get(b"key");
    let answers = pipeline.run();
    let Ok(client::Answer::Found(record)) = &answers[0] else { panic!("{answers:?}") };
    assert_eq!(record.source, Source::Server);
}

#[test]
fn calls_that_end_at_once_keep_nobody_elses_waiting() {
    let server = start(&[]);
    let client = handle(server.address, Duration::from_secs(10));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    assert!(client.get(&[0; 600]).wait().is_err());
                }
            });
        }
        let answered = (0..20).map(|_| client.get(b"key").wait()).collect::<Vec<_>>();
        is_over.store(true, Ordering::Relaxed);
        assert!(answered.iter().all(|answer| *answer == Ok(None)), "{answered:?}");
    });
}

#[test]
fn a_server_that_does_not_answer_leaves_room_for_calls_to_the_others() {
    let servers = [start(&[]), start(&[])];
    let addresses = servers.each_ref().map(|server| server.address);
    let config = Config::default().with_timeout(Duration::from_secs(20));
    let client = Client::connect_with(&addresses, &config).unwrap();
    let key_of = |server| {
        let keys = (0_u32..).map(u32::to_be_bytes);
        keys.into_iter().find(|key| server_of(key, 2) == server).unwrap()
    };
    let stopped = servers[0].stop();
    let waiting: Vec<_> =
        (0..10).map(|_| client.put_many(&vec![(key_of(0), b"v"); 40_000])).collect();
    let read = client.get_many(&vec![key_of(1); 60_000]).wait().unwrap();
    assert!(read.iter().all(|result| *result == Ok(None)));
    drop(stopped);
    let written: Vec<_> = waiting.into_iter().flat_map(|call| call.wait().unwrap()).collect();
    let not_sent = written.iter().filter(|result| **result == Err(Error::NotSent)).count();
    assert!((100_000..400_000).contains(&not_sent), "{not_sent} of {}", written.len());
}
