//! Drives sessions and calls on the thread of their caller.

use std::net::SocketAddr;
use std::sync::Arc;

use proto::limits::KEEPALIVE_NS;
use proto::transmit::{Flush, Path, Transmit};
use udp::core_loop::{CoreLoop, Endpoint};
use udp::counters::TransportCounters;
use udp::idle::Idle;
use udp::process;
use udp::socket::{Inbox, Socket};
use udp::transport::Transport as _;

use crate::answer::Answer;
use crate::calls::Calls;
use crate::config::Config;
use crate::connection::waits::{Answers, Connecting, Room, Token, Waits, Workers};
use crate::error::{Error, Why, timeout_ns};
use crate::gather::cached_record;
use crate::near_cache::NearCache;
use crate::socket;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation<'a> {
    /// The record of a key.
    Get(&'a [u8]),
    /// To write a value under a key.
    Put(&'a [u8], &'a [u8]),
}

/// Sessions with all workers of all servers, and what drives them while somebody waits.
#[derive(Debug)]
pub(super) struct Driver {
    socket: Socket,
    core_loop: CoreLoop<Inbox>,
    idle: Idle,
    pub(super) calls: Calls<Token>,
    /// Longest time of a call.
    pub(super) timeout_ns: u64,
    /// Numbers the batches of calls: what is left of one whose caller has gone is nobody's.
    pub(super) batch: u64,
    pub(super) answers: Answers,
    /// When it was driven last.
    pub(super) driven_ns: u64,
    process: u32,
    failure: Option<Error>,
}

impl Driver {
    /// Opens sessions with all workers of all servers.
    pub(super) fn connect(servers: &[SocketAddr], config: &Config) -> Result<Self, Error> {
        let cache = config.cache.map(|cache| Arc::new(NearCache::new(cache)));
        let (socket, calls) = socket::open(servers, config, cache)?;
        let mut driver = Self {
            core_loop: CoreLoop::new(&socket),
            idle: Idle::new(true),
            calls,
            timeout_ns: timeout_ns(config.timeout),
            batch: 0,
            answers: Answers::default(),
            driven_ns: socket.now_ns(),
            process: process::id(),
            failure: None,
            socket,
        };
        let mut connecting = Connecting(Ok(false));
        driver.drive(&mut connecting)?;
        connecting.0.map(|_| driver)
    }

    /// Whether this process is the one that connected.
    pub(super) fn check_process(&self) -> Result<(), Error> {
        if self.process == process::id() { Ok(()) } else { Err(Error::Forked) }
    }

    /// Whether calls can be made at all, and the time; what is due comes first if nobody drove
    /// the connection for long.
    pub(super) fn begin(&mut self) -> Result<u64, Error> {
        self.check_process()?;
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let now_ns = self.socket.now_ns();
        self.batch += 1;
        if !self.answers.gathered.is_empty() {
            self.forget();
        }
        if now_ns > self.driven_ns + KEEPALIVE_NS || self.calls.has_refused() {
            // Sessions that the servers have forgotten end now, with nothing outstanding; one
            // that was refused is tried again if its time has come.
            let nobody = &mut Workers::new(self.batch);
            let Self { socket, core_loop, calls, .. } = self;
            core_loop.round(socket, &mut Driven { calls, waits: nobody })?;
        }
        self.driven_ns = now_ns;
        Ok(now_ns)
    }

    /// What is left of a pipeline that was dropped, or whose caller panicked, is nobody's.
    #[cold]
    fn forget(&mut self) {
        self.calls.withdraw_unsent(Why::Closed, |_| {});
        self.answers.gathered.clear();
    }

    /// One operation, from its call to its end.
    #[inline]
    pub(super) fn only(&mut self, operation: Operation<'_>) -> Result<Answer, Error> {
        let now_ns = self.begin()?;
        let deadline_ns = now_ns + self.timeout_ns;
        self.submit(now_ns, deadline_ns, operation);
        self.finish(deadline_ns);
        self.answers.gathered.take_only()
    }

