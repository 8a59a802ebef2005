//! The way of calls to the thread of a handle: a bounded queue, and a waker.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use crossbeam_queue::ArrayQueue;

use crate::answer::{Ping, Record, Results, Version, WorkerStats};
use crate::error::{Error, Why};
use crate::limits::{COMMAND_BYTES_MAX, COMMANDS_MAX};
use crate::near_cache::NearCache;
use crate::observe::Sender;

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

    /// Ends a call that was not begun: certainly it was not executed.
    pub(crate) fn refuse(self, error: &Error) {
        let error = error.clone();
        // The waiter may have gone.
        match self {
            Self::Get { sender, .. } => drop(sender.send(Err(error))),
            Self::Put { sender, .. } => drop(sender.send(Err(error))),
            Self::GetMany { sender, .. } => drop(sender.send(Err(error))),
            Self::PutMany { sender, .. } => drop(sender.send(Err(error))),
            Self::Stats { sender, .. } => drop(sender.send(Err(error))),
            Self::Ping { sender, .. } => drop(sender.send(Err(error))),
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

/// The queue of commands, and what both ends know of each other.
pub(crate) struct Commands {
    queue: ArrayQueue<Command>,
    /// Bytes of keys and values in the queue.
    bytes: AtomicUsize,
    waker: Waker,
    /// Whether the thread will look at the queue before it sleeps.
    is_awake: AtomicBool,
    /// Whether the thread is to end.
    is_closed: AtomicBool,
    /// Why the thread has ended.
    failure: OnceLock<Error>,
}

impl Commands {
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            queue: ArrayQueue::new(COMMANDS_MAX),
            bytes: AtomicUsize::new(0),
            waker,
            is_awake: AtomicBool::new(true),
            is_closed: AtomicBool::new(false),
            failure: OnceLock::new(),
        }
    }

    // ------------------------------------------------------- the end of the handles

    /// Sends a command to the thread, and wakes it if it sleeps.
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
        // Either the thread sees the command when it looks before it sleeps, or this sees
        // that it may sleep; the same with its end.
        fence(Ordering::SeqCst);
        if !self.is_awake.swap(true, Ordering::SeqCst) {
            self.waker.wake_by_ref();
        }
        if let Some(failure) = self.failure.get() {
            self.refuse_all(failure);
        }
        Ok(())
    }

    /// Lets the thread end.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.waker.wake_by_ref();
    }

    /// Why the thread has ended.
    pub(crate) fn failure(&self) -> Error {
        self.failure.get().cloned().unwrap_or(Error::NotExecuted(Why::Closed))
    }

    // ------------------------------------------------------- the end of the thread

    /// The next command.
    pub(crate) fn pop(&self) -> Option<Command> {
        let command = self.queue.pop()?;
        self.bytes.fetch_sub(command.bytes(), Ordering::Relaxed);
        Some(command)
    }

    /// Whether the thread is to end.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// The thread has looked at the queue, and is about to sleep: whether it may.
    pub(crate) fn may_sleep(&self) -> bool {
        self.is_awake.store(false, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.queue.is_empty() && !self.is_closed.load(Ordering::SeqCst)
    }

    /// The thread looks at the queue.
    pub(crate) fn woke(&self) {
        self.is_awake.store(true, Ordering::SeqCst);
    }

    /// The thread has ended: nothing is taken any more.
    pub(crate) fn end(&self, failure: Error) {
        let failure = self.failure.get_or_init(|| failure);
        fence(Ordering::SeqCst);
        self.refuse_all(failure);
    }

    fn refuse_all(&self, error: &Error) {
        while let Some(command) = self.pop() {
            command.refuse(error);
        }
    }
}
