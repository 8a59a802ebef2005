//! The limits of the program; those of keys and datagrams are in `proto::limits`.

use std::time::Duration;

use proto::limits::KEY_BYTES_MAX;

/// Keys that are read together, and records that are written together.
pub(crate) const BATCH_MAX: usize = 1000;
/// Longest command and longest record of a file: a value of 1 MiB, each byte as an escape, and
/// more.
pub(crate) const LINE_BYTES_MAX: u64 = 8 << 20;
/// Longest line of a file of keys: the longest key, each byte as an escape.
pub(crate) const KEY_LINE_BYTES_MAX: u64 = 4 * KEY_BYTES_MAX as u64 + 2;
/// Longest key or value that is read from a file: more than any datagram carries.
pub(crate) const INPUT_BYTES_MAX: u64 = 1 << 20;

/// Failures of a load that are named; the others are counted.
pub(crate) const FAILURES_NAMED_MAX: usize = 100;
/// Keys whose last write in a load is indeterminate; they are kept, so more end the load.
pub(crate) const INDETERMINATE_KEYS_MAX: usize = 100_000;

/// Longest time that a flag takes.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// Lines that the prompt's history keeps.
pub(crate) const HISTORY_LINES_MAX: usize = 10_000;
/// Longest beginning of a key that a message shows, in bytes.
pub(crate) const SHOWN_BYTES_MAX: usize = 64;
/// Most workers of a server that have a column each.
pub(crate) const COLUMNS_MAX: usize = 8;
