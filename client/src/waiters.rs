//! Who waits for calls, alone or for many together, and what they are told.

use std::net::SocketAddr;
use std::time::Duration;

use slab::Slab;

use crate::answer::{Ping, Record, Version, WorkerStats};
use crate::calls::EndedCall;
use crate::error::Error;
use crate::gather::{Gathered, answer_of, counters_of, found, stored};
use crate::observe::Sender;
use crate::told::Told;

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
pub(crate) struct Batch<R> {
    gathered: Gathered<R>,
    sender: Sender<Result<Vec<R>, Error>>,
}

/// How somebody is told of a batch.
type Tell<R> = fn(Sender<Result<Vec<R>, Error>>, Result<Vec<R>, Error>) -> Told;

/// Batches of one kind that are under way.
pub(crate) struct Batches<R> {
    all: Slab<Batch<R>>,
    tell: Tell<R>,
}

impl<R> Batches<R> {
    const fn new(tell: Tell<R>) -> Self {
        Self { all: Slab::new(), tell }
    }

    /// Begins one of so many calls; returns its place.
    pub(crate) fn begin(&mut self, calls: usize, sender: Sender<Result<Vec<R>, Error>>) -> usize {
        self.all.insert(Batch { gathered: Gathered::waiting_for(calls), sender })
    }

    /// Notes the end of one call. That of the last is to be told.
    pub(crate) fn end(&mut self, told: &mut Vec<Told>, batch: usize, place: usize, result: R) {
        self.all[batch].gathered.end(place, result);
        self.tell_if_complete(told, batch);
    }

    /// What is complete is to be told; a batch without calls is from its beginning.
    pub(crate) fn tell_if_complete(&mut self, told: &mut Vec<Told>, batch: usize) {
        if self.all[batch].gathered.is_complete() {
            let Batch { mut gathered, sender } = self.all.remove(batch);
            told.push((self.tell)(sender, Ok(gathered.take().collect())));
        }
    }
}

/// The batches that are under way, and the ends that are to be told.
pub(crate) struct Waiters {
    pub(crate) gets: Batches<Result<Option<Record>, Error>>,
    pub(crate) puts: Batches<Result<Version, Error>>,
    pub(crate) stats: Batches<WorkerStats>,
    pub(crate) pings: Batches<Ping>,
    pub(crate) told: Vec<Told>,
}

impl Waiters {
    pub(crate) const fn new() -> Self {
        Self {
            gets: Batches::new(Told::GetMany),
            puts: Batches::new(Told::PutMany),
            stats: Batches::new(Told::Stats),
            pings: Batches::new(Told::Ping),
            told: Vec::new(),
        }
    }

    /// A call has ended: its waiter is to be told, or its batch has one less to wait for.
    #[inline]
    pub(crate) fn end(&mut self, servers: &[SocketAddr], now_ns: u64, call: EndedCall<'_, Waiter>) {
        let Self { gets, puts, stats, pings, told } = self;
        let EndedCall { token, worker, server, result } = call;
        match token {
            Waiter::Get(sender) => {
                let result = result.map(|reply| found(answer_of(&reply)));
                told.push(Told::Get(sender, result));
            }
            Waiter::Put(sender) => {
                let result = result.map(|reply| stored(answer_of(&reply)));
                told.push(Told::Put(sender, result));
            }
            Waiter::GetOf { batch, place } => {
                let gathered = &mut gets.all[batch].gathered;
                let result = result.map(|reply| found(gathered.answer_of(&reply)));
                gets.end(told, batch, place, result);
            }
            Waiter::PutOf { batch, place } => {
                let result = result.map(|reply| stored(answer_of(&reply)));
                puts.end(told, batch, place, result);
            }
            Waiter::StatsOf { batch, place } => {
                let counters = result.map(counters_of);
                let one = WorkerStats { server: servers[server], worker, counters };
                stats.end(told, batch, place, one);
            }
            Waiter::PingOf { batch, place, start_ns } => {
                let taken = Duration::from_nanos(now_ns.saturating_sub(start_ns));
                let ping = Ping { worker, round_trip: result.map(|_| taken) };
                pings.end(told, batch, place, ping);
            }
        }
    }
}
