//! What becomes of calls, threads and sessions when whoever made them ends.
#![forbid(unsafe_code)]

mod common;

use std::future::Future as _;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use client::{CacheConfig, Call, Client, Config, Connection, Error, Source, Why};
use fork::{Fork, waitpid_nohang};
use proto::unpack;
use proto::wire::Kind;
use testkit::DEADLINE;
use testkit::networks::Filter;
use testkit::process::{Process, any_program};
use testkit::relay::{Direction, Passage, Relay};
use testkit::server::{Server, lasting_ports};

use common::{connection, counter, expect, handle, large_records, ms, start, wait_until};

const LONG: Duration = Duration::from_secs(60);
/// What ends at once is over by then, even on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(10);

/// The threads of a process belong to all of its tests: these run one after the other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Threads of handles in this process.
fn threads() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().map_while(Result::ok);
    let names = threads.map(|thread| std::fs::read_to_string(thread.path().join("comm")));
    names.filter(|name| name.as_ref().is_ok_and(|name| name.trim_end() == "kv-client")).count()
}

/// The same, but for those that have ended, and that the kernel lists for a moment longer.
fn lasting_threads() -> usize {
    let begin = Instant::now();
    while threads() > 0 && begin.elapsed() < ms(100) {
        thread::yield_now();
    }
    threads()
}

/// Sessions that a server holds, but for that of who asks.
fn sessions(asking: &mut Connection) -> u64 {
    let opened = counter(asking, "sessions_opened");
    let over = counter(asking, "sessions_closed") + counter(asking, "sessions_expired");
    opened - over - 1
}

fn wait_until_nothing_is_left(server: &Server) {
    wait_until("no thread is left", || threads() == 0);
    let mut asking = connection(server.address, LONG);
    wait_until("no session is left", || sessions(&mut asking) == 0);
}

/// Polls a call once.
fn poll<T: Unpin>(call: &mut Call<T>, waker: &Waker) -> Poll<Result<T, Error>> {
    Pin::new(call).poll(&mut Context::from_waker(waker))
}

// -------------------------------------------------------------------- drops

#[test]
fn a_client_that_is_dropped_closes_its_sessions_and_leaves_no_thread() {
    let _alone = alone();
    let server = start(&[]);
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    for _ in 0..20 {
        let client = handle(server.address, LONG);
        let clone = client.clone();
        client.put(b"key", b"value").wait().unwrap();
        drop(client);
        assert!(clone.get(b"key").wait().unwrap().is_some());
        let mut connection = connection(server.address, LONG);
        assert!(connection.get(b"key").unwrap().is_some());
    }
    assert_eq!((lasting_threads(), descriptors()), (0, before));
    wait_until_nothing_is_left(&server);
}

#[test]
fn calls_that_are_outstanding_when_the_last_handle_is_dropped_end_at_once() {
    let _alone = alone();
    let server = start(&[]);
    let client = handle(server.address, LONG);
    let stopped = server.stop();
    let blocked: Vec<_> = (0..8_u8)
        .map(|key| {
            let (read, write) = (client.get(&[key]), client.put(&[key], b"value"));
            thread::spawn(move || (read.wait(), write.wait()))
        })
        .collect();
    let (tell, told) = std::sync::mpsc::channel();
    let mut future = client.put_many(&large_records(500));
    assert!(poll(&mut future, &Arc::new(Tells(tell)).into()).is_pending());
    let began = Instant::now();
    drop(client);
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    assert_eq!(lasting_threads(), 0);
    told.try_recv().expect("the future was woken");
    let Poll::Ready(Ok(written)) = poll(&mut future, Waker::noop()) else { panic!("{future:?}") };
    assert!(written.iter().all(|written| matches!(
        written,
        Err(Error::Indeterminate(Why::Closed) | Error::NotExecuted(Why::Closed))
    )));
    for blocked in blocked {
        let (read, write) = blocked.join().unwrap();
        assert_eq!(read, Err(Error::Unanswered(Why::Closed)));
        assert_eq!(write, Err(Error::Indeterminate(Why::Closed)));
    }
    drop(stopped);
    wait_until_nothing_is_left(&server);
}

