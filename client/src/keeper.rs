//! The thread of a handle: it drives the engine while no caller does, and otherwise sleeps until
//! callers do not put off its alarm any more.

use std::time::Duration;

use udp::clock;
use udp::socket::Watch;

use crate::engine::{Engine, Next};

/// Keeps the engine until it is over.
pub(crate) fn run(engine: &Engine, mut watch: Watch) {
    engine.keep_by_this_thread();
    loop {
        match engine.keep() {
            Next::Look => {}
            Next::Park => {
                if let Err(error) = engine.sleep().wait_for_alarm() {
                    return engine.fail(error);
                }
            }
            Next::Watch { until_ns } => {
                let rest = Duration::from_nanos(until_ns.saturating_sub(clock::now_ns()));
                if let Err(error) = watch.wait(rest) {
                    return engine.fail(error);
                }
            }
            Next::End => return,
        }
        engine.sleep().is_over();
    }
}
