//! Each call ends in its time, and a late one ends nothing but itself.
#![forbid(unsafe_code)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use client::{Client, Config, Connection, Error, Record, Why};
use proto::limits::{MUTATION_WINDOW_SHARE, WINDOW_DEFAULT};
use testkit::networks::WithoutAnswersToWrites;
use testkit::relay::Relay;
use testkit::server::Server;

use common::executor::block_on;
use common::{connection, counter, handle, large_records, ms, start};

const LONG: Duration = Duration::from_secs(60);

/// How late a call may be: a millisecond or 10 %.
fn late_max(timeout: Duration) -> Duration {
    (timeout / 10).max(ms(1))
}

/// The four ways to make a call.
#[derive(Clone, Copy, Debug)]
enum Way {
    DrivenGet,
    DrivenPut,
    Blocking,
    Future,
}

const WAYS: [Way; 4] = [Way::DrivenGet, Way::DrivenPut, Way::Blocking, Way::Future];

/// Calls of a stopped server, and how much later than their deadline they ended, sorted.
fn late(server: &Server, way: Way, timeout: Duration, calls: usize) -> Vec<Duration> {
    let mut connection = connection(server.address, timeout);
    let client = handle(server.address, timeout);
    let _stopped = server.stop();
    let mut late = Vec::new();
    for _ in 0..calls {
        let began = Instant::now();
        let error = match way {
            Way::DrivenGet => connection.get(b"key").unwrap_err(),
            Way::DrivenPut => connection.put(b"key", b"value").unwrap_err(),
            Way::Blocking => client.get(b"key").wait().unwrap_err(),
            Way::Future => block_on(client.put(b"key", b"value")).unwrap_err(),
        };
        let took = began.elapsed();
        if error == Error::Indeterminate(Why::SessionLost) {
            continue; // Its session was given up, after ten seconds.
        }
        // A window that is full of late calls has no room for more, and a session that was given
        // up is not there.
        let is_late = matches!(
            error,
            Error::Unanswered(Why::Deadline)
                | Error::Indeterminate(Why::Deadline)
                | Error::NotExecuted(Why::Deadline)
                | Error::NoServer { .. }
        );
        assert!(is_late, "{way:?} {error}");
        assert!(took >= timeout, "{way:?} with {timeout:?} ended after {took:?}");
        late.push(took - timeout);
    }
    late.sort();
    late
}

#[test]
fn calls_of_a_stopped_server_end_at_their_deadline_and_not_before() {
    let server = start(&[]);
    for way in WAYS {
        for (timeout, calls) in [(ms(5), 20), (ms(50), 10), (ms(200), 6)] {
            let late = late(&server, way, timeout, calls);
            println!("{way:?} {timeout:?}: {late:?}");
            // What a busy machine adds is not the client's: the least is.
            assert!(late[0] <= late_max(timeout), "{way:?} {timeout:?}: {late:?}");
            assert!(late[late.len() / 2] <= ms(500), "{way:?} {timeout:?}: {late:?}");
        }
    }
}

#[test]
#[ignore = "for an idle machine"]
fn on_an_idle_machine_99_of_100_calls_end_in_time() {
    let server = start(&[]);
    let mut all_in_time = true;
    for way in WAYS {
        for (timeout, calls) in [(ms(5), 2000), (ms(50), 500), (ms(200), 200)] {
            let late = late(&server, way, timeout, calls);
            let at = |percent: usize| late[(late.len() * percent).div_ceil(100) - 1];
            println!("{way:?} {timeout:?}: p50 {:?} p99 {:?} max {:?}", at(50), at(99), at(100));
            all_in_time &= at(99) <= late_max(timeout);
        }
    }
    assert!(all_in_time);
}

#[test]
fn each_call_has_its_own_deadline() {
    let server = start(&[]);
    let client = handle(server.address, LONG);
    let stopped = server.stop();
    let patient: Vec<_> = (0..100_u8).map(|key| client.get(&[key])).collect();
    for timeout in [ms(30), ms(5), Duration::ZERO] {
        let error = client.with_timeout(timeout).get(b"key").wait().unwrap_err();
        assert!(error.may_retry(), "{timeout:?} {error}");
    }
    drop(stopped);
    for call in patient {
        assert_eq!(call.wait(), Ok(None));
    }
    // An hour is the most.
    assert_eq!(client.with_timeout(Duration::MAX).get(b"key").wait(), Ok(None));
}

#[test]
fn a_call_without_time_is_not_executed() {
    let server = start(&[]);
    let client = handle(server.address, Duration::ZERO);
    let mut connection = connection(server.address, Duration::ZERO);
    let not_executed = Error::NotExecuted(Why::Deadline);
    assert_eq!(client.put(b"key", b"value").wait(), Err(not_executed.clone()));
    assert_eq!(client.put_many(&[(b"key", b"value")]).wait(), Err(not_executed.clone()));
    assert_eq!(connection.put(b"key", b"value"), Err(not_executed.clone()));
    assert_eq!(connection.put_many(&[(b"key", b"value")]), [Err(not_executed)]);
    connection.set_timeout(LONG);
    assert_eq!(connection.get(b"key"), Ok(None));
}

