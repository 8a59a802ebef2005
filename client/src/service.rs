//! The state machine that the engine of a handle drives: the calls, and who waits for them.

use std::net::SocketAddr;
use std::sync::Arc;

use oneshot::Sender as PlainSender;
use proto::transmit::{Flush, Path, Transmit};
use udp::clock;
use udp::core_loop::Endpoint;
use udp::counters::TransportCounters;

use crate::answer::{Record, Version};
use crate::calls::{Calls, NotTaken};
use crate::commands::{Command, Commands};
use crate::error::{Error, Why};
use crate::gather::cached_record;
use crate::limits::ROUND_CALLS_MAX;
use crate::observe::Sender;
use crate::told::Told;
use crate::waiters::{Waiter, Waiters};

enum Stage {
    Connecting(PlainSender<Result<(), Error>>),
    Open,
    Closing,
}

/// The calls of a handle.
pub(crate) struct Service {
    calls: Calls<Waiter>,
    waiters: Waiters,
    servers: Vec<SocketAddr>,
    commands: Arc<Commands>,
    stage: Stage,
}

impl Service {
    /// Goes on with connecting, and tells `ready` how that ends.
    pub(crate) fn new(
        calls: Calls<Waiter>,
        servers: Vec<SocketAddr>,
        commands: Arc<Commands>,
        ready: PlainSender<Result<(), Error>>,
    ) -> Self {
        let stage = Stage::Connecting(ready);
        Self { calls, waiters: Waiters::new(), servers, commands, stage }
    }

    /// Whether calls can be begun here.
    #[inline]
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// Calls that have not ended, those included whose callers were told at their deadline.
    #[inline]
    pub(crate) fn outstanding(&self) -> usize {
        self.calls.outstanding()
    }

    /// How many ends are to be told.
    #[inline]
    pub(crate) const fn untold(&self) -> usize {
        self.waiters.told.len()
    }

    /// The ends that are to be told.
    #[inline]
    pub(crate) fn take_told(&mut self) -> Vec<Told> {
        let told = &mut self.waiters.told;
        // The next round ends as many, more or less.
        let next = Vec::with_capacity(told.len());
        std::mem::replace(told, next)
    }

    /// Ends what is outstanding, because the last handle is gone; the rounds that follow tell the
    /// servers.
    pub(crate) fn close(&mut self, now_ns: u64) {
        if !matches!(self.stage, Stage::Closing) {
            self.begin_commands(now_ns);
            self.abandon(now_ns);
            self.stage = Stage::Closing;
        }
    }

    /// Ends what is outstanding, because nothing runs it any more.
    pub(crate) fn abandon(&mut self, now_ns: u64) {
        let Self { calls, waiters, servers, .. } = self;
        calls.close(now_ns, |call| waiters.end(servers, now_ns, call));
    }

    fn connect(&mut self, now_ns: u64) {
        let stage = match self.calls.connect(now_ns) {
            Ok(false) => return,
            Ok(true) => Stage::Open,
            Err(error) => {
                if let Stage::Connecting(ready) = std::mem::replace(&mut self.stage, Stage::Closing)
                {
                    let _ = ready.send(Err(error));
                }
                return self.abandon(now_ns);
            }
        };
        if let Stage::Connecting(ready) = std::mem::replace(&mut self.stage, stage) {
            let _ = ready.send(Ok(()));
        }
    }

    /// Reads a record for who waits.
    #[inline]
    pub(crate) fn get(
        &mut self,
        now_ns: u64,
        deadline_ns: u64,
        key: &[u8],
        sender: Sender<Result<Option<Record>, Error>>,
    ) {
        let taken = self.calls.get(Waiter::Get(sender), deadline_ns, key);
        self.end_if_not(now_ns, taken);
    }

    /// Writes a record for who waits.
    #[inline]
    pub(crate) fn put(
        &mut self,
        now_ns: u64,
        deadline_ns: u64,
        (key, value): (&[u8], &[u8]),
        sender: Sender<Result<Version, Error>>,
    ) {
        let taken = self.calls.put(Waiter::Put(sender), deadline_ns, key, value);
        self.end_if_not(now_ns, taken);
    }

    /// Begins the calls that were handed over, up to a bound: a caller whose call ends at once
    /// may call again at once.
    pub(crate) fn begin_commands(&mut self, now_ns: u64) {
        let mut begun = 0;
        while begun < ROUND_CALLS_MAX
            && let Some(command) = self.commands.pop()
        {
            begun += command.calls();
            let why = match self.stage {
                Stage::Closing => Why::Closed,
                _ if command.deadline_ns() <= now_ns => Why::Deadline,
                _ => {
                    self.begin(now_ns, command);
                    continue;
                }
            };
            self.waiters.told.push(command.refused(&Error::NotExecuted(why)));
        }
    }

