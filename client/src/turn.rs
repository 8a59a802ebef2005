//! The part that one call has in driving the engine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use crate::baton::{Hold, Who};
use crate::engine::{Drove, Engine};

/// The part that one call has in driving the engine while it is waited for.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Others drive.
    Others,
    /// It drives.
    Drives { hold: Hold, has_begun: bool },
    /// It is woken when who drives does not any more.
    StandsIn(u64),
}

/// Whether a call drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drives {
    No,
    /// From now on.
    FromNow,
    /// As before.
    Still,
}

impl Turn {
    /// Whether it drives. It does from now on, if no other call does; or it stands in.
    #[inline]
    pub(crate) fn drives(&mut self, engine: &Engine, waker: &Waker) -> Drives {
        match *self {
            Self::Others if engine.baton.who() == Who::Caller && engine.stand_in.is_there() => {
                Drives::No
            }
            _ if engine.is_fork() => Drives::No,
            Self::Drives { hold, .. } if engine.baton.is_held(hold) => Drives::Still,
            _ => self.join(engine, waker),
        }
    }

    fn join(&mut self, engine: &Engine, waker: &Waker) -> Drives {
        // Its waker may be another one now.
        self.leave_stand_in(engine);
        *self = Self::Others;
        if engine.baton.who() == Who::Caller {
            if let Some(number) = engine.stand_in.enter(waker) {
                *self = Self::StandsIn(number);
            }
            // It may have been given away before that one could see who stands in.
            if engine.baton.who() == Who::Caller {
                return Drives::No;
            }
            self.leave_stand_in(engine);
        }
        let leaves_it = engine.is_quiet() && engine.baton.who() == Who::Keeper;
        if leaves_it && !engine.is_kept_by_this_thread() {
            return Drives::No;
        }
        let Some(hold) = engine.take_baton() else { return Drives::No };
        *self = Self::Drives { hold, has_begun: false };
        Drives::FromNow
    }

    /// Returns whether it was woken to drive.
    fn leave_stand_in(&mut self, engine: &Engine) -> bool {
        match std::mem::replace(self, Self::Others) {
            Self::StandsIn(number) => !engine.stand_in.leave(number),
            _ => false,
        }
    }

    /// Leaves it to the keeper, if the engine would have it so; returns whether it is so.
    pub(crate) fn leaves(&mut self, engine: &Engine) -> bool {
        if engine.is_fork() {
            return true;
        }
        if !engine.are_many_blocked() || engine.is_kept_by_this_thread() {
            return false;
        }
        match *self {
            Self::Drives { hold, .. } => engine.leave_to_keeper(hold),
            _ => engine.find_driver(),
        }
        self.leave_stand_in(engine);
        true
    }

    /// Drives a round, if it is the one who drives.
    pub(crate) fn drive(&mut self, engine: &Engine) -> Drove {
        let Self::Drives { hold, has_begun } = self else { return Drove::Enough };
        let drove = engine.drive(!*has_begun);
        match drove {
            Drove::Again => *has_begun = true,
            Drove::Locked if !engine.is_locked_for_long() => {}
            Drove::Locked | Drove::Enough => {
                engine.leave_to_keeper(*hold);
                *self = Self::Others;
                return Drove::Enough;
            }
        }
        drove
    }

    /// Wakes the task that drives, so that it goes on after all others that are ready.
    pub(crate) fn go_on(&mut self, engine: &Engine, waker: &Waker) {
        let is_woken = catch_unwind(AssertUnwindSafe(|| waker.wake_by_ref()));
        if let (Err(_), Self::Drives { hold, .. }) = (is_woken, &self) {
            engine.leave_to_keeper(*hold);
            *self = Self::Others;
        }
    }

    /// The call has ended, or nobody waits for it any more.
    #[inline]
    pub(crate) fn end(&mut self, engine: &Engine) {
        match *self {
            Self::Others => {}
            _ if engine.is_fork() => {}
            Self::Drives { hold, .. } => engine.pass_on(hold),
            Self::StandsIn(_) => {
                if self.leave_stand_in(engine) {
                    engine.find_driver();
                }
            }
        }
        *self = Self::Others;
    }
}
