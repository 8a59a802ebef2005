//! Tables that the server could have had, behind the same trait as those that it has: only
//! to be compared. They have no cap on their memory, and are in no program.
//!
//! Each holds a record as its key, its version and its value, in boxes of their own, and
//! copies nothing: an answer is read while the table holds on to it.

mod cached;
mod dash;
mod one_lock;
mod scalable;
mod sharded;

use std::collections::HashMap;

use foldhash::fast::RandomState;
use proto::store::Record;

pub(crate) use cached::CachedTable;
pub(crate) use dash::DashTable;
pub(crate) use one_lock::OneLockTable;
pub(crate) use scalable::ScalableTable;
pub(crate) use sharded::ShardedTable;

/// What lies behind a lock: the standard library's map with the hash of the other tables.
type Map = HashMap<Box<[u8]>, Stored, RandomState>;

/// Locks that a table is divided by, where it is.
const SHARDS: usize = 64;

/// A version and its value.
#[derive(Clone)]
struct Stored {
    version: u64,
    value: Box<[u8]>,
}

impl Stored {
    fn first(value: Box<[u8]>) -> Self {
        Self { version: 1, value }
    }

    /// Puts the next value in the place of this one, and returns its version.
    fn replace(&mut self, value: Box<[u8]>) -> u64 {
        self.value = value;
        self.version += 1;
        self.version
    }

    fn record(&self) -> Record<'_> {
        Record { version: self.version, value: &self.value }
    }
}

/// Writes a record of a map that nobody else can reach meanwhile.
fn put(map: &mut Map, key: &[u8], value: Box<[u8]>) -> u64 {
    if let Some(stored) = map.get_mut(key) {
        return stored.replace(value);
    }
    map.insert(key.into(), Stored::first(value));
    1
}

/// On a cache line of its own, so that two locks never share one.
#[derive(Default)]
#[repr(align(64))]
struct Apart<T>(T);
