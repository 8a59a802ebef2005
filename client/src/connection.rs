//! A connection that its caller drives: no thread, no hop, the least latency.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proto::limits::KEEPALIVE_NS;
use proto::transmit::{Flush, Path, Transmit};
use udp::core_loop::{CoreLoop, Endpoint};
use udp::counters::TransportCounters;
use udp::idle::Idle;
use udp::socket::{Inbox, Socket};
use udp::transport::Transport as _;

use crate::answer::{Answer, Ping, Record, Results, Version, WorkerStats};
use crate::calls::{CallCounters, Calls, EndedCall, NotTaken};
use crate::config::Config;
use crate::error::{Error, Why, timeout_ns};
use crate::gather::{Gathered, WorkerEnd, answer_of, cached_record, found, stored};
use crate::limits::{LINE_BYTES_MAX, LINE_CALLS_MAX};
use crate::near_cache::NearCache;
use crate::observe;
use crate::socket;

/// Calls that may wait for room before a batch drives the connection: a part of what one
/// session has outstanding.
const BATCH_WAITING: usize = 1024;
/// If so long did not make room, more may wait, so that a server that does not answer keeps
/// nobody from the others.
const ROOM_NS_MAX: u64 = 2_000_000;
const BATCH_WAITING_GROWTH: usize = 4;
/// No batch fills the line.
const BATCH_WAITING_LIMIT: usize = LINE_CALLS_MAX / 2;

/// Sessions with all workers of all servers, driven by calls on this thread.
///
/// Each call sends, and receives until its answer is there or its time is over; while it
/// waits it spins for a tenth of a millisecond, if the core seems to be free, and then sleeps.
/// Between calls nothing runs. Dropping the connection tells the servers that it is over.
///
/// ```
/// use client::Connection;
///
/// let servers = client::resolve("127.0.0.1:7400")?;
/// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
/// # let servers = [server.address];
/// let mut connection = Connection::connect(&servers)?;
/// connection.put(b"greeting", b"hello")?;
/// let record = connection.get(b"greeting")?.expect("it was just written");
/// assert_eq!(record.value, "hello");
/// # Ok::<(), client::Error>(())
/// ```
#[derive(Debug)]
pub struct Connection {
    servers: Vec<SocketAddr>,
    socket: Socket,
    core_loop: CoreLoop<Inbox>,
    idle: Idle,
    calls: Calls<Token>,
    timeout_ns: u64,
    /// Numbers the batches of calls: what is left of one whose caller has gone is nobody's.
    batch: u64,
    answers: Answers,
    driven_ns: u64,
    process: u32,
    failure: Option<Error>,
}

/// What a connection knows a call by.
#[derive(Clone, Copy, Debug)]
struct Token {
    batch: u64,
    place: usize,
}

impl Connection {
    /// Connects to all workers of all servers, given by their first worker's addresses. Every
    /// client of a cluster has to list its servers in the same order: it decides who holds
    /// which key.
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
    /// use client::{Config, Connection};
    ///
    /// let config = Config::default().with_timeout(Duration::from_millis(50));
    /// let connection = Connection::connect_with(&servers, &config)?;
    /// # Ok::<(), client::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::connect`], and [`Error::InvalidConfig`].
    pub fn connect_with(servers: &[SocketAddr], config: &Config) -> Result<Self, Error> {
        let cache = config.cache.map(|cache| Arc::new(NearCache::new(cache)));
        let (socket, calls) = socket::open(servers, config, cache)?;
        let mut connection = Self {
            servers: servers.to_vec(),
            core_loop: CoreLoop::new(&socket),
            idle: Idle::new(true),
            calls,
            timeout_ns: timeout_ns(config.timeout),
            batch: 0,
            answers: Answers::default(),
            driven_ns: socket.now_ns(),
            process: std::process::id(),
            failure: None,
            socket,
        };
        let mut connecting = Connecting(Ok(false));
        drive(&mut connection, &mut connecting)?;
        connecting.0.map(|_| connection)
    }

