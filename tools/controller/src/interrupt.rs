//! Ctrl-C ends the program; at the prompt, only a command that looks for it.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use host::signals::{interrupt_flag, stop_flag};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::failure::Failure;

/// How often a wait looks whether it is interrupted.
const LOOK: Duration = Duration::from_millis(20);

/// Whether the user has interrupted what runs.
#[derive(Debug, Default)]
pub(crate) struct Interrupt {
    flag: Option<Arc<AtomicBool>>,
    /// At the prompt SIGTERM ends the program, as it does elsewhere while nothing looks here.
    goes_on: bool,
}

impl Interrupt {
    /// For a program that goes on after an interrupt.
    #[must_use]
    pub(crate) fn of_prompt() -> Self {
        Self { flag: None, goes_on: true }
    }

    /// From now on a signal sets a flag that commands look at; a second one ends the program.
    pub(crate) fn begin(&mut self) -> Result<(), Failure> {
        match &self.flag {
            Some(flag) if self.goes_on => flag.store(false, Ordering::Relaxed),
            Some(_) => {}
            None => {
                let flag = if self.goes_on { interrupt_flag() } else { stop_flag() };
                self.flag = Some(flag.map_err(|error| Failure::new(format_args!("{error:#}")))?);
            }
        }
        Ok(())
    }

    /// Whether a signal came.
    #[must_use]
    pub(crate) fn has_come(&self) -> bool {
        self.flag.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// A reader that finds the end of its file when a signal comes.
    pub(crate) fn reader(&self, file: File) -> InterruptibleReader {
        InterruptibleReader { file, flag: self.flag.clone() }
    }

    /// Waits until then; returns whether no signal came.
    pub(crate) fn wait_until(&self, then: Instant) -> bool {
        loop {
            let left = then.saturating_duration_since(Instant::now());
            if self.has_come() || left.is_zero() {
                return !self.has_come();
            }
            thread::sleep(left.min(LOOK));
        }
    }
}

/// Reads a file until its end or a signal: the kernel resumes a read after a signal.
#[derive(Debug)]
pub(crate) struct InterruptibleReader {
    file: File,
    flag: Option<Arc<AtomicBool>>,
}

impl Read for InterruptibleReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let look = Timespec { tv_sec: 0, tv_nsec: LOOK.as_nanos() as i64 };
        while let Some(flag) = &self.flag {
            if flag.load(Ordering::Relaxed) {
                return Ok(0);
            }
            match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&look)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.file.read(buffer)
    }
}