    /// Hands an operation to its session, or answers it from the cache.
    #[inline]
    pub(super) fn submit(&mut self, now_ns: u64, deadline_ns: u64, operation: Operation<'_>) {
        let Self { socket, calls, answers, batch, .. } = self;
        answers.batch = *batch;
        let place = answers.gathered.wait();
        let token = Token { batch: *batch, place };
        if let Operation::Get(key) = operation
            // A pipeline is filled in its own time.
            && let Some(cached) = calls.cached(|| socket.now_ns(), key)
        {
            let record = cached_record(cached);
            return answers.gathered.end(place, Ok(Answer::Found(record)));
        }
        if now_ns >= deadline_ns {
            return answers.gathered.end(place, Err(Error::NotExecuted(Why::Deadline)));
        }
        let taken = match operation {
            Operation::Get(key) => calls.get(token, deadline_ns, key),
            Operation::Put(key, value) => calls.put(token, deadline_ns, key, value),
        };
        if let Err(not_taken) = taken {
            answers.gathered.end(place, Err(not_taken.error));
        }
    }

    /// Sends what sessions have, unless its deadline is over, or this is a fork.
    pub(super) fn send(&mut self, deadline_ns: u64) {
        if self.check_process().is_err() {
            return;
        }
        let Self { socket, core_loop, calls, answers, .. } = self;
        let now_ns = socket.now_ns();
        if now_ns < deadline_ns {
            core_loop.send(socket, &mut Driven { calls, waits: answers }, now_ns);
        }
    }

    /// Waits until all operations have ended, with this deadline. If the socket fails, they end
    /// with what is known of them then.
    pub(super) fn finish(&mut self, deadline_ns: u64) {
        let mut answers = std::mem::take(&mut self.answers);
        let now_ns = self.socket.now_ns();
        if now_ns >= deadline_ns {
            // Nothing else is unsent.
            self.calls.withdraw_unsent(Why::Deadline, |call| answers.ended(now_ns, call));
        }
        // The next call is told of the failure.
        let _ = self.drive(&mut answers);
        self.answers = answers;
    }

    /// Waits until so few wait for room.
    pub(super) fn make_room(&mut self, deadline_ns: u64, room: Room) -> Result<(), Error> {
        self.answers.room = Some(room);
        self.finish(deadline_ns);
        self.answers.room = None;
        self.driven_ns = self.socket.now_ns();
        self.failure.clone().map_or(Ok(()), Err)
    }

    /// Runs the core loop until what is waited for is there. If the socket fails, all calls end:
    /// of those that were sent nobody knows whether they were executed.
    #[inline]
    pub(super) fn drive(&mut self, waits: &mut impl Waits) -> Result<(), Error> {
        let Self { socket, core_loop, idle, calls, failure, .. } = self;
        let now_ns = socket.now_ns();
        let mut driven = Driven { calls, waits };
        if driven.waits.is_over(now_ns, driven.calls) {
            return Ok(());
        }
        core_loop.send(socket, &mut driven, now_ns);
        core_loop.run(socket, idle, &mut driven).map_err(|error| {
            let error = Error::from(error);
            *failure = Some(error.clone());
            calls.close(now_ns, |call| waits.ended(now_ns, call));
            error
        })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The sessions of a fork are those of the process that connected.
        if self.check_process().is_err() {
            return;
        }
        let now_ns = self.socket.now_ns();
        self.calls.close(now_ns, |_| {});
        while let Some(burst) = self.calls.poll_transmit(now_ns, Flush::All) {
            self.socket.send(now_ns, burst);
        }
    }
}

/// The calls in the core loop.
struct Driven<'a, W> {
    calls: &'a mut Calls<Token>,
    waits: &'a mut W,
}

impl<W: Waits> Endpoint for Driven<'_, W> {
    #[inline]
    fn handle_datagram(&mut self, now_ns: u64, path: Path, datagram: &[u8]) {
        let Self { calls, waits } = self;
        calls.handle_datagram(now_ns, path.remote, datagram, |call| waits.ended(now_ns, call));
    }

    #[inline]
    fn handle_timeout(&mut self, now_ns: u64, is_drained: bool) {
        let Self { calls, waits } = self;
        calls.handle_timeout(now_ns, is_drained, |call| waits.ended(now_ns, call));
    }

    fn poll_timeout(&self) -> Option<u64> {
        [self.calls.poll_timeout(), self.waits.poll_timeout()].into_iter().flatten().min()
    }

    #[inline]
    fn poll_transmit(&mut self, now_ns: u64, flush: Flush) -> Option<Transmit<'_>> {
        self.calls.poll_transmit(now_ns, flush)
    }

    #[inline]
    fn goes_on(&mut self, now_ns: u64, _transport: &TransportCounters) -> bool {
        !self.waits.is_over(now_ns, self.calls)
    }
}
