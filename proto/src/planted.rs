//! Faults that a test plants, to see that it would notice them.
//!
//! Each place in the production code asks [`is_planted`], or calls another hook of one word.
//! Without the feature `planted-faults` they are constants that do nothing, and nothing of a
//! fault is compiled. With it, a fault is planted on one thread: for a simulation, which runs
//! everything there.

#[cfg(not(feature = "planted-faults"))]
mod absent;
#[cfg(feature = "planted-faults")]
mod lying;

#[cfg(not(feature = "planted-faults"))]
pub(crate) use absent::lying;
#[cfg(not(feature = "planted-faults"))]
pub use absent::{is_planted, lost_update};
#[cfg(feature = "planted-faults")]
pub use lying::lost_update;
#[cfg(feature = "planted-faults")]
pub(crate) use lying::lying;
#[cfg(feature = "planted-faults")]
pub use planting::{is_due, is_planted, plant};
#[cfg(feature = "planted-faults")]
pub(crate) use planting::{keep_lost, take_lost};

/// Something that the project promises not to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// A request that comes again executes again.
    DuplicateExecuted,
    /// A request executes though its slot has executed a later one.
    OldRequestExecuted,
    /// A PUT is answered at once, and written only after the worker's next datagram.
    RepliedBeforeWrite,
    /// A slot is used again while answers to its former use may still come, and takes them
    /// for its own.
    SlotReusedEarly,
    /// Whoever presents a cookie is believed.
    CookieUnchecked,
    /// Strict and shard order wait for nothing but their batch.
    BarrierSkipped,
    /// Of the PUTs that overwrite, one in [`Fault::LOST_UPDATE_ONE_IN`] is answered with its
    /// version and not stored, as if it had lost a race.
    LostUpdate,
    /// What a lost session leaves indeterminate is sent again under the next one.
    LostSessionResent,
    /// One in [`Fault::STALE_READ_ONE_IN`] reads of records that were overwritten finds what
    /// was there before.
    StaleRead,
    /// A request that comes again is answered from the record, whatever its entries are.
    EntriesUnchecked,
    /// An OPEN that comes again after the CLOSE of its session opens another.
    ClosedForgotten,
    /// Nobody gives way to another address when a worker has all its sessions.
    HoarderKeepsOut,
    /// Datagrams that were changed on the way are taken.
    ChecksumIgnored,
    /// What is dropped for want of room on the way out is not counted.
    UnsentUncounted,
    /// A client tells a mutation that was sent and is late as not executed.
    LateToldNotExecuted,
    /// A client sends a mutation again whose session was lost, as it does with reads.
    LostMutationAskedAgain,
    /// A call that was sent has no deadline.
    DeadlineIgnored,
    /// A near cache keeps what a GET read that was sent before an own mutation was answered.
    OldReadCached,
    /// A near cache keeps what it has of a key while the key is written.
    CachedWhileWritten,
    /// A near cache keeps what it has when a server begins another life.
    CacheOutlivesLife,
    /// The age of what a near cache answers counts from the answer of the GET that read it.
    AgeFromAnswer,
    /// Addresses without a session get an answer each time that they ask.
    AnswersUnlimited,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::DuplicateExecuted,
        Self::OldRequestExecuted,
        Self::RepliedBeforeWrite,
        Self::SlotReusedEarly,
        Self::CookieUnchecked,
        Self::BarrierSkipped,
        Self::LostUpdate,
        Self::LostSessionResent,
        Self::StaleRead,
        Self::EntriesUnchecked,
        Self::ClosedForgotten,
        Self::HoarderKeepsOut,
        Self::ChecksumIgnored,
        Self::UnsentUncounted,
        Self::LateToldNotExecuted,
        Self::LostMutationAskedAgain,
        Self::DeadlineIgnored,
        Self::OldReadCached,
        Self::CachedWhileWritten,
        Self::CacheOutlivesLife,
        Self::AgeFromAnswer,
        Self::AnswersUnlimited,
    ];

    /// How many overwriting PUTs there are for one that [`Self::LostUpdate`] loses.
    pub const LOST_UPDATE_ONE_IN: u64 = 64;

    /// How many reads of overwritten records there are for one that [`Self::StaleRead`]
    /// answers wrongly.
    pub const STALE_READ_ONE_IN: u64 = 32;

    /// Its name, for people and command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DuplicateExecuted => "duplicate-executed",
            Self::OldRequestExecuted => "old-request-executed",
            Self::RepliedBeforeWrite => "replied-before-write",
            Self::SlotReusedEarly => "slot-reused-early",
            Self::CookieUnchecked => "cookie-unchecked",
            Self::BarrierSkipped => "barrier-skipped",
            Self::LostUpdate => "lost-update",
            Self::LostSessionResent => "lost-session-resent",
            Self::StaleRead => "stale-read",
            Self::EntriesUnchecked => "entries-unchecked",
            Self::ClosedForgotten => "closed-forgotten",
            Self::HoarderKeepsOut => "hoarder-keeps-out",
            Self::ChecksumIgnored => "checksum-ignored",
            Self::UnsentUncounted => "unsent-uncounted",
            Self::LateToldNotExecuted => "late-told-not-executed",
            Self::LostMutationAskedAgain => "lost-mutation-asked-again",
            Self::DeadlineIgnored => "deadline-ignored",
            Self::OldReadCached => "old-read-cached",
            Self::CachedWhileWritten => "cached-while-written",
            Self::CacheOutlivesLife => "cache-outlives-life",
            Self::AgeFromAnswer => "age-from-answer",
            Self::AnswersUnlimited => "answers-unlimited",
        }
    }

    /// The fault of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }
}

#[cfg(feature = "planted-faults")]
mod planting {
    use std::cell::{Cell, RefCell};
    use std::net::SocketAddr;

    use super::{Fault, lying};

    thread_local! {
        static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
        static TURNS: Cell<u64> = const { Cell::new(0) };
        /// Request datagrams that lost sessions left, and their servers.
        static LOST: RefCell<Vec<(SocketAddr, Vec<u8>)>> = const { RefCell::new(Vec::new()) };
    }

    /// Plants a fault on this thread in the place of the one before, or none. It begins
    /// anew: what an earlier one had kept is forgotten.
    pub fn plant(fault: Option<Fault>) {
        PLANTED.set(fault);
        TURNS.set(0);
        LOST.with_borrow_mut(Vec::clear);
        lying::forget();
    }

    /// Whether this fault is planted on this thread.
    #[must_use]
    #[inline]
    pub fn is_planted(fault: Fault) -> bool {
        PLANTED.get() == Some(fault)
    }

    /// Whether this fault is planted on this thread, and this is a time for it: one in so
    /// many is.
    #[must_use]
    pub fn is_due(fault: Fault, one_in: u64) -> bool {
        if !is_planted(fault) {
            return false;
        }
        TURNS.set(TURNS.get() + 1);
        TURNS.get().is_multiple_of(one_in)
    }

    /// Keeps what a lost session left for the next one with that server.
    pub(crate) fn keep_lost(server: SocketAddr, datagrams: impl Iterator<Item = Vec<u8>>) {
        LOST.with_borrow_mut(|lost| lost.extend(datagrams.map(|datagram| (server, datagram))));
    }

    /// What a lost session with that server left, each once.
    pub(crate) fn take_lost(server: SocketAddr) -> Option<Vec<u8>> {
        LOST.with_borrow_mut(|lost| {
            let at = lost.iter().position(|(of, _)| *of == server)?;
            Some(lost.remove(at).1)
        })
    }
}
