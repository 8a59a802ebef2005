//! A connection that its caller drives: no thread, no hop, the least latency.

mod driver;
mod pipeline;
mod waits;

use std::net::SocketAddr;
use std::time::Duration;

pub use pipeline::Pipeline;

use crate::answer::{Ping, Record, Results, Version, WorkerStats};
use crate::calls::CallCounters;
use crate::config::Config;
use crate::connection::driver::{Driver, Operation};
use crate::connection::waits::Workers;
use crate::error::{Error, timeout_ns};
use crate::gather::{found, stored};
use crate::observe;

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
    driver: Driver,
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
        Ok(Self { servers: servers.to_vec(), driver: Driver::connect(servers, config)? })
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
        self.driver.timeout_ns = timeout_ns(timeout);
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
        observe::call(|| self.driver.only(Operation::Get(key)).map(found))
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
        observe::call(|| self.driver.only(Operation::Put(key, value)).map(stored))
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
        Pipeline::begin(&mut self.driver)
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
        let driver = &mut self.driver;
        let deadline_ns = driver.begin()? + driver.timeout_ns;
        let mut ends = Workers::new(driver.batch);
        for place in driver.calls.workers().collect::<Vec<_>>() {
            ends.ask(driver.calls.stats(ends.next(), deadline_ns, place));
        }
        driver.drive(&mut ends)?;
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
        let driver = &mut self.driver;
        driver.begin()?;
        let mut pings = Vec::new();
        for place in driver.calls.workers().collect::<Vec<_>>() {
            let start_ns = driver.begin()?;
            let mut ends = Workers::new(driver.batch);
            let asked = driver.calls.ping(ends.next(), start_ns + driver.timeout_ns, place);
            ends.ask(asked);
            driver.drive(&mut ends)?;
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
        self.driver.calls.counters()
    }
}