/// Tells that it was woken.
struct Tells(std::sync::mpsc::Sender<()>);

impl Wake for Tells {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(());
    }
}

#[test]
fn a_handle_can_be_dropped_while_its_server_is_gone() {
    let _alone = alone();
    let any = any_program();
    let mut server = Server::start_on(lasting_ports(1), &any, &[]);
    let is_gone = Arc::new(AtomicBool::new(false));
    let told = is_gone.clone();
    let relay = Relay::start(
        &[server.address],
        Filter(move |passage: &mut Passage| {
            let is_answer = passage.direction == Direction::ToClient;
            let is_refusal = unpack::header(&passage.bytes).unwrap().0 == Kind::Refuse;
            !is_answer || is_refusal || !told.load(Ordering::Relaxed)
        }),
    );
    let client = handle(relay.fronts[0], ms(20));
    is_gone.store(true, Ordering::Relaxed);
    server.restart(&any, &[]);
    wait_until("its session is lost", || {
        matches!(client.get(b"key").wait(), Err(Error::NoServer { .. }))
    });
    let began = Instant::now();
    drop(client);
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    assert_eq!(lasting_threads(), 0);
}

#[test]
fn the_last_handle_can_be_dropped_by_who_is_woken_on_its_thread() {
    let _alone = alone();
    let server = start(&[]);
    let client = handle(server.address, LONG);
    let mut call = client.get(b"key");
    let last = Arc::new(DropsHandle(Mutex::new(Some(client))));
    // If the answer was there already, it is dropped here.
    if poll(&mut call, &last.clone().into()).is_ready() {
        last.wake();
    }
    wait_until_nothing_is_left(&server);
}

struct DropsHandle(Mutex<Option<Client>>);

