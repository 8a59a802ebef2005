//! The engine of a handle: sessions, socket and core loop behind a lock, driven by whoever waits.
//!
//! A call is begun by its caller if the lock is free, and goes through the queue of commands
//! otherwise. The engine is driven in rounds of the core loop. A caller that waits and finds the
//! baton free takes it and drives until its own call has ended or nothing comes for a while
//! (`turn`); else the keeper drives, which is the thread of the handle (`keeper`). So one thread
//! with many futures completes all of them by itself, without waking another thread.
//!
//! Nothing is lost if a caller that has the baton does not go on: each round of a caller puts off
//! the keeper's alarm, and if that goes off, the keeper drives. It goes off one to two [`TICK_NS`]
//! after the last round.
//!
//! Only the keeper waits for the lock; callers go another way. Their wakers are called when the lock
//! is released, and find it free. Subscribers of events are called inside: what they call of the
//! handle goes through the queue.

mod core;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::task::Waker;
use std::thread::{self, ThreadId};

use udp::alarm::Alarm;
use udp::clock;
use udp::core_loop::Round;
use udp::process;
use udp::socket::Socket;

use crate::baton::{Baton, Hold, StandIn, Who};
use crate::commands::{Command, Commands};
use crate::engine::core::Core;
use crate::error::{Error, Why};
use crate::limits::{BLOCKED_DRIVE_MAX, LOCKED_NS_MAX, TICK_NS};
use crate::service::Service;
use crate::sleep::Sleep;
use crate::told::tell_all;

/// A time that does not come.
const NEVER: u64 = u64::MAX;

/// What the handles, the calls and the keeper share.
pub(crate) struct Engine {
    /// None: it is over.
    core: Mutex<Option<Core>>,
    pub(crate) commands: Arc<Commands>,
    pub(crate) baton: Baton,
    pub(crate) stand_in: StandIn,
    sleep: Sleep,
    /// The thread of the handle.
    keeper: OnceLock<ThreadId>,
    /// Whether that runs code of callers, and may be held up there.
    is_keeper_telling: AtomicBool,
    /// When a caller drove the last round, or took the baton.
    driven_ns: AtomicU64,
    is_outstanding: AtomicBool,
    /// Since when there are calls that were begun and are not sent yet; `NEVER` if there are none.
    unsent_ns: AtomicU64,
    /// Whether nothing came for so long that a caller left it to the keeper. No task drives until
    /// a call is begun or something comes: one that polls many calls would wait for each of them.
    is_quiet: AtomicBool,
    /// Threads that are blocked until a call of theirs ends.
    blocked: AtomicUsize,
    process: u32,
}

/// What the keeper does now.
pub(crate) enum Next {
    /// To look again.
    Look,
    /// To sleep until its alarm, because callers drive and put that off.
    Park,
    /// To wait for what comes, until this time.
    Watch { until_ns: u64 },
    /// All is over.
    End,
}

/// What came of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drove {
    /// Another is worth it.
    Again,
    /// Nothing has come for a while, or all is over.
    Enough,
    /// Somebody else is at work.
    Locked,
}

impl Engine {
    /// `waker` ends the wait of the keeper for what comes to the socket.
    pub(crate) fn new(
        socket: Socket,
        waker: Waker,
        service: Service,
        commands: Arc<Commands>,
    ) -> io::Result<Self> {
        Ok(Self {
            core: Mutex::new(Some(Core::new(socket, service))),
            commands,
            baton: Baton::new(),
            stand_in: StandIn::default(),
            sleep: Sleep::new(Alarm::new()?, waker),
            keeper: OnceLock::new(),
            is_keeper_telling: AtomicBool::new(false),
            driven_ns: AtomicU64::new(0),
            is_outstanding: AtomicBool::new(false),
            unsent_ns: AtomicU64::new(NEVER),
            is_quiet: AtomicBool::new(false),
            blocked: AtomicUsize::new(0),
            process: process::id(),
        })
    }

    /// Whether this process is a fork of the one that connected. Nothing that the threads of
    /// that one share may be touched then: any of them may have held a lock at the fork.
    #[inline]
    pub(crate) fn is_fork(&self) -> bool {
        self.process != process::id()
    }

    /// Whether a call has not ended, or waits in the queue.
    #[inline]
    pub(crate) fn is_outstanding(&self) -> bool {
        self.is_outstanding.load(Ordering::Relaxed) || !self.commands.are_empty()
    }

    // ---------------------------------------------------------------- calls

