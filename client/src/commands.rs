//! The way of calls to an engine that is at work when they are made: a bounded queue.

use std::iter;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};

use crossbeam_queue::ArrayQueue;

use crate::answer::{Ping, Record, Results, Version, WorkerStats};
use crate::error::Error;
use crate::limits::{COMMAND_BYTES_MAX, COMMANDS_MAX};
use crate::near_cache::NearCache;
use crate::observe::Sender;
use crate::told::{Told, tell_all};

/// A call on its way, or many.
pub(crate) enum Command {
    Get {
        key: Box<[u8]>,
        deadline_ns: u64,
        sender: Sender<Result<Option<Record>, Error>>,
    },
    Put {
        key: Box<[u8]>,
        value: Box<[u8]>,
        deadline_ns: u64,
        sender: Sender<Result<Version, Error>>,
        fence: Option<Fence>,
    },
    GetMany {
        batch: Batch,
        deadline_ns: u64,
        sender: Sender<Result<Results<Option<Record>>, Error>>,
    },
    PutMany {
        batch: Batch,
        deadline_ns: u64,
        sender: Sender<Result<Results<Version>, Error>>,
        fence: Option<Fence>,
    },
    Stats {
        deadline_ns: u64,
        sender: Sender<Result<Vec<WorkerStats>, Error>>,
    },
    Ping {
        deadline_ns: u64,
        sender: Sender<Result<Vec<Ping>, Error>>,
    },
}

impl Command {
    /// Bytes of its keys and values.
    fn bytes(&self) -> usize {
        match self {
            Self::Get { key, .. } => key.len(),
            Self::Put { key, value, .. } => key.len() + value.len(),
            Self::GetMany { batch, .. } | Self::PutMany { batch, .. } => batch.bytes.len(),
            Self::Stats { .. } | Self::Ping { .. } => 0,
        }
    }

    /// How many calls it is.
    pub(crate) const fn calls(&self) -> usize {
        match self {
            Self::GetMany { batch, .. } | Self::PutMany { batch, .. } => 1 + batch.len(),
            _ => 1,
        }
    }

    pub(crate) const fn deadline_ns(&self) -> u64 {
        match self {
            Self::Get { deadline_ns, .. }
            | Self::Put { deadline_ns, .. }
            | Self::GetMany { deadline_ns, .. }
            | Self::PutMany { deadline_ns, .. }
            | Self::Stats { deadline_ns, .. }
            | Self::Ping { deadline_ns, .. } => *deadline_ns,
        }
    }

    /// The end of a call that was not begun: certainly it was not executed.
    pub(crate) fn refused(self, error: &Error) -> Told {
        let error = error.clone();
        match self {
            Self::Get { sender, .. } => Told::Get(sender, Err(error)),
            Self::Put { sender, .. } => Told::Put(sender, Err(error)),
            Self::GetMany { sender, .. } => Told::GetMany(sender, Err(error)),
            Self::PutMany { sender, .. } => Told::PutMany(sender, Err(error)),
            Self::Stats { sender, .. } => Told::Stats(sender, Err(error)),
            Self::Ping { sender, .. } => Told::Ping(sender, Err(error)),
        }
    }
}

/// Keys and values of many calls, in one piece of memory.
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Of each call the length of its key and of its value.
    lengths: Vec<(usize, usize)>,
}

impl Batch {
    pub(crate) fn of<'a>(calls: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut batch =
            Self { bytes: Vec::new(), lengths: Vec::with_capacity(calls.size_hint().0) };
        for (key, value) in calls {
            batch.bytes.extend_from_slice(key);
            batch.bytes.extend_from_slice(value);
            batch.lengths.push((key.len(), value.len()));
        }
        batch
    }

    /// How many calls.
    pub(crate) const fn len(&self) -> usize {
        self.lengths.len()
    }

    /// The key and the value of each call.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.lengths.iter().map(move |&(key_bytes, value_bytes)| {
            let (call, behind) = rest.split_at(key_bytes + value_bytes);
            rest = behind;
            call.split_at(key_bytes)
        })
    }
}

/// Keeps the keys of a write out of the near cache from its call on, until it is dropped: who
/// has the write then does the same.
pub(crate) struct Fence {
    cache: Arc<NearCache>,
    keys: Vec<Box<[u8]>>,
}

