//! One thread of the generator: its sessions and streams, from connecting to the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Result, anyhow, bail};
use client::entropy::Entropy;
use client::near_cache::NearCache;
use client::pool::{RemoteWorker, SessionPool, Share};
use proto::client::{ClientConfig, Finished};
use proto::transmit::{Flush, Path, Transmit};
use udp::core_loop::Endpoint;
use udp::counters::TransportCounters;

use crate::coordination::{Coordination, INTERRUPTED_NS, LOOK_NS, ThreadReport, Window};
use crate::history::History;
use crate::ledger::Ledger;
use crate::plan::{Plan, check_value_fits};
use crate::recorder::Recorder;
use crate::silence::{self, Silence};
use crate::streams::Streams;
use crate::token::{Origin, Token};

/// How long servers are asked for their counters, at the end.
const COUNTERS_NS: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Loading { next: u64 },
    Waiting,
    Running(Window),
    Draining { until_ns: u64 },
    Asking { until_ns: u64 },
    Closing,
}

/// What a thread is given at its start.
#[derive(Debug)]
pub struct Setup {
    /// Which thread it is, of the plan's.
    pub thread: usize,
    /// Bytes that its socket's receive buffer holds, as the kernel counts them.
    pub receive_buffer_bytes: usize,
    /// Names the thread in the values that it writes; no other writer has it.
    pub writer: u64,
    /// Where the names of its sessions come from.
    pub entropy: Entropy,
    /// Counts and measures.
    pub recorder: Recorder,
    /// Keeps what the operations did, if that is wanted.
    pub history: Option<History>,
}

/// One thread of the generator.
pub struct Driver {
    plan: Arc<Plan>,
    coordination: Arc<Coordination>,
    thread: usize,
    stage: Stage,
    sessions: SessionPool<Token>,
    streams: Streams,
    ledger: Ledger,
    round_ns: u64,
    session_timeout_ns: u64,
    /// Where it notes who does not answer, if anybody looks.
    silence: Option<Arc<Silence>>,
    silence_look_ns: u64,
    failure: Option<anyhow::Error>,
}

impl Driver {
    /// Begins to connect.
    pub fn new(
        now_ns: u64,
        plan: Arc<Plan>,
        coordination: Arc<Coordination>,
        setup: Setup,
    ) -> Result<Self> {
        let Setup { thread, receive_buffer_bytes, writer, entropy, recorder, history } = setup;
        let mut config = plan.client;
        config.reply_bytes_max = receive_buffer_bytes;
        let streams = Streams::new(&plan, thread, plan.threads, writer);
        let share = Share { index: thread, of: plan.threads };
        let mut sessions = SessionPool::new(now_ns, &plan.servers, config, share, entropy)?;
        if let Some(config) = plan.cache {
            sessions = sessions.with_cache(Arc::new(NearCache::new(config)));
        }
        Ok(Self {
            coordination,
            thread,
            stage: Stage::Connecting,
            sessions,
            streams,
            ledger: Ledger::new(recorder, history),
            round_ns: now_ns,
            session_timeout_ns: 0,
            silence: None,
            silence_look_ns: now_ns,
            failure: None,
            plan,
        })
    }

    /// From now on notes who does not answer.
    #[must_use]
    pub fn noting(mut self, silence: Arc<Silence>) -> Self {
        self.silence = Some(silence);
        self
    }

