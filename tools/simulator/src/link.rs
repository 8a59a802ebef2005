//! A machine's way to the network: a socket with its two buffers, as the core loop's transport.
//!
//! It holds what has arrived until a round takes it, some messages at a time, and it holds
//! what is sent until the device has taken it. Who may send is up to the production's own
//! [`WayOut`]. A neighbour that does not answer ARP keeps its datagrams in the send buffer
//! for a while, and then they are lost.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use proto::limits::{DATAGRAM_OVERHEAD_BYTES, STRANGERS_SHARE};
use proto::transmit::{Path, Transmit};
use udp::counters::TransportCounters;
use udp::transport::{Inbox, Received, Transport};
use udp::way_out::{Sink, WayOut};

use crate::config::Config;

/// A datagram that waits in a socket.
#[derive(Debug)]
pub struct Arrived {
    /// Where it is from.
    pub from: SocketAddr,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether they are others than were sent.
    pub is_damaged: bool,
}

/// The messages of a round, a datagram each.
#[derive(Debug, Default)]
pub struct Mail(Vec<Arrived>);

impl Inbox for Mail {
    fn message(&self, index: usize) -> (Path, impl Iterator<Item = &[u8]>) {
        let Arrived { from, bytes, .. } = &self.0[index];
        (Path::to(*from), std::iter::once(bytes.as_slice()))
    }
}

/// A datagram that has left the machine.
#[derive(Debug)]
pub struct Departed {
    /// Where to.
    pub to: SocketAddr,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// When the device takes it.
    pub at_ns: u64,
    /// Whether it never gets further: nobody answers for its address.
    pub is_stuck: bool,
}

/// A send buffer, and the device behind it.
#[derive(Debug)]
struct Device {
    now_ns: u64,
    buffer_bytes: usize,
    bytes_per_s: u64,
    /// The device is busy until then.
    busy_until_ns: u64,
    /// What it has not taken yet: until when, and how much.
    held: BTreeMap<u64, usize>,
    held_bytes: usize,
    /// Addresses for which nobody answers, and until when.
    silent: Vec<(IpAddr, u64)>,
    departed: Vec<Departed>,
}

impl Device {
    fn new(buffer_bytes: usize, bytes_per_s: u64) -> Self {
        Self {
            now_ns: 0,
            buffer_bytes,
            bytes_per_s,
            busy_until_ns: 0,
            held: BTreeMap::new(),
            held_bytes: 0,
            silent: Vec::new(),
            departed: Vec::new(),
        }
    }

    /// Time goes on, and what has left gives its room back.
    fn advance(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        let held = self.held.split_off(&(now_ns + 1));
        let left_bytes: usize = std::mem::replace(&mut self.held, held).into_values().sum();
        self.held_bytes -= left_bytes;
        self.silent.retain(|&(_, until_ns)| until_ns > now_ns);
    }

    fn take(&mut self, to: SocketAddr, bytes: &[u8]) {
        let silent = self.silent.iter().find(|(address, _)| *address == to.ip());
        let charged_bytes = bytes.len() + DATAGRAM_OVERHEAD_BYTES;
        let until_ns = match silent {
            Some(&(_, until_ns)) => until_ns,
            None => {
                let takes_ns = charged_bytes as u64 * 1_000_000_000 / self.bytes_per_s;
                self.busy_until_ns = self.busy_until_ns.max(self.now_ns) + takes_ns;
                self.busy_until_ns
            }
        };
        if until_ns > self.now_ns {
            *self.held.entry(until_ns).or_default() += charged_bytes;
            self.held_bytes += charged_bytes;
        }
        let is_stuck = silent.is_some();
        self.departed.push(Departed { to, bytes: bytes.to_vec(), at_ns: until_ns, is_stuck });
    }
}

impl Sink for Device {
    fn send<'a>(
        &mut self,
        burst: Transmit<'a>,
        counters: &mut TransportCounters,
    ) -> Option<Transmit<'a>> {
        let mut left = Some(burst);
        while let Some(burst) = left {
            if self.held_bytes >= self.buffer_bytes {
                return left;
            }
            let (first, rest) = burst.split_at(0);
            self.take(first.path.remote, first.bytes);
            left = rest;
        }
        counters.bursts_sent += 1;
        None
    }

    fn send_watched<'a>(
        &mut self,
        burst: Transmit<'a>,
        counters: &mut TransportCounters,
    ) -> (Option<Transmit<'a>>, bool) {
        let address = burst.path.remote.ip();
        let is_silent = self.silent.iter().any(|(silent, _)| *silent == address);
        (self.send(burst, counters), !is_silent)
    }

    fn charged_bytes(&self, burst: &Transmit<'_>) -> usize {
        burst.bytes.len() + burst.segments() * DATAGRAM_OVERHEAD_BYTES
    }

    fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }
}

