//! Why a session does not carry a call.

use proto::client::{Blocked, Ended};
use proto::limits::{KEY_BYTES_MAX, KEY_BYTES_MIN, value_bytes_max};

use crate::calls::call::{Kind, Request};
use crate::error::{Error, TooLarge, Why};
use crate::pool::SessionPool;

/// Whether a session carries such a key and value, once it has room.
pub(super) fn check_lengths(
    pool: &SessionPool<u32>,
    blocked: Blocked,
    Request { kind, session, key, value }: Request<'_>,
) -> Result<(), Error> {
    let max = session_value_bytes_max(pool, session, key);
    let has_key = (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len());
    let what = if !has_key && kind != Kind::Stats {
        TooLarge::Key { bytes: key.len(), max: KEY_BYTES_MAX }
    } else if value.len() > max {
        TooLarge::Value { bytes: value.len(), max }
    } else {
        assert_ne!(blocked, Blocked::Length, "the session has the same limits");
        return Ok(());
    };
    Err(Error::TooLarge { what })
}

/// What a call is told whose value a session does not carry.
pub(super) fn value_too_large(
    pool: &SessionPool<u32>,
    session: usize,
    key: &[u8],
    value: &[u8],
) -> Error {
    let max = session_value_bytes_max(pool, session, key);
    Error::TooLarge { what: TooLarge::Value { bytes: value.len(), max } }
}

/// The longest value that a session carries with a key.
fn session_value_bytes_max(pool: &SessionPool<u32>, session: usize, key: &[u8]) -> usize {
    let granted = pool.get(session).client.granted();
    let mtu_bytes = granted.map_or(pool.config().mtu_bytes, |granted| granted.mtu_bytes);
    value_bytes_max(mtu_bytes, key.len())
}

/// Why a session will not open before it is tried again, if a server said so.
pub(super) fn refusal(pool: &SessionPool<u32>, session: usize) -> Option<Error> {
    let client = &pool.get(session).client;
    match client.ended()? {
        ended @ (Ended::Refused(_) | Ended::OtherVersion(_)) => {
            Some(Error::of_lost(client.server(), ended, pool.config()))
        }
        Ended::Closed => Some(Error::NotExecuted(Why::Closed)),
        Ended::NoAnswer
        | Ended::PathNarrowed
        | Ended::Forgotten
        | Ended::Stale
        | Ended::SequenceTaken => None,
    }
}

/// What a call is told that had to wait for a session until its deadline. `trouble`: why no
/// session opens.
pub(super) fn withdrawn(pool: &SessionPool<u32>, session: usize, trouble: Option<&Error>) -> Error {
    let client = &pool.get(session).client;
    match client.granted() {
        Some(_) => Error::NotExecuted(Why::Deadline),
        None => pool.invalid_claim(pool.get(session).server).or(trouble).cloned().unwrap_or(
            Error::NoServer { server: client.server(), mtu_bytes: pool.config().mtu_bytes },
        ),
    }
}