impl Wake for DropsHandle {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

#[test]
fn the_last_handle_can_be_dropped_by_who_holds_what_others_wait_for_on_its_thread() {
    struct WaitsFor(Arc<Mutex<()>>, std::sync::mpsc::Sender<()>);
    impl Wake for WaitsFor {
        fn wake(self: Arc<Self>) {
            self.1.send(()).unwrap();
            drop(self.0.lock());
        }
    }
    let _alone = alone();
    let server = start(&[]);
    let client = handle(server.address, LONG);
    let stopped = server.stop();
    let (lock, (tell, woken)) = (Arc::new(Mutex::new(())), std::sync::mpsc::channel());
    let mut call = client.get(b"key");
    let waker = Arc::new(WaitsFor(lock.clone(), tell)).into();
    assert!(poll(&mut call, &waker).is_pending());
    let held = lock.lock().unwrap();
    drop(stopped);
    woken.recv().unwrap();
    let began = Instant::now();
    drop(client);
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    drop(held);
    wait_until_nothing_is_left(&server);
}

#[test]
fn futures_that_are_dropped_before_their_end_disturb_nobody() {
    let _alone = alone();
    let server = start(&[]);
    let client = handle(server.address, LONG);
    for number in 0..2000_u32 {
        let mut read = client.get(&number.to_be_bytes());
        let mut write = client.put(&number.to_be_bytes(), b"value");
        if number % 2 == 0 {
            let _ = (poll(&mut read, Waker::noop()), poll(&mut write, Waker::noop()));
        }
        drop((read, write));
        if number % 500 == 0 {
            // Not more than the queue of commands holds.
            client.get(b"other").wait().unwrap();
        }
    }
    client.get(b"other").wait().unwrap();
    let keys: Vec<_> = (0..2000_u32).map(u32::to_be_bytes).collect();
    let read = client.get_many(&keys).wait().unwrap();
    assert!(read.iter().all(|read| matches!(read, Ok(Some(_)))), "their calls went on");
    drop(client);
    wait_until_nothing_is_left(&server);
}

#[test]
fn a_pipeline_that_is_dropped_leaves_nothing_to_wait_for() {
    let _alone = alone();
    let server = start(&[]);
    let mut connection = connection(server.address, LONG);
    let mut pipeline = connection.pipeline();
    pipeline.get(b"key");
    pipeline.put(b"key", b"dropped");
    drop(pipeline);
    let written = connection.put(b"other", b"value").unwrap();
    let read = connection.get(b"other").unwrap().unwrap();
    assert_eq!((&read.value[..], read.version), (&b"value"[..], written));
    let read = connection.get_many(&[&b"other"[..], b"none"]);
    assert!(matches!(&read[..], [Ok(Some(_)), Ok(None)]), "{read:?}");
}

// -------------------------------------------------------------------- panics

#[test]
fn a_panic_of_who_holds_a_connection_closes_its_sessions() {
    let _alone = alone();
    let server = start(&[]);
    let address = server.address;
    let panicked = thread::spawn(move || {
        let mut connection = connection(address, LONG);
        let mut pipeline = connection.pipeline();
        pipeline.put(b"key", b"value");
        panic!("on purpose, with a call outstanding");
    });
    panicked.join().unwrap_err();
    wait_until_nothing_is_left(&server);
}

#[test]
fn a_key_that_panics_when_it_is_looked_at_leaves_a_connection_of_use() {
    struct Key(u8);
    impl AsRef<[u8]> for Key {
        fn as_ref(&self) -> &[u8] {
            assert!(self.0 < 9, "on purpose");
            std::slice::from_ref(&self.0)
        }
    }
    let _alone = alone();
    let server = start(&[]);
    let mut connection = connection(server.address, LONG);
    let keys: Vec<_> = (0..20).map(Key).collect();
    catch_unwind(AssertUnwindSafe(|| connection.get_many(&keys))).unwrap_err();
    assert!(connection.put(b"key", b"value").is_ok());
    assert_eq!(connection.get(b"key").unwrap().unwrap().value, &b"value"[..]);
}

#[test]
fn a_panic_of_who_holds_the_last_handle_ends_its_thread_and_its_calls() {
    let _alone = alone();
    let server = start(&[]);
    let client = handle(server.address, LONG);
    let stopped = server.stop();
    let (write, read) = (client.put(b"key", b"value"), client.get(b"key"));
    let panicked = thread::spawn(move || {
        let _outstanding = client.get(b"other");
        panic!("on purpose, with calls outstanding");
    });
    panicked.join().unwrap_err();
    assert_eq!(write.wait(), Err(Error::Indeterminate(Why::Closed)));
    assert_eq!(read.wait(), Err(Error::Unanswered(Why::Closed)));
    drop(stopped);
    wait_until_nothing_is_left(&server);
}

#[test]
fn calls_on_a_handle_whose_thread_has_died_are_not_executed() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("on purpose, on the thread of the handle");
        }
    }
    let _alone = alone();
    let server = start(&[]);
    let client = handle(server.address, LONG);
    let stopped = server.stop();
    let mut read = client.get(b"key");
    assert!(poll(&mut read, &Arc::new(Panics).into()).is_pending());
    let (write, others) = (client.put(b"key", b"value"), client.put_many(&large_records(500)));
    drop(stopped);
    // Each is told something, and those that were answered first the truth.
    wait_until("the thread has died", || threads() == 0);
    let is_true = |error: &Error| {
        matches!(error, Error::Indeterminate(Why::Closed) | Error::NotExecuted(Why::Closed))
    };
    assert!(write.wait().map_or_else(|error| is_true(&error), |_| true));
    assert!(others.wait().map_or_else(|error| is_true(&error), |_| true));
    let text = "not executed: the client was closed";
    expect(client.get(b"a").wait(), &Error::NotExecuted(Why::Closed), text, true);
    expect(client.put(b"a", b"b").wait(), &Error::NotExecuted(Why::Closed), text, true);
    expect(client.get_many(&[b"a"]).wait(), &Error::NotExecuted(Why::Closed), text, true);
    expect(client.stats().wait(), &Error::NotExecuted(Why::Closed), text, true);
    drop(client);
    assert_eq!(connection(server.address, LONG).get(b"a"), Ok(None));
}