    /// Begins a call, or many.
    fn begin(&mut self, now_ns: u64, command: Command) {
        match command {
            Command::Get { key, deadline_ns, sender } => {
                self.get(now_ns, deadline_ns, &key, sender);
            }
            Command::Put { key, value, deadline_ns, sender, fence: _fence } => {
                self.put(now_ns, deadline_ns, (&key, &value), sender);
            }
            Command::GetMany { batch: calls, deadline_ns, sender } => {
                let batch = self.waiters.gets.begin(calls.len(), sender);
                for (place, (key, _)) in calls.calls().enumerate() {
                    // The round's clock stands still, and a batch may be long.
                    if let Some(cached) = self.calls.cached(clock::now_ns, key) {
                        let record = Ok(Some(cached_record(cached)));
                        let Waiters { gets, told, .. } = &mut self.waiters;
                        gets.end(told, batch, place, record);
                        continue;
                    }
                    let waiter = Waiter::GetOf { batch, place };
                    let taken = self.calls.get(waiter, deadline_ns, key);
                    self.end_if_not(now_ns, taken);
                }
                if calls.len() == 0 {
                    self.waiters.gets.tell_if_complete(&mut self.waiters.told, batch);
                }
            }
            Command::PutMany { batch: calls, deadline_ns, sender, fence: _fence } => {
                let batch = self.waiters.puts.begin(calls.len(), sender);
                for (place, (key, value)) in calls.calls().enumerate() {
                    let waiter = Waiter::PutOf { batch, place };
                    let taken = self.calls.put(waiter, deadline_ns, key, value);
                    self.end_if_not(now_ns, taken);
                }
                if calls.len() == 0 {
                    self.waiters.puts.tell_if_complete(&mut self.waiters.told, batch);
                }
            }
            Command::Stats { deadline_ns, sender } => {
                let workers: Vec<_> = self.calls.workers().collect();
                let batch = self.waiters.stats.begin(workers.len(), sender);
                for (place, worker) in workers.into_iter().enumerate() {
                    let waiter = Waiter::StatsOf { batch, place };
                    let taken = self.calls.stats(waiter, deadline_ns, worker);
                    self.end_if_not(now_ns, taken);
                }
            }
            Command::Ping { deadline_ns, sender } => {
                let workers: Vec<_> = self.calls.workers().collect();
                let batch = self.waiters.pings.begin(workers.len(), sender);
                for (place, worker) in workers.into_iter().enumerate() {
                    let waiter = Waiter::PingOf { batch, place, start_ns: now_ns };
                    let taken = self.calls.ping(waiter, deadline_ns, worker);
                    self.end_if_not(now_ns, taken);
                }
            }
        }
    }

    /// Ends a call that was not taken.
    #[inline]
    fn end_if_not(&mut self, now_ns: u64, taken: Result<(), NotTaken<Waiter>>) {
        if let Err(not_taken) = taken {
            self.waiters.end(&self.servers, now_ns, not_taken.ended());
        }
    }
}

impl Endpoint for Service {
    #[inline]
    fn handle_datagram(&mut self, now_ns: u64, path: Path, datagram: &[u8]) {
        let Self { calls, waiters, servers, .. } = self;
        calls.handle_datagram(now_ns, path.remote, datagram, |call| {
            waiters.end(servers, now_ns, call);
        });
    }

    fn handle_timeout(&mut self, now_ns: u64, is_drained: bool) {
        let Self { calls, waiters, servers, .. } = self;
        calls.handle_timeout(now_ns, is_drained, |call| waiters.end(servers, now_ns, call));
        if let Stage::Connecting(_) = self.stage {
            self.connect(now_ns);
        }
        self.begin_commands(now_ns);
    }

    fn poll_timeout(&self) -> Option<u64> {
        // What is left in the queue is due now.
        if self.commands.are_empty() { self.calls.poll_timeout() } else { Some(0) }
    }

    #[inline]
    fn poll_transmit(&mut self, now_ns: u64, flush: Flush) -> Option<Transmit<'_>> {
        self.calls.poll_transmit(now_ns, flush)
    }

    fn goes_on(&mut self, _now_ns: u64, _transport: &TransportCounters) -> bool {
        !matches!(self.stage, Stage::Closing) || !self.calls.are_over()
    }
}
