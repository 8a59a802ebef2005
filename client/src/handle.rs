//! A handle for programs with threads or futures: cheap to clone, over one engine.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use oneshot::RecvTimeoutError;
use udp::clock;
use udp::transport::Transport as _;

use crate::answer::{Ping, Record, Results, Version, WorkerStats};
use crate::call::{Call, GRACE};
use crate::commands::{Batch, Command, Commands, Fence};
use crate::config::Config;
use crate::engine::Engine;
use crate::error::{Error, TooLarge, Why, timeout_ns};
use crate::gather::cached_record;
use crate::keeper;
use crate::limits::{BATCH_BYTES_MAX, BATCH_CALLS_MAX};
use crate::near_cache::NearCache;
use crate::observe::{self, Observed};
use crate::service::Service;
use crate::socket;

/// Sessions with all workers of all servers, which all clones of the handle share.
///
/// Each call returns a [`Call`]: wait for it, or await it in any executor. Calls that are made
/// while others are under way share datagrams, so many of them at once are cheap.
///
/// Whoever waits drives the sessions for all: a thread that is blocked, or a task. So the futures
/// of one executor thread end each other's calls without another thread. A background thread
/// drives while no caller does. When the last clone is dropped, calls that are outstanding end,
/// the servers are told, and the thread ends.
///
/// ```
/// use std::thread;
/// use client::Client;
///
/// let servers = client::resolve("127.0.0.1:7400")?;
/// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
/// # let servers = [server.address];
/// let client = Client::connect(&servers)?;
/// client.put(b"greeting", b"hello").wait()?;
/// let reader = client.clone();
/// let read = thread::spawn(move || reader.get(b"greeting").wait());
/// assert_eq!(read.join().unwrap()?.unwrap().value, "hello");
/// # Ok::<(), client::Error>(())
/// ```
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    timeout_ns: u64,
}

struct Inner {
    engine: Arc<Engine>,
    cache: Option<Arc<NearCache>>,
    thread: Mutex<Option<Thread>>,
}

struct Thread {
    handle: JoinHandle<()>,
    /// Its sender is dropped at the end of the thread.
    over: oneshot::Receiver<()>,
}

impl Client {
    /// Connects to all workers of all servers, given by their first worker's addresses; blocks
    /// until that is done. Every client of a cluster has to list its servers in the same
    /// order: it decides who holds which key.
    ///
    /// # Errors
    /// [`Error::NoServer`], [`Error::OtherVersion`] or [`Error::Refused`] name the first server
    /// that cannot be reached within the connect timeout.
    pub fn connect(servers: &[SocketAddr]) -> Result<Self, Error> {
        Self::connect_with(servers, &Config::default())
    }

    /// As [`Self::connect`], with other settings.
    ///
    /// ```
    /// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
    /// # let servers = [server.address];
    /// use std::time::Duration;
    /// use client::{CacheConfig, Client, Config};
    ///
    /// let cache = CacheConfig::new(100_000, Duration::from_millis(100));
    /// let client = Client::connect_with(&servers, &Config::default().with_cache(cache))?;
    /// # Ok::<(), client::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::connect`], and [`Error::InvalidConfig`].
    pub fn connect_with(servers: &[SocketAddr], config: &Config) -> Result<Self, Error> {
        let cache = config.cache.map(|cache| Arc::new(NearCache::new(cache)));
        let (mut socket, calls) = socket::open(servers, config, cache.clone())?;
        let waker = socket.waker()?;
        let watch = socket.part_watch().expect("nobody has parted it");
        let commands = Arc::new(Commands::new());
        let (ready, connected) = oneshot::channel();
        let service = Service::new(calls, servers.to_vec(), commands.clone(), ready);
        let engine = Arc::new(Engine::new(socket, waker, service, commands)?);
        let kept = EndOnDrop(engine.clone());
        let (tell_over, over) = oneshot::channel::<()>();
        let thread = Builder::new().name("kv-client".to_owned()).spawn(move || {
            // They are dropped in the order from the last to the first.
            let (_tell_over, kept) = (tell_over, kept);
            keeper::run(&kept.0, watch);
        })?;
        let thread = Mutex::new(Some(Thread { handle: thread, over }));
        let inner = Inner { engine, cache, thread };
        let client = Self { inner: Arc::new(inner), timeout_ns: timeout_ns(config.timeout) };
        match connected.recv() {
            Ok(Ok(())) => Ok(client),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(client.inner.engine.failure()),
        }
    }

