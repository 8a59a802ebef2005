//! One thread that drives other stores: its connections, from connecting to the end.
//!
//! A connection is a closed loop of batches: it draws operations, sends them at once, and
//! draws the next when all of them are answered. With several stores, each has a connection
//! of its own, and a batch is dealt out to them by key. In open loop a batch is what has
//! become due by the time that the connection is free.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use client::pool::Silent;
use mio::{Events, Poll, Token};
use udp::clock::now_ns;
use udp::idle::{Idle, Rest, waited_ns};

use super::connection::Scratch;
use super::keys::Records;
use super::lane::{Lane, Source};
use super::link::Link;
use super::stores::Baselines;
use crate::arrivals::Arrivals;
use crate::coordination::{Coordination, INTERRUPTED_NS, LOOK_NS, ThreadReport, Window};
use crate::ledger::Ledger;
use crate::plan::Plan;
use crate::recorder::Recorder;
use crate::silence::{self, Silence};

/// How often a connection that is not there yet is looked at.
const CONNECT_LOOK: Duration = Duration::from_millis(1);
/// How often a thread looks for answers that are late.
const LATE_NS: u64 = 1_000_000;
/// Longest sleep, so that it notices when it is told to end.
const SLEEP_NS_MAX: u64 = 50_000_000;
/// The kernel sleeps by milliseconds; shorter waits are spun, where that is allowed.
const SLEEP_NS_MIN: u64 = 1_000_000;
const EVENTS: usize = 1024;

/// What a thread is given at its start.
#[derive(Debug)]
pub struct BaselineSetup {
    /// Which thread it is, of the plan's.
    pub thread: usize,
    /// Whom it talks to.
    pub baselines: Arc<Baselines>,
    /// Names the thread in the values that it writes; no other writer has it.
    pub writer: u64,
    /// Counts and measures.
    pub recorder: Recorder,
    /// Where it notes who does not answer.
    pub silence: Arc<Silence>,
    /// How it waits when there is nothing to do.
    pub idle: Idle,
}

/// One thread.
#[derive(Debug)]
pub struct BaselineThread {
    plan: Arc<Plan>,
    baselines: Arc<Baselines>,
    coordination: Arc<Coordination>,
    lanes: Vec<Lane>,
    ready: VecDeque<u32>,
    source: Source,
    records: Records,
    scratch: Scratch,
    ledger: Ledger,
    poll: Poll,
    events: Events,
    idle: Idle,
    late_ns: u64,
    thread: usize,
    silence: Arc<Silence>,
    silence_look_ns: u64,
}

impl BaselineThread {
    /// Begins to connect.
    pub fn new(
        plan: Arc<Plan>,
        coordination: Arc<Coordination>,
        setup: BaselineSetup,
    ) -> Result<Self> {
        let BaselineSetup { thread, baselines, writer, recorder, silence, idle } = setup;
        let poll = Poll::new()?;
        let mut lanes = Vec::new();
        for number in (thread..plan.streams).step_by(plan.threads) {
            let mut links = Vec::new();
            for (server, &address) in plan.servers.iter().enumerate() {
                let token = Token(lanes.len() * plan.servers.len() + server);
                let link = Link::new(baselines.protocol, address, baselines.mtu_bytes)
                    .and_then(|mut link| Ok((link.register(poll.registry(), token)?, link).1))
                    .map_err(|error| cannot_connect(&baselines, server, &error))?;
                links.push(link);
            }
            lanes.push(Lane::new(lanes.len(), number, plan.seed, links));
        }
        let value_size = plan.values.value_size();
        Ok(Self {
            records: Records::new(plan.keys.key_size(), plan.values.clone(), writer),
            coordination,
            ready: VecDeque::with_capacity(lanes.len()),
            lanes,
            source: Source::Load { next: thread as u64 },
            scratch: Scratch::new(value_size),
            ledger: Ledger::new(recorder, None),
            poll,
            events: Events::with_capacity(EVENTS),
            idle,
            late_ns: 0,
            thread,
            silence,
            silence_look_ns: 0,
            plan,
            baselines,
        })
    }

    /// Runs to the end; returns what the thread knows then, or why it could not go on.
    pub fn run(mut self) -> Result<ThreadReport> {
        let result = self.stages();
        self.silence.note(self.thread, now_ns(), std::iter::empty());
        let (mut operations, mut puts) = (0u64, 0u64);
        for link in self.lanes.iter().flat_map(|lane| &lane.links) {
            link.each_outstanding(|asked| {
                operations += 1;
                puts += u64::from(asked.is_put);
            });
        }
        match result {
            Ok(()) => Ok(self.ledger.report),
            Err(error) if operations == 0 => Err(error),
            Err(error) => Err(anyhow!(
                "{error:#}; {operations} operations were outstanding, {puts} of them PUTs, each of \
                 which may or may not have happened"
            )),
        }
    }