    /// Whether it ended because it could not go on.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// What the thread knows at its end, or why it failed.
    pub fn finish(self) -> Result<ThreadReport> {
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(self.ledger.report),
        }
    }

    fn advance(&mut self, now_ns: u64) -> Result<()> {
        self.ledger.handle_timeout(now_ns)?;
        match self.stage {
            Stage::Connecting => {
                let connected = self.sessions.connect(now_ns);
                if connected.map_err(|error| explain(error, &self.plan.client))? {
                    self.check_granted()?;
                    self.coordination.connected.fetch_add(1, Ordering::Relaxed);
                    self.stage = Stage::Loading { next: self.thread as u64 };
                }
            }
            Stage::Loading { next } => self.load(now_ns, next)?,
            Stage::Waiting => {
                if let Some(window) = self.coordination.open_window(now_ns) {
                    self.begin(now_ns, window);
                    // Nothing else wakes a thread whose streams are only ready.
                    if let Stage::Running(window) = self.stage {
                        self.run(now_ns, window)?;
                    }
                }
            }
            Stage::Running(window) => self.run(now_ns, window)?,
            Stage::Draining { until_ns } => {
                if self.sessions.are_idle() || now_ns >= until_ns {
                    self.ask(now_ns);
                }
            }
            Stage::Asking { until_ns } => {
                if self.ledger.has_counters() || now_ns >= until_ns {
                    self.close(now_ns);
                }
            }
            Stage::Closing => {}
        }
        Ok(())
    }

    /// The least MTU that a server granted decides what fits.
    fn check_granted(&self) -> Result<()> {
        for granted in self.sessions.all().filter_map(|session| session.client.granted()) {
            let (values, keys) = (&self.plan.values, &self.plan.keys);
            check_value_fits(values.value_size(), keys.key_size(), granted.mtu_bytes)?;
        }
        Ok(())
    }

    fn load(&mut self, now_ns: u64, mut next: u64) -> Result<()> {
        if !self.plan.load {
            self.coordination.ready.fetch_add(1, Ordering::Relaxed);
            self.stage = Stage::Waiting;
            return Ok(());
        }
        if let Some(lost) = self.sessions.all().find(|s| s.client.ended().is_some()) {
            let server = lost.client.server();
            bail!("{server} was lost while the records were written: load again");
        }
        if !self.coordination.may_load.load(Ordering::Relaxed) {
            return Ok(());
        }
        let records = self.plan.workload.records();
        let step = self.plan.threads as u64;
        let before = next;
        while next < records
            && self.streams.load(
                next,
                now_ns,
                &self.plan,
                &mut self.sessions,
                &mut self.ledger.history,
            )
        {
            next += step;
        }
        let written = (next - before) / step;
        self.coordination.loaded.fetch_add(written as usize, Ordering::Relaxed);
        self.stage = Stage::Loading { next };
        if next >= records && self.sessions.are_idle() {
            self.coordination.ready.fetch_add(1, Ordering::Relaxed);
            self.stage = Stage::Waiting;
        }
        Ok(())
    }

    fn begin(&mut self, now_ns: u64, window: Window) {
        if window.end_ns == window.start_ns {
            return self.ask(now_ns);
        }
        self.ledger.report.client = self.sessions.counters();
        self.ledger.begin(window);
        self.streams.start(&self.plan, now_ns.max(window.start_ns));
        self.stage = Stage::Running(window);
    }

    fn run(&mut self, now_ns: u64, window: Window) -> Result<()> {
        if now_ns >= window.end_ns {
            self.drain(window.end_ns, now_ns + self.plan.client.answer_timeout_ns);
            return Ok(());
        }
        let Self { sessions, ledger, streams, plan, .. } = self;
        sessions.maintain(now_ns, ending(now_ns, plan, ledger, streams))?;
        self.check_granted()?;
        self.streams.pump(now_ns, &self.plan, &mut self.sessions, &mut self.ledger);
        Ok(())
    }

    /// Hands over the intervals that have ended.
    #[inline]
    fn turn(&mut self, now_ns: u64) {
        if now_ns >= self.ledger.interval_end_ns() {
            self.ledger.report.client = self.sessions.counters();
            self.ledger.turn(now_ns);
        }
    }

    /// Measures nothing after `end_ns`, and waits for what is outstanding.
    fn drain(&mut self, end_ns: u64, until_ns: u64) {
        self.ledger.report.client = self.sessions.counters();
        self.ledger.end(end_ns);
        self.ledger.report.backlog = self.streams.backlog(end_ns);
        self.stage = Stage::Draining { until_ns };
    }

    fn note_silence(&mut self, now_ns: u64) {
        self.silence_look_ns = now_ns + silence::LOOK_NS;
        if let Some(silence) = &self.silence {
            silence.note(self.thread, now_ns, self.sessions.silent(now_ns));
        }
    }

    fn ask(&mut self, now_ns: u64) {
        let token = Token::new(Origin::Counters, false, None, now_ns);
        self.ledger.asked_for_counters(self.sessions.ask_for_counters(token));
        self.stage = Stage::Asking { until_ns: now_ns + COUNTERS_NS };
    }

    fn close(&mut self, now_ns: u64) {
        self.sessions.close(now_ns, |_, _| {});
        self.stage = Stage::Closing;
    }

    fn interrupt(&mut self, now_ns: u64) {
        if let Stage::Draining { .. } | Stage::Asking { .. } | Stage::Closing = self.stage {
            return; // It ends already.
        }
        self.drain(now_ns, now_ns + INTERRUPTED_NS);
    }
}

