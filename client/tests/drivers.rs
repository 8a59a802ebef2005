//! Whoever waits for a call of a handle drives its sessions, and whatever becomes of them, no call
//! is left lying.
#![forbid(unsafe_code)]

mod common;

use std::future::Future as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use client::{Call, Client, Error, Why};
use testkit::random::Random;

use common::executor::{block_on, run_all};
use common::{connection, counter, handle, ms, start, wait_until};

const LONG: Duration = Duration::from_secs(60);

/// One test at a time: some look at all threads of the process.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn poll<T: Unpin>(call: &mut Call<T>, waker: &Waker) -> Poll<Result<T, Error>> {
    Pin::new(call).poll(&mut Context::from_waker(waker))
}

/// A call that has the sessions to drive, and does not.
fn lazy(client: &Client) -> Call<Option<client::Record>> {
    loop {
        let mut call = client.get(b"lazy");
        if poll(&mut call, Waker::noop()).is_pending() {
            return call;
        }
    }
}

/// How often the threads of handles went to sleep so far.
fn sleeps() -> u64 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().map_while(Result::ok);
    let texts = threads.map(|thread| std::fs::read_to_string(thread.path().join("status")));
    let of_handles = texts.flatten().filter(|text| text.starts_with("Name:\tkv-client\n"));
    let counts = of_handles.map(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    });
    counts.sum()
}

/// Makes calls until the thread of the handle has slept less than so often meanwhile: on a busy
/// machine it has to drive for a while.
fn wait_until_it_sleeps_less_than(times: u64, mut calls: impl FnMut()) {
    wait_until("the thread of the handle slept seldom", || {
        let before = sleeps();
        calls();
        sleeps() - before < times
    });
}

#[test]
fn futures_of_one_thread_are_ended_without_another() {
    const FUTURES: u32 = 64;
    const CALLS: u32 = 40;
    let _alone = alone();
    let server = start(&[]);
    let client = handle(server.address, LONG);
    let calls = |client: Client| async move {
        for _ in 0..CALLS {
            assert_eq!(client.get(b"key").await, Ok(None));
        }
    };
    // Not once for each round.
    wait_until_it_sleeps_less_than(u64::from(CALLS) / 2, || {
        drop(run_all((0..FUTURES).map(|_| calls(client.clone()))));
    });
}

#[test]
fn a_thread_that_waits_alone_needs_no_other() {
    const CALLS: u32 = 100;
    let _alone = alone();
    let server = start(&[]);
    let client = handle(server.address, LONG);
    wait_until_it_sleeps_less_than(u64::from(CALLS) / 2, || {
        for _ in 0..CALLS {
            assert_eq!(client.get(b"key").wait(), Ok(None));
        }
    });
}

#[test]
fn who_does_not_drive_on_holds_up_no_others() {
    let _alone = alone();
    let server = start(&[]);
    let client = handle(server.address, LONG);
    let mut took = Vec::new();
    for round in 0..20 {
        let held = lazy(&client);
        let began = Instant::now();
        let answered = match round % 2 {
            0 => client.get(b"key").wait(),
            _ => block_on(client.get(b"key")),
        };
        took.push(began.elapsed());
        assert_eq!(answered, Ok(None));
        drop(held);
    }
    let least = took.iter().min().expect("there are some");
    assert!(*least < ms(5), "{took:?}");
}

#[test]
fn deadlines_are_kept_while_nobody_drives_on() {
    let _alone = alone();
    let server = start(&[]);
    let client = handle(server.address, LONG);
    let _stopped = server.stop();
    let mut late = Vec::new();
    for _ in 0..20 {
        let _held = lazy(&client);
        let began = Instant::now();
        let hurried = client.with_timeout(ms(10)).get(b"key");
        let _held_too = lazy(&client);
        assert_eq!(hurried.wait(), Err(Error::Unanswered(Why::Deadline)));
        late.push(began.elapsed() - ms(10));
    }
    let least = late.iter().min().expect("there are some");
    assert!(*least <= ms(1), "{late:?}");
}

#[test]
fn the_deadline_of_a_first_call_after_a_while_is_kept_though_nobody_drives_on() {
    /// Notes when it was woken last.
    struct Notes(Mutex<Instant>);
    impl Wake for Notes {
        fn wake(self: Arc<Self>) {
            *self.0.lock().unwrap() = Instant::now();
        }
    }
    let _alone = alone();
    let server = start(&[]);
    let client = handle(server.address, LONG);
    let _stopped = server.stop();
    let mut late = Vec::new();
    for _ in 0..20 {
        thread::sleep(ms(10));
        let began = Instant::now();
        let notes = Arc::new(Notes(Mutex::new(began)));
        let mut call = client.with_timeout(ms(10)).get(b"key");
        assert!(poll(&mut call, &notes.clone().into()).is_pending());
        thread::sleep(ms(60));
        late.push(*notes.0.lock().unwrap() - began);
    }
    late.sort();
    assert!(late[0] >= ms(10) && late[0] < ms(12) && late[late.len() / 2] < ms(20), "{late:?}");
}

