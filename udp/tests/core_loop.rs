//! Rounds of the core loop over a transport made by hand.

mod common;

use std::collections::VecDeque;
use std::io;
use std::task::Waker;
use std::time::Duration;

use proto::transmit::{Account, Flush, Path, Transmit};
use udp::core_loop::{CoreLoop, Endpoint, Round, SLEEP_NS_MAX};
use udp::counters::TransportCounters;
use udp::idle::Idle;
use udp::transport::{Inbox, Received, Transport};

use common::Deadline;

const MESSAGES_PER_ROUND: usize = 2;

/// Gives datagrams out of a list, and keeps what is sent.
#[derive(Default)]
struct ByHand {
    now_ns: u64,
    incoming: VecDeque<Vec<u8>>,
    sent: Vec<Vec<u8>>,
    flushed: u32,
    waited: Vec<Duration>,
    /// How long it takes to receive.
    round_ns: u64,
    counters: TransportCounters,
}

#[derive(Default)]
struct Messages(Vec<Vec<u8>>);

fn path() -> Path {
    Path::to(([10, 0, 0, 1], 1).into())
}

impl Inbox for Messages {
    fn message(&self, index: usize) -> (Path, impl Iterator<Item = &[u8]>) {
        (path(), std::iter::once(self.0[index].as_slice()))
    }
}

impl Transport for ByHand {
    type Inbox = Messages;

    fn inbox(&self) -> Messages {
        Messages::default()
    }

    fn receive(&mut self, inbox: &mut Messages) -> io::Result<Received> {
        self.now_ns += self.round_ns;
        let messages = self.incoming.len().min(MESSAGES_PER_ROUND);
        inbox.0 = self.incoming.drain(..messages).collect();
        Ok(Received { messages, is_drained: messages < MESSAGES_PER_ROUND })
    }

    fn send(&mut self, _: u64, burst: Transmit<'_>) {
        self.sent.push(burst.bytes.to_vec());
    }

    fn flush(&mut self, _: u64) -> usize {
        self.flushed += 1;
        0
    }

    /// The longest of waits.
    fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        self.waited.push(timeout);
        self.now_ns += timeout.as_nanos() as u64;
        Ok(())
    }

    fn waker(&mut self) -> io::Result<Waker> {
        Ok(Waker::noop().clone())
    }

    fn counters(&self) -> &TransportCounters {
        &self.counters
    }

    fn now_ns(&self) -> u64 {
        self.now_ns
    }
}

/// Answers each datagram with itself, full bursts of two, and notes its calls.
#[derive(Default)]
struct Echo {
    calls: Vec<String>,
    answers: VecDeque<Vec<u8>>,
    sending: Vec<u8>,
    ends: bool,
}

impl Endpoint for Echo {
    fn handle_datagram(&mut self, _: u64, _: Path, datagram: &[u8]) {
        self.calls.push(format!("datagram {}", datagram[0]));
        self.answers.push_back(datagram.to_vec());
    }

    fn handle_timeout(&mut self, _: u64, is_drained: bool) {
        self.calls.push(format!("timeout drained={is_drained}"));
    }

    fn poll_timeout(&self) -> Option<u64> {
        Some(77)
    }

    fn poll_transmit(&mut self, _: u64, flush: Flush) -> Option<Transmit<'_>> {
        if flush == Flush::Full && self.answers.len() < 2 {
            return None;
        }
        self.sending = self.answers.pop_front()?;
        self.calls.push(format!("transmit {}", self.sending[0]));
        let account = Account::Session;
        Some(Transmit { path: path(), account, bytes: &self.sending, segment_bytes: 1 })
    }

    fn goes_on(&mut self, _: u64, _: &TransportCounters) -> bool {
        !self.ends
    }
}

#[test]
fn a_round_receives_executes_does_what_is_due_and_sends() {
    let mut transport = ByHand { incoming: [vec![1]].into(), ..ByHand::default() };
    let mut echo = Echo::default();
    let mut core_loop = CoreLoop::new(&transport);
    assert_eq!(core_loop.round(&mut transport, &mut echo).unwrap(), Round::Worked);
    assert_eq!(echo.calls, ["datagram 1", "timeout drained=true", "transmit 1"]);
    assert_eq!((transport.sent.as_slice(), transport.flushed), ([vec![1]].as_slice(), 1));
    let idle = Round::Idle { timeout_ns: Some(77) };
    assert_eq!(core_loop.round(&mut transport, &mut echo).unwrap(), idle);
    echo.ends = true;
    assert_eq!(core_loop.round(&mut transport, &mut echo).unwrap(), Round::Over);
}

