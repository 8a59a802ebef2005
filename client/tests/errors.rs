//! Each error that the documentation names is provoked, with its text and whether the call may
//! be made again. What a fork is told is in `ends.rs`.
#![forbid(unsafe_code)]

mod common;

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytemuck::{bytes_of, pod_read_unaligned};
use client::limits::{BATCH_BYTES_MAX, BATCH_CALLS_MAX, COMMANDS_MAX, LINE_CALLS_MAX, WORKERS_MAX};
use client::{Client, Config, Connection, Error, Refusal, TooLarge, Why};
use proto::client::{Client as Session, ClientConfig};
use proto::limits::SESSIONS_PER_WORKER_MAX;
use proto::pack;
use proto::transmit::Flush;
use proto::unpack;
use proto::wire::{Accept, HEADER_BYTES, Kind, VERSION};
use testkit::networks::Filter;
use testkit::process::{Signal, any_program, run};
use testkit::relay::{Direction, Passage, Relay};
use testkit::server::{Server, free_port, lasting_ports};

use common::{
    connection, counter, expect, handle, large_keys, large_records, ms, start, wait_until,
};

const SHORT: Duration = ms(50);
const LONG: Duration = Duration::from_secs(60);

const INDETERMINATE_DEADLINE: &str = "indeterminate, it may have been executed: its time was over";
const INDETERMINATE_LOST: &str = "indeterminate, it may have been executed: the session was lost";
const INDETERMINATE_CLOSED: &str =
    "indeterminate, it may have been executed: the client was closed";

/// What connecting comes to, for a connection and for a handle.
fn connecting(servers: &[SocketAddr], config: &Config) -> [Result<(), Error>; 2] {
    let connection = Connection::connect_with(servers, config).map(drop);
    [connection, Client::connect_with(servers, config).map(drop)]
}

// -------------------------------------------------------------------- too large

#[test]
fn keys_outside_of_the_limits_are_too_large() {
    let server = start(&[]);
    let mut connection = connection(server.address, LONG);
    let handle = handle(server.address, LONG);
    for bytes in [0, 513] {
        let error = Error::TooLarge { what: TooLarge::Key { bytes, max: 512 } };
        let text = format!("a key has 1 to 512 bytes, and this one has {bytes}");
        let key = vec![b'k'; bytes];
        expect(connection.get(&key), &error, &text, false);
        expect(connection.put(&key, b"value"), &error, &text, false);
        expect(handle.get(&key).wait(), &error, &text, false);
        expect(handle.put(&key, b"value").wait(), &error, &text, false);
        expect(connection.get_many(&[&key]).remove(0), &error, &text, false);
        expect(handle.get_many(&[&key]).wait().unwrap().remove(0), &error, &text, false);
    }
    assert_eq!(connection.get(&[b'k'; 512]), Ok(None));
    assert_eq!(handle.get(&[b'k'; 1]).wait(), Ok(None));
    assert_eq!(counter(&mut connection, "puts"), 0);
}

#[test]
fn values_that_do_not_fit_in_a_datagram_with_their_key_are_too_large() {
    let server = start(&[]);
    let mut connection = connection(server.address, LONG);
    let handle = handle(server.address, LONG);
    // The header and the entry of the answer, which is longer than the write with such a key.
    let max = 1472 - 32 - 16;
    let error = Error::TooLarge { what: TooLarge::Value { bytes: max + 1, max } };
    let text = format!(
        "a value with this key has at most {max} bytes, so that it fits in a datagram, and this \
         one has {}",
        max + 1
    );
    let value = vec![7; max + 1];
    expect(connection.put(b"key", &value), &error, &text, false);
    expect(handle.put(b"key", &value).wait(), &error, &text, false);
    assert!(connection.put(b"key", &value[..max]).is_ok());
    assert_eq!(handle.get(b"key").wait().unwrap().unwrap().value, &value[..max]);
}

#[test]
fn a_stored_value_that_the_datagrams_of_a_connection_do_not_carry_is_too_large() {
    let server = start(&["--mtu", "4000"]);
    let large = Config::default().with_mtu_bytes(4000);
    let mut writer = Connection::connect_with(&[server.address], &large).unwrap();
    writer.put(b"key", &[7; 3000]).unwrap();
    let error = Error::TooLarge { what: TooLarge::Answer };
    let text = "the value is longer than a datagram of this connection carries: connect with a \
                larger MTU";
    expect(connection(server.address, LONG).get(b"key"), &error, text, false);
    expect(handle(server.address, LONG).get(b"key").wait(), &error, text, false);
}