    /// The same sessions, with another longest time of each call; an hour at most.
    ///
    /// ```
    /// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
    /// # let servers = [server.address];
    /// # let client = client::Client::connect(&servers)?;
    ///
    /// use std::time::Duration;
    ///
    /// let hurried = client.with_timeout(Duration::from_millis(5));
    /// assert_eq!(hurried.get(b"key").wait()?, None);
    /// # Ok::<(), client::Error>(())
    /// ```
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { inner: self.inner.clone(), timeout_ns: timeout_ns(timeout) }
    }

    /// Reads a record; `None` if there is none.
    ///
    /// ```
    /// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
    /// # let servers = [server.address];
    /// # let client = client::Client::connect(&servers)?;
    ///
    /// // Both are under way together.
    /// let (first, second) = (client.get(b"user:7"), client.get(b"user:8"));
    /// println!("{:?}, {:?}", first.wait()?, second.wait()?);
    /// # Ok::<(), client::Error>(())
    /// ```
    ///
    /// # Errors
    /// Of the call: [`Error::Unanswered`], [`Error::NotExecuted`] or [`Error::NoServer`] if no
    /// answer came in time; [`Error::NotSent`]; [`Error::TooLarge`] for a key that is outside of
    /// the limits.
    pub fn get(&self, key: &[u8]) -> Call<Option<Record>> {
        if self.inner.engine.is_fork() {
            return Call::ended(Err(Error::Forked));
        }
        let now_ns = clock::now_ns();
        if let Some(cached) = self.inner.cache.as_ref().and_then(|cache| cache.get(now_ns, key)) {
            return Call::ended(Ok(Some(cached_record(cached))));
        }
        let begin = |service: &mut Service, deadline_ns, sender| {
            service.get(now_ns, deadline_ns, key, sender);
        };
        self.begin(now_ns, false, begin, |deadline_ns, sender| Command::Get {
            key: key.into(),
            deadline_ns,
            sender,
        })
    }

    /// Writes a record; the answer is its new version.
    ///
    /// ```
    /// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
    /// # let servers = [server.address];
    /// # let client = client::Client::connect(&servers)?;
    ///
    /// use client::Error;
    ///
    /// match client.put(b"user:7", b"alice").wait() {
    ///     Ok(version) => println!("written as {version}"),
    ///     Err(error) if error.may_retry() => println!("not written: {error}"),
    ///     Err(error @ Error::Indeterminate(_)) => println!("perhaps written: {error}"),
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok::<(), client::Error>(())
    /// ```
    ///
    /// # Errors
    /// Of the call: [`Error::Indeterminate`] if it was sent and no answer came in time;
    /// otherwise it was not executed: [`Error::Refused`] if the server's memory is full,
    /// [`Error::TooLarge`], [`Error::NotSent`], [`Error::NotExecuted`], [`Error::NoServer`].
    pub fn put(&self, key: &[u8], value: &[u8]) -> Call<Version> {
        if self.inner.engine.is_fork() {
            return Call::ended(Err(Error::Forked));
        }
        let now_ns = clock::now_ns();
        let begin = |service: &mut Service, deadline_ns, sender| {
            service.put(now_ns, deadline_ns, (key, value), sender);
        };
        self.begin(now_ns, true, begin, |deadline_ns, sender| Command::Put {
            key: key.into(),
            value: value.into(),
            deadline_ns,
            sender,
            fence: self.inner.fence([key]),
        })
    }

    /// Reads many records at once, at most 65,536 with 16 MiB of keys; the results are in the order of the keys.
    /// All of them share one deadline.
    ///
    /// ```
    /// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
    /// # let servers = [server.address];
    /// # let client = client::Client::connect(&servers)?;
    ///
    /// for (key, result) in ["one", "two"].iter().zip(client.get_many(&["one", "two"]).wait()?) {
    ///     println!("{key}: {:?}", result?);
    /// }
    /// # Ok::<(), client::Error>(())
    /// ```
    ///
    /// # Errors
    /// Of the call: [`Error::TooLarge`] for too many of them, [`Error::NotSent`]. What becomes
    /// of each key stands with it.
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Call<Results<Option<Record>>> {
        let bytes = keys.iter().map(|key| key.as_ref().len()).sum();
        if let Err(error) = check_batch(keys.len(), bytes) {
            return Call::ended(Err(error));
        }
        self.call(false, |deadline_ns, sender| Command::GetMany {
            batch: Batch::of(keys.iter().map(|key| (key.as_ref(), &[][..]))),
            deadline_ns,
            sender,
        })
    }

    /// Writes many records at once, at most 65,536 with 16 MiB of keys and values; the results are
    /// in the order of the records. All of them share one deadline. Writes of one key in one call are concurrent:
    /// any may be the last.
    ///
    /// ```
    /// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
    /// # let servers = [server.address];
    /// # let client = client::Client::connect(&servers)?;
    ///
    /// let results = client.put_many(&[("one", "1"), ("two", "2")]).wait()?;
    /// assert!(results.iter().all(Result::is_ok));
    /// # Ok::<(), client::Error>(())
    /// ```
    ///
    /// # Errors
    /// Of the call: [`Error::TooLarge`] for too many of them, [`Error::NotSent`]. What becomes
    /// of each record stands with it.
    pub fn put_many<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        records: &[(K, V)],
    ) -> Call<Results<Version>> {
        let bytes = records.iter().map(|(key, value)| key.as_ref().len() + value.as_ref().len());
        if let Err(error) = check_batch(records.len(), bytes.sum()) {
            return Call::ended(Err(error));
        }
        let calls = records.iter().map(|(key, value)| (key.as_ref(), value.as_ref()));
        self.call(true, |deadline_ns, sender| Command::PutMany {
            batch: Batch::of(calls),
            deadline_ns,
            sender,
            fence: self.inner.fence(records.iter().map(|(key, _)| key.as_ref())),
        })
    }

    /// Asks each worker of each server for its counters.
    ///
    /// ```
    /// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
    /// # let servers = [server.address];
    /// # let client = client::Client::connect(&servers)?;
    ///
    /// for worker in client.stats().wait()? {
    ///     let counters = worker.counters?;
    ///     println!("{}: {} sessions", worker.worker, counters["sessions_opened"]);
    /// }
    /// # Ok::<(), client::Error>(())
    /// ```
    ///
    /// # Errors
    /// Of the call: if the client is of no use any more. That a worker does not answer stands
    /// with that worker.
    pub fn stats(&self) -> Call<Vec<WorkerStats>> {
        self.call(false, |deadline_ns, sender| Command::Stats { deadline_ns, sender })
    }

    /// Measures a round trip to each worker of each server, all at once: of the GET of a key
    /// of one byte, zero, whatever it finds.
    ///
    /// ```
    /// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
    /// # let servers = [server.address];
    /// # let client = client::Client::connect(&servers)?;
    ///
    /// for ping in client.ping().wait()? {
    ///     println!("{}: {:?}", ping.worker, ping.round_trip?);
    /// }
    /// # Ok::<(), client::Error>(())
    /// ```
    ///
    /// # Errors
    /// Of the call: if the client is of no use any more. That a worker does not answer stands
    /// with that worker.
    pub fn ping(&self) -> Call<Vec<Ping>> {
        self.call(false, |deadline_ns, sender| Command::Ping { deadline_ns, sender })
    }

    /// Begins a call here, if nobody is at work; else it goes the way of the commands.
    #[inline]
    fn begin<T: Observed>(
        &self,
        now_ns: u64,
        is_mutation: bool,
        begin: impl FnOnce(&mut Service, u64, observe::Sender<Result<T, Error>>),
        command: impl FnOnce(u64, observe::Sender<Result<T, Error>>) -> Command,
    ) -> Call<T> {
        // A round might take it for in time, because its clock stands still.
        if self.timeout_ns == 0 {
            return Call::ended(Err(Error::NotExecuted(Why::Deadline)));
        }
        let engine = &self.inner.engine;
        let (sender, receiver) = observe::channel(now_ns);
        let deadline_ns = now_ns + self.timeout_ns;
        let begun = engine.begin(now_ns, sender, |service, sender| {
            begin(service, deadline_ns, sender);
        });
        if let Err(sender) = begun
            && let Err(error) = engine.push(command(deadline_ns, sender))
        {
            return Call::ended(Err(error));
        }
        Call::waiting(receiver, engine.clone(), is_mutation, deadline_ns)
    }

    /// Makes a call of many, unless this is a fork.
    fn call<T: Observed>(
        &self,
        is_mutation: bool,
        command: impl FnOnce(u64, observe::Sender<Result<T, Error>>) -> Command,
    ) -> Call<T> {
        let engine = &self.inner.engine;
        if engine.is_fork() {
            return Call::ended(Err(Error::Forked));
        }
        if self.timeout_ns == 0 {
            return Call::ended(Err(Error::NotExecuted(Why::Deadline)));
        }
        let now_ns = clock::now_ns();
        let (sender, receiver) = observe::channel(now_ns);
        let deadline_ns = now_ns + self.timeout_ns;
        match engine.push(command(deadline_ns, sender)) {
            Ok(()) => Call::waiting(receiver, engine.clone(), is_mutation, deadline_ns),
            Err(error) => Call::ended(Err(error)),
        }
    }
}