    /// The longest time that the calls that follow may take; an hour at most.
    ///
    /// ```
    /// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
    /// # let servers = [server.address];
    /// # let mut connection = client::Connection::connect(&servers)?;
    ///
    /// use std::time::Duration;
    ///
    /// connection.set_timeout(Duration::from_millis(5));
    /// assert_eq!(connection.get(b"key")?, None);
    /// # Ok::<(), client::Error>(())
    /// ```
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout_ns = timeout_ns(timeout);
    }

    /// Reads a record; `None` if there is none.
    ///
    /// ```
    /// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
    /// # let servers = [server.address];
    /// # let mut connection = client::Connection::connect(&servers)?;
    ///
    /// match connection.get(b"user:7")? {
    ///     Some(record) => println!("{:?}, version {}", record.value, record.version),
    ///     None => println!("not found"),
    /// }
    /// # Ok::<(), client::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unanswered`], [`Error::NotExecuted`] or [`Error::NoServer`] if no answer came in
    /// time; [`Error::TooLarge`] for a key that is outside of the limits.
    pub fn get(&mut self, key: &[u8]) -> Result<Option<Record>, Error> {
        observe::call(|| self.only(Operation::Get(key)).map(found))
    }

    /// Writes a record, and returns its new version.
    ///
    /// ```
    /// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
    /// # let servers = [server.address];
    /// # let mut connection = client::Connection::connect(&servers)?;
    ///
    /// use client::Error;
    ///
    /// match connection.put(b"user:7", b"alice") {
    ///     Ok(version) => println!("written as {version}"),
    ///     Err(error) if error.may_retry() => println!("not written: {error}"),
    ///     Err(error @ Error::Indeterminate(_)) => println!("perhaps written: {error}"),
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok::<(), client::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Indeterminate`] if it was sent and no answer came in time; otherwise it was not
    /// executed: [`Error::Refused`] if the server's memory is full, [`Error::TooLarge`],
    /// [`Error::NotExecuted`], [`Error::NoServer`].
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Version, Error> {
        observe::call(|| self.only(Operation::Put(key, value)).map(stored))
    }

    /// Reads many records at once; the results are in the order of the keys. All of them
    /// share one deadline. What becomes of each key stands with it, as for [`Self::get`].
    ///
    /// ```
    /// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
    /// # let servers = [server.address];
    /// # let mut connection = client::Connection::connect(&servers)?;
    ///
    /// for (key, result) in ["one", "two"].iter().zip(connection.get_many(&["one", "two"])) {
    ///     println!("{key}: {:?}", result?);
    /// }
    /// # Ok::<(), client::Error>(())
    /// ```
    pub fn get_many<K: AsRef<[u8]>>(&mut self, keys: &[K]) -> Results<Option<Record>> {
        let mut pipeline = self.pipeline();
        keys.iter().for_each(|key| pipeline.get(key.as_ref()));
        pipeline.finish().map(|answer| answer.map(found)).collect()
    }

    /// Writes many records at once; the results are in the order of the records. All of them
    /// share one deadline. What becomes of each record stands with it, as for [`Self::put`].
    /// Writes of one key in one call are concurrent: any may be the last.
    ///
    /// ```
    /// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
    /// # let servers = [server.address];
    /// # let mut connection = client::Connection::connect(&servers)?;
    ///
    /// let results = connection.put_many(&[("one", "1"), ("two", "2")]);
    /// assert!(results.iter().all(Result::is_ok));
    /// # Ok::<(), client::Error>(())
    /// ```
    pub fn put_many<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        records: &[(K, V)],
    ) -> Results<Version> {
        let mut pipeline = self.pipeline();
        records.iter().for_each(|(key, value)| pipeline.put(key.as_ref(), value.as_ref()));
        pipeline.finish().map(|answer| answer.map(stored)).collect()
    }

    /// Begins a pipeline: operations that share datagrams, and whose answers are waited for
    /// together.
    pub fn pipeline(&mut self) -> Pipeline<'_> {
        let (now_ns, failure) = match self.begin() {
            Ok(now_ns) => (now_ns, None),
            Err(failure) => (0, Some(failure)),
        };
        let deadline_ns = now_ns.saturating_add(self.timeout_ns);
        let asked = observe::Asked::now();
        Pipeline { connection: self, deadline_ns, failure, waiting_max: BATCH_WAITING, asked }
    }

    /// Asks each worker of each server for its counters.
    ///
    /// ```
    /// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
    /// # let servers = [server.address];
    /// # let mut connection = client::Connection::connect(&servers)?;
    ///
    /// for worker in connection.stats()? {
    ///     let counters = worker.counters?;
    ///     println!("{}: {} sessions", worker.worker, counters["sessions_opened"]);
    /// }
    /// # Ok::<(), client::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the connection is of no use any more. That a worker does not answer stands with
    /// that worker.
    pub fn stats(&mut self) -> Result<Vec<WorkerStats>, Error> {
        observe::call(|| self.all_counters())
    }

    fn all_counters(&mut self) -> Result<Vec<WorkerStats>, Error> {
        let deadline_ns = self.begin()? + self.timeout_ns;
        let mut ends = Workers::new(self.batch);
        for place in self.calls.workers().collect::<Vec<_>>() {
            ends.ask(self.calls.stats(ends.next(), deadline_ns, place));
        }
        drive(self, &mut ends)?;
        let stats = ends.gathered.take().map(|end| WorkerStats {
            server: self.servers[end.server],
            worker: end.worker,
            counters: end.result,
        });
        Ok(stats.collect())
    }

    /// Measures one round trip to each worker of each server, one after the other: of the GET
    /// of a key of one byte, zero, whatever it finds.
    ///
    /// ```
    /// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
    /// # let servers = [server.address];
    /// # let mut connection = client::Connection::connect(&servers)?;
    ///
    /// for ping in connection.ping()? {
    ///     println!("{}: {:?}", ping.worker, ping.round_trip?);
    /// }
    /// # Ok::<(), client::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the connection is of no use any more. That a worker does not answer stands with
    /// that worker.
    pub fn ping(&mut self) -> Result<Vec<Ping>, Error> {
        observe::call(|| self.all_round_trips())
    }

    fn all_round_trips(&mut self) -> Result<Vec<Ping>, Error> {
        self.begin()?;
        let mut pings = Vec::new();
        for place in self.calls.workers().collect::<Vec<_>>() {
            let start_ns = self.begin()?;
            let mut ends = Workers::new(self.batch);
            let asked = self.calls.ping(ends.next(), start_ns + self.timeout_ns, place);
            ends.ask(asked);
            drive(self, &mut ends)?;
            pings.extend(ends.gathered.take().map(|end| {
                let taken = Duration::from_nanos(end.ended_ns.saturating_sub(start_ns));
                Ping { worker: end.worker, round_trip: end.result.map(|_| taken) }
            }));
        }
        Ok(pings)
    }

    /// What happened to calls so far.
    ///
    /// ```
    /// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
    /// # let servers = [server.address];
    /// # let mut connection = client::Connection::connect(&servers)?;
    ///
    /// connection.get(b"key")?;
    /// assert_eq!(connection.call_counters().taken, 1);
    /// # Ok::<(), client::Error>(())
    /// ```
    #[must_use]
    pub const fn call_counters(&self) -> &CallCounters {
        self.calls.counters()
    }

    /// Whether calls can be made at all, and the time; what is due comes first if nobody drove
    /// the connection for long.
    fn begin(&mut self) -> Result<u64, Error> {
        if self.process != std::process::id() {
            return Err(Error::Forked);
        }
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let now_ns = self.socket.now_ns();
        self.batch += 1;
        // Of a pipeline that was dropped, or whose caller panicked.
        self.answers.gathered.clear();
        if now_ns > self.driven_ns + KEEPALIVE_NS || self.calls.has_refused() {
            // Sessions that the servers have forgotten end now, with nothing outstanding; one
            // that was refused is tried again if its time has come.
            let nobody = &mut Workers::new(self.batch);
            let Self { socket, core_loop, calls, .. } = self;
            core_loop.round(socket, &mut Driven { calls, waits: nobody })?;
        }
        self.driven_ns = now_ns;
        Ok(now_ns)
    }

    /// One operation, from its call to its end.
    #[inline]
    fn only(&mut self, operation: Operation<'_>) -> Result<Answer, Error> {
        let now_ns = self.begin()?;
        self.submit(now_ns, now_ns + self.timeout_ns, operation);
        self.finish()?;
        let mut answers = self.answers.gathered.take();
        answers.next().expect("one was waited for")
    }

    /// Hands an operation to its session, or answers it from the cache.
    #[inline]
    fn submit(&mut self, now_ns: u64, deadline_ns: u64, operation: Operation<'_>) {
        let Self { calls, answers, batch, .. } = self;
        answers.batch = *batch;
        let place = answers.gathered.wait();
        let token = Token { batch: *batch, place };
        if let Operation::Get(key) = operation
            && let Some(cached) = calls.cached(now_ns, key)
        {
            let record = cached_record(cached);
            return answers.gathered.end(place, Ok(Answer::Found(record)));
        }
        if now_ns >= deadline_ns {
            return answers.gathered.end(place, Err(Error::NotExecuted(Why::Deadline)));
        }
        let taken = match operation {
            Operation::Get(key) => calls.get(token, deadline_ns, key),
            Operation::Put(key, value) => calls.put(token, deadline_ns, key, value),
        };
        if let Err(not_taken) = taken {
            answers.gathered.end(place, Err(not_taken.error));
        }
    }

    /// Waits until all operations have ended.
    fn finish(&mut self) -> Result<(), Error> {
        let mut answers = std::mem::take(&mut self.answers);
        let driven = drive(self, &mut answers);
        self.answers = answers;
        driven
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The sessions of a fork are those of the process that connected.
        if self.process != std::process::id() {
            return;
        }
        let now_ns = self.socket.now_ns();
        self.calls.close(now_ns, |_| {});
        while let Some(burst) = self.calls.poll_transmit(now_ns, Flush::All) {
            self.socket.send(now_ns, burst);
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Operation<'a> {
    Get(&'a [u8]),
    Put(&'a [u8], &'a [u8]),
}

/// Operations that share datagrams, and whose answers are waited for together.
///
/// They are concurrent: a GET may be answered with what a PUT of the same pipeline wrote, or
/// with what was there before. One deadline holds for all: the pipeline's beginning and the
/// connection's timeout.
///
/// ```
/// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
/// # let servers = [server.address];
/// # let mut connection = client::Connection::connect(&servers)?;
///
/// use client::Answer;
///
/// let mut pipeline = connection.pipeline();
/// pipeline.put(b"one", b"1");
/// pipeline.put(b"two", b"2");
/// pipeline.get(b"three");
/// let answers = pipeline.run();
/// assert!(matches!(answers[0], Ok(Answer::Stored(_))));
/// assert_eq!(answers[2], Ok(Answer::NotFound));
/// # Ok::<(), client::Error>(())
/// ```
#[must_use = "nothing is told of its operations unless it is run"]
#[derive(Debug)]
pub struct Pipeline<'a> {
    connection: &'a mut Connection,
    deadline_ns: u64,
    failure: Option<Error>,
    /// Calls that may wait for room.
    waiting_max: usize,
    asked: observe::Asked,
}

impl Pipeline<'_> {
    /// Reads a record.
    #[inline]
    pub fn get(&mut self, key: &[u8]) {
        self.operation(Operation::Get(key));
    }

    /// Writes a record.
    #[inline]
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.operation(Operation::Put(key, value));
    }

    /// Waits for all operations, and returns their results in the order of the calls.
    pub fn run(self) -> Results<Answer> {
        self.finish().collect()
    }

    #[inline]
    fn operation(&mut self, operation: Operation<'_>) {
        self.asked.add(matches!(operation, Operation::Put(..)));
        if let Some(failure) = &self.failure {
            let gathered = &mut self.connection.answers.gathered;
            let place = gathered.wait();
            return gathered.end(place, Err(failure.clone()));
        }
        let now_ns = self.connection.driven_ns;
        self.connection.submit(now_ns, self.deadline_ns, operation);
        let calls = &self.connection.calls;
        if calls.waiting() >= self.waiting_max || calls.waiting_bytes() >= LINE_BYTES_MAX / 2 {
            self.make_room();
        }
    }

    /// Drives the connection until less wait for room.
    #[cold]
    fn make_room(&mut self) {
        let connection = &mut *self.connection;
        let until_ns = connection.driven_ns.saturating_add(ROOM_NS_MAX);
        let grows = self.waiting_max < BATCH_WAITING_LIMIT;
        connection.answers.room = Some(Room {
            calls_max: self.waiting_max / 2,
            until_ns: if grows { until_ns } else { u64::MAX },
        });
        self.failure = connection.finish().err();
        connection.answers.room = None;
        connection.driven_ns = connection.socket.now_ns();
        if grows && connection.driven_ns >= until_ns {
            let more = self.waiting_max * BATCH_WAITING_GROWTH;
            self.waiting_max = more.min(BATCH_WAITING_LIMIT);
        }
    }

    fn finish(self) -> impl Iterator<Item = Result<Answer, Error>> {
        let Self { connection, failure, asked, .. } = self;
        let failure = match failure {
            // It began before the fork.
            None if connection.process != std::process::id() => Some(Error::Forked),
            None => connection.finish().err(),
            failed => failed,
        };
        // What has not ended then has failed with the connection, and is told so.
        asked.watch(connection.answers.take_all(failure))
    }
}