    /// Begins a call of the caller's, unless somebody else is at work: then `arguments` come back.
    #[inline]
    pub(crate) fn begin<A>(
        &self,
        now_ns: u64,
        arguments: A,
        begin: impl FnOnce(&mut Service, A),
    ) -> Result<(), A> {
        let Some(mut inside) = self.try_enter() else { return Err(arguments) };
        let core = inside.core();
        if !core.service.is_open() || core.needs_round(now_ns) {
            drop(inside);
            return Err(arguments);
        }
        let before = core.service.outstanding();
        begin(&mut core.service, arguments);
        inside.begun(now_ns, before);
        inside.leave();
        Ok(())
    }

    /// Puts a call into the queue; whoever drives, or is at work, begins it.
    pub(crate) fn push(&self, command: Command) -> Result<(), Error> {
        let pushed = self.commands.push(command);
        self.look_at_queue();
        pushed
    }

    /// Begins what is in the queue, unless somebody is at work: who looks here after that.
    #[inline]
    fn look_at_queue(&self) {
        fence(Ordering::SeqCst);
        if !self.commands.are_empty() {
            self.begin_queued();
        }
    }

    #[cold]
    fn begin_queued(&self) {
        let Some(mut inside) = self.try_enter() else { return };
        let now_ns = clock::now_ns();
        let core = inside.core();
        if core.service.is_open() && core.needs_round(now_ns) {
            if let Err(error) = core.round() {
                drop(inside);
                return self.fail(error);
            }
            inside.keeper_looks_in_time(now_ns);
        } else if core.service.is_open() {
            let before = core.service.outstanding();
            core.service.begin_commands(now_ns);
            inside.begun(now_ns, before);
        }
        let _ = inside.release();
        fence(Ordering::SeqCst);
        if !self.commands.are_empty() {
            // Others go on with it: each round begins what it finds.
            self.sleep.end();
        }
    }

    // ---------------------------------------------------------------- callers that drive

    /// A caller takes the baton, unless another has it.
    pub(crate) fn take_baton(&self) -> Option<Hold> {
        let hold = self.baton.take()?;
        self.driven_ns.store(clock::now_ns(), Ordering::Relaxed);
        Some(hold)
    }

    /// A caller that has the baton drives a round. `is_first`: since it took the baton.
    pub(crate) fn drive(&self, is_first: bool) -> Drove {
        let Some(mut inside) = self.try_enter() else {
            return if self.commands.failure().is_some() { Drove::Enough } else { Drove::Locked };
        };
        let core = inside.core();
        if is_first {
            core.driver_changed(self.driven_ns.load(Ordering::Relaxed));
        }
        let round = core.round();
        self.driven_ns.store(core.round_ns, Ordering::Relaxed);
        self.sleep.put_off(core.round_ns);
        let drove = match round {
            // The keeper ends it.
            Ok(Round::Over) => Drove::Enough,
            Ok(round) => {
                let goes_on = core.is_worth_another(round);
                self.is_quiet.store(!goes_on, Ordering::Relaxed);
                // It began what was in the queue.
                let now_ns = core.round_ns;
                inside.keeper_looks_in_time(now_ns);
                if goes_on { Drove::Again } else { Drove::Enough }
            }
            Err(error) => {
                drop(inside);
                self.fail(error);
                return Drove::Enough;
            }
        };
        inside.leave();
        drove
    }

    /// A caller that has the baton leaves what is outstanding to the keeper.
    pub(crate) fn leave_to_keeper(&self, hold: Hold) {
        if self.baton.give(hold, Who::Keeper) {
            self.call_keeper();
        }
    }

    /// A caller does not drive any more, because its own call has ended.
    pub(crate) fn pass_on(&self, hold: Hold) {
        if self.baton.give(hold, Who::Nobody) {
            self.find_driver();
        }
    }

    /// If no caller has the baton, and something is outstanding, somebody is told.
    pub(crate) fn find_driver(&self) {
        fence(Ordering::SeqCst);
        if !self.is_outstanding() {
            return;
        }
        match self.baton.who() {
            Who::Caller => {}
            Who::Keeper => self.call_keeper(),
            Who::Nobody => {
                let stands_in = if self.are_many_blocked() { None } else { self.stand_in.take() };
                if let Some(waker) = stands_in {
                    // Who panics here is not the caller.
                    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
                } else if self.baton.leave_to_keeper() {
                    self.call_keeper();
                }
            }
        }
    }

