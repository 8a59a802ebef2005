//! The yardstick for a single round trip: a datagram there and back, with nothing behind it.
//!
//! Both ends run the core loop that servers and generators run, each on the core where
//! those run, so that what a GET takes longer is the store's.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use hdrhistogram::Histogram;
use host::report::Latency;
use proto::transmit::{Account, Flush, Path, Transmit};
use udp::clock::now_ns;
use udp::core_loop::{self, Endpoint};
use udp::counters::TransportCounters;
use udp::idle::Idle;
use udp::pin::{allowed_cores, pin_to};
use udp::socket::Socket;

use super::processes::StopSignal;

/// Bytes of a datagram.
pub const DATAGRAM_BYTES: usize = 64;
/// When a datagram is taken for lost.
const LOST_NS: u64 = 100_000_000;
/// Longest round trip that is told apart.
const ROUND_TRIP_NS_MAX: u64 = 60_000_000_000;

/// Sends one datagram after the other and back, and tells how long they took.
pub fn round_trips(
    warmup: Duration,
    measure: Duration,
    cores: (usize, usize),
    stop: &StopSignal,
) -> Result<Latency> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut server = Socket::bind(any).context("cannot open a socket for the echo")?;
    let mut client = Socket::bind(any).context("cannot open a socket for the echo")?;
    let is_over = AtomicBool::new(false);
    let mut echo =
        Echo { path: Path::to(any), datagram: Vec::new(), is_due: false, is_over: &is_over };
    let start_ns = now_ns();
    let measure_ns = start_ns + warmup.as_nanos() as u64;
    let mut ping = Ping {
        to: server.address(),
        datagram: [0; DATAGRAM_BYTES],
        number: 0,
        is_due: true,
        sent_ns: start_ns,
        measure_ns,
        end_ns: measure_ns + measure.as_nanos() as u64,
        taken_ns: Histogram::new_with_max(ROUND_TRIP_NS_MAX, 3).expect("sound bounds"),
        stop,
    };
    let idle = Idle::new(allowed_cores().len() > 1);
    std::thread::scope(|scope| {
        let echoes = scope.spawn(|| {
            // Unbound it is a worse yardstick, but one.
            let _ = pin_to(cores.0);
            core_loop::run(&mut server, idle.clone(), &mut echo)
        });
        let pings = scope.spawn(|| {
            let _over = SetOnDrop(&is_over);
            let _ = pin_to(cores.1);
            core_loop::run(&mut client, idle.clone(), &mut ping)
        });
        let pinged = pings.join().map_err(|_| anyhow!("the ping panicked"))?;
        let echoed = echoes.join().map_err(|_| anyhow!("the echo panicked"))?;
        pinged.and(echoed).context("the echo's socket failed")
    })?;
    stop.check()?;
    Ok(Latency::of(&ping.taken_ns))
}

/// However the ping ends, the echo ends with it.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends back what comes.
struct Echo<'a> {
    path: Path,
    datagram: Vec<u8>,
    is_due: bool,
    is_over: &'a AtomicBool,
}

impl Endpoint for Echo<'_> {
    fn handle_datagram(&mut self, _now_ns: u64, path: Path, datagram: &[u8]) {
        self.path = path;
        self.datagram.clear();
        self.datagram.extend_from_slice(datagram);
        self.is_due = !datagram.is_empty();
    }

    fn handle_timeout(&mut self, _now_ns: u64, _is_drained: bool) {}

    fn poll_timeout(&self) -> Option<u64> {
        None
    }

    fn poll_transmit(&mut self, _now_ns: u64, _flush: Flush) -> Option<Transmit<'_>> {
        std::mem::take(&mut self.is_due).then_some(Transmit {
            path: self.path,
            account: Account::Session,
            bytes: &self.datagram,
            segment_bytes: self.datagram.len(),
        })
    }

    fn goes_on(&mut self, _now_ns: u64, _transport: &TransportCounters) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }
}

/// Has one datagram under way.
struct Ping<'a> {
    to: SocketAddr,
    datagram: [u8; DATAGRAM_BYTES],
    number: u64,
    is_due: bool,
    sent_ns: u64,
    measure_ns: u64,
    end_ns: u64,
    taken_ns: Histogram<u64>,
    stop: &'a StopSignal,
}

impl Ping<'_> {
    fn send_next(&mut self, now_ns: u64) {
        self.number += 1;
        self.datagram[..8].copy_from_slice(&self.number.to_le_bytes());
        self.is_due = true;
        self.sent_ns = now_ns;
    }
}

impl Endpoint for Ping<'_> {
    fn handle_datagram(&mut self, now_ns: u64, _path: Path, datagram: &[u8]) {
        if datagram != self.datagram {
            return;
        }
        if self.sent_ns >= self.measure_ns {
            self.taken_ns.saturating_record(now_ns - self.sent_ns);
        }
        self.send_next(now_ns);
    }

    fn handle_timeout(&mut self, now_ns: u64, _is_drained: bool) {
        if now_ns >= self.sent_ns + LOST_NS {
            self.send_next(now_ns);
        }
    }

    fn poll_timeout(&self) -> Option<u64> {
        Some(self.sent_ns + LOST_NS)
    }

    fn poll_transmit(&mut self, _now_ns: u64, _flush: Flush) -> Option<Transmit<'_>> {
        std::mem::take(&mut self.is_due).then_some(Transmit {
            path: Path::to(self.to),
            account: Account::Session,
            bytes: &self.datagram,
            segment_bytes: DATAGRAM_BYTES,
        })
    }

    fn goes_on(&mut self, now_ns: u64, _transport: &TransportCounters) -> bool {
        now_ns < self.end_ns && !self.stop.is_set()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_come_back_one_after_the_other() {
        let stop = StopSignal::on_signals().unwrap();
        let cores = allowed_cores();
        let latency = round_trips(
            Duration::from_millis(10),
            Duration::from_millis(200),
            (cores[0], cores[cores.len() - 1]),
            &stop,
        )
        .unwrap();
        assert!(latency.count > 10, "{latency:?}");
        assert!(latency.p50_us > 0.5 && latency.p50_us <= latency.p99_us, "{latency:?}");
    }
}
