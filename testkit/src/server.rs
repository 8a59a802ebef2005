//! A `kv` that is ready.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::DEADLINE;
use crate::process::{Ended, Process, Signal, beside, while_none_starts};

/// A server under way; killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    /// Its process.
    pub process: Process,
    /// The address of its first worker.
    pub address: SocketAddr,
}

/// A server that was stopped by SIGSTOP, until this is dropped.
#[derive(Debug)]
pub struct Stopped<'a>(&'a Process);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.signal(Signal::CONT);
    }
}

/// What a server left.
#[derive(Clone, Debug)]
pub struct Totals {
    /// Its exit status and lines.
    pub ended: Ended,
    counters: BTreeMap<String, u64>,
}

impl Server {
    /// Starts the `kv` beside `program` on free ports, and waits until it answers.
    ///
    /// Several servers share a test's machine, so none is bound to a core.
    #[must_use]
    pub fn start(program: &str, arguments: &[&str]) -> Self {
        Self::start_on(0, program, arguments)
    }

    /// Starts it on these ports, from the first on: where one was that has ended.
    #[must_use]
    pub fn start_on(port: u16, program: &str, arguments: &[&str]) -> Self {
        let port = port.to_string();
        // Should the test be killed, its drops never run.
        let parent = std::process::id().to_string();
        let mut all = vec!["--port", &port, "--pin", "none", "--records", "1000"];
        all.extend(["--die-with-parent", &parent]);
        all.extend(arguments);
        let mut process = Process::start(&beside(program, "kv"), &all);
        let line = process.wait_for_line("kv ready ", DEADLINE);
        let address = line.split(' ').nth(2).and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("no address in '{line}'"));
        Self { process, address }
    }

    /// It does nothing until what this returns is dropped.
    #[must_use]
    pub fn stop(&self) -> Stopped<'_> {
        self.process.signal(Signal::STOP);
        Stopped(&self.process)
    }

    /// Kills it, and starts it on the same ports: it has lost all.
    pub fn restart(&mut self, program: &str, arguments: &[&str]) {
        self.process.signal(Signal::KILL);
        assert_eq!(self.process.wait_for_end(DEADLINE), None);
        *self = Self::start_on(self.address.port(), program, arguments);
    }

    /// Asks it to end, and returns its totals.
    #[must_use]
    pub fn end(self, signal: Signal) -> Totals {
        self.process.signal(signal);
        let ended = self.process.wait(DEADLINE);
        let totals = ended.stdout.iter().skip_while(|line| !line.starts_with("kv totals "));
        let counters = totals.skip(1).map(|line| {
            let pair = line.trim().split_once(' ');
            let pair = pair.and_then(|(name, count)| Some((name.to_owned(), count.parse().ok()?)));
            pair.unwrap_or_else(|| panic!("'{line}' is no counter: {ended:?}"))
        });
        Totals { counters: counters.collect(), ended }
    }
}

/// Ports of the loopback, one after the other, that the kernel gives to nobody who asks for any:
/// they are still free when a server that was killed starts again. Returns the first.
#[must_use]
pub fn lasting_ports(count: u16) -> u16 {
    const FIRST: u16 = 16_384;
    const COUNT: u16 = 8_192;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Another run of these tests begins elsewhere.
    let begin = (std::process::id() as u16).wrapping_mul(64);
    let is_free = |port| while_none_starts(|| UdpSocket::bind(("127.0.0.1", port)).is_ok());
    loop {
        let offset = begin.wrapping_add(NEXT.fetch_add(count, Ordering::Relaxed)) % COUNT;
        let port = FIRST + offset;
        if (port..port + count).all(is_free) {
            return port;
        }
    }
}

/// A port of the loopback that nobody has now, for a program that cannot say which it took.
#[must_use]
pub fn free_port() -> u16 {
    while_none_starts(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.local_addr().expect("it is bound").port()
    })
}

impl Totals {
    /// A counter; those that are zero are not printed.
    #[must_use]
    pub fn of(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }
}
