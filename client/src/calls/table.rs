//! The calls that have not ended: each is in its session or waits for room there.

use std::net::SocketAddr;

use proto::client::{Blocked, Finished, Outcome};
use proto::planted::{Fault, is_planted};
use slab::Slab;

use crate::calls::call::{Call, Kind, Request, State};
use crate::calls::counters::CallCounters;
use crate::calls::hindrance::{check_lengths, refusal, value_too_large, withdrawn};
use crate::calls::lines::{Lines, Waiting};
use crate::calls::reply::{EndedCall, NotTaken};
use crate::error::{Error, Why};
use crate::limits::LOOK_NS_PER_CALL;
use crate::observe;
use crate::planted::Kept;
use crate::pool::{RemoteWorker, SessionPool};

/// The calls that have not ended, and what happened to all.
#[derive(Debug)]
pub(super) struct CallTable<T> {
    calls: Slab<Call<T>>,
    pub(super) lines: Lines,
    /// No deadline of a call that its caller waits for is before this.
    pub(super) next_deadline_ns: u64,
    pub(super) counters: CallCounters,
    /// Whether a call was refused, because its session is, since time was last looked at.
    pub(super) has_refused: bool,
}

impl<T> CallTable<T> {
    pub(super) fn new() -> Self {
        Self {
            calls: Slab::new(),
            lines: Lines::default(),
            next_deadline_ns: u64::MAX,
            counters: CallCounters::default(),
            has_refused: false,
        }
    }

    pub(super) fn outstanding(&self) -> usize {
        self.calls.len()
    }

    /// Hands a call to its session, or lets it wait for room there.
    #[inline]
    pub(super) fn take(
        &mut self,
        pool: &mut SessionPool<u32>,
        token: T,
        deadline_ns: u64,
        request: Request<'_>,
    ) -> Result<(), NotTaken<T>> {
        let Request { kind, session, value, .. } = request;
        let id = self.calls.vacant_key();
        let handed = match self.lines.is_first(session, kind) {
            true => hand_over(pool, id, request),
            false => Err(Blocked::WindowFull),
        };
        let state = match handed {
            Ok(()) => State::Sent,
            Err(blocked) => match self.wait_in_line(pool, blocked, id, request) {
                Ok(()) => State::Waiting { was_sent: false },
                Err(error) => {
                    let (worker, server) = worker_of(pool, session);
                    return Err(NotTaken { token, worker, server, error });
                }
            },
        };
        let kept = Kept::of(value);
        self.calls.insert(Call { token: Some(token), kind, state, deadline_ns, session, kept });
        self.counters.taken += 1;
        self.next_deadline_ns = self.next_deadline_ns.min(deadline_ns);
        Ok(())
    }

    /// A call that its session does not take now waits, unless that is of no use.
    #[cold]
    fn wait_in_line(
        &mut self,
        pool: &SessionPool<u32>,
        blocked: Blocked,
        call: usize,
        request: Request<'_>,
    ) -> Result<(), Error> {
        check_lengths(pool, blocked, request)?;
        let Request { kind, session, key, value } = request;
        if let Some(error) = refusal(pool, session) {
            self.has_refused = true;
            return Err(error);
        }
        if !self.lines.have_room(session, key.len() + value.len()) {
            self.counters.not_sent += 1;
            observe::line_full(worker_of(pool, session).0, self.lines.calls());
            return Err(Error::NotSent);
        }
        if let (Kind::Put, Some(cache)) = (kind, pool.cache()) {
            cache.mutation_begins(key);
        }
        let waiting = Waiting { call, key: key.into(), value: value.into() };
        self.lines.push_back(session, kind, waiting);
        Ok(())
    }

