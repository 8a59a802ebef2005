//! Every bound of the client library. Those of the protocol are in `proto::limits`.

use std::time::Duration;

/// Longest wait for the answer to a call, unless told otherwise.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);
/// Longest timeout of a call; a longer one is cut to it.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// Longest time that connecting takes, unless told otherwise.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// Workers of one server: a `kv` has no more.
pub const WORKERS_MAX: u16 = 512;

/// A session that a server refused is tried again after so long; the wait doubles with each
/// refusal.
pub const REOPEN_NS_MIN: u64 = 100_000_000;
/// Longest wait before a refused session is tried again.
pub const REOPEN_NS_MAX: u64 = 5_000_000_000;

/// Calls that wait for room in their sessions; more are not taken.
pub const LINE_CALLS_MAX: usize = 1 << 18;
/// Bytes of keys and values of calls that wait for room.
pub const LINE_BYTES_MAX: usize = 64 << 20;

/// Deadlines are looked at again no sooner than after so long for each call under way, so that
/// they take a small part of a thread's time: a millisecond for 50,000 calls.
pub const LOOK_NS_PER_CALL: u64 = 20;

/// A pipeline sends what it has after so many calls, so that servers answer the first while the
/// last are still made.
pub const PIPELINE_UNSENT_MAX: usize = 256;
/// Calls of a pipeline that wait for room before it drives its connection, at first: a part of
/// what one session has outstanding.
pub const PIPELINE_WAITING_MIN: usize = 1024;
/// If so long did not make room, so many times more may wait, so that a server that does not
/// answer keeps nobody from the others.
pub const PIPELINE_ROOM_NS_MAX: u64 = 2_000_000;
/// See [`PIPELINE_ROOM_NS_MAX`].
pub const PIPELINE_WAITING_GROWTH: usize = 4;
/// Most calls of a pipeline that wait for room: no line of one session fills.
pub const PIPELINE_WAITING_MAX: usize = LINE_CALLS_MAX / 4;
/// Bytes of their keys and values.
pub const PIPELINE_BYTES_WAITING_MAX: usize = LINE_BYTES_MAX / 4;

/// Values that are waited for together share chunks of this size: as long as one of them is
/// kept, so is its chunk.
pub const CHUNK_BYTES_MAX: usize = 4096;
/// A longer value has memory of its own.
pub const CHUNK_VALUE_BYTES_MAX: usize = CHUNK_BYTES_MAX / 4;

/// Commands, each of one call or of a batch, that wait until whoever is at work with the sessions
/// of a handle takes them.
pub const COMMANDS_MAX: usize = 4096;
/// Calls of one batch that is handed to a handle.
pub const BATCH_CALLS_MAX: usize = 1 << 16;
/// Bytes of keys and values of one batch that is handed to a handle.
pub const BATCH_BYTES_MAX: usize = 16 << 20;
/// After so many calls of a handle were begun, what came and what is due has its turn before others
/// are: their callers wait for answers and deadlines.
pub const ROUND_CALLS_MAX: usize = 4096;
/// While calls are outstanding, the thread of a handle looks so often whether their callers drive
/// the sessions; if not, it does.
pub const TICK_NS: u64 = 1_000_000;
/// Threads that are blocked until their calls end drive the sessions of a handle in turn if there
/// are no more than these; else its own thread drives for all.
pub const BLOCKED_DRIVE_MAX: usize = 2;
/// A caller drives on for so long without an answer, even if its core is not its own: to leave the
/// sessions to the thread, and to be woken by it, takes about as long.
pub const HAND_OVER_NS: u64 = 20_000;
/// A caller that drives and finds somebody else at work for so long leaves it to the keeper.
pub const LOCKED_NS_MAX: u64 = 100_000;
/// A call is begun by its caller only if time was looked at within so long.
pub const ROUND_STALE_NS: u64 = 100_000_000;
/// Calls that wait to be sent together while others are outstanding. More would leave the server
/// idle while its answers are handled.
pub const UNSENT_CALLS_MAX: usize = 32;
/// Bytes of keys and values in such commands.
pub const COMMAND_BYTES_MAX: usize = 64 << 20;

/// Keys that are told apart while they are written: a near cache keeps nothing of keys that
/// share one of so many places with one that is.
pub const FENCES_MAX: usize = 1 << 16;
/// Least of them.
pub const FENCES_MIN: usize = 1 << 10;

const _: () = {
    assert!(REOPEN_NS_MIN < REOPEN_NS_MAX);
    // A line takes up to half of the room.
    assert!(2 * BATCH_CALLS_MAX <= LINE_CALLS_MAX / 2);
    assert!(2 * BATCH_BYTES_MAX <= LINE_BYTES_MAX / 2);
    assert!(2 * BATCH_BYTES_MAX <= COMMAND_BYTES_MAX);
    assert!(CHUNK_VALUE_BYTES_MAX <= CHUNK_BYTES_MAX);
    assert!(FENCES_MIN.is_power_of_two() && FENCES_MAX.is_power_of_two());
};