#[test]
fn a_batch_for_a_handle_has_a_largest_size() {
    let server = start(&[]);
    let client = handle(server.address, LONG);
    let (calls, max) = (BATCH_CALLS_MAX + 1, BATCH_CALLS_MAX);
    let error = Error::TooLarge { what: TooLarge::Batch { calls, max } };
    let text = "a batch has at most 65536 calls, and this one has 65537";
    expect(client.get_many(&vec![b"key"; calls]).wait(), &error, text, false);
    expect(client.put_many(&vec![(b"key", b"value"); calls]).wait(), &error, text, false);
    let read = client.get_many(&vec![b"key"; max]).wait().unwrap();
    assert!(read.iter().all(|read| *read == Ok(None)));
    let (bytes, max) = (16_000 * 1103, BATCH_BYTES_MAX);
    let error = Error::TooLarge { what: TooLarge::BatchBytes { bytes, max } };
    let text =
        "the keys and values of a batch have at most 16777216 bytes, and these have 17648000";
    expect(client.put_many(&vec![(b"key", [7; 1100]); 16_000]).wait(), &error, text, false);
}

// -------------------------------------------------------------------- refused

#[test]
fn a_write_is_refused_while_the_memory_is_full() {
    let server = start(&["--memory", "64k"]);
    let mut connection = connection(server.address, LONG);
    let handle = handle(server.address, LONG);
    let written = connection.put_many(&large_records(100));
    let refused = written.iter().filter(|written| written.is_err()).count();
    assert!((1..100).contains(&refused), "{refused}");
    let error = Error::Refused(Refusal::MemoryFull);
    let text = "refused: the server's memory is full";
    expect(connection.put(b"one more", &[7; 1000]), &error, text, true);
    expect(handle.put(b"one more", &[7; 1000]).wait(), &error, text, true);
    assert_eq!(connection.get(b"one more"), Ok(None));
    let read = connection.get_many(&large_keys(100));
    for (written, read) in written.iter().zip(read) {
        assert_eq!(written.is_ok(), read.unwrap().is_some(), "{written:?}");
    }
}

/// Opens as many sessions with a worker as it takes.
fn fill_sessions(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(testkit::DEADLINE)).unwrap();
    let mut buffer = [0; 2048];
    for number in 0..SESSIONS_PER_WORKER_MAX as u128 {
        let id = (number + 1).to_le_bytes();
        let mut session: Session<()> = Session::new(0, server, id, ClientConfig::default());
        while session.granted().is_none() && session.ended().is_none() {
            if let Some(burst) = session.poll_transmit(0, Flush::All) {
                socket.send(burst.bytes).unwrap();
                let length = socket.recv(&mut buffer).unwrap();
                session.handle_datagram(0, &buffer[..length], |_| {});
            }
        }
    }
    socket
}

#[test]
fn a_server_that_has_all_its_sessions_refuses_others() {
    let (any, error) = (any_program(), Error::Refused(Refusal::SessionsFull));
    let text = "refused: the server has all the sessions that it can hold; try again later";
    let mut server = Server::start_on(lasting_ports(1), &any, &[]);
    let mut before = connection(server.address, LONG);
    let handle_before = handle(server.address, LONG);
    server.restart(&any, &[]);
    let _socket = fill_sessions(server.address);
    for connecting in connecting(&[server.address], &Config::default()) {
        expect(connecting, &error, text, true);
    }
    // Sessions that are lost, and are not opened again: what waits for them is told.
    expect(before.get(b"key"), &error, text, true);
    expect(before.put(b"key", b"value"), &error, text, true);
    expect(handle_before.get(b"key").wait(), &error, text, true);
    expect(handle_before.put(b"key", b"value").wait(), &error, text, true);
    // They open by themselves once there is room.
    server.restart(&any, &[]);
    wait_until("the connection is of use again", || before.put(b"key", b"value").is_ok());
    wait_until("the handle is of use again", || handle_before.get(b"key").wait().is_ok());
}

// -------------------------------------------------------------------- no server, or another