    /// An operation of a session has ended, and its call with it, unless it is a read that is
    /// asked again. `why`: what an operation without an answer lacks.
    #[inline]
    pub(super) fn conclude(
        &mut self,
        why: Why,
        worker: &RemoteWorker,
        operation: &Finished<'_, u32>,
        ended: &mut impl FnMut(EndedCall<'_, T>),
    ) {
        let id = operation.token as usize;
        let is_lost = why == Why::SessionLost && self.calls[id].token.is_some();
        let again = match operation.outcome {
            Outcome::Unanswered if is_lost => Some(Box::default()),
            Outcome::Indeterminate { .. } if is_lost => self.calls[id].kept.take(),
            _ => None,
        };
        if let Some(value) = again {
            return self.ask_again(Waiting { call: id, key: operation.key.into(), value });
        }
        let Call { token, kind, .. } = self.calls.remove(id);
        // Who was told at the deadline is not told again.
        if let Some(token) = token {
            let result = kind.result(why, worker.incarnation, &operation.outcome);
            ended(EndedCall { token, worker: worker.address, server: worker.server, result });
        }
    }

    #[cold]
    fn ask_again(&mut self, waiting: Waiting) {
        let call = &mut self.calls[waiting.call];
        call.state = State::Waiting { was_sent: true };
        self.lines.push_front(call.session, call.kind, waiting);
        self.counters.asked_again += 1;
        observe::asked_again();
    }

    /// Ends the calls whose deadline is over: those that wait are withdrawn, of those that
    /// were sent only their sessions know from now on. `trouble`: why no session opens.
    #[cold]
    pub(super) fn end_late(
        &mut self,
        now_ns: u64,
        pool: &SessionPool<u32>,
        trouble: Option<&Error>,
        ended: &mut impl FnMut(EndedCall<'_, T>),
    ) {
        let mut next_ns = u64::MAX;
        let mut waits = false;
        for (_, call) in &mut self.calls {
            if call.token.is_none() {
                continue;
            }
            if call.deadline_ns > now_ns {
                next_ns = next_ns.min(call.deadline_ns);
            } else if let State::Waiting { .. } = call.state {
                waits = true;
            } else if !is_planted(Fault::DeadlineIgnored) {
                self.counters.late += 1;
                let (worker, server) = worker_of(pool, call.session);
                observe::call_late(worker, call.kind);
                let token = call.token.take().expect("just looked");
                let result = Err(call.kind.unanswered(Why::Deadline));
                ended(EndedCall { token, worker, server, result });
            }
        }
        // Where many calls are under way, each look takes its time, and waits for its turn.
        let rest_ns = self.calls.len() as u64 * LOOK_NS_PER_CALL;
        self.next_deadline_ns = next_ns.max(now_ns.saturating_add(rest_ns));
        if waits {
            self.withdraw_late(now_ns, pool, trouble, ended);
        }
    }

    fn withdraw_late(
        &mut self,
        now_ns: u64,
        pool: &SessionPool<u32>,
        trouble: Option<&Error>,
        ended: &mut impl FnMut(EndedCall<'_, T>),
    ) {
        for session in self.lines.sessions() {
            let is_late = |waiting: &Waiting| self.calls[waiting.call].deadline_ns <= now_ns;
            for waiting in self.lines.take_if(session, is_late) {
                self.counters.withdrawn += 1;
                let kind = self.calls[waiting.call].kind;
                observe::call_withdrawn(worker_of(pool, session).0, kind);
                self.end_waiting(pool, &waiting, &withdrawn(pool, session, trouble), ended);
            }
        }
    }

    /// Ends all calls that wait.
    pub(super) fn withdraw_waiting(
        &mut self,
        pool: &SessionPool<u32>,
        why: Why,
        ended: &mut impl FnMut(EndedCall<'_, T>),
    ) {
        for session in self.lines.sessions() {
            self.end_line(pool, session, &Error::NotExecuted(why), ended);
        }
    }

    /// Ends a call that its session had, and did not send.
    pub(super) fn withdraw(
        &mut self,
        pool: &SessionPool<u32>,
        id: usize,
        why: Why,
        ended: &mut impl FnMut(EndedCall<'_, T>),
    ) {
        let Call { token, kind, session, .. } = self.calls.remove(id);
        let (worker, server) = worker_of(pool, session);
        self.counters.withdrawn += 1;
        observe::call_withdrawn(worker, kind);
        let token = token.expect("who is told at the deadline was sent before");
        ended(EndedCall { token, worker, server, result: Err(Error::NotExecuted(why)) });
    }

    /// Ends all calls that wait, for ever.
    pub(super) fn close(
        &mut self,
        pool: &SessionPool<u32>,
        ended: &mut impl FnMut(EndedCall<'_, T>),
    ) {
        self.withdraw_waiting(pool, Why::Closed, ended);
        self.next_deadline_ns = u64::MAX;
    }

    /// Hands over what waits, as far as there is room.
    pub(super) fn serve_lines(
        &mut self,
        pool: &mut SessionPool<u32>,
        ended: &mut impl FnMut(EndedCall<'_, T>),
    ) {
        for session in self.lines.sessions() {
            if self.lines.is_empty(session) {
                continue;
            }
            if pool.is_retired(session) {
                self.leave_retired(pool, session, ended);
            } else if let Some(error) = refusal(pool, session) {
                self.end_line(pool, session, &error, ended);
            } else {
                // Mutations first: what reads leave of the window is no bound on them.
                self.serve_line(pool, session, Kind::Put, ended);
                self.serve_line(pool, session, Kind::Get, ended);
            }
        }
    }

    fn serve_line(
        &mut self,
        pool: &mut SessionPool<u32>,
        session: usize,
        like: Kind,
        ended: &mut impl FnMut(EndedCall<'_, T>),
    ) {
        while let Some(Waiting { call, key, value }) = self.lines.front(session, like) {
            let kind = self.calls[*call].kind;
            let handed = hand_over(pool, *call, Request { kind, session, key, value });
            if let Err(Blocked::WindowFull | Blocked::NotOpen) = handed {
                return;
            }
            let waiting = self.lines.pop_front(session, like).expect("it was just seen");
            if handed.is_ok() {
                self.left_line(pool, &waiting);
                self.calls[waiting.call].state = State::Sent;
            } else {
                // The session that opened meanwhile carries shorter datagrams.
                let error = value_too_large(pool, session, &waiting.key, &waiting.value);
                self.end_waiting(pool, &waiting, &error, ended);
            }
        }
    }

    /// The worker of a session is no more: what waits for it goes to the one that carries the
    /// key now.
    #[cold]
    fn leave_retired(
        &mut self,
        pool: &SessionPool<u32>,
        session: usize,
        ended: &mut impl FnMut(EndedCall<'_, T>),
    ) {
        for waiting in self.lines.take_all(session) {
            let call = &mut self.calls[waiting.call];
            if let Kind::Stats | Kind::Ping = call.kind {
                self.end_waiting(pool, &waiting, &Error::NotExecuted(Why::SessionLost), ended);
                continue;
            }
            let (_, carrier) = pool.carrier(&waiting.key);
            call.session = carrier;
            self.lines.push_back(carrier, call.kind, waiting);
        }
    }

    /// Ends all calls that wait for a session.
    fn end_line(
        &mut self,
        pool: &SessionPool<u32>,
        session: usize,
        error: &Error,
        ended: &mut impl FnMut(EndedCall<'_, T>),
    ) {
        for waiting in self.lines.take_all(session) {
            self.end_waiting(pool, &waiting, error, ended);
        }
    }

    /// Ends a call that was taken out of its line.
    fn end_waiting(
        &mut self,
        pool: &SessionPool<u32>,
        waiting: &Waiting,
        error: &Error,
        ended: &mut impl FnMut(EndedCall<'_, T>),
    ) {
        self.left_line(pool, waiting);
        let call = self.calls.remove(waiting.call);
        let State::Waiting { was_sent } = call.state else { unreachable!("it was in a line") };
        let result = match error {
            Error::NotExecuted(why) if was_sent => Err(call.kind.unanswered(*why)),
            error => Err(error.clone()),
        };
        let token = call.token.expect("who waits in a line was told nothing");
        let (worker, server) = worker_of(pool, call.session);
        ended(EndedCall { token, worker, server, result });
    }

    /// A call was taken out of its line.
    fn left_line(&self, pool: &SessionPool<u32>, waiting: &Waiting) {
        if let (Kind::Put, Some(cache)) = (self.calls[waiting.call].kind, pool.cache()) {
            cache.mutation_handed_on(&waiting.key);
        }
    }
}

/// The worker of a session, and the place of its server in the cluster's list.
pub(super) fn worker_of(pool: &SessionPool<u32>, session: usize) -> (SocketAddr, usize) {
    let session = pool.get(session);
    (session.client.server(), session.server)
}

#[inline]
fn hand_over(
    pool: &mut SessionPool<u32>,
    call: usize,
    Request { kind, session, key, value }: Request<'_>,
) -> Result<(), Blocked> {
    let token = call as u32;
    match kind {
        Kind::Get | Kind::Ping => pool.send_get(session, token, key),
        Kind::Put => pool.send_put(session, token, key, value),
        Kind::Stats => pool.send_stats(session, token),
    }
}