#[test]
fn a_full_burst_leaves_before_the_next_datagram_is_taken() {
    let incoming = [vec![1], vec![2]].into();
    let mut transport = ByHand { incoming, ..ByHand::default() };
    let mut echo = Echo::default();
    CoreLoop::new(&transport).round(&mut transport, &mut echo).unwrap();
    let calls = ["datagram 1", "datagram 2", "transmit 1", "timeout drained=false", "transmit 2"];
    assert_eq!(echo.calls, calls);
}

#[test]
fn timers_of_a_transport_that_is_never_drained_have_their_turn_after_a_time() {
    let mut transport = ByHand::default();
    let mut core_loop = CoreLoop::new(&transport);
    let mut drained = Vec::new();
    for round in 0..5 {
        transport.now_ns = round * 9_000_000;
        transport.incoming = (0..100).map(|number| vec![number]).collect();
        let mut echo = Echo::default();
        assert_eq!(core_loop.round(&mut transport, &mut echo).unwrap(), Round::Worked);
        drained.push(echo.calls.iter().any(|call| call.contains("drained=true")));
    }
    assert_eq!(drained, [false, false, false, true, false]);
}

#[test]
fn one_loop_is_run_again_and_again_and_rests_until_something_is_due() {
    const REST: Duration = Duration::from_micros(4_700);
    let mut transport = ByHand::default();
    let mut core_loop = CoreLoop::new(&transport);
    let mut idle = Idle::new(false);
    for _ in 0..3 {
        transport.now_ns += 1_000_000_000;
        let at_ns = transport.now_ns + REST.as_nanos() as u64;
        let mut deadline = Deadline { at_ns, rounds: 0 };
        core_loop.run(&mut transport, &mut idle, &mut deadline).unwrap();
        assert_eq!((transport.now_ns, deadline.rounds), (at_ns, 2));
    }
    assert_eq!(transport.waited, [REST; 3]);
}

/// Ends after three rounds, and notes when its rests were over.
#[derive(Default)]
struct Rested {
    rounds: u32,
    rested_ns: Vec<u64>,
}

impl Endpoint for Rested {
    fn handle_datagram(&mut self, _: u64, _: Path, _: &[u8]) {}

    fn handle_timeout(&mut self, _: u64, _: bool) {
        self.rounds += 1;
    }

    fn poll_timeout(&self) -> Option<u64> {
        None
    }

    fn poll_transmit(&mut self, _: u64, _: Flush) -> Option<Transmit<'_>> {
        None
    }

    fn goes_on(&mut self, _: u64, _: &TransportCounters) -> bool {
        self.rounds < 3
    }

    fn rested(&mut self, now_ns: u64) {
        self.rested_ns.push(now_ns);
    }
}

#[test]
fn an_endpoint_is_told_when_a_rest_is_over_and_only_then() {
    let mut transport = ByHand { incoming: [vec![1]].into(), ..ByHand::default() };
    let mut endpoint = Rested::default();
    let mut core_loop = CoreLoop::new(&transport);
    core_loop.run(&mut transport, &mut Idle::new(false), &mut endpoint).unwrap();
    // The first round worked, the second did not, and the third was the last.
    assert_eq!((endpoint.rested_ns, transport.waited.len()), (vec![SLEEP_NS_MAX], 1));
}

#[test]
fn who_has_the_core_alone_spins_through_a_rest_of_less_than_a_millisecond() {
    const ROUND_NS: u64 = 50_000;
    for (rest_ns, waits) in [(1_000_000, 0), (2_000_000, 1)] {
        let now_ns = 1_000_000_000;
        let mut transport = ByHand { now_ns, round_ns: ROUND_NS, ..ByHand::default() };
        let mut core_loop = CoreLoop::new(&transport);
        let mut deadline = Deadline { at_ns: now_ns + rest_ns, rounds: 0 };
        core_loop.run(&mut transport, &mut Idle::new(true), &mut deadline).unwrap();
        assert_eq!(transport.waited.len(), waits);
    }
}
