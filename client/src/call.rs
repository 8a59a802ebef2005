//! A call of a handle that is under way: a future, and something that threads wait for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use oneshot::{Receiver, TryRecvError};
use udp::clock;

use crate::engine::{Drove, Engine};
use crate::error::{Error, Why};
use crate::limits::TICK_NS;
use crate::observe::{self, Observed};
use crate::turn::{Drives, Turn};

/// A blocking wait gives up so long after its deadline, if nobody has ended the call.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// A call under way: a future, which any executor can await, and which a thread can
/// [wait](Self::wait) for.
///
/// It was handed over when it was made, and goes on when this is dropped; its result
/// is lost then. If others are outstanding, it may wait up to two milliseconds for calls that are
/// sent with it, unless somebody waits for it.
///
/// One of the tasks that wait drives the sessions each time it is polled. It wakes itself at once,
/// so that it is polled again after all others that are ready, as long as answers come and for
/// a tenth of a millisecond after the last. Then it leaves them to the background thread. Wakers of
/// other tasks are called on the thread that drives; one that panics there harms no other
/// call.
///
/// ```
/// # let server = testkit::server::Server::start(&testkit::process::any_program(), &[]);
/// # let servers = [server.address];
/// # let client = client::Client::connect(&servers)?;
///
/// async fn both(client: &client::Client) -> Result<bool, client::Error> {
///     let (first, second) = (client.get(b"one"), client.get(b"two"));
///     Ok(first.await? == second.await?)
/// }
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// assert!(runtime.block_on(both(&client))?);
/// # Ok::<(), client::Error>(())
/// ```
#[must_use = "the result of the call is lost unless it is awaited or waited for"]
pub struct Call<T>(State<T>);

enum State<T> {
    Ended(Option<Result<T, Error>>),
    Waiting(Waiting<T>),
}

/// A call that has not ended, as far as its caller knows.
struct Waiting<T> {
    receiver: Receiver<Result<T, Error>>,
    engine: Arc<Engine>,
    turn: Turn,
    is_mutation: bool,
    deadline_ns: u64,
}

impl<T> Call<T> {
    pub(crate) fn ended(result: Result<T, Error>) -> Self
    where
        T: Observed,
    {
        observe::at_once(&result);
        Self(State::Ended(Some(result)))
    }

    /// A call that was handed over.
    #[inline]
    pub(crate) const fn waiting(
        receiver: Receiver<Result<T, Error>>,
        engine: Arc<Engine>,
        is_mutation: bool,
        deadline_ns: u64,
    ) -> Self {
        Self(State::Waiting(Waiting {
            receiver,
            engine,
            turn: Turn::Others,
            is_mutation,
            deadline_ns,
        }))
    }

    /// Blocks until the call has ended: at its deadline at the latest.
    ///
    /// # Errors
    /// Those of the call.
    ///
    /// # Panics
    /// If it was awaited to its end before.
    pub fn wait(self) -> Result<T, Error> {
        match self.0 {
            State::Ended(result) => result.expect("a call ends once"),
            State::Waiting(mut waiting) => waiting.wait(),
        }
    }
}

impl<T> Waiting<T> {
    /// The result, if it is there.
    #[inline]
    fn result(&self) -> Option<Result<T, Error>> {
        match self.receiver.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(self.lost(Why::Closed))),
        }
    }

    /// The result of a call that nobody ends any more.
    const fn lost(&self, why: Why) -> Error {
        match self.is_mutation {
            true => Error::Indeterminate(why),
            false => Error::Unanswered(why),
        }
    }

    /// The result, or the waker is woken when it is there.
    #[inline]
    fn poll_result(&mut self, waker: &Waker) -> Poll<Result<T, Error>> {
        let polled = Pin::new(&mut self.receiver).poll(&mut Context::from_waker(waker));
        polled.map(|received| received.unwrap_or_else(|_| Err(self.lost(Why::Closed))))
    }

    fn poll(&mut self, waker: &Waker) -> Poll<Result<T, Error>> {
        let polled = self.poll_result(waker);
        if polled.is_ready() {
            return polled;
        }
        match self.turn.drives(&self.engine, waker) {
            Drives::No => return Poll::Pending,
            // What other tasks have ready comes first: their calls share the round.
            Drives::FromNow => {}
            Drives::Still => {
                let drove = self.turn.drive(&self.engine);
                if let Some(result) = self.result() {
                    return Poll::Ready(result);
                }
                if drove == Drove::Enough {
                    return Poll::Pending;
                }
            }
        }
        self.turn.go_on(&self.engine, waker);
        Poll::Pending
    }

    fn wait(&mut self) -> Result<T, Error> {
        if let Some(result) = self.result() {
            return result;
        }
        let engine = self.engine.clone();
        let _blocked = engine.block();
        let waker = this_thread();
        let until_ns = self.deadline_ns.saturating_add(GRACE.as_nanos() as u64);
        loop {
            if let Poll::Ready(result) = self.poll_result(&waker) {
                return result;
            }
            // Where the keeper may be held up, nobody else takes the baton from who does not go on.
            let now_ns = clock::now_ns();
            if now_ns > self.deadline_ns || engine.leave_ns_max() < u64::MAX {
                engine.seize_stale(now_ns);
            }
            while !self.turn.leaves(&engine) && self.turn.drives(&engine, &waker) != Drives::No {
                let drove = self.turn.drive(&engine);
                if let Some(result) = self.result() {
                    return result;
                }
                match drove {
                    Drove::Again => {}
                    Drove::Enough => break,
                    Drove::Locked if clock::now_ns() > until_ns => break,
                    Drove::Locked => thread::yield_now(),
                }
            }
            let now_ns = clock::now_ns();
            if now_ns > until_ns {
                return Err(self.lost(Why::Deadline));
            }
            let look_ns = self.deadline_ns.saturating_sub(now_ns).max(TICK_NS);
            let sleep_ns = engine.leave_ns_max().min(look_ns);
            thread::park_timeout(Duration::from_nanos(sleep_ns));
        }
    }
}

impl<T> Drop for Waiting<T> {
    #[inline]
    fn drop(&mut self) {
        self.turn.end(&self.engine);
    }
}

impl<T: Unpin> Future for Call<T> {
    type Output = Result<T, Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ended(result) => Poll::Ready(result.take().expect("a call ends once")),
            State::Waiting(waiting) => {
                let polled = waiting.poll(context.waker());
                if polled.is_ready() {
                    self.0 = State::Ended(None);
                }
                polled
            }
        }
    }
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.0 {
            State::Ended(Some(_)) => "Ended",
            State::Ended(None) => "Told",
            State::Waiting(_) => "Waiting",
        };
        formatter.debug_tuple("Call").field(&format_args!("{state}")).finish()
    }
}

/// Unparks a thread.
struct Unparks(Thread);

impl Wake for Unparks {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// What wakes this thread.
fn this_thread() -> Waker {
    thread_local! {
        static THIS: Waker = Arc::new(Unparks(thread::current())).into();
    }
    // A thread that ends may still wait.
    THIS.try_with(Waker::clone).unwrap_or_else(|_| Arc::new(Unparks(thread::current())).into())
}