#[test]
fn where_nobody_answers_there_is_no_server() {
    let server = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let config = Config::default().with_connect_timeout(SHORT).with_mtu_bytes(1000);
    let text = format!(
        "no answer from {server}: is kv running there, and does the path carry datagrams of 1000 \
         bytes?"
    );
    for connecting in connecting(&[server], &config) {
        expect(connecting, &Error::NoServer { server, mtu_bytes: 1000 }, &text, true);
    }
}

/// What a relay does to what comes from the server.
#[derive(Clone, Copy, Debug)]
enum Meddling {
    Nothing,
    /// Only refusals come through.
    OnlyRefusals,
    /// Refusals come through, and all else as if from another release.
    OtherVersion,
    /// The server seems to have more workers than any has.
    ManyWorkers,
}

/// A server behind a relay that meddles as it is told.
fn meddler(server: SocketAddr) -> (Relay<impl testkit::relay::Network>, Arc<AtomicU8>) {
    let now = Arc::new(AtomicU8::new(Meddling::Nothing as u8));
    let told = now.clone();
    let filter = move |passage: &mut Passage| {
        if passage.direction == Direction::ToServer {
            return true;
        }
        let (kind, header) = unpack::header(&passage.bytes).unwrap();
        let told = told.load(Ordering::Relaxed);
        if told == Meddling::OnlyRefusals as u8 {
            return kind == Kind::Refuse;
        }
        if told == Meddling::OtherVersion as u8 && kind != Kind::Refuse {
            passage.bytes[6] = VERSION + 1;
        }
        if told == Meddling::ManyWorkers as u8 && kind == Kind::Accept {
            let body = HEADER_BYTES..HEADER_BYTES + size_of::<Accept>();
            let accept: Accept = pod_read_unaligned(&passage.bytes[body.clone()]);
            let accept = Accept { workers: WORKERS_MAX + 1, ..accept };
            passage.bytes[body].copy_from_slice(bytes_of(&accept));
            pack::seal(&mut passage.bytes, header);
        }
        true
    };
    (Relay::start(&[server], Filter(filter)), now)
}

#[test]
fn calls_that_wait_for_a_session_until_their_deadline_are_told_of_the_server() {
    let any = any_program();
    let mut server = Server::start_on(lasting_ports(1), &any, &[]);
    let (relay, meddling) = meddler(server.address);
    let server_seen = relay.fronts[0];
    let mut connection = connection(server_seen, SHORT);
    let handle = handle(server_seen, SHORT);
    meddling.store(Meddling::OnlyRefusals as u8, Ordering::Relaxed);
    server.restart(&any, &[]);
    let error = Error::NoServer { server: server_seen, mtu_bytes: 1472 };
    let text = format!(
        "no answer from {server_seen}: is kv running there, and does the path carry datagrams of \
         1472 bytes?"
    );
    // Each learns from its first call, which was sent, that its session is lost.
    assert_eq!(
        connection.get(b"key"),
        Err(Error::NoServer { server: server_seen, mtu_bytes: 1472 })
    );
    expect(connection.get(b"key"), &error, &text, true);
    expect(connection.put(b"key", b"value"), &error, &text, true);
    expect(
        handle.put(b"a", b"value").wait(),
        &Error::Indeterminate(Why::SessionLost),
        INDETERMINATE_LOST,
        false,
    );
    expect(handle.put(b"key", b"value").wait(), &error, &text, true);
    meddling.store(Meddling::Nothing as u8, Ordering::Relaxed);
    wait_until("it is of use again", || connection.get(b"key") == Ok(None));
    wait_until("it is of use again", || handle.get(b"a").wait() == Ok(None));
}

#[test]
fn a_server_of_another_release_is_named_with_its_version() {
    let any = any_program();
    let mut server = Server::start_on(lasting_ports(1), &any, &[]);
    let (relay, meddling) = meddler(server.address);
    let seen = relay.fronts[0];
    let mut before = connection(seen, LONG);
    let handle_before = handle(seen, LONG);
    meddling.store(Meddling::OtherVersion as u8, Ordering::Relaxed);
    let error = Error::OtherVersion { server: seen, theirs: VERSION + 1 };
    let text = format!(
        "{seen} speaks version {} of the protocol, this program version {VERSION}: use programs of \
         the same release",
        VERSION + 1
    );
    for connecting in connecting(&[seen], &Config::default()) {
        expect(connecting, &error, &text, false);
    }
    server.restart(&any, &[]);
    expect(before.get(b"key"), &error, &text, false);
    expect(before.put(b"key", b"value"), &error, &text, false);
    expect(handle_before.get(b"key").wait(), &error, &text, false);
    expect(handle_before.put(b"key", b"value").wait(), &error, &text, false);
    meddling.store(Meddling::Nothing as u8, Ordering::Relaxed);
    wait_until("it was upgraded", || before.get(b"key") == Ok(None));
    wait_until("it was upgraded", || handle_before.get(b"key").wait() == Ok(None));
}