#[test]
fn connecting_ends_in_its_time() {
    let servers = [start(&[]), start(&[])];
    let addresses = servers.each_ref().map(|server| server.address);
    let _stopped = servers[1].stop();
    for timeout in [ms(30), ms(300)] {
        let config = Config::default().with_connect_timeout(timeout);
        let mut took = Vec::new();
        for _ in 0..5 {
            for driven in [true, false] {
                let began = Instant::now();
                let connected = match driven {
                    true => Connection::connect_with(&addresses, &config).map(drop),
                    false => Client::connect_with(&addresses, &config).map(drop),
                };
                took.push(began.elapsed());
                // A busy machine may keep the other from its answer, too.
                let Err(Error::NoServer { server, .. }) = connected else {
                    panic!("{connected:?}")
                };
                assert!(addresses.contains(&server), "{server}");
            }
        }
        assert!(took.iter().all(|took| *took >= timeout), "{timeout:?}: {took:?}");
        let least = took.iter().min().expect("there are some");
        assert!(*least <= timeout + 2 * late_max(timeout), "{timeout:?}: {took:?}");
    }
}

// -------------------------------------------------------------------- late writes

/// A relay that loses the answers to writes while it is told to.
fn without_answers(server: &Server) -> (Relay<WithoutAnswersToWrites>, Arc<AtomicBool>) {
    let loses = Arc::new(AtomicBool::new(false));
    let network = WithoutAnswersToWrites::new(loses.clone());
    (Relay::start(&[server.address], network), loses)
}

/// As many late writes as are told to be indeterminate; reads go on all the while.
fn reads_go_on(late: u32) {
    let server = start(&[]);
    let (relay, loses) = without_answers(&server);
    let mut connection = connection(relay.fronts[0], LONG);
    connection.put(b"key", b"value").unwrap();
    loses.store(true, Ordering::Relaxed);
    connection.set_timeout(ms(50));
    let writes = connection.put_many(&large_records(late));
    let sent = |write: &&Result<_, _>| **write == Err(Error::Indeterminate(Why::Deadline));
    let sent = writes.iter().filter(sent).count() as u64;
    let (share, of) = MUTATION_WINDOW_SHARE;
    assert!((1..=(WINDOW_DEFAULT * share / of) as u64).contains(&sent), "{sent}");
    let rest = writes.iter().filter(|write| **write == Err(Error::NotExecuted(Why::Deadline)));
    assert_eq!(rest.count() as u64 + sent, u64::from(late));
    connection.set_timeout(Duration::from_secs(5));
    for _ in 0..200 {
        let read: Option<Record> = connection.get(b"key").unwrap();
        assert_eq!(read.unwrap().value, &b"value"[..]);
    }
    // The session lives: what was sent was executed in it, and makes room when it is answered.
    assert_eq!(counter(&mut connection, "puts"), 1 + sent);
    assert_eq!(counter(&mut connection, "sessions_opened"), 1);
    loses.store(false, Ordering::Relaxed);
    connection.set_timeout(LONG);
    assert!(connection.put_many(&large_records(late)).iter().all(Result::is_ok));
}

#[test]
fn a_late_write_disturbs_no_reads_of_its_session() {
    reads_go_on(1);
}

#[test]
fn reads_go_on_beside_as_many_late_writes_as_a_session_takes() {
    reads_go_on(500);
}

#[test]
fn reads_of_a_handle_do_not_wait_behind_writes_that_have_no_room() {
    let server = start(&[]);
    let (relay, loses) = without_answers(&server);
    let client = handle(relay.fronts[0], LONG);
    client.put(b"key", b"value").wait().unwrap();
    loses.store(true, Ordering::Relaxed);
    let writes = client.put_many(&large_records(500));
    let began = Instant::now();
    for _ in 0..100 {
        assert!(client.get(b"key").wait().unwrap().is_some());
    }
    // Before their session was given up, and all began anew.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    loses.store(false, Ordering::Relaxed);
    assert!(writes.wait().unwrap().iter().all(Result::is_ok));
}

// -------------------------------------------------------------------- many calls

#[test]
fn of_many_reads_those_of_a_server_that_answers_are_answered() {
    const KEYS: u32 = 10_000;
    let servers = [start(&[]), start(&[])];
    let addresses = servers.each_ref().map(|server| server.address);
    let config = Config::default().with_timeout(ms(1500));
    let mut connection = Connection::connect_with(&addresses, &config).unwrap();
    let client = Client::connect_with(&addresses, &config).unwrap();
    let keys: Vec<_> = (0..KEYS).map(u32::to_be_bytes).collect();
    let _stopped = servers[1].stop();
    let check = |read: Vec<Result<Option<Record>, Error>>| {
        for (key, read) in keys.iter().zip(read) {
            match proto::placement::server_of(key, 2) {
                0 => assert_eq!(read, Ok(None)),
                _ => assert!(
                    matches!(
                        read,
                        Err(Error::Unanswered(Why::Deadline) | Error::NotExecuted(Why::Deadline))
                    ),
                    "{read:?}"
                ),
            }
        }
    };
    check(connection.get_many(&keys));
    check(client.get_many(&keys).wait().unwrap());
}
