//! How a program is asked to end.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use rustix::process::{Pid, Signal};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Shells show 128 and the number for a process that a signal ended.
const STATUS_OF_SIGNALS: i32 = 128;

/// A flag that SIGINT and SIGTERM set, for the program to look at and end cleanly.
///
/// A second signal ends the process at once, should the clean end hang.
pub fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    flag_of(&[SIGINT, SIGTERM])
}

/// A flag that SIGINT sets, for a program whose work a user interrupts and that goes on.
///
/// Set it back before more work: a second signal ends the process while the flag is set.
pub fn interrupt_flag() -> anyhow::Result<Arc<AtomicBool>> {
    flag_of(&[SIGINT])
}

fn flag_of(signals: &[i32]) -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for &signal in signals {
        // Actions run in the order of their registration: this one must see the flag before
        // the same signal sets it.
        flag::register_conditional_shutdown(signal, STATUS_OF_SIGNALS + signal, Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)))
            .with_context(|| format!("cannot handle signal {signal}"))?;
    }
    Ok(stop)
}

/// Has SIGTERM sent to this process when its parent `parent_pid` ends, so that a runner that
/// is killed leaves nothing behind.
///
/// The parent may have ended before this call, and then no signal would ever come: the
/// process exits with 0, as it would after the signal. The parent has to tell its own number
/// (a flag or the environment); asking for it here could not tell a dead parent from a live one.
///
/// Call it in the main thread, for the kernel forgets the wish when the calling thread ends,
/// and register [`stop_flag`] before. The signal comes when the *thread* that started us ends.
pub fn die_with_parent(parent_pid: u32) -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))
        .context("cannot follow the parent's end")?;
    if !is_parent(parent_pid) {
        std::process::exit(0);
    }
    Ok(())
}

/// An orphan has its new parent's number, or none if that is outside its PID namespace.
fn is_parent(pid: u32) -> bool {
    let parent = rustix::process::getppid().map_or(0, Pid::as_raw_pid);
    i64::from(parent) == i64::from(pid)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn a_signal_sets_the_flag() {
        let stop = stop_flag().unwrap();
        assert!(!stop.load(Ordering::SeqCst));
        signal_hook::low_level::raise(SIGTERM).unwrap();
        assert!(stop.load(Ordering::SeqCst));
    }

    /// Runs itself once more, as a process that may end.
    #[test]
    fn a_second_signal_ends_the_process_at_once() {
        const IN_CHILD: &str = "A_SECOND_SIGNAL_ENDS_THIS_PROCESS";
        if std::env::var_os(IN_CHILD).is_some() {
            let _stop = stop_flag().unwrap();
            signal_hook::low_level::raise(SIGINT).unwrap();
            signal_hook::low_level::raise(SIGTERM).unwrap();
            return;
        }
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .arg("program::signals::tests::a_second_signal_ends_the_process_at_once")
            .env(IN_CHILD, "")
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(STATUS_OF_SIGNALS + SIGTERM));
    }

    #[test]
    fn only_the_live_parent_is_the_parent() {
        let parent = std::os::unix::process::parent_id();
        assert!(is_parent(parent));
        assert!(!is_parent(parent + 1));
        assert!(!is_parent(u32::MAX));
    }

    #[test]
    fn a_live_parent_is_followed() {
        die_with_parent(std::os::unix::process::parent_id()).unwrap();
        assert_eq!(rustix::process::parent_process_death_signal().unwrap(), Some(Signal::TERM));
        rustix::process::set_parent_process_death_signal(None).unwrap();
    }
}
