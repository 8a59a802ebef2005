//! What the features `tracing` and `metrics` show of sessions and calls. Without them all of it
//! is empty: no field, no branch. `docs/CLIENT.md` lists the events and the metrics.
#![cfg_attr(
    not(all(feature = "tracing", feature = "metrics")),
    allow(unused_variables, reason = "only events and metrics use them")
)]

#[cfg(feature = "metrics")]
mod calls;
#[cfg(not(feature = "metrics"))]
mod nothing;

#[cfg(not(feature = "metrics"))]
use nothing as calls;

use std::fmt::Debug;
use std::net::SocketAddr;

use proto::client::Ended;

pub(crate) use calls::{Asked, Observed, Sender, at_once, call, channel, looked_up};

macro_rules! event {
    ($level:ident, $($fields:tt)+) => {
        #[cfg(feature = "tracing")]
        tracing::event!(target: "kv_client", tracing::Level::$level, $($fields)+)
    };
}

macro_rules! count {
    ($name:literal, $count:expr) => {
        #[cfg(feature = "metrics")]
        metrics::counter!($name).increment($count)
    };
}

/// Tells the recorder what each metric means.
pub(crate) fn describe() {
    #[cfg(feature = "metrics")]
    {
        use metrics::{Unit, describe_counter, describe_histogram};

        describe_counter!("kv_client_calls_total", "operations that have ended, by their result");
        describe_histogram!("kv_client_call_seconds", Unit::Seconds, "from a call to its end");
        describe_counter!("kv_client_cache_hits_total", "GETs that the near cache answered");
        describe_counter!("kv_client_cache_misses_total", "GETs that it did not answer");
        describe_counter!("kv_client_asked_again_total", "reads asked again in another session");
        describe_counter!("kv_client_sessions_opened_total", "sessions that opened");
        describe_counter!(
            "kv_client_sessions_lost_total",
            "sessions that ended without being closed"
        );
        describe_counter!("kv_client_sessions_refused_total", "sessions that a server refused");
    }
}

// -------------------------------------------------------------------------- sessions

pub(crate) fn session_opened(worker: SocketAddr, incarnation: u64) {
    event!(INFO, %worker, incarnation = format_args!("{incarnation:016x}"), "session opened");
    count!("kv_client_sessions_opened_total", 1);
}

pub(crate) fn session_lost(worker: SocketAddr, ended: Option<Ended>) {
    if ended == Some(Ended::Stale) {
        // Nothing went wrong: its caller made no call for long.
        event!(INFO, %worker, why = "idle", "session lost");
    } else {
        let why = match ended {
            Some(Ended::Forgotten) => "forgotten",
            Some(Ended::PathNarrowed) => "path narrowed",
            Some(Ended::SequenceTaken) => "sequence taken",
            _ => "no answer",
        };
        event!(WARN, %worker, why, "session lost");
    }
    count!("kv_client_sessions_lost_total", 1);
}

pub(crate) fn session_refused(worker: SocketAddr, ended: Option<Ended>) {
    let why = match ended {
        Some(Ended::OtherVersion(_)) => "other version",
        _ => "full",
    };
    event!(WARN, %worker, why, "session refused");
    count!("kv_client_sessions_refused_total", 1);
}

pub(crate) fn session_reopening(worker: SocketAddr) {
    event!(INFO, %worker, "session reopening");
}

// ----------------------------------------------------------------------------- calls

pub(crate) fn asked_again() {
    count!("kv_client_asked_again_total", 1);
}

pub(crate) fn call_late(worker: SocketAddr, operation: impl Debug) {
    event!(DEBUG, %worker, ?operation, "call late");
}

pub(crate) fn call_withdrawn(worker: SocketAddr, operation: impl Debug) {
    event!(DEBUG, %worker, ?operation, "call withdrawn");
}

pub(crate) fn line_full(worker: SocketAddr, waiting: usize) {
    event!(DEBUG, %worker, waiting, "line full");
}

#[cfg(all(test, feature = "tracing"))]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{Event, Level, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;

    /// Keeps the level of each event.
    #[derive(Clone, Default)]
    struct Levels(Arc<Mutex<Vec<Level>>>);

    impl<S: Subscriber> Layer<S> for Levels {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            self.0.lock().unwrap().push(*event.metadata().level());
        }
    }

    #[test]
    fn an_idle_session_is_lost_without_a_warning() {
        let levels = Levels::default();
        let subscriber = tracing_subscriber::registry().with(levels.clone());
        tracing::subscriber::with_default(subscriber, || {
            for ended in [
                Ended::Stale,
                Ended::Forgotten,
                Ended::PathNarrowed,
                Ended::SequenceTaken,
                Ended::NoAnswer,
            ] {
                session_lost(([127, 0, 0, 1], 7400).into(), Some(ended));
            }
        });
        let warnings = [Level::WARN; 4];
        assert_eq!(*levels.0.lock().unwrap(), [&[Level::INFO][..], &warnings].concat());
    }
}