#[test]
fn calls_that_nobody_waits_for_are_made() {
    const CALLS: u32 = 100;
    let _alone = alone();
    let server = start(&[]);
    let client = handle(server.address, LONG);
    let mut asking = connection(server.address, LONG);
    for held in [false, true] {
        let before = counter(&mut asking, "puts");
        // Others are outstanding, and who could drive does not.
        let _held = held.then(|| lazy(&client));
        for key in 0..CALLS {
            let call = client.put(&key.to_be_bytes(), b"value");
            match key % 3 {
                0 => drop(call),
                1 => std::mem::forget(call),
                _ => {
                    let mut call = call;
                    let _ = poll(&mut call, Waker::noop());
                }
            }
        }
        let all = before + u64::from(CALLS);
        wait_until("all were executed", || counter(&mut asking, "puts") == all);
    }
}

#[test]
fn the_first_calls_after_a_while_are_sent_at_once_though_nobody_waits_for_them() {
    let _alone = alone();
    let server = start(&[]);
    let client = handle(server.address, LONG);
    let mut asking = connection(server.address, LONG);
    let mut took = Vec::new();
    for puts in 1..=20 {
        // Its thread sleeps for long when nothing was called for a while.
        thread::sleep(ms(10));
        let began = Instant::now();
        match puts % 2 {
            0 => drop(client.put(b"key", b"value")),
            _ => drop(client.put_many(&[(b"key", b"value")])),
        }
        while counter(&mut asking, "puts") < puts {}
        took.push(began.elapsed());
    }
    for calls in 0..2 {
        let took = took.iter().skip(calls).step_by(2);
        assert!(took.min().expect("there are some") < &ms(5), "of {calls}");
    }
}

#[test]
fn who_is_woken_may_call_and_wait() {
    struct Calls(Client, AtomicU64);
    impl Wake for Calls {
        fn wake(self: Arc<Self>) {
            assert!(self.0.put(b"by waker", b"value").wait().is_ok());
            assert!(self.0.get(b"by waker").wait().unwrap().is_some());
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    let _alone = alone();
    let server = start(&[]);
    let client = handle(server.address, LONG);
    for driven in [true, false] {
        let calls = Arc::new(Calls(client.clone(), AtomicU64::new(0)));
        let stopped = server.stop();
        let mut first = client.get(b"key");
        // So that the other is not the one who drives, whose waker is called at once.
        assert!(poll(&mut first, Waker::noop()).is_pending());
        let mut second = client.get(b"key");
        assert!(poll(&mut second, &calls.clone().into()).is_pending());
        drop(stopped);
        if driven {
            assert_eq!(first.wait(), Ok(None));
        }
        wait_until("it was woken", || calls.1.load(Ordering::Relaxed) > 0);
        assert_eq!(second.wait(), Ok(None));
    }
}

#[test]
fn who_is_woken_by_the_thread_of_the_handle_may_wait_though_nobody_drives_on() {
    struct Waits {
        client: Client,
        entered: mpsc::Sender<()>,
        goes_on: Mutex<mpsc::Receiver<()>>,
        took: mpsc::Sender<(Duration, bool)>,
        is_over: AtomicBool,
    }
    impl Wake for Waits {
        fn wake(self: Arc<Self>) {
            let is_keeper = thread::current().name() == Some("kv-client");
            if !is_keeper || self.is_over.swap(true, Ordering::SeqCst) {
                return;
            }
            self.entered.send(()).unwrap();
            self.goes_on.lock().unwrap().recv().unwrap();
            let began = Instant::now();
            let written = self.client.with_timeout(ms(500)).put(b"by waker", b"value").wait();
            self.took.send((began.elapsed(), written.is_ok())).unwrap();
        }
    }
    let _alone = alone();
    let server = start(&[]);
    let client = handle(server.address, LONG);
    let stopped = server.stop();
    let mut first = client.get(b"key");
    assert!(poll(&mut first, Waker::noop()).is_pending());
    let mut second = client.get(b"key");
    let (entered, was_entered) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel();
    let (took, taken) = mpsc::channel();
    let goes_on = Mutex::new(goes_on);
    let is_over = AtomicBool::new(false);
    let waits = Waits { client: client.clone(), entered, goes_on, took, is_over };
    assert!(poll(&mut second, &Arc::new(waits).into()).is_pending());
    drop(stopped);
    was_entered.recv().unwrap();
    // Another task takes the sessions to drive, and is not polled any more.
    let _held = lazy(&client);
    go_on.send(()).unwrap();
    let (took, is_written) = taken.recv().unwrap();
    assert!(is_written && took < ms(400), "{took:?}");
}

#[test]
fn a_poll_of_many_calls_that_nobody_answers_is_short() {
    /// Whether a task is to be polled again.
    struct Woken(AtomicBool);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let cpu = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        Duration::from_nanos(text.split_ascii_whitespace().next().unwrap().parse().unwrap())
    };
    let _alone = alone();
    let server = start(&[]);
    let client = handle(server.address, LONG);
    let _stopped = server.stop();
    let mut calls: Vec<_> = (0..200).map(|_| client.get(b"key")).collect();
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = woken.clone().into();
    let polls = (0..20).map(|_| {
        // In between nothing comes, and its core may be found to be its own.
        thread::sleep(ms(20));
        let before = cpu();
        woken.0.store(true, Ordering::SeqCst);
        while woken.0.swap(false, Ordering::SeqCst) {
            calls.iter_mut().for_each(|call| assert!(poll(call, &waker).is_pending()));
        }
        cpu() - before
    });
    let least = polls.min().expect("there are some");
    assert!(least < ms(3), "{least:?}");
}

#[test]
fn who_panics_when_woken_by_a_caller_harms_no_others() {
    struct Panics(thread::ThreadId);
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            // On the thread of the handle that would be its end.
            assert!(thread::current().id() != self.0, "on purpose");
        }
    }
    let _alone = alone();
    let server = start(&[]);
    let client = handle(server.address, LONG);
    for _ in 0..20 {
        let waker = Arc::new(Panics(thread::current().id())).into();
        let mut held = client.get(b"key");
        let mut others: Vec<_> = (0..20).map(|_| client.get(b"key")).collect();
        if poll(&mut held, &waker).is_pending() {
            let last = others.pop().expect("there are some");
            assert_eq!(last.wait(), Ok(None));
        }
        assert!(run_all(others).iter().all(|end| *end == Ok(None)));
    }
}

