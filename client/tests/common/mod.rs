//! What the tests with real servers share.

// Each file of tests is a program of its own, and uses a part of this.
#![allow(dead_code)]

pub(crate) mod executor;

use std::fmt::Debug;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use client::{Client, Config, Connection, Error};
use testkit::DEADLINE;
use testkit::process::any_program;
use testkit::server::Server;

/// How often to look whether what is waited for has come.
const LOOK: Duration = Duration::from_millis(2);

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn start(arguments: &[&str]) -> Server {
    Server::start(&any_program(), arguments)
}

pub(crate) fn connection(server: SocketAddr, timeout: Duration) -> Connection {
    Connection::connect_with(&[server], &Config::default().with_timeout(timeout)).unwrap()
}

pub(crate) fn handle(server: SocketAddr, timeout: Duration) -> Client {
    Client::connect_with(&[server], &Config::default().with_timeout(timeout)).unwrap()
}

/// Waits until something is so.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came about: {what}");
        thread::sleep(LOOK);
    }
}

/// A counter of all workers of a server together.
pub(crate) fn counter(asking: &mut Connection, name: &str) -> u64 {
    let workers = asking.stats().unwrap();
    let counters = workers.iter().map(|worker| worker.counters.as_ref().unwrap());
    counters.map(|counters| counters.get(name).copied().unwrap_or(0)).sum()
}

/// Requires this error, with its text, and what is said of retrying.
#[track_caller]
pub(crate) fn expect<T: Debug>(
    result: Result<T, Error>,
    error: &Error,
    text: &str,
    may_retry: bool,
) {
    let told = result.expect_err("it fails");
    assert_eq!((&told, told.to_string().as_str()), (error, text));
    assert_eq!(told.may_retry(), may_retry, "{told}");
    assert_eq!(told.is_indeterminate(), matches!(error, Error::Indeterminate(_)), "{told}");
}

/// Values that fill a datagram each, so that the window is soon full.
pub(crate) fn large_records(count: u32) -> Vec<([u8; 4], Vec<u8>)> {
    (0..count).map(|number| (number.to_be_bytes(), vec![number as u8; 1000])).collect()
}

pub(crate) fn large_keys(count: u32) -> Vec<[u8; 4]> {
    (0..count).map(u32::to_be_bytes).collect()
}
