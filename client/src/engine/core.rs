//! What an engine runs: the calls over a socket, in rounds.

use std::io;
use std::time::Duration;

use udp::clock;
use udp::core_loop::{CoreLoop, Endpoint as _, Round, SLEEP_NS_MAX};
use udp::idle::{Idle, Rest, waited_ns};
use udp::socket::{Inbox, Socket};

use crate::limits::{HAND_OVER_NS, ROUND_CALLS_MAX, ROUND_STALE_NS, TICK_NS, UNSENT_CALLS_MAX};
use crate::service::Service;

/// What the lock of an engine guards.
pub(super) struct Core {
    socket: Socket,
    core_loop: CoreLoop<Inbox>,
    idle: Idle,
    pub(super) service: Service,
    /// When the last round was, whoever drove it.
    pub(super) round_ns: u64,
    /// When the last round of a caller was in which something came or went.
    worked_ns: u64,
    /// When a call was begun last.
    begun_ns: u64,
    /// How many calls ended in the last round in which some did.
    ended: usize,
    /// Calls that were begun since the last round.
    begun: usize,
    /// Calls that were begun since something was sent.
    pub(super) unsent: usize,
    /// When the first of them was.
    pub(super) unsent_ns: u64,
}

impl Core {
    pub(super) fn new(socket: Socket, service: Service) -> Self {
        let now_ns = clock::now_ns();
        Self {
            core_loop: CoreLoop::new(&socket),
            idle: Idle::new(true),
            socket,
            service,
            round_ns: now_ns,
            worked_ns: now_ns,
            begun_ns: now_ns,
            ended: 0,
            begun: 0,
            unsent: 0,
            unsent_ns: 0,
        }
    }

    /// Calls were begun, if there are more than `before`; returns whether there are. They are sent at
    /// once if nobody has others on their way: otherwise the next round sends all together.
    #[inline]
    pub(super) fn begun(&mut self, now_ns: u64, before: usize) -> bool {
        let outstanding = self.service.outstanding();
        if outstanding <= before {
            return false;
        }
        self.begun_ns = now_ns;
        self.begun += outstanding - before;
        if self.unsent == 0 {
            self.unsent_ns = now_ns;
        }
        self.unsent += outstanding - before;
        let is_alone = before == 0 && self.ended <= 1;
        if is_alone || self.unsent >= UNSENT_CALLS_MAX {
            self.send();
        }
        true
    }

    /// Another caller drives, since a time.
    pub(super) fn driver_changed(&mut self, now_ns: u64) {
        self.idle.woke();
        self.worked_ns = now_ns;
    }

    /// Whether a caller goes on after a round.
    pub(super) fn is_worth_another(&mut self, round: Round) -> bool {
        if let Round::Worked = round {
            self.idle.worked();
            self.worked_ns = self.round_ns;
            return true;
        }
        self.idle.nothing(self.round_ns, waited_ns) == Rest::Spin
            || self.round_ns < self.worked_ns + HAND_OVER_NS
    }

    /// Whether what comes, and what time has made due, has its turn before more calls are begun.
    #[inline]
    pub(super) const fn needs_round(&self, now_ns: u64) -> bool {
        self.begun >= ROUND_CALLS_MAX || now_ns > self.round_ns + ROUND_STALE_NS
    }

    pub(super) fn round(&mut self) -> io::Result<Round> {
        let round = self.core_loop.round(&mut self.socket, &mut self.service);
        self.round_ns = clock::now_ns();
        (self.begun, self.unsent) = (0, 0);
        if self.service.untold() > 0 {
            self.ended = self.service.untold();
        }
        round
    }

    fn send(&mut self) {
        self.core_loop.send(&mut self.socket, &mut self.service, clock::now_ns());
        self.unsent = 0;
    }

    /// When something is to be done.
    pub(super) fn due_ns(&self, now_ns: u64) -> u64 {
        if self.unsent > 0 { now_ns } else { self.service.poll_timeout().unwrap_or(u64::MAX) }
    }

    /// How long the keeper may wait for what comes. While calls are made it looks often, so that
    /// they need not wake it.
    pub(super) fn rest_until_ns(&self, timeout_ns: Option<u64>) -> u64 {
        let now_ns = self.round_ns;
        let is_used = now_ns < self.begun_ns + 2 * TICK_NS;
        let longest_ns = if is_used { TICK_NS } else { SLEEP_NS_MAX };
        let longest = self.socket.wait_max(Duration::from_nanos(longest_ns));
        timeout_ns.unwrap_or(u64::MAX).min(now_ns + longest.as_nanos() as u64)
    }
}
