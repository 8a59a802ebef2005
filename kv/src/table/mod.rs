//! Tables that all workers of a server share.
//!
//! A table is asked through [`proto::store::Store`], by groups of keys, so that one that
//! can overlap its cache misses does. [`Table`] is the one that `--table` chose.
//!
//! The layers of the bucket table, each upon those below it:
//!
//! | file | what it is |
//! |---|---|
//! | `bucket_table` | look-ups by prefetched groups, writes, growth |
//! | `index` | an array of buckets, and its migration to the next |
//! | `bucket_array` | the memory of an index |
//! | `bucket` | a cache line of slots, and the chain of its overflow |
//! | `word` | what a slot holds |
//! | `record`, `header` | version, key and value; what the memory below knows of them |
//! | `key_hash`, `aes_hash` | where a key belongs, which nobody else can know |
//! | `evacuation` | moves records so that pages become free |
//! | `garbage` | records that were retired, until no thread can see them |
//! | `shards`, `shard`, `bag` | what each thread has at hand: free cells, and records that it retired |
//! | `cells` | the memory of records within the bound |
//! | `pages`, `size_class`, `region` | which cells are free; their sizes; their memory |
//! | `resident` | what the process has in memory, for papaya |
//! | `shuttle_epoch` | the same as `epoch`, for random schedules: drops as early as may be |
//! | `epoch`, `memory`, `sync`, `try_lock` | when to drop what was retired; the cap; atomics; locks |

#[cfg(target_arch = "x86_64")]
mod aes_hash;
mod bag;
mod bucket;
mod bucket_array;
mod bucket_table;
mod cells;
mod epoch;
mod evacuation;
mod garbage;
mod gauges;
mod header;
mod index;
mod key_hash;
mod memory;
#[cfg(all(test, not(any(loom, shuttle))))]
mod no_memory_tests;
mod null_table;
mod pages;
mod papaya_table;
mod record;
mod region;
mod resident;
mod shard;
mod shards;
#[cfg(shuttle)]
mod shuttle_epoch;
mod size_class;
mod sync;
#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
mod try_lock;
mod word;

use std::io;

use proto::planted;
use proto::store::{Full, Record, Store};

pub use bucket_table::BucketTable;
pub use gauges::TableGauges;
pub use key_hash::{KeyHash, SecretHash};
pub use memory::{Memory, RECORD_OVERHEAD_BYTES};
pub use null_table::NullTable;
pub use papaya_table::PapayaTable;

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    /// Cache-line buckets, looked up by prefetched groups.
    Bucket,
    /// papaya, a general lock-free hash map.
    Papaya,
    /// None: answers every GET with a constant, to measure what the tables cost.
    Null,
}

/// The records of a server.
#[derive(Debug)]
pub enum Table {
    /// See [`BucketTable`].
    Bucket(BucketTable),
    /// See [`PapayaTable`].
    Papaya(PapayaTable),
    /// See [`NullTable`].
    Null(NullTable),
}

impl Table {
    /// An empty table with room for about `records`, and a cap on what they may hold; an error if
    /// the system has no memory for its index.
    pub fn new(choice: Choice, records: usize, memory_cap_bytes: u64) -> io::Result<Self> {
        Ok(match choice {
            Choice::Bucket => Self::Bucket(BucketTable::try_new(records, memory_cap_bytes)?),
            Choice::Papaya => Self::Papaya(PapayaTable::new(records, memory_cap_bytes)),
            Choice::Null => Self::Null(NullTable::new()),
        })
    }
}

impl Store for &Table {
    #[inline]
    fn get(&mut self, keys: &[&[u8]], found: impl FnMut(usize, Option<Record<'_>>)) {
        match self {
            Table::Bucket(table) => (&mut &*table).get(keys, found),
            Table::Papaya(table) => (&mut &*table).get(keys, found),
            Table::Null(table) => (&mut &*table).get(keys, found),
        }
    }

    #[inline]
    fn prefetch(&mut self, keys: &[&[u8]]) {
        match self {
            Table::Bucket(table) => (&mut &*table).prefetch(keys),
            Table::Papaya(_) | Table::Null(_) => {}
        }
    }

    #[inline]
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<u64, Full> {
        if let Some(version) = planted::lost_update(self, key) {
            return Ok(version);
        }
        match self {
            Table::Bucket(table) => (&mut &*table).put(key, value),
            Table::Papaya(table) => (&mut &*table).put(key, value),
            Table::Null(table) => (&mut &*table).put(key, value),
        }
    }

    fn gauges(&self) -> Vec<(&'static str, u64)> {
        match self {
            Table::Bucket(table) => table.gauges(),
            Table::Papaya(table) => table.gauges(),
            Table::Null(table) => table.gauges(),
        }
    }
}
