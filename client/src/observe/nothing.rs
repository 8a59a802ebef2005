//! The metrics of calls, where the feature `metrics` is off: nothing.

pub(crate) use oneshot::Sender;

use oneshot::Receiver;

use crate::answer::{Answer, Ping, Record, Results, Version, WorkerStats};
use crate::error::Error;

/// An answer to a call.
pub(crate) trait Observed {}

impl Observed for Option<Record> {}
impl Observed for Version {}
impl Observed for Results<Option<Record>> {}
impl Observed for Results<Version> {}
impl Observed for Vec<WorkerStats> {}
impl Observed for Vec<Ping> {}

/// Both ends of the channel of an answer.
pub(crate) type Channel<T> = (Sender<Result<T, Error>>, Receiver<Result<T, Error>>);

/// A channel for the answer to a call.
pub(crate) fn channel<T: Observed>(_now_ns: u64) -> Channel<T> {
    oneshot::channel()
}

/// A call ended where it was made.
#[inline]
pub(crate) const fn at_once<T: Observed>(_result: &Result<T, Error>) {}

/// Makes a call.
#[inline]
pub(crate) fn call<T: Observed>(call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    call()
}

/// The near cache was searched for a GET.
#[inline]
pub(crate) const fn looked_up(_is_found: bool) {}

/// The operations of a pipeline.
#[derive(Debug)]
pub(crate) struct Asked;

impl Asked {
    #[inline]
    pub(crate) const fn now() -> Self {
        Self
    }

    #[inline]
    pub(crate) const fn add(&mut self, _is_put: bool) {}

    #[inline]
    pub(crate) fn watch<I>(self, ends: I) -> I
    where
        I: Iterator<Item = Result<Answer, Error>>,
    {
        ends
    }
}