    fn stages(&mut self) -> Result<()> {
        self.connect()?;
        self.coordination.connected.fetch_add(1, Ordering::Relaxed);
        if self.plan.load {
            self.load()?;
        }
        if !self.is_stopped() {
            self.coordination.ready.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(window) = self.await_window()?
            && window.end_ns > window.start_ns
        {
            self.measure(window)?;
        }
        self.drain()
    }

    fn is_stopped(&self) -> bool {
        self.coordination.is_stopped()
    }

    fn connect(&mut self) -> Result<()> {
        let began_ns = now_ns();
        let until_ns = began_ns + self.plan.client.handshake_timeout_ns;
        let Self { lanes, records, scratch, ledger, baselines, plan, silence, .. } = self;
        for lane in lanes {
            for (server, link) in lane.links.iter_mut().enumerate() {
                let silent = Silent { worker: plan.servers[server], since_ns: began_ns };
                loop {
                    let now = now_ns();
                    silence.note(self.thread, now, std::iter::once(silent));
                    let connected = link.connect(now, scratch);
                    if connected.map_err(|error| cannot_connect(baselines, server, &error))? {
                        break;
                    }
                    if now >= until_ns {
                        let secs = self.plan.client.handshake_timeout_ns as f64 / 1e9;
                        let error = anyhow!("no answer in {secs} s");
                        return Err(cannot_connect(baselines, server, &error));
                    }
                    if self.coordination.is_stopped() {
                        return Ok(());
                    }
                    poll(&mut self.poll, &mut self.events, CONNECT_LOOK)?;
                }
                ledger.report.client.sessions_opened += 1;
                // A store that has enough says so and closes; nobody tells of it again.
                let received = link.receive(true, records, scratch, ledger);
                received.map_err(|error| cannot_connect(baselines, server, &error))?;
            }
        }
        Ok(())
    }

    fn load(&mut self) -> Result<()> {
        while !self.coordination.may_load.load(Ordering::Relaxed) && !self.is_stopped() {
            self.turn(now_ns() + LOOK_NS)?;
        }
        self.make_all_ready();
        while !self.is_stopped() {
            self.send_ready()?;
            if self.lanes.iter().all(|lane| !lane.is_busy()) {
                break;
            }
            self.turn(u64::MAX)?;
        }
        Ok(())
    }

    fn await_window(&mut self) -> Result<Option<Window>> {
        loop {
            if self.is_stopped() {
                return Ok(None);
            }
            if let Some(window) = self.coordination.open_window(now_ns()) {
                return Ok(Some(window));
            }
            self.turn(now_ns() + LOOK_NS)?;
        }
    }

    fn measure(&mut self, window: Window) -> Result<()> {
        self.ledger.begin(window);
        self.source = match self.plan.rate {
            None => Source::Closed,
            Some(rate) => {
                let share = self.lanes.len() as f64 / self.plan.streams as f64;
                Source::Open(Arrivals::new(now_ns(), rate * share, self.lanes.len()))
            }
        };
        if let Source::Closed = self.source {
            self.make_all_ready();
        }
        loop {
            let now = now_ns();
            self.ledger.turn(now);
            if now >= window.end_ns || self.is_stopped() {
                self.end(now.min(window.end_ns));
                return Ok(());
            }
            let arrival_ns = self.take_arrivals(now);
            self.send_ready()?;
            let interval_ns = self.ledger.interval_end_ns();
            self.turn(arrival_ns.min(interval_ns).min(window.end_ns))?;
        }
    }

    /// Measures nothing after `end_ns`.
    fn end(&mut self, end_ns: u64) {
        self.ledger.end(end_ns);
        if let Source::Open(arrivals) = &mut self.source {
            let sent = self.lanes.iter().map(|lane| lane.sent()).sum();
            self.ledger.report.backlog = arrivals.backlog(end_ns, sent);
        }
    }

    /// Waits for what is outstanding, and gives it up after a time.
    fn drain(&mut self) -> Result<()> {
        self.source = Source::Ended;
        let stopped_ns = now_ns();
        while self.lanes.iter().any(|lane| lane.is_busy()) {
            let now = now_ns();
            // Without an interruption each link gives up by itself.
            if self.is_stopped() && now >= stopped_ns + INTERRUPTED_NS {
                for link in self.lanes.iter().flat_map(|lane| &lane.links) {
                    link.each_outstanding(|asked| asked.given_up(&mut self.ledger));
                }
                break;
            }
            self.turn(now + SLEEP_NS_MAX)?;
        }
        Ok(())
    }

    /// Open loop: deals out what is due; returns when the next operation is.
    fn take_arrivals(&mut self, now_ns: u64) -> u64 {
        let Source::Open(arrivals) = &mut self.source else { return u64::MAX };
        arrivals.take_due(now_ns, |at, operations| {
            if self.lanes[at as usize].are_due(operations as usize) {
                self.ready.push_back(at);
            }
        });
        arrivals.next_ns()
    }

    fn make_all_ready(&mut self) {
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            if lane.make_ready() {
                self.ready.push_back(at as u32);
            }
        }
    }