impl Endpoint for Driver {
    #[inline]
    fn handle_datagram(&mut self, now_ns: u64, path: Path, datagram: &[u8]) {
        self.turn(now_ns);
        let Self { sessions, ledger, streams, plan, .. } = self;
        let ended = ending(now_ns, plan, ledger, streams);
        sessions.handle_datagram(now_ns, path.remote, datagram, ended);
    }

    #[inline]
    fn handle_timeout(&mut self, now_ns: u64, is_drained: bool) {
        self.round_ns = now_ns;
        self.turn(now_ns);
        // While replies wait in the socket, nobody can tell what was lost.
        if is_drained && now_ns >= self.session_timeout_ns {
            let Self { sessions, ledger, streams, plan, .. } = self;
            sessions.handle_timeout(now_ns, ending(now_ns, plan, ledger, streams));
        }
        if let Err(failure) = self.advance(now_ns) {
            self.failure = Some(failure);
        }
        self.session_timeout_ns = self.sessions.poll_timeout().unwrap_or(u64::MAX);
        if now_ns >= self.silence_look_ns {
            self.note_silence(now_ns);
        }
    }

    fn poll_timeout(&self) -> Option<u64> {
        let arrival_ns = match self.stage {
            Stage::Running(_) if self.streams.are_ready() => self.round_ns,
            Stage::Running(window) => {
                self.streams.next_arrival_ns().unwrap_or(u64::MAX).min(window.end_ns)
            }
            // Other threads decide when it goes on.
            Stage::Loading { .. } | Stage::Waiting => self.round_ns + LOOK_NS,
            _ => u64::MAX,
        };
        Some(self.session_timeout_ns.min(arrival_ns).min(self.ledger.interval_end_ns()))
    }

    #[inline]
    fn poll_transmit(&mut self, now_ns: u64, flush: Flush) -> Option<Transmit<'_>> {
        self.sessions.poll_transmit(now_ns, flush)
    }

    #[inline]
    fn goes_on(&mut self, now_ns: u64, transport: &TransportCounters) -> bool {
        if self.coordination.is_stopped() {
            self.interrupt(now_ns);
        }
        let is_over =
            self.failure.is_some() || (self.stage == Stage::Closing && self.sessions.are_over());
        if is_over {
            self.ledger.report.transport = *transport;
            self.ledger.report.client = self.sessions.counters();
            self.ledger.report.lost_sessions = self.sessions.lost();
            self.note_silence(now_ns);
            if let Err(failure) = self.ledger.end_history(now_ns) {
                self.failure.get_or_insert(failure);
            }
        }
        !is_over
    }
}

/// What is done with each operation that ends: it is counted, and its stream may go on.
#[inline]
fn ending<'a>(
    now_ns: u64,
    plan: &'a Plan,
    ledger: &'a mut Ledger,
    streams: &'a mut Streams,
) -> impl FnMut(&RemoteWorker, &Finished<'_, Token>) + 'a {
    move |worker, operation| {
        ledger.ended(now_ns, worker, operation.token, &operation.outcome);
        streams.ended(plan, worker.server, operation.token);
    }
}

/// Names the flags by which a server may come to answer.
fn explain(error: client::Error, config: &ClientConfig) -> anyhow::Error {
    match error {
        client::Error::NoServer { server, mtu_bytes, .. } => anyhow!(
            "no answer from {server} in {:.1} s: is kv running there, and does the path carry \
             datagrams of {mtu_bytes} bytes (--mtu)?",
            config.handshake_timeout_ns as f64 / 1e9,
        ),
        error => error.into(),
    }
}