// -------------------------------------------------------------------- ends of processes

const SERVER_VARIABLE: &str = "CLIENT_TEST_SERVER";
const SERVER_PID_VARIABLE: &str = "CLIENT_TEST_SERVER_PID";

fn given_server() -> SocketAddr {
    std::env::var(SERVER_VARIABLE).unwrap().parse().unwrap()
}

/// Runs one of the helpers below in a process of its own.
fn run_helper(server: &Server, helper: &str) -> testkit::process::Ended {
    let itself = std::env::current_exe().unwrap();
    let variables = format!(
        "{SERVER_VARIABLE}={} {SERVER_PID_VARIABLE}={} exec \"$0\" --exact {helper} --ignored",
        server.address,
        server.process.pid()
    );
    let arguments = ["-c", &variables, itself.to_str().unwrap()];
    Process::start("/bin/sh".as_ref(), &arguments).wait(DEADLINE)
}

#[test]
#[ignore = "for the test below"]
fn helper_that_exits() {
    let server = given_server();
    let client = handle(server, LONG);
    let mut connection = connection(server, LONG);
    let mut pipeline = connection.pipeline();
    pipeline.put(b"by connection", b"value");
    let calls: Vec<_> = (0..1000_u32).map(|key| client.put(&key.to_be_bytes(), b"v")).collect();
    thread::spawn(move || calls.into_iter().for_each(|call| drop(call.wait())));
    std::process::exit(7);
}

#[test]
fn a_process_may_exit_while_calls_are_outstanding() {
    let _alone = alone();
    let server = start(&[]);
    let ended = run_helper(&server, "helper_that_exits");
    assert_eq!(ended.status, Some(7), "{ended:?}");
    assert_eq!(connection(server.address, LONG).get(b"none"), Ok(None));
}

#[test]
#[ignore = "for the test below"]
fn helper_that_is_stopped() {
    let server = given_server();
    let client = handle(server, ms(100));
    let mut connection = connection(server, ms(100));
    let stops = "for i in 1 2 3 4 5; do kill -STOP $0; sleep 0.3; kill -CONT $0; sleep 0.01; done";
    let pid = std::process::id().to_string();
    let mut stopper = Command::new("/bin/sh").args(["-c", stops, &pid]).spawn().unwrap();
    let mut answered = 0_u64;
    while stopper.try_wait().unwrap().is_none() {
        for read in [client.get(b"key").wait(), connection.get(b"key")] {
            // It may have been stopped before it was sent, or before the answer was there.
            let is_late = matches!(
                read,
                Err(Error::Unanswered(Why::Deadline) | Error::NotExecuted(Why::Deadline))
            );
            assert!(is_late || read == Ok(None), "{read:?}");
            answered += u64::from(!is_late);
        }
    }
    assert!(answered > 0);
    let client = client.with_timeout(LONG);
    connection.set_timeout(LONG);
    assert_eq!((client.get(b"key").wait(), connection.get(b"key")), (Ok(None), Ok(None)));
    assert_eq!(counter(&mut connection, "sessions_opened"), 2, "no session was lost");
}

#[test]
fn a_process_that_is_stopped_and_goes_on_keeps_its_sessions() {
    let _alone = alone();
    let server = start(&[]);
    let ended = run_helper(&server, "helper_that_is_stopped");
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.stdout.iter().any(|line| line.contains("1 passed")), "{ended:?}");
}