    /// The keeper has the baton: it wakes up if something is to be sent, or if it does not see what
    /// comes.
    fn call_keeper(&self) {
        fence(Ordering::SeqCst);
        match self.unsent_ns.load(Ordering::Relaxed) != NEVER || !self.commands.are_empty() {
            true => self.sleep.end(),
            false => self.sleep.end_if_parked(),
        }
    }

    // ---------------------------------------------------------------- threads that are blocked

    /// A thread is blocked until its call ends, as long as this lasts.
    pub(crate) fn block(&self) -> Blocked<'_> {
        self.blocked.fetch_add(1, Ordering::Relaxed);
        Blocked(&self.blocked)
    }

    /// Whether so many threads are blocked that they leave it to the keeper: one that drives for all
    /// shares datagrams among them, and takes no turn away from those that have an answer.
    pub(crate) fn are_many_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed) > BLOCKED_DRIVE_MAX
    }

    // ---------------------------------------------------------------- the keeper

    /// This thread is the keeper from now on.
    pub(crate) fn keep_by_this_thread(&self) {
        let _ = self.keeper.set(thread::current().id());
    }

    /// Whether this is the keeper, which runs code of a caller's.
    pub(crate) fn is_kept_by_this_thread(&self) -> bool {
        self.keeper.get().is_some_and(|keeper| *keeper == thread::current().id())
    }

    /// How long a thread may leave a call to the keeper before it looks itself. The keeper may be
    /// held up by code of a caller's, and if that waits for a call, nobody else would look.
    pub(crate) fn leave_ns_max(&self) -> u64 {
        let is_held_up = self.is_keeper_telling.load(Ordering::Relaxed);
        if is_held_up || self.is_kept_by_this_thread() { TICK_NS } else { u64::MAX }
    }

    /// Whether no task is to drive.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_quiet.load(Ordering::Relaxed)
    }

    /// Whether a caller that drives has found the lock taken for too long to go on trying.
    pub(crate) fn is_locked_for_long(&self) -> bool {
        clock::now_ns() > self.driven_ns.load(Ordering::Relaxed) + LOCKED_NS_MAX
    }

    /// Takes the baton from who does not go on, where the keeper cannot.
    pub(crate) fn seize_stale(&self, now_ns: u64) {
        if now_ns > self.driven_ns.load(Ordering::Relaxed) + 2 * TICK_NS {
            self.baton.seize();
        }
    }

    /// The sleep of the keeper.
    pub(crate) const fn sleep(&self) -> &Sleep {
        &self.sleep
    }

    /// What the keeper does next; it drives a round first, if no caller does.
    pub(crate) fn keep(&self) -> Next {
        let now_ns = clock::now_ns();
        let driven_ns = self.driven_ns.load(Ordering::Relaxed);
        // Who takes the baton again and again, and does not drive, sends nothing.
        let unsent_until_ns = || self.unsent_ns.load(Ordering::Relaxed).saturating_add(TICK_NS);
        let is_driven = || {
            self.baton.who() != Who::Keeper
                && !self.commands.is_closed()
                && now_ns < unsent_until_ns()
        };
        if now_ns < driven_ns + TICK_NS && is_driven() {
            if let Err(error) = self.sleep.parks(unsent_until_ns().min(driven_ns + 2 * TICK_NS)) {
                self.fail(error);
                return Next::End;
            }
            return if is_driven() { Next::Park } else { Next::Look };
        }
        self.baton.seize();
        let Some(mut inside) = self.enter() else { return Next::End };
        let core = inside.core();
        // Only here, so that all have been told when the keeper ends.
        if self.commands.is_closed() {
            core.service.close(clock::now_ns());
        }
        let next = match core.round() {
            Ok(Round::Worked) => {
                self.is_quiet.store(false, Ordering::Relaxed);
                Next::Look
            }
            Ok(Round::Idle { timeout_ns }) => {
                let until_ns = core.rest_until_ns(timeout_ns);
                // Under the lock: whoever begins a call after this sees how long it lasts.
                self.sleep.watches(until_ns);
                Next::Watch { until_ns }
            }
            Ok(Round::Over) => Next::End,
            Err(error) => {
                drop(inside);
                self.fail(error);
                return Next::End;
            }
        };
        self.is_keeper_telling.store(true, Ordering::Relaxed);
        let told = inside.release();
        self.is_keeper_telling.store(false, Ordering::Relaxed);
        if let Err(panic) = told {
            resume_unwind(panic);
        }
        if let Next::End = next {
            return next;
        }
        fence(Ordering::SeqCst);
        let is_disturbed = !self.commands.are_empty()
            || self.commands.is_closed()
            || self.baton.who() != Who::Keeper;
        if is_disturbed { Next::Look } else { next }
    }

    // ---------------------------------------------------------------- the end

    /// Why nothing is taken any more.
    pub(crate) fn failure(&self) -> Error {
        self.commands.failure().cloned().unwrap_or(Error::NotExecuted(Why::Closed))
    }

    /// The last handle is gone.
    pub(crate) fn close(&self) {
        self.commands.close();
        self.sleep.end();
    }

    /// The socket is of no use any more.
    #[cold]
    pub(crate) fn fail(&self, error: io::Error) {
        if let Some(mut inside) = self.enter() {
            inside.core().service.abandon(clock::now_ns());
            let _ = inside.release();
        }
        self.end(error.into());
    }

    /// Nothing is driven or taken any more.
    pub(crate) fn end(&self, failure: Error) {
        self.commands.end(failure);
        self.bury();
        self.sleep.end();
    }

    /// Drops what is left of the engine; calls that have not ended find nobody there.
    fn bury(&self) {
        let mut guard = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let core = guard.take();
        drop(guard);
        // Wakes those that wait. Who panics then is not the caller.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(core)));
    }

    // ---------------------------------------------------------------- the lock

    #[inline]
    fn try_enter(&self) -> Option<Inside<'_>> {
        match self.core.try_lock() {
            Ok(guard) => Inside::of(self, guard),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Poisoned(poisoned)) => {
                drop(poisoned);
                self.end(Error::NotExecuted(Why::Closed));
                None
            }
        }
    }

    /// Waits for the lock; none if it is over.
    fn enter(&self) -> Option<Inside<'_>> {
        match self.core.lock() {
            Ok(guard) => Inside::of(self, guard),
            Err(poisoned) => {
                drop(poisoned);
                self.end(Error::NotExecuted(Why::Closed));
                None
            }
        }
    }
}

