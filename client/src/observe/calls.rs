//! The metrics of calls: how many ended how, and how long they took.

use metrics::{counter, histogram};
use oneshot::{Receiver, SendError};
use udp::clock;

use crate::answer::{Answer, Ping, Record, Results, Source, Version, WorkerStats};
use crate::error::Error;

/// An answer to a call.
pub(crate) trait Observed: Sized {
    /// Notes the end of each operation.
    fn note(result: &Result<Self, Error>, ends: &mut Ends);
}

/// Ends of operations that were called together. They are reported when this is dropped, all of
/// one kind at once, so that a batch costs as much as one call.
pub(crate) struct Ends {
    start_ns: u64,
    kinds: Vec<(End, u64)>,
}

/// How an operation ended.
#[derive(Clone, Copy, PartialEq, Eq)]
struct End {
    operation: &'static str,
    result: &'static str,
    is_cached: bool,
}

impl Ends {
    const fn since(start_ns: u64) -> Self {
        Self { start_ns, kinds: Vec::new() }
    }

    fn add(&mut self, operation: &'static str, result: &'static str, source: Source) {
        let end = End { operation, result, is_cached: source == Source::Cache };
        match self.kinds.iter_mut().find(|(kind, _)| *kind == end) {
            Some((_, count)) => *count += 1,
            None => self.kinds.push((end, 1)),
        }
    }

    fn add_result<T>(&mut self, operation: &'static str, ok: &'static str, end: &Result<T, Error>) {
        self.add(operation, end.as_ref().map_or_else(name_of, |_| ok), Source::Server);
    }

    fn add_get(&mut self, end: &Result<Option<Record>, Error>) {
        match end {
            Ok(Some(record)) => self.add("get", "found", record.source),
            end => self.add_result("get", "not_found", end),
        }
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        let seconds = clock::now_ns().saturating_sub(self.start_ns) as f64 / 1e9;
        for (End { operation, result, is_cached }, count) in self.kinds.drain(..) {
            counter!("kv_client_calls_total", "operation" => operation, "result" => result)
                .increment(count);
            if !is_cached {
                histogram!("kv_client_call_seconds", "operation" => operation)
                    .record_many(seconds, count as usize);
            }
        }
    }
}

/// The name of an error, as a label.
const fn name_of(error: &Error) -> &'static str {
    match error {
        Error::NotSent => "not_sent",
        Error::NotExecuted(_) => "not_executed",
        Error::Refused(_) => "refused",
        Error::Indeterminate(_) => "indeterminate",
        Error::Unanswered(_) => "unanswered",
        Error::TooLarge { .. } => "too_large",
        Error::NoServer { .. } => "no_server",
        Error::OtherVersion { .. } => "other_version",
        Error::InvalidServer { .. } => "invalid_server",
        Error::InvalidConfig(_) => "invalid_config",
        Error::Forked => "forked",
        Error::Io { .. } => "io",
    }
}

impl Observed for Option<Record> {
    fn note(result: &Result<Self, Error>, ends: &mut Ends) {
        ends.add_get(result);
    }
}

impl Observed for Version {
    fn note(result: &Result<Self, Error>, ends: &mut Ends) {
        ends.add_result("put", "stored", result);
    }
}

impl Observed for Results<Option<Record>> {
    fn note(result: &Result<Self, Error>, ends: &mut Ends) {
        match result {
            Ok(results) => results.iter().for_each(|result| ends.add_get(result)),
            Err(error) => ends.add("get", name_of(error), Source::Server),
        }
    }
}

impl Observed for Results<Version> {
    fn note(result: &Result<Self, Error>, ends: &mut Ends) {
        match result {
            Ok(results) => {
                results.iter().for_each(|result| ends.add_result("put", "stored", result));
            }
            Err(error) => ends.add("put", name_of(error), Source::Server),
        }
    }
}

impl Observed for Vec<WorkerStats> {
    fn note(result: &Result<Self, Error>, ends: &mut Ends) {
        match result {
            Ok(all) => {
                all.iter().for_each(|one| ends.add_result("stats", "answered", &one.counters));
            }
            Err(error) => ends.add("stats", name_of(error), Source::Server),
        }
    }
}

impl Observed for Vec<Ping> {
    fn note(result: &Result<Self, Error>, ends: &mut Ends) {
        match result {
            Ok(all) => {
                all.iter().for_each(|one| ends.add_result("ping", "answered", &one.round_trip));
            }
            Err(error) => ends.add("ping", name_of(error), Source::Server),
        }
    }
}

/// Sends a call's result to its caller, and counts it.
pub(crate) struct Sender<R> {
    sender: oneshot::Sender<R>,
    start_ns: u64,
    note: fn(&R, &mut Ends),
}

impl<R> Sender<R> {
    pub(crate) fn send(self, result: R) -> Result<(), SendError<R>> {
        (self.note)(&result, &mut Ends::since(self.start_ns));
        self.sender.send(result)
    }
}

/// Both ends of the channel of an answer.
pub(crate) type Channel<T> = (Sender<Result<T, Error>>, Receiver<Result<T, Error>>);

/// A channel for the answer to a call that was made at `now_ns`.
pub(crate) fn channel<T: Observed>(now_ns: u64) -> Channel<T> {
    let (sender, receiver) = oneshot::channel();
    (Sender { sender, start_ns: now_ns, note: T::note }, receiver)
}

/// A call ended where it was made.
pub(crate) fn at_once<T: Observed>(result: &Result<T, Error>) {
    T::note(result, &mut Ends::since(clock::now_ns()));
}

/// Makes a call.
pub(crate) fn call<T: Observed>(call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let start_ns = clock::now_ns();
    let result = call();
    T::note(&result, &mut Ends::since(start_ns));
    result
}

/// The near cache was searched for a GET.
pub(crate) fn looked_up(is_found: bool) {
    match is_found {
        true => counter!("kv_client_cache_hits_total").increment(1),
        false => counter!("kv_client_cache_misses_total").increment(1),
    }
}

/// The operations of a pipeline.
#[derive(Debug)]
pub(crate) struct Asked {
    start_ns: u64,
    are_puts: Vec<bool>,
}

impl Asked {
    pub(crate) fn now() -> Self {
        Self { start_ns: clock::now_ns(), are_puts: Vec::new() }
    }

    pub(crate) fn add(&mut self, is_put: bool) {
        self.are_puts.push(is_put);
    }

    /// Counts each result as it passes.
    pub(crate) fn watch<I>(self, ends: I) -> impl Iterator<Item = Result<Answer, Error>> + use<I>
    where
        I: Iterator<Item = Result<Answer, Error>>,
    {
        let mut noted = Ends::since(self.start_ns);
        ends.zip(self.are_puts).map(move |(end, is_put)| {
            match (&end, is_put) {
                (Ok(Answer::Found(record)), _) => noted.add("get", "found", record.source),
                (end, false) => noted.add_result("get", "not_found", end),
                (end, true) => noted.add_result("put", "stored", end),
            }
            end
        })
    }
}