impl Fence {
    pub(crate) fn new<'a>(cache: Arc<NearCache>, keys: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let keys: Vec<Box<[u8]>> = keys.into_iter().map(Into::into).collect();
        keys.iter().for_each(|key| cache.mutation_begins(key));
        Self { cache, keys }
    }
}

impl Drop for Fence {
    fn drop(&mut self) {
        self.keys.iter().for_each(|key| self.cache.mutation_handed_on(key));
    }
}

/// The queue of commands whose callers found the engine at work.
pub(crate) struct Commands {
    queue: ArrayQueue<Command>,
    /// Bytes of keys and values in the queue.
    bytes: AtomicUsize,
    /// Whether the last handle is gone.
    is_closed: AtomicBool,
    /// Why nothing is taken any more.
    failure: OnceLock<Error>,
}

impl Commands {
    pub(crate) fn new() -> Self {
        Self {
            queue: ArrayQueue::new(COMMANDS_MAX),
            bytes: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            failure: OnceLock::new(),
        }
    }

    /// Adds a command, if there is room.
    pub(crate) fn push(&self, command: Command) -> Result<(), Error> {
        let bytes = command.bytes();
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > COMMAND_BYTES_MAX {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Error::NotSent);
        }
        if self.queue.push(command).is_err() {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Error::NotSent);
        }
        // Either who ends the queue sees the command, or this sees the end.
        fence(Ordering::SeqCst);
        if let Some(failure) = self.failure.get() {
            self.refuse_all(failure);
        }
        Ok(())
    }

    /// The next command.
    pub(crate) fn pop(&self) -> Option<Command> {
        let command = self.queue.pop()?;
        self.bytes.fetch_sub(command.bytes(), Ordering::Relaxed);
        Some(command)
    }

    #[inline]
    pub(crate) fn are_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The last handle is gone.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    /// Whether the last handle is gone.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    /// Nothing is taken any more.
    pub(crate) fn end(&self, failure: Error) {
        let failure = self.failure.get_or_init(|| failure);
        fence(Ordering::SeqCst);
        self.refuse_all(failure);
    }

    /// Why nothing is taken any more, if it is so.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failure.get()
    }

    fn refuse_all(&self, error: &Error) {
        let all = iter::from_fn(|| self.pop());
        // Who panics has been told before.
        let _ = tell_all(all.map(|command| command.refused(error)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe;

    fn get(key: &[u8]) -> Command {
        let (sender, _) = observe::channel(0);
        Command::Get { key: key.into(), deadline_ns: 0, sender }
    }

    #[test]
    fn commands_beyond_the_queue_are_not_sent() {
        let commands = Commands::new();
        let mut pushed = (0..COMMANDS_MAX + 9).map(|_| commands.push(get(b"key")));
        assert!(pushed.by_ref().take(COMMANDS_MAX).all(|pushed| pushed == Ok(())));
        assert!(pushed.all(|pushed| pushed == Err(Error::NotSent)));
        assert!(commands.pop().is_some());
        assert_eq!(commands.push(get(b"key")), Ok(()), "there is room again");
    }

    #[test]
    fn commands_of_more_bytes_than_the_queue_takes_are_not_sent() {
        let commands = Commands::new();
        let half = vec![7; COMMAND_BYTES_MAX / 2];
        let pushed = [(); 3].map(|()| commands.push(get(&half)));
        assert_eq!(pushed, [Ok(()), Ok(()), Err(Error::NotSent)]);
        assert!(commands.pop().is_some());
        assert_eq!(commands.push(get(&half)), Ok(()), "there is room again");
    }

    #[test]
    fn what_is_pushed_when_nothing_is_taken_any_more_is_told_so() {
        let commands = Commands::new();
        let told = [(); 2].map(|()| {
            let (sender, receiver) = observe::channel(0);
            let key = Box::default();
            commands.push(Command::Get { key, deadline_ns: 0, sender }).unwrap();
            commands.end(Error::NotExecuted(crate::Why::Closed));
            receiver.recv().unwrap()
        });
        assert_eq!(told, [(); 2].map(|()| Err(Error::NotExecuted(crate::Why::Closed))));
    }
}
