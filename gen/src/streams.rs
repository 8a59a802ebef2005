//! The streams of one thread: sequential workloads, side by side.
//!
//! A stream is in one place at a time: ready to go on, parked at a session that has no
//! room, or waiting at a barrier of its order for an answer. A barrier makes one stream
//! wait, never the thread.
//!
//! A near cache answers at once. So that a stream whose GETs are all there lets others have
//! their turn, and the thread its next round, both have a bound of such answers.

use std::collections::VecDeque;

use client::pool::SessionPool;
use history::operation::ValueId;
use proto::client::Blocked;
use proto::limits::KEY_BYTES_MAX;
use proto::order::Barrier;

use crate::arrivals::Arrivals;
use crate::history::{Call, History};
use crate::ledger::Ledger;
use crate::limits::{HITS_PER_ROUND_MAX, HITS_PER_TURN_MAX};
use crate::plan::Plan;
use crate::token::{Origin, Token};
use crate::workload::{Draw, StreamRandom};

/// What a stream does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamState {
    /// It has no operation that is due.
    Idle,
    /// In the queue of those that can go on.
    Ready,
    /// In the queue of a session without room.
    Parked,
    /// Its next operation waits for an answer.
    AtBarrier,
}

#[derive(Clone, Debug)]
struct Stream {
    random: StreamRandom,
    /// The next operation to be sent.
    next: Draw,
    state: StreamState,
    /// Open loop: operations due and not drawn yet, and operations sent.
    due: u64,
    sent: u64,
    /// Closed loop: when its barrier first let the next operation pass; latency counts from
    /// here, also while its session has no room. 0 before that.
    wanted_ns: u64,
}

impl Stream {
    /// Its operation was sent, or answered at once: draws the next.
    #[inline]
    fn go_on(&mut self, plan: &Plan) {
        self.sent += 1;
        self.next = plan.workload.next(&mut self.random);
        self.wanted_ns = 0;
        self.due = self.due.saturating_sub(1);
    }
}

/// The streams whose next operation found no room in a session. Mutations have less room than
/// reads, and reads do not wait behind them.
#[derive(Debug, Default)]
struct Parked {
    puts: VecDeque<u32>,
    gets: VecDeque<u32>,
}

impl Parked {
    #[inline]
    const fn of(&mut self, is_put: bool) -> &mut VecDeque<u32> {
        if is_put { &mut self.puts } else { &mut self.gets }
    }
}

/// The streams of one thread.
#[derive(Debug)]
pub struct Streams {
    streams: Vec<Stream>,
    /// Each stream's barriers, one stream after the other.
    barriers: Vec<Barrier>,
    barriers_per_stream: usize,
    ready: VecDeque<u32>,
    /// For each session, by its place, the streams whose next operation found no room there.
    parked: Vec<Parked>,
    arrivals: Option<Arrivals>,
    /// Answers of the near cache that this round may still have.
    hits_left: u32,
    writer: u64,
    values_written: u64,
    /// What a key and a value are written into.
    key: [u8; KEY_BYTES_MAX],
    value: Vec<u8>,
}

/// Why a stream stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Nothing is due.
    NothingDue,
    /// At a barrier.
    Barrier,
    /// At a session without room; whether it sent something before.
    NoRoom { session: usize, went_on: bool },
    /// The near cache answered as many GETs as a turn may have.
    EnoughHits,
}

impl Streams {
    /// The streams numbered `first`, `first + step`, … of the plan's. `writer` names this
    /// thread in the values that it writes; no other writer has it.
    #[must_use]
    pub fn new(plan: &Plan, first: usize, step: usize, writer: u64) -> Self {
        let stream = |number| {
            let mut random = StreamRandom::new(plan.seed, 0, number as u32);
            let next = plan.workload.next(&mut random);
            Stream { random, next, state: StreamState::Idle, due: 0, sent: 0, wanted_ns: 0 }
        };
        let streams: Vec<_> = (first..plan.streams).step_by(step).map(stream).collect();
        let barriers_per_stream = plan.order.barriers(plan.servers.len());
        Self {
            barriers: vec![Barrier::default(); streams.len() * barriers_per_stream],
            barriers_per_stream,
            ready: VecDeque::with_capacity(streams.len()),
            parked: Vec::new(),
            arrivals: None,
            hits_left: 0,
            writer,
            values_written: 0,
            key: [0; KEY_BYTES_MAX],
            value: vec![0; plan.values.value_size()],
            streams,
        }
    }

