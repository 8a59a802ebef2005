//! Whether a server is healthy, and whether it is ready.

use std::time::Duration;

use crate::limits::{WORKER_SILENCE_HEALTHY, WORKER_SILENCE_READY};
use crate::worker::WorkerFigures;

/// Healthy: no worker hangs. One that has not begun yet may still do so.
pub(super) fn healthy(workers: &[WorkerFigures], now_ns: u64) -> Result<(), String> {
    heard(workers, now_ns, WORKER_SILENCE_HEALTHY, true)
}

/// Ready: every worker answers, and is not told to end.
pub(super) fn ready(workers: &[WorkerFigures], now_ns: u64, stops: bool) -> Result<(), String> {
    if stops {
        return Err("it is ending".to_owned());
    }
    heard(workers, now_ns, WORKER_SILENCE_READY, false)
}

fn heard(
    workers: &[WorkerFigures],
    now_ns: u64,
    silence: Duration,
    may_begin: bool,
) -> Result<(), String> {
    for (number, worker) in workers.iter().enumerate() {
        let silent = Duration::from_nanos(now_ns.saturating_sub(worker.told_ns));
        match worker.told_ns {
            0 if may_begin => {}
            0 => return Err(format!("worker {number} has not begun")),
            _ if silent > silence => {
                return Err(format!("worker {number} is silent for {:.1} s", silent.as_secs_f64()));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(told_ns: u64) -> WorkerFigures {
        WorkerFigures { told_ns, ..Default::default() }
    }

    #[test]
    fn a_server_is_ready_while_each_worker_is_heard() {
        let now_ns = 60_000_000_000;
        let heard = told(now_ns - 1_000_000);
        assert_eq!(ready(&[heard, heard], now_ns, false), Ok(()));
        assert_eq!(ready(&[heard], now_ns, true), Err("it is ending".to_owned()));
        let new = ready(&[heard, told(0)], now_ns, false);
        assert_eq!(new, Err("worker 1 has not begun".to_owned()));
        let silent = ready(&[heard, told(now_ns - 3_000_000_000)], now_ns, false);
        assert_eq!(silent, Err("worker 1 is silent for 3.0 s".to_owned()));
    }

    #[test]
    fn a_server_is_healthy_until_a_worker_hangs() {
        let now_ns = 60_000_000_000;
        assert_eq!(healthy(&[told(0), told(now_ns - 9_000_000_000)], now_ns), Ok(()));
        assert!(healthy(&[told(now_ns), told(now_ns - 11_000_000_000)], now_ns).is_err());
    }
}
