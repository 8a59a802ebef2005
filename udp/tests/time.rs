//! Waits of a kernel socket keep time.

mod common;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use udp::core_loop::CoreLoop;
use udp::idle::Idle;
use udp::socket::Socket;
use udp::transport::Transport;

use common::Deadline;

const LATE_MAX: Duration = Duration::from_micros(500);

fn socket() -> Socket {
    Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap()
}

/// The median of a batch. Others may have kept the machine busy: the least of some batches.
fn median(mut time: impl FnMut() -> Duration) -> Duration {
    const BATCH: usize = 25;
    let mut batch = || {
        let mut times: Vec<Duration> = (0..BATCH).map(|_| time()).collect();
        times.sort_unstable();
        times[BATCH / 2]
    };
    let first = batch();
    (0..7).fold(first, |least, _| if least < LATE_MAX { least } else { least.min(batch()) })
}

#[test]
fn a_wait_is_as_long_as_it_was_asked_to_be() {
    let mut socket = socket();
    for us in [300, 900, 1_500, 5_000] {
        let asked = Duration::from_micros(us);
        let late = median(|| {
            let began = Instant::now();
            let mut waits = 0;
            while let Some(rest) = asked.checked_sub(began.elapsed()) {
                socket.wait(rest).unwrap();
                waits += 1;
            }
            assert!(waits < 10, "{waits} waits for {us} µs");
            began.elapsed() - asked
        });
        assert!(late < LATE_MAX, "{late:?} late after {us} µs");
    }
}

#[test]
fn a_deadline_in_the_core_loop_is_kept_without_spinning() {
    let mut socket = socket();
    let mut core_loop = CoreLoop::new(&socket);
    let mut idle = Idle::new(false);
    let late = median(|| {
        let at_ns = socket.now_ns() + 5_000_000;
        let mut deadline = Deadline { at_ns, rounds: 0 };
        core_loop.run(&mut socket, &mut idle, &mut deadline).unwrap();
        assert!(deadline.rounds < 10, "{} rounds", deadline.rounds);
        Duration::from_nanos(socket.now_ns() - at_ns)
    });
    assert!(late < LATE_MAX, "{late:?} late");
}

#[test]
fn a_waker_and_a_datagram_each_end_one_short_wait_at_once() {
    const SHORT: Duration = Duration::from_micros(999);
    let mut socket = socket();
    let mut inbox = socket.inbox();
    let waker = socket.waker().unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.address();
    let wake_by: [&dyn Fn(); 2] =
        [&|| waker.wake_by_ref(), &|| assert_eq!(client.send_to(b"ask", address).unwrap(), 3)];
    for wake in wake_by {
        let mut wait = || {
            let began = Instant::now();
            socket.wait(SHORT).unwrap();
            let taken = began.elapsed();
            socket.receive(&mut inbox).unwrap();
            taken
        };
        let woken = median(|| {
            wake();
            let woken = wait();
            assert!(wait() >= SHORT, "it was woken once");
            woken
        });
        assert!(woken < LATE_MAX, "woken after {woken:?}");
    }
}
