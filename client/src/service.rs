//! What runs on the thread of a handle: the calls, with a waiter for each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use oneshot::Sender as PlainSender;
use proto::transmit::{Flush, Path, Transmit};
use slab::Slab;
use udp::clock;
use udp::core_loop::Endpoint;
use udp::counters::TransportCounters;

use crate::answer::{Ping, Record, Version, WorkerStats};
use crate::calls::{Calls, EndedCall, NotTaken};
use crate::commands::{Command, Commands};
use crate::error::{Error, Why};
use crate::gather::{Gathered, answer_of, cached_record, counters_of, found, stored};
use crate::limits::ROUND_CALLS_MAX;
use crate::observe::Sender;

/// Who waits for a call.
pub(crate) enum Waiter {
    Get(Sender<Result<Option<Record>, Error>>),
    Put(Sender<Result<Version, Error>>),
    GetOf { batch: usize, place: usize },
    PutOf { batch: usize, place: usize },
    StatsOf { batch: usize, place: usize },
    PingOf { batch: usize, place: usize, start_ns: u64 },
}

/// Calls that somebody waits for together.
struct Batch<R> {
    gathered: Gathered<R>,
    sender: Sender<Result<Vec<R>, Error>>,
}

impl<R> Batch<R> {
    /// Of so many calls.
    fn new(calls: usize, sender: Sender<Result<Vec<R>, Error>>) -> Self {
        Self { gathered: Gathered::waiting_for(calls), sender }
    }
}

type Batches<R> = Slab<Batch<R>>;

/// Notes the end of one call of a batch. The last one sends the results to the waiter.
fn end_of<R>(batches: &mut Batches<R>, batch: usize, place: usize, result: R) {
    batches[batch].gathered.end(place, result);
    tell_if_complete(batches, batch);
}

fn tell_if_complete<R>(batches: &mut Batches<R>, batch: usize) {
    if batches[batch].gathered.is_complete() {
        let Batch { mut gathered, sender } = batches.remove(batch);
        // The waiter may have gone; so everywhere here.
        let _ = sender.send(Ok(gathered.take().collect()));
    }
}

/// A batch without calls is complete at its beginning.
fn tell_if_empty<R>(batches: &mut Batches<R>, batch: usize, calls: usize) {
    if calls == 0 {
        tell_if_complete(batches, batch);
    }
}

/// The batches under way.
#[derive(Default)]
struct AllBatches {
    gets: Batches<Result<Option<Record>, Error>>,
    puts: Batches<Result<Version, Error>>,
    stats: Batches<WorkerStats>,
    pings: Batches<Ping>,
}

enum Stage {
    Connecting(PlainSender<Result<(), Error>>),
    Open,
    Closing,
}

/// What runs on the thread of a handle.
pub(crate) struct Service {
    calls: Calls<Waiter>,
    batches: AllBatches,
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
        Self { calls, batches: AllBatches::default(), servers, commands, stage }
    }

    /// Ends what is outstanding, because nothing runs it any more.
    pub(crate) fn abandon(&mut self, now_ns: u64) {
        let Self { calls, batches, servers, .. } = self;
        calls.close(now_ns, |call| batches.end(servers, now_ns, call));
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

    /// Begins the calls that were handed over, up to a bound: a caller whose call ends at once
    /// may call again at once.
    fn begin_commands(&mut self, now_ns: u64) {
        let mut begun = 0;
        while begun < ROUND_CALLS_MAX
            && let Some(command) = self.commands.pop()
        {
            begun += command.calls();
            match self.stage {
                Stage::Closing => command.refuse(&Error::NotExecuted(Why::Closed)),
                _ if command.deadline_ns() <= now_ns => {
                    command.refuse(&Error::NotExecuted(Why::Deadline));
                }
                _ => self.begin(now_ns, command),
            }
        }
    }

    /// Begins a call, or many.
    fn begin(&mut self, now_ns: u64, command: Command) {
        match command {
            Command::Get { key, deadline_ns, sender } => {
                let taken = self.calls.get(Waiter::Get(sender), deadline_ns, &key);
                self.refuse(now_ns, taken);
            }
            Command::Put { key, value, deadline_ns, sender, fence: _fence } => {
                let taken = self.calls.put(Waiter::Put(sender), deadline_ns, &key, &value);
                self.refuse(now_ns, taken);
            }
            Command::GetMany { batch: calls, deadline_ns, sender } => {
                let batch = self.batches.gets.insert(Batch::new(calls.len(), sender));
                for (place, (key, _)) in calls.calls().enumerate() {
                    // The round's clock stands still, and a batch may be long.
                    if let Some(cached) = self.calls.cached(clock::now_ns, key) {
                        let record = Ok(Some(cached_record(cached)));
                        end_of(&mut self.batches.gets, batch, place, record);
                        continue;
                    }
                    let waiter = Waiter::GetOf { batch, place };
                    let taken = self.calls.get(waiter, deadline_ns, key);
                    self.refuse(now_ns, taken);
                }
                tell_if_empty(&mut self.batches.gets, batch, calls.len());
            }
            Command::PutMany { batch: calls, deadline_ns, sender, fence: _fence } => {
                let batch = self.batches.puts.insert(Batch::new(calls.len(), sender));
                for (place, (key, value)) in calls.calls().enumerate() {
                    let waiter = Waiter::PutOf { batch, place };
                    let taken = self.calls.put(waiter, deadline_ns, key, value);
                    self.refuse(now_ns, taken);
                }
                tell_if_empty(&mut self.batches.puts, batch, calls.len());
            }
            Command::Stats { deadline_ns, sender } => {
                let workers: Vec<_> = self.calls.workers().collect();
                let batch = self.batches.stats.insert(Batch::new(workers.len(), sender));
                for (place, worker) in workers.into_iter().enumerate() {
                    let waiter = Waiter::StatsOf { batch, place };
                    let taken = self.calls.stats(waiter, deadline_ns, worker);
                    self.refuse(now_ns, taken);
                }
            }
            Command::Ping { deadline_ns, sender } => {
                let workers: Vec<_> = self.calls.workers().collect();
                let batch = self.batches.pings.insert(Batch::new(workers.len(), sender));
                for (place, worker) in workers.into_iter().enumerate() {
                    let waiter = Waiter::PingOf { batch, place, start_ns: now_ns };
                    let taken = self.calls.ping(waiter, deadline_ns, worker);
                    self.refuse(now_ns, taken);
                }
            }
        }
    }

    /// Ends a call that was not taken.
    #[inline]
    fn refuse(&mut self, now_ns: u64, taken: Result<(), NotTaken<Waiter>>) {
        if let Err(not_taken) = taken {
            self.batches.end(&self.servers, now_ns, not_taken.ended());
        }
    }
}