/// What drives a connection waits for something.
trait Waits {
    fn ended(&mut self, now_ns: u64, call: EndedCall<'_, Token>);

    fn is_over(&mut self, now_ns: u64, calls: &mut Calls<Token>) -> bool;

    /// When it may be over, whatever comes of the calls.
    fn poll_timeout(&self) -> Option<u64> {
        None
    }
}

/// Runs the core loop until what is waited for is there.
#[inline]
fn drive(connection: &mut Connection, waits: &mut impl Waits) -> Result<(), Error> {
    let Connection { socket, core_loop, idle, calls, failure, .. } = connection;
    let now_ns = socket.now_ns();
    let mut driven = Driven { calls, waits };
    if driven.waits.is_over(now_ns, driven.calls) {
        return Ok(());
    }
    core_loop.send(socket, &mut driven, now_ns);
    core_loop.run(socket, idle, &mut driven).map_err(|error| {
        let error = Error::from(error);
        *failure = Some(error.clone());
        error
    })
}

/// The calls in the core loop.
struct Driven<'a, W> {
    calls: &'a mut Calls<Token>,
    waits: &'a mut W,
}

impl<W: Waits> Endpoint for Driven<'_, W> {
    #[inline]
    fn handle_datagram(&mut self, now_ns: u64, path: Path, datagram: &[u8]) {
        let Self { calls, waits } = self;
        calls.handle_datagram(now_ns, path.remote, datagram, |call| waits.ended(now_ns, call));
    }

    #[inline]
    fn handle_timeout(&mut self, now_ns: u64, is_drained: bool) {
        let Self { calls, waits } = self;
        calls.handle_timeout(now_ns, is_drained, |call| waits.ended(now_ns, call));
    }

    fn poll_timeout(&self) -> Option<u64> {
        [self.calls.poll_timeout(), self.waits.poll_timeout()].into_iter().flatten().min()
    }

    #[inline]
    fn poll_transmit(&mut self, now_ns: u64, flush: Flush) -> Option<Transmit<'_>> {
        self.calls.poll_transmit(now_ns, flush)
    }

    #[inline]
    fn goes_on(&mut self, now_ns: u64, _transport: &TransportCounters) -> bool {
        !self.waits.is_over(now_ns, self.calls)
    }
}