#[test]
fn a_server_that_claims_what_none_has_is_invalid() {
    let server = start(&[]);
    let (relay, meddling) = meddler(server.address);
    meddling.store(Meddling::ManyWorkers as u8, Ordering::Relaxed);
    let seen = relay.fronts[0];
    let claims = "more workers than a server has";
    for connecting in connecting(&[seen], &Config::default()) {
        let text = format!("the server {seen} claims more workers than a server has");
        expect(connecting, &Error::InvalidServer { server: seen, claims }, &text, false);
    }
    let two = start(&["--cores", "2"]);
    let second = SocketAddr::new(two.address.ip(), two.address.port() + 1);
    for connecting in connecting(&[two.address, second], &Config::default()) {
        let error = connecting.unwrap_err();
        assert!(matches!(error, Error::InvalidServer { .. }), "{error}");
        assert!(error.to_string().ends_with("claims to be a worker of two servers of the list"));
    }
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    let (v4, v6): (SocketAddr, SocketAddr) =
        ("127.0.0.1:1".parse().unwrap(), "[::1]:1".parse().unwrap());
    let small = Config::default().with_mtu_bytes(575);
    for (servers, config, why) in [
        (&[][..], Config::default(), "the list of servers is empty"),
        (
            &[v4, v6],
            Config::default(),
            "127.0.0.1:1 and [::1]:1 are of two families: use IPv4 or IPv6",
        ),
        (&[v4, v4], Config::default(), "127.0.0.1:1 is in the list of servers twice"),
        (&[v4], small, "an MTU has 576 to 8972 bytes, not 575"),
    ] {
        for connecting in connecting(servers, &config) {
            let text = format!("cannot connect: {why}");
            expect(connecting, &Error::InvalidConfig(why.to_owned()), &text, false);
        }
    }
}

/// Runs in a process of its own, with too few descriptors for a socket.
#[test]
#[ignore = "for the test below"]
fn helper_without_descriptors() {
    let server = "127.0.0.1:1".parse().unwrap();
    for connecting in connecting(&[server], &Config::default()) {
        let error = connecting.unwrap_err();
        let Error::Io { text, .. } = &error else { panic!("{error}") };
        assert!(text.contains("Too many open files"), "{text}");
        assert_eq!(
            (error.to_string(), error.may_retry()),
            (format!("the system failed: {text}"), false)
        );
    }
}

#[test]
fn a_system_without_a_socket_is_told_of() {
    let itself = std::env::current_exe().unwrap();
    let limited = "ulimit -n 4; exec \"$0\" --exact helper_without_descriptors --ignored";
    let ended = run("/bin/sh".as_ref(), &["-c", limited, itself.to_str().unwrap()]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.stdout.iter().any(|line| line.contains("1 passed")), "{ended:?}");
}

// -------------------------------------------------------------------- not sent, not executed

#[test]
fn calls_beyond_the_line_are_not_sent() {
    let server = start(&[]);
    let client = handle(server.address, Duration::from_secs(5));
    let text = "not sent: too many calls wait already; slow down, then call again";
    let stopped = server.stop();
    let keys = large_keys(BATCH_CALLS_MAX as u32);
    let batches = LINE_CALLS_MAX / BATCH_CALLS_MAX + 1;
    let batches: Vec<_> = (0..batches).map(|_| client.get_many(&keys)).collect();
    let mut not_sent = 0;
    for batch in batches {
        for read in batch.wait().unwrap() {
            match read {
                Err(Error::NotSent) => not_sent += 1,
                read => assert!(
                    matches!(
                        read,
                        Err(Error::Unanswered(Why::Deadline) | Error::NotExecuted(Why::Deadline))
                    ),
                    "{read:?}"
                ),
            }
        }
    }
    // A line takes half of the room for all.
    let beyond = LINE_CALLS_MAX / 2;
    assert!((beyond..=beyond + BATCH_CALLS_MAX).contains(&not_sent), "{not_sent}");
    // More bytes than may wait.
    let values = vec![(b"key", [7; 1400]); 10_000];
    let batches: Vec<_> = (0..5).map(|_| client.put_many(&values)).collect();
    let results = batches.into_iter().flat_map(|batch| batch.wait().unwrap());
    let refused = results.filter_map(Result::err).find(|error| *error == Error::NotSent);
    expect(refused.map_or(Ok(()), Err), &Error::NotSent, text, true);
    drop(stopped);
    assert_eq!(client.get(b"key").wait(), Ok(None), "it went on");
}