    /// Sends a batch of each connection that has nothing outstanding.
    #[inline]
    fn send_ready(&mut self) -> Result<()> {
        while let Some(at) = self.ready.pop_front() {
            let Self { lanes, records, scratch, ledger, baselines, source, plan, .. } = self;
            let lane = &mut lanes[at as usize];
            let now = now_ns();
            let drawn = lane.draw(source, plan, now);
            if let Source::Load { .. } = source {
                self.coordination.loaded.fetch_add(drawn, Ordering::Relaxed);
            }
            let deadline_ns = now + plan.client.answer_timeout_ns;
            for (server, link) in lane.links.iter_mut().enumerate() {
                if !link.batch().asked().is_empty() {
                    let sent = link.send(deadline_ns, records, scratch, ledger);
                    sent.map_err(|error| failed(baselines, server, &error))?;
                }
            }
        }
        Ok(())
    }

    /// Takes what has come, or waits for it until a time.
    fn turn(&mut self, until_ns: u64) -> Result<()> {
        let rest_ns = self.rest_ns(until_ns);
        poll(&mut self.poll, &mut self.events, Duration::from_nanos(rest_ns))?;
        if rest_ns > 0 {
            self.idle.woke();
        }
        let Self {
            lanes, ready, source, records, scratch, ledger, baselines, events, idle, ..
        } = self;
        let servers = baselines.names.len();
        for event in &*events {
            idle.worked();
            let (at, server) = (event.token().0 / servers, event.token().0 % servers);
            let link = &mut lanes[at].links[server];
            let is_closing = event.is_read_closed() || event.is_error();
            if event.is_readable() || is_closing {
                let received = link.receive(is_closing, records, scratch, ledger);
                received.map_err(|error| failed(baselines, server, &error))?;
            }
            if event.is_writable() {
                link.flush(ledger).map_err(|error| failed(baselines, server, &error))?;
            }
            if lanes[at].settle(source) {
                ready.push_back(at as u32);
            }
        }
        let now = now_ns();
        if now >= self.late_ns {
            self.late_ns = now + LATE_NS;
            self.give_up_late(now)?;
        }
        if now >= self.silence_look_ns {
            self.note_silence(now);
        }
        Ok(())
    }

    fn note_silence(&mut self, now_ns: u64) {
        self.silence_look_ns = now_ns + silence::LOOK_NS;
        let Self { plan, lanes, .. } = self;
        let silent = lanes.iter().flat_map(|lane| lane.links.iter().enumerate()).filter_map(
            |(server, link)| {
                let asked_ns = link.deadline_ns()?.saturating_sub(plan.client.answer_timeout_ns);
                Some(Silent { worker: plan.servers[server], since_ns: asked_ns })
            },
        );
        self.silence.note(self.thread, now_ns, silent);
    }

    fn give_up_late(&mut self, now_ns: u64) -> Result<()> {
        let Self { lanes, ready, source, ledger, baselines, plan, .. } = self;
        for (at, lane) in lanes.iter_mut().enumerate().filter(|(_, lane)| lane.is_busy()) {
            for (server, link) in lane.links.iter_mut().enumerate() {
                if link.handle_timeout(now_ns, ledger).is_err() {
                    let secs = plan.client.answer_timeout_ns as f64 / 1e9;
                    bail!("{} did not answer in {secs} s", baselines.names[server]);
                }
            }
            if lane.settle(source) {
                ready.push_back(at as u32);
            }
        }
        Ok(())
    }

    /// How long to wait at most: not at all after there was work, and while spinning.
    fn rest_ns(&mut self, until_ns: u64) -> u64 {
        if !self.ready.is_empty() {
            return 0;
        }
        let now = now_ns();
        if self.idle.nothing(now, waited_ns) == Rest::Spin {
            return 0;
        }
        let rest_ns = until_ns.saturating_sub(now).min(SLEEP_NS_MAX);
        if rest_ns < SLEEP_NS_MIN && self.idle.may_spin_at(now) {
            return 0;
        }
        // What is left of a millisecond would be rounded up to a whole one.
        if rest_ns > SLEEP_NS_MIN { rest_ns / SLEEP_NS_MIN * SLEEP_NS_MIN } else { rest_ns }
    }
}

fn poll(poll: &mut Poll, events: &mut Events, rest: Duration) -> io::Result<()> {
    match poll.poll(events, Some(rest)) {
        Err(error) if error.kind() == ErrorKind::Interrupted => {
            events.clear();
            Ok(())
        }
        result => result,
    }
}

#[cold]
fn cannot_connect(baselines: &Baselines, server: usize, error: &anyhow::Error) -> anyhow::Error {
    let name = &baselines.names[server];
    anyhow!("cannot connect to {name} ({error:#}): {}", baselines.protocol.remedy())
}

#[cold]
fn failed(baselines: &Baselines, server: usize, error: &anyhow::Error) -> anyhow::Error {
    anyhow!("{}: {error:#}", baselines.names[server])
}