/// Waits until the sessions are open, or one will not open.
struct Connecting(Result<bool, Error>);

impl Waits for Connecting {
    fn ended(&mut self, _now_ns: u64, _call: EndedCall<'_, Token>) {}

    fn is_over(&mut self, now_ns: u64, calls: &mut Calls<Token>) -> bool {
        self.0 = calls.connect(now_ns);
        self.0 != Ok(false)
    }
}

/// Waits for the answers to GETs and PUTs, all or all but some.
#[derive(Debug, Default)]
struct Answers {
    batch: u64,
    gathered: Gathered<Result<Answer, Error>>,
    /// It is enough if there is room for more.
    room: Option<Room>,
}

/// What a batch waits for before it goes on.
#[derive(Clone, Copy, Debug)]
struct Room {
    /// No more calls than this wait for room.
    calls_max: usize,
    /// It goes on then anyway.
    until_ns: u64,
}

impl Room {
    fn is_there(self, now_ns: u64, calls: &Calls<Token>) -> bool {
        now_ns >= self.until_ns
            || (calls.waiting() <= self.calls_max && calls.waiting_bytes() <= LINE_BYTES_MAX / 4)
    }
}

impl Answers {
    /// All results; what has not ended is told of the failure.
    fn take_all(&mut self, failure: Option<Error>) -> impl Iterator<Item = Result<Answer, Error>> {
        self.gathered.end_rest(|| Err(failure.clone().expect("all else has ended")));
        self.gathered.take()
    }
}

impl Waits for Answers {
    #[inline]
    fn ended(&mut self, _now_ns: u64, call: EndedCall<'_, Token>) {
        if call.token.batch == self.batch {
            let result = call.result.map(|reply| answer_of(&reply));
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
struct Workers {
    batch: u64,
    gathered: Gathered<WorkerEnd>,
}

impl Workers {
    fn new(batch: u64) -> Self {
        Self { batch, gathered: Gathered::default() }
    }

    /// The token of the next question.
    fn next(&self) -> Token {
        Token { batch: self.batch, place: self.gathered.len() }
    }

    /// The next question was asked, or could not be.
    fn ask(&mut self, asked: Result<(), NotTaken<Token>>) {
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