    /// Lets the streams begin.
    pub fn start(&mut self, plan: &Plan, now_ns: u64) {
        self.arrivals = plan.rate.map(|rate| {
            let share = self.streams.len() as f64 / plan.streams as f64;
            Arrivals::new(now_ns, rate * share, self.streams.len())
        });
        if self.arrivals.is_none() {
            for index in 0..self.streams.len() {
                self.make_ready(index as u32);
            }
        }
    }

    /// Open loop: when the next operation is due.
    #[must_use]
    pub fn next_arrival_ns(&self) -> Option<u64> {
        self.arrivals.as_ref().map(Arrivals::next_ns)
    }

    /// Open loop: operations that were due before `end_ns` and not sent.
    pub fn backlog(&mut self, end_ns: u64) -> u64 {
        let sent = self.streams.iter().map(|stream| stream.sent).sum();
        self.arrivals.as_mut().map_or(0, |arrivals| arrivals.backlog(end_ns, sent))
    }

    /// Whether some have more to do at once: the near cache answered enough in this round.
    #[must_use]
    pub fn are_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Sends what can be sent now.
    #[inline]
    pub fn pump(
        &mut self,
        now_ns: u64,
        plan: &Plan,
        sessions: &mut SessionPool<Token>,
        ledger: &mut Ledger,
    ) {
        self.take_arrivals(now_ns);
        self.hits_left = HITS_PER_ROUND_MAX;
        self.parked.resize_with(sessions.places().end, Parked::default);
        for session in sessions.places() {
            for is_put in [true, false] {
                self.run_parked(session, is_put, now_ns, plan, sessions, ledger);
            }
        }
        while let Some(stream) = self.ready.pop_front() {
            self.run(stream, now_ns, plan, sessions, ledger);
            if self.hits_left == 0 {
                break;
            }
        }
    }

    /// Lets the streams go on whose next operation waits for room in a session, while there is
    /// some.
    #[inline]
    fn run_parked(
        &mut self,
        session: usize,
        is_put: bool,
        now_ns: u64,
        plan: &Plan,
        sessions: &mut SessionPool<Token>,
        ledger: &mut Ledger,
    ) {
        while let Some(stream) = self.parked[session].of(is_put).pop_front() {
            match self.run(stream, now_ns, plan, sessions, ledger) {
                Stop::NoRoom { session: at, went_on: false } if at == session => {
                    // It was the first, and is the first again when there is room.
                    let parked = self.parked[session].of(is_put);
                    parked.pop_back();
                    parked.push_front(stream);
                    break;
                }
                _ => {}
            }
        }
    }

    /// An operation was answered, or given up: if a stream's, that may go on.
    #[inline]
    pub fn ended(&mut self, plan: &Plan, server: usize, token: Token) {
        let Origin::Stream(index) = token.origin() else { return };
        let barriers_at = index as usize * self.barriers_per_stream;
        let barrier = &mut self.barriers[barriers_at + plan.order.barrier_of(server)];
        barrier.answered(token.is_put());
        let stream = &self.streams[index as usize];
        // A stream that waits at another barrier looks once and waits on.
        if stream.state == StreamState::AtBarrier
            && barrier.admits(plan.order, stream.next.write, plan.batch)
        {
            self.make_ready(index);
        }
    }

    fn take_arrivals(&mut self, now_ns: u64) {
        let Some(mut arrivals) = self.arrivals else { return };
        arrivals.take_due(now_ns, |index, count| {
            let stream = &mut self.streams[index as usize];
            stream.due += count;
            if stream.state == StreamState::Idle {
                self.make_ready(index);
            }
        });
        self.arrivals = Some(arrivals);
    }

    fn make_ready(&mut self, index: u32) {
        let stream = &mut self.streams[index as usize];
        debug_assert!(matches!(stream.state, StreamState::Idle | StreamState::AtBarrier));
        stream.state = StreamState::Ready;
        self.ready.push_back(index);
    }

    /// Sends operations of one stream until something stops it, and puts it where it waits.
    #[inline]
    fn run(
        &mut self,
        index: u32,
        now_ns: u64,
        plan: &Plan,
        sessions: &mut SessionPool<Token>,
        ledger: &mut Ledger,
    ) -> Stop {
        let stop = self.send_until_stopped(index, now_ns, plan, sessions, ledger);
        self.streams[index as usize].state = match stop {
            Stop::NothingDue => StreamState::Idle,
            Stop::Barrier => StreamState::AtBarrier,
            Stop::NoRoom { session, .. } => {
                let is_put = self.streams[index as usize].next.write;
                self.parked[session].of(is_put).push_back(index);
                StreamState::Parked
            }
            Stop::EnoughHits => {
                self.ready.push_back(index);
                StreamState::Ready
            }
        };
        stop
    }