/// A thread is blocked.
pub(crate) struct Blocked<'a>(&'a AtomicUsize);

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Who holds the lock.
struct Inside<'a> {
    engine: &'a Engine,
    guard: MutexGuard<'a, Option<Core>>,
}

impl<'a> Inside<'a> {
    #[inline]
    fn of(engine: &'a Engine, guard: MutexGuard<'a, Option<Core>>) -> Option<Self> {
        guard.is_some().then_some(Self { engine, guard })
    }

    #[inline]
    fn core(&mut self) -> &mut Core {
        self.guard.as_mut().expect("looked at when it was entered")
    }

    /// Calls were begun; `before`, so many were outstanding.
    #[inline]
    fn begun(&mut self, now_ns: u64, before: usize) {
        let core = self.core();
        if !core.begun(now_ns, before) {
            return;
        }
        self.engine.is_quiet.store(false, Ordering::Relaxed);
        self.keeper_looks_in_time(now_ns);
    }

    /// Ends the keeper's sleep if it lasts for longer than what is due may wait: nobody else may
    /// look.
    #[inline]
    fn keeper_looks_in_time(&mut self, now_ns: u64) {
        let sleep = &self.engine.sleep;
        let looks_ns = sleep.until_ns();
        if looks_ns > now_ns + 2 * TICK_NS && self.core().due_ns(now_ns) + TICK_NS < looks_ns {
            sleep.end();
        }
    }

    /// Releases the lock, tells what is to be told, and looks at the queue: who found the lock
    /// taken has left a call there. Who panics when it is told is not the caller.
    #[inline]
    fn leave(self) {
        let engine = self.engine;
        let _ = self.release();
        engine.look_at_queue();
    }

    /// Releases the lock, and tells what is to be told.
    #[inline]
    fn release(mut self) -> thread::Result<()> {
        let engine = self.engine;
        let core = self.core();
        let service = &mut core.service;
        let told = (service.untold() > 0).then(|| service.take_told());
        // Who looks at these has passed a fence after it gave the baton away, and who begins a call
        // passes one, at the queue, before it looks for the baton.
        engine.is_outstanding.store(service.outstanding() > 0, Ordering::Relaxed);
        let unsent_ns = if core.unsent > 0 { core.unsent_ns } else { NEVER };
        engine.unsent_ns.store(unsent_ns, Ordering::Relaxed);
        drop(self.guard);
        told.map_or(Ok(()), tell_all)
    }
}
