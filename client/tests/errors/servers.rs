//! Servers that refuse, that do not answer, and that are not what they have to be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::JoinHandle;

use bytemuck::{bytes_of, pod_read_unaligned};
use client::limits::WORKERS_MAX;
use client::{Config, Error, Refusal, Why};
use proto::pack;
use proto::unpack;
use proto::wire::{Accept, HEADER_BYTES, Kind, VERSION};
use testkit::networks::Filter;
use testkit::process::any_program;
use testkit::relay::{Direction, Network, Passage, Relay};
use testkit::server::{Server, free_port, lasting_ports};

use crate::common::{connection, expect, handle, large_keys, large_records, ms, start, wait_until};
use crate::lost::INDETERMINATE_LOST;
use crate::{LONG, SHORT, connecting};

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

/// Has a session, and asks for something in it again and again.
struct Busy {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Busy {
    fn start(server: SocketAddr) -> Self {
        let mut connection = connection(server, LONG);
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                connection.get(b"key").expect("it is answered");
                std::thread::sleep(ms(10));
            }
        });
        Self { is_over, thread: Some(thread) }
    }

    fn end(mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take().expect("it ends once").join().expect("it was answered");
    }
}

#[test]
fn a_server_that_has_all_its_sessions_refuses_others() {
    let (any, error) = (any_program(), Error::Refused(Refusal::SessionsFull));
    let text = "refused: the server has all the sessions that it can hold; try again later";
    let mut server = Server::start_on(lasting_ports(1), &any, &[]);
    let mut before = connection(server.address, LONG);
    let handle_before = handle(server.address, LONG);
    server.restart(&any, &["--sessions-per-address", "1"]);
    let busy = Busy::start(server.address);
    for connecting in connecting(&[server.address], &Config::default()) {
        expect(connecting, &error, text, true);
    }
    // Sessions that are lost, and are not opened again: what waits for them is told.
    expect(before.get(b"key"), &error, text, true);
    expect(before.put(b"key", b"value"), &error, text, true);
    expect(handle_before.get(b"key").wait(), &error, text, true);
    expect(handle_before.put(b"key", b"value").wait(), &error, text, true);
    // They open by themselves once there is room.
    busy.end();
    server.restart(&any, &[]);
    wait_until("the connection is of use again", || before.put(b"key", b"value").is_ok());
    wait_until("the handle is of use again", || handle_before.get(b"key").wait().is_ok());
}

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
fn meddler(server: SocketAddr) -> (Relay<impl Network>, Arc<AtomicU8>) {
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
    // Each learns from calls that were sent that its session is lost.
    wait_until("it has learnt", || connection.get(b"key") == Err(error.clone()));
    expect(connection.get(b"key"), &error, &text, true);
    expect(connection.put(b"key", b"value"), &error, &text, true);
    let patient = handle.with_timeout(LONG).put(b"a", b"value").wait();
    expect(patient, &Error::Indeterminate(Why::SessionLost), INDETERMINATE_LOST, false);
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