/// Whether a batch is not too large.
fn check_batch(calls: usize, bytes: usize) -> Result<(), Error> {
    let what = if calls > BATCH_CALLS_MAX {
        TooLarge::Batch { calls, max: BATCH_CALLS_MAX }
    } else if bytes > BATCH_BYTES_MAX {
        TooLarge::BatchBytes { bytes, max: BATCH_BYTES_MAX }
    } else {
        return Ok(());
    };
    Err(Error::TooLarge { what })
}

/// However the thread ends, nothing is taken any more.
struct EndOnDrop(Arc<Engine>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end(Error::NotExecuted(Why::Closed));
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timeout = Duration::from_nanos(self.timeout_ns);
        formatter.debug_struct("Client").field("timeout", &timeout).finish_non_exhaustive()
    }
}

impl Inner {
    /// From now on nothing is answered from the cache for these keys, until what comes of
    /// their writes is known: a read that follows a write without waiting for it sees that write.
    fn fence<'a>(&self, keys: impl IntoIterator<Item = &'a [u8]>) -> Option<Fence> {
        let cache = self.cache.as_ref()?;
        Some(Fence::new(cache.clone(), keys))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A fork has neither the thread nor a part in the sessions.
        if self.engine.is_fork() {
            return;
        }
        self.engine.close();
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Thread { handle, over }) = thread else { return };
        // Whoever is woken on the thread itself may drop the last handle there. And may wait there
        // for something that the caller has: then the thread ends when it goes on.
        let is_here = handle.thread().id() == std::thread::current().id();
        if !is_here && over.recv_timeout(GRACE) == Err(RecvTimeoutError::Disconnected) {
            // Its panic was told on stderr, and to each call by its end.
            let _ = handle.join();
        }
    }
}