#[test]
fn a_connection_waits_for_room_itself_and_sends_what_its_time_allows() {
    let server = start(&[]);
    let mut connection = connection(server.address, ms(500));
    let stopped = server.stop();
    let keys = large_keys(LINE_CALLS_MAX as u32 + 100_000);
    let read = connection.get_many(&keys);
    assert!(!read.contains(&Err(Error::NotSent)));
    assert!(read.contains(&Err(Error::NotExecuted(Why::Deadline))));
    assert!(read.contains(&Err(Error::Unanswered(Why::Deadline))));
    drop(stopped);
    connection.set_timeout(LONG);
    assert_eq!(connection.get(b"key"), Ok(None), "it went on");
}

#[test]
fn commands_beyond_the_queue_of_a_handle_are_not_sent() {
    let server = start(&[]);
    let client = handle(server.address, LONG);
    // Its thread is held up by somebody who is woken there.
    let (wake, woken) = std::sync::mpsc::channel::<()>();
    let (enter, entered) = std::sync::mpsc::channel::<()>();
    let holds = Arc::new(Holds { enter, woken: std::sync::Mutex::new(woken) });
    let mut call = client.get(b"key");
    let waker = holds.into();
    let mut context = std::task::Context::from_waker(&waker);
    if std::pin::Pin::new(&mut call).poll(&mut context).is_pending() {
        entered.recv().unwrap();
        let calls: Vec<_> = (0..COMMANDS_MAX + 9).map(|_| client.get(b"key")).collect();
        wake.send(()).unwrap();
        let ends: Vec<_> = calls.into_iter().map(client::Call::wait).collect();
        let not_sent = ends.iter().filter(|end| **end == Err(Error::NotSent)).count();
        assert_eq!(not_sent, 9);
        assert_eq!(ends.iter().filter(|end| end.is_ok()).count(), COMMANDS_MAX);
    }
}

/// A waker that holds up who wakes.
struct Holds {
    enter: std::sync::mpsc::Sender<()>,
    woken: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
}

impl std::task::Wake for Holds {
    fn wake(self: Arc<Self>) {
        self.enter.send(()).unwrap();
        self.woken.lock().unwrap().recv().unwrap();
    }
}

/// What a stopped server's clients are told of writes: those that were sent, and the others.
fn assert_late(written: Vec<Result<client::Version, Error>>) -> Vec<u32> {
    let mut withdrawn = Vec::new();
    for (number, written) in (0..).zip(written) {
        if written == Err(Error::NotExecuted(Why::Deadline)) {
            expect(
                written,
                &Error::NotExecuted(Why::Deadline),
                "not executed: its time was over",
                true,
            );
            withdrawn.push(number);
        } else {
            let error = Error::Indeterminate(Why::Deadline);
            expect(written, &error, INDETERMINATE_DEADLINE, false);
        }
    }
    assert!((1..500).contains(&withdrawn.len()), "{}", withdrawn.len());
    withdrawn
}

#[test]
fn late_calls_are_unanswered_or_indeterminate_if_they_were_sent_and_else_not_executed() {
    let server = start(&[]);
    let mut connection = connection(server.address, SHORT);
    let handle = handle(server.address, SHORT);
    let stopped = server.stop();
    let (unanswered, text) = (Error::Unanswered(Why::Deadline), "not answered: its time was over");
    expect(connection.get(b"key"), &unanswered, text, true);
    expect(handle.get(b"key").wait(), &unanswered, text, true);
    let mut withdrawn = assert_late(connection.put_many(&large_records(500)));
    let of_handle = assert_late(handle.put_many(&large_records(500)).wait().unwrap());
    drop(stopped);
    withdrawn.retain(|number| of_handle.contains(number));
    assert!(!withdrawn.is_empty());
    // Answered behind all that was sent before.
    connection.set_timeout(LONG);
    for number in withdrawn {
        assert_eq!(connection.get(&number.to_be_bytes()), Ok(None), "it was executed");
    }
}

