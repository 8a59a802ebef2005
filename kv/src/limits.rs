//! The bounds of what the server does beside its protocol.

use std::time::Duration;

/// Connections that the port of `--metrics` serves at once.
pub const HTTP_CONNECTIONS_MAX: usize = 32;
/// How long a connection may last: a question and its answer.
pub const HTTP_CONNECTION_TIME: Duration = Duration::from_secs(10);
/// Longest head of a question.
pub const HTTP_HEAD_BYTES_MAX: usize = 8 << 10;
/// What a connection's socket buffers are asked to hold.
pub const HTTP_SOCKET_BUFFER_BYTES: usize = 64 << 10;
/// How old figures may be: those who ask at once are shown the same.
pub const HTTP_FIGURES_AGE: Duration = Duration::from_millis(100);
/// How long no connection is taken after one could not be.
pub const HTTP_ACCEPT_AGAIN: Duration = Duration::from_millis(10);
/// A server is ready if each of its workers was heard of within this time.
pub const WORKER_SILENCE_READY: Duration = Duration::from_secs(2);
/// A worker that was not heard of for so long hangs.
pub const WORKER_SILENCE_HEALTHY: Duration = Duration::from_secs(10);