    #[inline]
    fn send_until_stopped(
        &mut self,
        index: u32,
        now_ns: u64,
        plan: &Plan,
        sessions: &mut SessionPool<Token>,
        ledger: &mut Ledger,
    ) -> Stop {
        let stream = &mut self.streams[index as usize];
        let barriers_at = index as usize * self.barriers_per_stream;
        let mut went_on = false;
        let mut hits_left = HITS_PER_TURN_MAX;
        loop {
            if self.arrivals.is_some() && stream.due == 0 {
                return Stop::NothingDue;
            }
            let operation = stream.next;
            let key = plan.keys.write(operation.key, &mut self.key);
            let (server, session) = sessions.carrier(key);
            let barrier = &mut self.barriers[barriers_at + plan.order.barrier_of(server)];
            if !barrier.admits(plan.order, operation.write, plan.batch) {
                return Stop::Barrier;
            }
            if let (Some(cache), false) = (sessions.cache(), operation.write) {
                if hits_left.min(self.hits_left) == 0 {
                    return Stop::EnoughHits;
                }
                if let Some(cached) = cache.get(now_ns, key) {
                    ledger.hit(now_ns, index, server, operation.key, &cached);
                    stream.go_on(plan);
                    hits_left -= 1;
                    self.hits_left -= 1;
                    went_on = true;
                    continue;
                }
            }
            let started_ns = match &self.arrivals {
                Some(arrivals) => arrivals.intended_ns(index, stream.sent),
                None => {
                    if stream.wanted_ns == 0 {
                        stream.wanted_ns = now_ns;
                    }
                    stream.wanted_ns
                }
            };
            let place = place_in(&mut ledger.history, operation.key);
            let token = Token::new(Origin::Stream(index), operation.write, place, started_ns);
            let id = ValueId { writer: self.writer, counter: self.values_written };
            let result = if operation.write {
                plan.values.fill(&mut self.value, id);
                sessions.send_put(session, token, key, &self.value)
            } else {
                sessions.send_get(session, token, key)
            };
            match result {
                Ok(()) => {
                    if let Some(history) = &mut ledger.history {
                        let incarnation = incarnation_of(sessions, session);
                        let counter = operation.write.then_some(id.counter);
                        let (key, server) = (operation.key, server as u16);
                        history.called(token, Call { key, server, incarnation, counter, now_ns });
                    }
                    barrier.sent(operation.write);
                    self.values_written += u64::from(operation.write);
                    stream.go_on(plan);
                    went_on = true;
                }
                Err(Blocked::WindowFull | Blocked::NotOpen) => {
                    return Stop::NoRoom { session, went_on };
                }
                Err(Blocked::Length) => unreachable!("lengths were checked against the session"),
            }
        }
    }

    /// Writes a record of the load phase; returns whether its session had room.
    pub fn load(
        &mut self,
        record: u64,
        now_ns: u64,
        plan: &Plan,
        sessions: &mut SessionPool<Token>,
        history: &mut Option<History>,
    ) -> bool {
        let key = plan.keys.write(record, &mut self.key);
        let (server, session) = sessions.carrier(key);
        let id = ValueId { writer: self.writer, counter: self.values_written };
        plan.values.fill(&mut self.value, id);
        let token = Token::new(Origin::Load, true, place_in(history, record), now_ns);
        let is_sent = sessions.send_put(session, token, key, &self.value).is_ok();
        if let (Some(history), true) = (history, is_sent) {
            let incarnation = incarnation_of(sessions, session);
            let (server, counter) = (server as u16, Some(id.counter));
            history.called(token, Call { key: record, server, incarnation, counter, now_ns });
        }
        self.values_written += u64::from(is_sent);
        is_sent
    }
}

/// Names the life of the server that a session is with.
fn incarnation_of(sessions: &SessionPool<Token>, session: usize) -> u64 {
    sessions.get(session).client.granted().map_or(0, |granted| granted.incarnation)
}

#[inline]
fn place_in(history: &mut Option<History>, record: u64) -> Option<u32> {
    history.as_mut().and_then(|history| history.place(record))
}