/// Whether a wait of the machine is to end.
#[derive(Debug, Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One socket of a machine.
#[derive(Debug)]
pub struct Link {
    clock_ns: u64,
    unread: VecDeque<Arrived>,
    unread_bytes: usize,
    receive_buffer_bytes: usize,
    messages_per_round: usize,
    way_out: WayOut<Device>,
    counters: TransportCounters,
    bell: Arc<Bell>,
    /// Datagrams that were handed to it, and that the devices took.
    given: u64,
    taken: u64,
    /// Damaged datagrams that a round took.
    pub damaged_taken: u64,
}

impl Link {
    /// A link on which nothing has happened.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let Config { send_buffer_bytes, send_bytes_per_s, .. } = *config;
        let mut way_out = WayOut::new(Device::new(send_buffer_bytes, send_bytes_per_s));
        if config.parts_strangers {
            let share_bytes = send_buffer_bytes / STRANGERS_SHARE;
            way_out.part_strangers(Device::new(share_bytes, send_bytes_per_s));
        }
        Self {
            clock_ns: 0,
            unread: VecDeque::new(),
            unread_bytes: 0,
            receive_buffer_bytes: config.receive_buffer_bytes,
            messages_per_round: config.messages_per_round,
            way_out,
            counters: TransportCounters::default(),
            bell: Arc::default(),
            given: 0,
            taken: 0,
            damaged_taken: 0,
        }
    }

    /// A round begins: now, and what the machine's clock shows then.
    pub fn begin_round(&mut self, now_ns: u64, clock_ns: u64) {
        self.clock_ns = clock_ns;
        for device in self.way_out.sinks_mut() {
            device.advance(now_ns);
        }
    }

    /// A datagram arrives; returns whether there was room for it.
    pub fn arrive(&mut self, arrived: Arrived) -> bool {
        let bytes = arrived.bytes.len() + DATAGRAM_OVERHEAD_BYTES;
        if self.unread_bytes + bytes > self.receive_buffer_bytes {
            return false;
        }
        self.unread_bytes += bytes;
        self.unread.push_back(arrived);
        true
    }

    /// Whether datagrams wait to be taken.
    #[must_use]
    pub fn has_mail(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Whether bursts wait for room in the send buffer.
    #[must_use]
    pub fn has_backlog(&self) -> bool {
        self.way_out.has_backlog()
    }

    /// Whether somebody has ended the next wait, once.
    #[must_use]
    pub fn was_woken(&self) -> bool {
        self.bell.0.swap(false, Ordering::Relaxed)
    }

    /// Nobody answers for an address until then.
    pub fn silence(&mut self, address: IpAddr, until_ns: u64) {
        for device in self.way_out.sinks_mut() {
            device.silent.push((address, until_ns));
        }
    }

    /// Everybody answers again.
    pub fn heal(&mut self) {
        for device in self.way_out.sinks_mut() {
            device.silent.clear();
        }
    }

    /// What has left since the last call.
    pub fn departed(&mut self) -> Vec<Departed> {
        let departed: Vec<_> =
            self.way_out.sinks_mut().flat_map(|device| device.departed.drain(..)).collect();
        self.taken += departed.len() as u64;
        departed
    }

    /// Checks that each datagram that was handed to it has left, waits, or was counted
    /// (invariant 8).
    pub fn check_counted(&self) -> Result<(), String> {
        let TransportCounters { datagrams_unsent, strangers_unsent, .. } = self.counters;
        let waiting = self.way_out.waiting_datagrams();
        let known = self.taken + datagrams_unsent + strangers_unsent + waiting;
        if known == self.given {
            return Ok(());
        }
        Err(format!(
            "of {} datagrams {} have left, {waiting} wait, and {datagrams_unsent} and \
             {strangers_unsent} of strangers are counted as unsent",
            self.given, self.taken
        ))
    }
}

impl Transport for Link {
    type Inbox = Mail;

    fn inbox(&self) -> Mail {
        Mail::default()
    }

    fn receive(&mut self, mail: &mut Mail) -> io::Result<Received> {
        let messages = self.unread.len().min(self.messages_per_round);
        mail.0.clear();
        mail.0.extend(self.unread.drain(..messages));
        for arrived in &mail.0 {
            self.unread_bytes -= arrived.bytes.len() + DATAGRAM_OVERHEAD_BYTES;
            self.counters.messages_received += 1;
            self.damaged_taken += u64::from(arrived.is_damaged);
        }
        Ok(Received { messages, is_drained: messages < self.messages_per_round })
    }

    fn send(&mut self, now_ns: u64, burst: Transmit<'_>) {
        self.given += burst.segments() as u64;
        self.way_out.send(now_ns, burst, &mut self.counters);
    }

    fn flush(&mut self, now_ns: u64) -> usize {
        self.way_out.flush(now_ns, &mut self.counters)
    }

    fn wait(&mut self, _timeout: Duration) -> io::Result<()> {
        unreachable!("the world waits for its machines")
    }

    fn waker(&mut self) -> io::Result<Waker> {
        Ok(self.bell.clone().into())
    }

    fn counters(&self) -> &TransportCounters {
        &self.counters
    }

    fn now_ns(&self) -> u64 {
        self.clock_ns
    }
}
