//! The wait of a socket: `epoll_wait`, and `ppoll` for what that cannot time.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::time::Duration;

use mio::{Events, Poll, Registry};
use rustix::event::{PollFd, PollFlags, Timespec, poll as ppoll};

/// What `epoll_wait` counts in.
const TICK: Duration = Duration::from_millis(1);

/// Waits for what comes to a socket, and for a waker; by itself, so that others may use the socket
/// meanwhile.
#[derive(Debug)]
pub struct Watch {
    poll: Poll,
    events: Events,
}

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { poll: Poll::new()?, events: Events::with_capacity(4) })
    }

    pub(super) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Waits for an event for at most `timeout`, and ends on time to what the kernel gives a
    /// thread's timers (50 µs unless told otherwise).
    ///
    /// Most waits are long and end by a datagram. They are one system call, and end early by what
    /// is not a whole tick. Only what is left then is timed by a second call, because
    /// `epoll_pwait2` is missing from old kernels and forbidden in some containers.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        let Self { poll, events } = self;
        let rested = match timeout {
            Duration::ZERO => poll.poll(events, Some(timeout)),
            _ if timeout >= TICK => {
                poll.poll(events, Some(Duration::from_millis(timeout.as_millis() as u64)))
            }
            // An event that is left there would end the next wait.
            _ => is_ready(poll, timeout).and_then(|is_ready| match is_ready {
                true => poll.poll(events, Some(Duration::ZERO)),
                false => Ok(()),
            }),
        };
        rested.or_else(ignore_interruption)
    }
}

/// Waits until `poll` has an event, for at most `timeout`; returns whether it has one.
fn is_ready(poll: &Poll, timeout: Duration) -> io::Result<bool> {
    // SAFETY: the descriptor is that of `poll`, which is borrowed for the length of the call.
    let epoll = unsafe { BorrowedFd::borrow_raw(poll.as_raw_fd()) };
    let timeout = Timespec { tv_sec: 0, tv_nsec: timeout.subsec_nanos().into() };
    Ok(ppoll(&mut [PollFd::from_borrowed_fd(epoll, PollFlags::IN)], Some(&timeout))? > 0)
}

fn ignore_interruption(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) }
}
