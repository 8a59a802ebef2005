//! Operations that share datagrams.

use crate::answer::{Answer, Results};
use crate::connection::driver::{Driver, Operation};
use crate::connection::waits::Room;
use crate::error::Error;
use crate::limits::{
    PIPELINE_BYTES_WAITING_MAX, PIPELINE_ROOM_NS_MAX, PIPELINE_UNSENT_MAX, PIPELINE_WAITING_GROWTH,
    PIPELINE_WAITING_MAX, PIPELINE_WAITING_MIN,
};
use crate::observe;

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
    driver: &'a mut Driver,
    deadline_ns: u64,
    failure: Option<Error>,
    /// Calls that may wait for room.
    waiting_max: usize,
    /// Calls since it sent what it had.
    unsent: usize,
    asked: observe::Asked,
}

impl<'a> Pipeline<'a> {
    pub(super) fn begin(driver: &'a mut Driver) -> Self {
        let (now_ns, failure) = match driver.begin() {
            Ok(now_ns) => (now_ns, None),
            Err(failure) => (0, Some(failure)),
        };
        let deadline_ns = now_ns.saturating_add(driver.timeout_ns);
        let asked = observe::Asked::now();
        Self { driver, deadline_ns, failure, waiting_max: PIPELINE_WAITING_MIN, unsent: 0, asked }
    }

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
            let gathered = &mut self.driver.answers.gathered;
            let place = gathered.wait();
            return gathered.end(place, Err(failure.clone()));
        }
        let now_ns = self.driver.driven_ns;
        self.driver.submit(now_ns, self.deadline_ns, operation);
        let calls = &self.driver.calls;
        if calls.waiting() >= self.waiting_max
            || calls.waiting_bytes() >= PIPELINE_BYTES_WAITING_MAX
        {
            self.make_room();
        }
        self.unsent += 1;
        if self.unsent == PIPELINE_UNSENT_MAX {
            self.unsent = 0;
            self.driver.send(self.deadline_ns);
        }
    }

    /// Drives the connection until less wait for room.
    #[cold]
    fn make_room(&mut self) {
        let driver = &mut *self.driver;
        if let Err(forked) = driver.check_process() {
            self.failure = Some(forked);
            return;
        }
        let until_ns = driver.driven_ns.saturating_add(PIPELINE_ROOM_NS_MAX);
        let grows = self.waiting_max < PIPELINE_WAITING_MAX;
        let room = Room {
            calls_max: self.waiting_max / 2,
            until_ns: if grows { until_ns } else { u64::MAX },
        };
        self.failure = driver.make_room(self.deadline_ns, room).err();
        if grows && driver.driven_ns >= until_ns {
            let more = self.waiting_max * PIPELINE_WAITING_GROWTH;
            self.waiting_max = more.min(PIPELINE_WAITING_MAX);
        }
    }

    /// Waits for all operations; the results are in the order of the calls.
    pub(super) fn finish(self) -> impl Iterator<Item = Result<Answer, Error>> {
        let Self { driver, deadline_ns, failure, asked, .. } = self;
        let failure = match failure {
            // It may have begun before a fork.
            None => driver.check_process().map(|()| driver.finish(deadline_ns)).err(),
            failed => failed,
        };
        // What a fork has not ended is told that it is one.
        asked.watch(driver.answers.take_all(failure))
    }
}