impl Endpoint for Service {
    #[inline]
    fn handle_datagram(&mut self, now_ns: u64, path: Path, datagram: &[u8]) {
        let Self { calls, batches, servers, .. } = self;
        calls.handle_datagram(now_ns, path.remote, datagram, |call| {
            batches.end(servers, now_ns, call);
        });
    }

    fn handle_timeout(&mut self, now_ns: u64, is_drained: bool) {
        let Self { calls, batches, servers, commands, .. } = self;
        commands.woke();
        calls.handle_timeout(now_ns, is_drained, |call| batches.end(servers, now_ns, call));
        if let Stage::Connecting(_) = self.stage {
            self.connect(now_ns);
        }
        self.begin_commands(now_ns);
    }

    fn poll_timeout(&self) -> Option<u64> {
        // What was handed over since the last look at the queue is due now.
        if self.commands.may_sleep() { self.calls.poll_timeout() } else { Some(0) }
    }

    #[inline]
    fn poll_transmit(&mut self, now_ns: u64, flush: Flush) -> Option<Transmit<'_>> {
        self.calls.poll_transmit(now_ns, flush)
    }

    fn goes_on(&mut self, now_ns: u64, _transport: &TransportCounters) -> bool {
        if let Stage::Closing = self.stage {
            return !self.calls.are_over();
        }
        if self.commands.is_closed() {
            self.abandon(now_ns);
            self.stage = Stage::Closing;
        }
        true
    }
}

impl AllBatches {
    /// Sends the result of a call to its waiter.
    #[inline]
    fn end(&mut self, servers: &[SocketAddr], now_ns: u64, call: EndedCall<'_, Waiter>) {
        let EndedCall { token, worker, server, result } = call;
        match token {
            Waiter::Get(sender) => {
                let _ = sender.send(result.map(|reply| found(answer_of(&reply))));
            }
            Waiter::Put(sender) => {
                let _ = sender.send(result.map(|reply| stored(answer_of(&reply))));
            }
            Waiter::GetOf { batch, place } => {
                let gathered = &mut self.gets[batch].gathered;
                let result = result.map(|reply| found(gathered.answer_of(&reply)));
                end_of(&mut self.gets, batch, place, result);
            }
            Waiter::PutOf { batch, place } => {
                let result = result.map(|reply| stored(answer_of(&reply)));
                end_of(&mut self.puts, batch, place, result);
            }
            Waiter::StatsOf { batch, place } => {
                let counters = result.map(counters_of);
                let stats = WorkerStats { server: servers[server], worker, counters };
                end_of(&mut self.stats, batch, place, stats);
            }
            Waiter::PingOf { batch, place, start_ns } => {
                let taken = Duration::from_nanos(now_ns.saturating_sub(start_ns));
                let ping = Ping { worker, round_trip: result.map(|_| taken) };
                end_of(&mut self.pings, batch, place, ping);
            }
        }
    }
}
