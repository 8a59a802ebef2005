//! What a connection is driven for: until its sessions are open, or calls have ended.

use crate::answer::Answer;
use crate::calls::{Calls, EndedCall, NotTaken};
use crate::error::Error;
use crate::gather::{Gathered, WorkerEnd};
use crate::limits::PIPELINE_BYTES_WAITING_MAX;

/// What a connection knows a call by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) batch: u64,
    pub(super) place: usize,
}

/// What drives a connection waits for something.
pub(super) trait Waits {
    fn ended(&mut self, now_ns: u64, call: EndedCall<'_, Token>);

    fn is_over(&mut self, now_ns: u64, calls: &mut Calls<Token>) -> bool;

    /// When it may be over, whatever comes of the calls.
    fn poll_timeout(&self) -> Option<u64> {
        None
    }
}

/// Waits until the sessions are open, or one will not open.
pub(super) struct Connecting(pub(super) Result<bool, Error>);

impl Waits for Connecting {
    fn ended(&mut self, _now_ns: u64, _call: EndedCall<'_, Token>) {}

    fn is_over(&mut self, now_ns: u64, calls: &mut Calls<Token>) -> bool {
        self.0 = calls.connect(now_ns);
        self.0 != Ok(false)
    }
}

/// Waits for the answers to GETs and PUTs, all or all but some.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) batch: u64,
    pub(super) gathered: Gathered<Result<Answer, Error>>,
    /// It is enough if there is room for more.
    pub(super) room: Option<Room>,
}

/// What a batch waits for before it goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// No more calls than this wait for room.
    pub(super) calls_max: usize,
    /// It goes on then anyway.
    pub(super) until_ns: u64,
}

impl Room {
    fn is_there(self, now_ns: u64, calls: &Calls<Token>) -> bool {
        now_ns >= self.until_ns
            || (calls.waiting() <= self.calls_max
                && calls.waiting_bytes() <= PIPELINE_BYTES_WAITING_MAX / 2)
    }
}

impl Answers {
    /// All results; what has not ended is told of the failure.
    pub(super) fn take_all(
        &mut self,
        failure: Option<Error>,
    ) -> impl Iterator<Item = Result<Answer, Error>> {
        self.gathered.end_rest(|| Err(failure.clone().expect("all else has ended")));
        self.gathered.take()
    }
}

impl Waits for Answers {
    #[inline]
    fn ended(&mut self, _now_ns: u64, call: EndedCall<'_, Token>) {
        if call.token.batch == self.batch {
            let result = call.result.map(|reply| self.gathered.answer_of(&reply));
            self.gathered.end(call.token.place, result);
        }
    }

    #[inline]
    fn is_over(&mut self, now_ns: u64, calls: &mut Calls<Token>) -> bool {
        self.gathered.is_complete() || self.room.is_some_and(|room| room.is_there(now_ns, calls))
    }

    fn poll_timeout(&self) -> Option<u64> {
        self.room.map(|room| room.until_ns)
    }
}

/// Waits for what workers answer.
#[derive(Debug)]
pub(super) struct Workers {
    pub(super) batch: u64,
    pub(super) gathered: Gathered<WorkerEnd>,
}

impl Workers {
    pub(super) fn new(batch: u64) -> Self {
        Self { batch, gathered: Gathered::default() }
    }

    /// The token of the next question.
    pub(super) fn next(&self) -> Token {
        Token { batch: self.batch, place: self.gathered.len() }
    }

    /// The next question was asked, or could not be.
    pub(super) fn ask(&mut self, asked: Result<(), NotTaken<Token>>) {
        let place = self.gathered.wait();
        if let Err(not_taken) = asked {
            self.gathered.end(place, WorkerEnd::of(0, not_taken.ended()));
        }
    }
}

impl Waits for Workers {
    fn ended(&mut self, now_ns: u64, call: EndedCall<'_, Token>) {
        if call.token.batch == self.batch {
            self.gathered.end(call.token.place, WorkerEnd::of(now_ns, call));
        }
    }

    fn is_over(&mut self, _now_ns: u64, _calls: &mut Calls<Token>) -> bool {
        self.gathered.is_complete()
    }
}
