//! Wakes a thread at a time that others may put off, without waking it for that: a timer of the
//! kernel's.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// An alarm of one thread.
#[derive(Debug)]
pub struct Alarm(OwnedFd);

impl Alarm {
    /// One that is not set.
    pub fn new() -> io::Result<Self> {
        Ok(Self(timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?))
    }

    /// Sets it to this time of [`crate::clock`], whatever it was set to. A time that is over ends
    /// the wait at once.
    pub fn set(&self, at_ns: u64) -> io::Result<()> {
        // Zero would stop it.
        let at_ns = at_ns.max(1);
        let at = Timespec {
            tv_sec: (at_ns / 1_000_000_000).cast_signed(),
            tv_nsec: (at_ns % 1_000_000_000).cast_signed(),
        };
        let never_again = Timespec { tv_sec: 0, tv_nsec: 0 };
        let time = Itimerspec { it_interval: never_again, it_value: at };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &time)?;
        Ok(())
    }

    /// Waits until it goes off, or a signal comes. Once it has, it has to be set again.
    pub fn wait(&self) -> io::Result<()> {
        match read(&self.0, &mut [0_u8; 8]) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::clock::now_ns;

    const MS: u64 = 1_000_000;

    #[test]
    fn it_goes_off_at_its_time_and_not_before() {
        let alarm = Alarm::new().unwrap();
        let at_ns = now_ns() + 5 * MS;
        alarm.set(at_ns).unwrap();
        alarm.wait().unwrap();
        assert!(now_ns() >= at_ns);
        alarm.set(0).unwrap();
        alarm.wait().unwrap();
    }

    #[test]
    fn others_put_it_off_and_set_it_off() {
        let alarm = Alarm::new().unwrap();
        let at_ns = now_ns() + 20 * MS;
        alarm.set(at_ns).unwrap();
        thread::scope(|scope| {
            let woke = scope.spawn(|| {
                alarm.wait().unwrap();
                now_ns()
            });
            alarm.set(at_ns + 60_000 * MS).unwrap();
            thread::sleep(Duration::from_millis(40));
            let set_ns = now_ns();
            alarm.set(set_ns).unwrap();
            assert!(woke.join().unwrap() >= set_ns);
        });
    }
}
