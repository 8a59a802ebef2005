//! Results that are waited for together, and how replies become what callers own.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;

use crate::answer::{Answer, Record, Source, Version};
use crate::calls::{EndedCall, Reply, parse_counters};
use crate::error::Error;
use crate::near_cache::Cached;
use crate::values::Values;

/// Results that are waited for together, in the order of their calls.
#[derive(Debug)]
pub(crate) struct Gathered<R> {
    ends: Vec<Option<R>>,
    waiting: usize,
    values: Values,
}

impl<R> Default for Gathered<R> {
    fn default() -> Self {
        Self { ends: Vec::new(), waiting: 0, values: Values::default() }
    }
}

impl<R> Gathered<R> {
    /// Waits for so many.
    pub(crate) fn waiting_for(calls: usize) -> Self {
        let ends = std::iter::repeat_with(|| None).take(calls).collect();
        Self { ends, waiting: calls, values: Values::default() }
    }

    /// Waits for one more; returns its place.
    #[inline]
    pub(crate) fn wait(&mut self) -> usize {
        self.ends.push(None);
        self.waiting += 1;
        self.ends.len() - 1
    }

    /// Notes a result.
    #[inline]
    pub(crate) fn end(&mut self, place: usize, result: R) {
        let before = self.ends[place].replace(result);
        assert!(before.is_none(), "each call ends once");
        self.waiting -= 1;
    }

    /// What one of them was answered, not noted yet: a GET or a PUT.
    #[inline]
    pub(crate) fn answer_of(&mut self, reply: &Reply<'_>) -> Answer {
        answer_with(reply, |value| self.values.copy(value, self.waiting))
    }

    /// Waits for nothing: who waited is gone.
    pub(crate) fn clear(&mut self) {
        self.ends.clear();
        self.waiting = 0;
        self.values.clear();
    }

    /// Whether nothing was waited for since the results were taken.
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many were waited for, ended or not.
    pub(crate) const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Ends what has not ended.
    pub(crate) fn end_rest(&mut self, mut result: impl FnMut() -> R) {
        if self.waiting > 0 {
            self.ends.iter_mut().filter(|end| end.is_none()).for_each(|end| *end = Some(result()));
            self.waiting = 0;
        }
    }

    /// Whether nothing is waited for.
    #[inline]
    pub(crate) const fn is_complete(&self) -> bool {
        self.waiting == 0
    }

    /// All results; none is left. Collected, they stay in the memory that they are in.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = R> {
        assert!(self.is_complete());
        self.values.clear();
        std::mem::take(&mut self.ends).into_iter().map(|end| end.expect("nothing is waited for"))
    }

    /// The only result; the memory is kept for the next call.
    #[inline]
    pub(crate) fn take_only(&mut self) -> R {
        assert!(self.is_complete() && self.ends.len() == 1);
        self.ends.pop().flatten().expect("nothing is waited for")
    }
}

/// What one worker answered, or why it did not.
#[derive(Debug)]
pub(crate) struct WorkerEnd {
    pub(crate) worker: SocketAddr,
    /// Place of its server in the cluster's list.
    pub(crate) server: usize,
    pub(crate) ended_ns: u64,
    /// Its counters, if they were asked for.
    pub(crate) result: Result<BTreeMap<String, u64>, Error>,
}

impl WorkerEnd {
    pub(crate) fn of<T>(now_ns: u64, call: EndedCall<'_, T>) -> Self {
        let EndedCall { worker, server, result, .. } = call;
        let result = result.map(counters_of);
        Self { worker, server, ended_ns: now_ns, result }
    }
}

/// What a GET or PUT was answered.
#[inline]
pub(crate) fn answer_of(reply: &Reply<'_>) -> Answer {
    answer_with(reply, Bytes::copy_from_slice)
}

#[inline]
fn answer_with(reply: &Reply<'_>, copy: impl FnOnce(&[u8]) -> Bytes) -> Answer {
    match *reply {
        Reply::Found { version, value } => {
            Answer::Found(Record { value: copy(value), version, source: Source::Server })
        }
        Reply::NotFound => Answer::NotFound,
        Reply::Stored(version) => Answer::Stored(version),
        Reply::Counters(_) | Reply::Pong => unreachable!("only GETs and PUTs are gathered here"),
    }
}

/// What a cache has, as the answer to a GET.
pub(crate) fn cached_record(cached: Cached) -> Record {
    let Cached { value, version, .. } = cached;
    Record { value, version, source: Source::Cache }
}

/// The answer to a GET.
#[inline]
pub(crate) fn found(answer: Answer) -> Option<Record> {
    match answer {
        Answer::Found(record) => Some(record),
        Answer::NotFound => None,
        Answer::Stored(_) => unreachable!("no GET is answered so"),
    }
}

/// The answer to a PUT.
#[inline]
pub(crate) fn stored(answer: Answer) -> Version {
    match answer {
        Answer::Stored(version) => version,
        Answer::Found(_) | Answer::NotFound => unreachable!("no PUT is answered so"),
    }
}

/// The counters of a worker's answer; none if they were not asked for.
pub(crate) fn counters_of(reply: Reply<'_>) -> BTreeMap<String, u64> {
    match reply {
        Reply::Counters(text) => parse_counters(text),
        _ => BTreeMap::new(),
    }
}
