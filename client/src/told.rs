//! What callers are told of the ends of their calls. Telling runs code of theirs, because it wakes
//! tasks: it is done when no lock is held.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use crate::answer::{Ping, Record, Results, Version, WorkerStats};
use crate::error::Error;
use crate::observe::Sender;

/// The end of a call, or of a batch, and who waits for it.
pub(crate) enum Told {
    Get(Sender<Result<Option<Record>, Error>>, Result<Option<Record>, Error>),
    Put(Sender<Result<Version, Error>>, Result<Version, Error>),
    GetMany(Sender<Result<Results<Option<Record>>, Error>>, Result<Results<Option<Record>>, Error>),
    PutMany(Sender<Result<Results<Version>, Error>>, Result<Results<Version>, Error>),
    Stats(Sender<Result<Vec<WorkerStats>, Error>>, Result<Vec<WorkerStats>, Error>),
    Ping(Sender<Result<Vec<Ping>, Error>>, Result<Vec<Ping>, Error>),
}

impl Told {
    /// Tells it; who waited may have gone.
    fn tell(self) {
        match self {
            Self::Get(sender, result) => drop(sender.send(result)),
            Self::Put(sender, result) => drop(sender.send(result)),
            Self::GetMany(sender, result) => drop(sender.send(result)),
            Self::PutMany(sender, result) => drop(sender.send(result)),
            Self::Stats(sender, result) => drop(sender.send(result)),
            Self::Ping(sender, result) => drop(sender.send(result)),
        }
    }
}

/// Tells all, whoever panics meanwhile. The first panic is the result.
pub(crate) fn tell_all(all: impl IntoIterator<Item = Told>) -> thread::Result<()> {
    let mut first = Ok(());
    for told in all {
        let panicked = catch_unwind(AssertUnwindSafe(|| told.tell()));
        if first.is_ok() {
            first = panicked;
        }
    }
    first
}