#[test]
#[ignore = "for the test below"]
fn helper_that_forks() {
    let server = given_server();
    let cached = Config::default().with_cache(CacheConfig::new(100, LONG)).with_timeout(LONG);
    let client = Client::connect_with(&[server], &cached).unwrap();
    let mut connection = connection(server, LONG);
    client.put(b"key", b"value").wait().unwrap();
    wait_until("it is cached", || {
        client.get(b"key").wait().unwrap().unwrap().source == Source::Cache
    });
    let mut other_connection = common::connection(server, LONG);
    let mut pipeline = other_connection.pipeline();
    pipeline.get(b"key");
    signal_server("-STOP");
    let mut driving = client.get(b"driven");
    assert!(poll(&mut driving, Waker::noop()).is_pending());
    let outstanding = client.with_timeout(ms(200)).put(b"outstanding", b"value");
    let (forked, text) =
        (Error::Forked, "this process is a fork of the one that connected: connect after the fork");
    match fork::fork().unwrap() {
        Fork::Child => {
            let checked = catch_unwind(AssertUnwindSafe(move || {
                expect(client.get(b"key").wait(), &forked, text, false);
                expect(client.get(b"other").wait(), &forked, text, false);
                expect(client.put(b"key", b"of the fork").wait(), &forked, text, false);
                expect(client.get_many(&[b"key"]).wait(), &forked, text, false);
                expect(client.put_many(&[(b"key", b"value")]).wait(), &forked, text, false);
                expect(client.stats().wait(), &forked, text, false);
                expect(client.ping().wait(), &forked, text, false);
                expect(connection.get(b"key"), &forked, text, false);
                expect(connection.put(b"key", b"of the fork"), &forked, text, false);
                expect(connection.get_many(&[b"key"]).remove(0), &forked, text, false);
                expect(connection.stats(), &forked, text, false);
                expect(connection.ping(), &forked, text, false);
                expect(pipeline.run().remove(0), &forked, text, false);
                // It drove the sessions, and does not in a fork.
                for _ in 0..100 {
                    assert!(poll(&mut driving, Waker::noop()).is_pending());
                }
                drop(driving);
                // Its answer goes to the parent; here it ends all the same.
                let told = outstanding.wait();
                assert!(told.is_err_and(|error| error.is_indeterminate()));
                drop((client, connection));
                signal_server("-CONT");
                let own = handle(server, LONG);
                own.put(b"of the fork", b"value").wait().unwrap();
                common::connection(server, LONG).put(b"of the fork too", b"value").unwrap();
            }));
            std::process::exit(if checked.is_ok() { 0 } else { 1 });
        }
        Fork::Parent(child) => {
            let mut status = None;
            wait_until("the fork has ended", || {
                status = waitpid_nohang(child).unwrap();
                status.is_some()
            });
            assert_eq!(status, Some(0), "what the fork found wrong stands above");
            assert_eq!(outstanding.wait(), Err(Error::Indeterminate(Why::Deadline)));
            assert_eq!(driving.wait(), Ok(None));
            // Its sessions are as they were.
            for key in [&b"of the fork"[..], b"of the fork too", b"outstanding"] {
                assert!(client.get(key).wait().unwrap().is_some());
                assert!(connection.get(key).unwrap().is_some());
            }
            let mut asking = common::connection(server, LONG);
            assert_eq!(counter(&mut asking, "sessions_opened"), 6);
            assert_eq!(counter(&mut asking, "sessions_closed"), 2, "those of the fork");
        }
    }
}

fn signal_server(signal: &str) {
    let pid = std::env::var(SERVER_PID_VARIABLE).unwrap();
    let status = Command::new("kill").args([signal, &pid]).status().unwrap();
    assert!(status.success());
    // The signal reaches one thread after the other.
    let is_stopped = |thread: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    };
    wait_until("all its threads have heard it", || {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        threads.flatten().all(|thread| is_stopped(thread) == (signal == "-STOP"))
    });
}

#[test]
fn a_fork_has_no_part_in_the_sessions_and_may_open_its_own() {
    let _alone = alone();
    let server = start(&[]);
    let ended = run_helper(&server, "helper_that_forks");
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.stdout.iter().any(|line| line.contains("1 passed")), "{ended:?}");
}