// ------------------------------------------------------------------------ all at once

/// What one thread does with calls, at random.
fn disturb(client: &Client, mut random: Random, puts: &AtomicU64) {
    for step in 0..400_u32 {
        let key = [random.below(50) as u8];
        let hurried = client.with_timeout(Duration::from_micros(random.below(3000)));
        match random.below(10) {
            0 => assert!(client.get(&key).wait().is_ok()),
            1 => assert!(block_on(client.get(&key)).is_ok()),
            2 => {
                assert!(client.put(&key, &step.to_be_bytes()).wait().is_ok());
                puts.fetch_add(1, Ordering::Relaxed);
            }
            3 => {
                let futures = (0..random.below(40)).map(|_| client.get(&key));
                assert!(run_all(futures).iter().all(Result::is_ok));
            }
            4 => {
                let mut call = client.get(&key);
                for _ in 0..random.below(4) {
                    if poll(&mut call, Waker::noop()).is_ready() {
                        break;
                    }
                }
            }
            5 => drop(lazy(client)),
            6 => {
                let ended = hurried.get(&key).wait();
                let is_late = |error: &Error| {
                    let late =
                        [Error::Unanswered(Why::Deadline), Error::NotExecuted(Why::Deadline)];
                    late.contains(error)
                };
                assert!(ended.as_ref().is_ok() || ended.as_ref().is_err_and(is_late), "{ended:?}");
            }
            7 => {
                let mut call = client.get(&key);
                if poll(&mut call, Waker::noop()).is_pending() {
                    assert!(call.wait().is_ok());
                }
            }
            8 => {
                let read = client.get_many(&vec![key; 1 + random.index(100)]).wait().unwrap();
                assert!(read.iter().all(Result::is_ok));
            }
            _ => {
                let mut call = client.get(&key);
                let polled = poll(&mut call, Waker::noop()).is_pending();
                // It ends on another thread.
                if polled {
                    let elsewhere = thread::spawn(move || block_on(call));
                    assert!(elsewhere.join().unwrap().is_ok());
                }
            }
        }
    }
}

#[test]
fn threads_and_executors_that_come_and_go_lose_no_call() {
    const THREADS: usize = 6;
    let _alone = alone();
    let server = start(&["--cores", "2"]);
    let client = handle(server.address, LONG);
    let (puts, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut random = Random::for_test("drivers");
    thread::scope(|scope| {
        // One that never waits for anything.
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                drop(client.get(b"unwaited"));
                thread::sleep(Duration::from_micros(200));
            }
        });
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (client, random, puts) = (client.clone(), random.split(), &puts);
                scope.spawn(move || disturb(&client, random, puts))
            })
            .collect();
        let ends: Vec<_> = threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(ends.iter().all(Result::is_ok));
    });
    let mut asking = connection(server.address, LONG);
    assert_eq!(counter(&mut asking, "puts"), puts.into_inner());
    assert_eq!(counter(&mut asking, "sessions_opened"), 4, "no session was lost");
}