// -------------------------------------------------------------------- lost sessions, and ends

#[test]
fn writes_of_a_lost_session_are_indeterminate_and_reads_are_asked_again() {
    let any = any_program();
    let mut server = Server::start_on(lasting_ports(1), &any, &[]);
    let mut connection = connection(server.address, LONG);
    let handle = handle(server.address, LONG);
    let write_of_handle = {
        server.process.signal(Signal::STOP);
        handle.put(b"by handle", b"value")
    };
    let read_of_handle = handle.get(b"by handle");
    let restarted = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut pipeline = connection.pipeline();
            pipeline.put(b"by connection", b"value");
            pipeline.get(b"by connection");
            pipeline.run()
        });
        server.restart(&any, &[]);
        writer.join().unwrap()
    });
    let error = Error::Indeterminate(Why::SessionLost);
    let [write, read] = restarted.try_into().unwrap();
    assert!(write.is_ok() || write == Err(error.clone()), "{write:?}");
    assert!(read.is_ok(), "{read:?}");
    expect(write_of_handle.wait(), &error, INDETERMINATE_LOST, false);
    assert_eq!(read_of_handle.wait(), Ok(None));
}

#[test]
fn questions_to_a_worker_that_is_no_more_are_not_executed_or_not_answered() {
    let any = any_program();
    let mut server = Server::start_on(lasting_ports(2), &any, &["--cores", "2"]);
    let client = handle(server.address, LONG);
    server.process.signal(Signal::STOP);
    // It is sent, and the other waits behind reads that fill the window.
    let sent = client.stats();
    let keys = large_keys(BATCH_CALLS_MAX as u32);
    let reads = client.get_many(&keys);
    let waiting = client.stats();
    server.restart(&any, &["--cores", "1"]);
    for (stats, error, text) in [
        (sent, Error::Unanswered(Why::SessionLost), "not answered: the session was lost"),
        (waiting, Error::NotExecuted(Why::SessionLost), "not executed: the session was lost"),
    ] {
        let [first, second] = stats.wait().unwrap().try_into().unwrap();
        assert!(first.counters.is_ok(), "{first:?}");
        expect(second.counters, &error, text, true);
    }
    let reads = reads.wait().unwrap();
    assert!(
        reads.iter().all(|read| *read == Ok(None)),
        "they are asked of the worker that is there"
    );
}

#[test]
fn what_is_outstanding_when_the_last_handle_is_dropped_is_told_so() {
    let server = start(&[]);
    let client = handle(server.address, LONG);
    let _stopped = server.stop();
    let (read, write) = (client.get(b"key"), client.put(b"key", b"value"));
    let writes = client.put_many(&large_records(500));
    drop(client);
    expect(
        read.wait(),
        &Error::Unanswered(Why::Closed),
        "not answered: the client was closed",
        true,
    );
    expect(write.wait(), &Error::Indeterminate(Why::Closed), INDETERMINATE_CLOSED, false);
    let writes = writes.wait().unwrap();
    let not_executed = Error::NotExecuted(Why::Closed);
    let last = writes.last().cloned().unwrap();
    expect(last, &not_executed, "not executed: the client was closed", true);
    assert!(writes.contains(&Err(Error::Indeterminate(Why::Closed))));
}

// -------------------------------------------------------------------- all of them

/// The variants of an enum of the library's source.
fn variants(of: &str) -> BTreeSet<&'static str> {
    let source = include_str!("../src/error.rs");
    let body = source.split(&format!("pub enum {of} {{\n")).nth(1).expect("it is there");
    let body = body.split("\n}\n").next().unwrap();
    let own = body.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     "));
    let names = own.map(|line| line.trim().split([' ', '(', ',', '{']).next().unwrap());
    names.filter(|name| name.starts_with(char::is_uppercase)).collect()
}

#[test]
fn each_variant_is_provoked_here() {
    let tests = [include_str!("errors.rs"), include_str!("ends.rs")].concat();
    for (of, least) in [("Error", 12), ("Why", 3), ("Refusal", 2), ("TooLarge", 5)] {
        let variants = variants(of);
        assert!(variants.len() >= least, "{variants:?}");
        for variant in variants {
            assert!(tests.contains(&format!("{of}::{variant}")), "{of}::{variant}");
        }
    }
}
