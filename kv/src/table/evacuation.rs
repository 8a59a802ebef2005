//! Evacuation: when free pages run low, the records of the emptiest page are moved to others.
//!
//! A record is immutable and reached by one word, so it is moved as it is written: a copy takes
//! its place by compare-and-swap, and it is retired. The page is free when its last record is.
//!
//! The writers do it, in small steps: one begins with a page, takes its free cells out of the
//! lists of each shard, and moves its records, a few a step.

use std::ptr::NonNull;

use super::bucket::NoMemory;
use super::bucket_table::BucketTable;
use super::epoch::{Guard, pin};
use super::garbage::{hand_over, leave};
use super::header::Header;
use super::index::Index;
use super::key_hash::KeyHash;
use super::record::{NewRecord, RecordRef};
use super::shards::{Busy, Evacuation};
use super::size_class::cell_bytes;
use super::sync::IN_MODEL;
use super::word::Word;

/// Records that are moved in a step.
const STEP: usize = if IN_MODEL { 1 } else { 16 };

impl<H: KeyHash> BucketTable<H> {
    /// Goes on with evacuation for a step; returns whether that may gain something.
    #[cold]
    pub(super) fn evacuate_some(&self) -> bool {
        let Some(mut evacuation) = self.shards.evacuation.try_lock() else { return true };
        if let Evacuation::Idle = *evacuation {
            // A model asks for it.
            if !self.cells.is_low() && !IN_MODEL {
                return false;
            }
            let Some(page) = self.shards.begin_evacuation() else { return false };
            *evacuation = Evacuation::Purging { page, shard: 0 };
        }
        let guard = pin();
        if let Evacuation::Purging { page, shard } = *evacuation {
            let is_busy = |&shard: &usize| match self.shards.purge(page, shard) {
                Ok(bag) => {
                    if let Some(bag) = bag {
                        hand_over(&self.shards, bag, &guard);
                    }
                    false
                }
                Err(Busy) => true,
            };
            *evacuation = match (shard..self.shards.count()).find(is_busy) {
                Some(shard) => Evacuation::Purging { page, shard },
                None => Evacuation::Moving { page, cell: 0 },
            };
        }
        if let Evacuation::Moving { page, cell } = *evacuation {
            let mut records = [None; STEP];
            let mut places = records.iter_mut();
            let next = self.cells.records_of(page, cell, STEP, |record| {
                // SAFETY: its bytes stay as they are until the lock is left that `records_of` holds.
                let key = unsafe { RecordRef::new(record) }.key();
                *places.next().expect("it tells of so many") = Some((record, self.hash(key)));
            });
            let mut has_room = true;
            for (record, hash) in records.into_iter().flatten() {
                has_room = has_room && self.relocate(record, hash, &guard);
            }
            *evacuation = match next {
                Some(cell) if has_room => Evacuation::Moving { page, cell },
                _ => Evacuation::Idle,
            };
            if !has_room {
                self.cells.cancel_evacuation(page);
            }
        }
        true
    }

    /// Evacuates a page, though free pages don't run low; in so many steps at most, because one
    /// that meets a shard that somebody has ends there.
    #[cfg(any(loom, shuttle))]
    pub fn evacuate(&self, steps: usize) {
        for _ in 0..steps {
            if !self.evacuate_some() || matches!(self.evacuation(), Some(Evacuation::Idle)) {
                break;
            }
            super::sync::relax();
        }
    }

    #[cfg(any(loom, shuttle))]
    fn evacuation(&self) -> Option<Evacuation> {
        self.shards.evacuation.try_lock().map(|evacuation| *evacuation)
    }

    /// Moves a record, if it is in the table; false if there is no room for it.
    fn relocate(&self, record: NonNull<Header>, hash: u64, guard: &Guard) -> bool {
        let mut index = self.index(guard);
        // What is swapped in an index before its bucket is migrated is freed while others still
        // reach it through the frozen word.
        let mut source: Option<&Index> = None;
        loop {
            match index.place_of(hash, record) {
                Some(Ok((bucket, slot, word))) => {
                    debug_assert!(source.is_none_or(|source| source.bucket(hash).is_migrated()));
                    let mut mine = self.shards.mine();
                    // SAFETY: the word was not frozen, so its bucket was not migrated.
                    let old = unsafe { RecordRef::new(record) };
                    if !mine.can_retire() {
                        return false;
                    }
                    let Some(copy) = NewRecord::copy_of(old, &mut mine) else { return false };
                    if bucket.replace(slot, word, Word::new(hash, copy.address())).is_err() {
                        // It was replaced, or is migrating.
                        copy.discard(&mut mine);
                        continue;
                    }
                    self.cells.moved(cell_bytes(old.class()));
                    mine.retire(record, old.class());
                    leave(mine, &self.shards, guard);
                    return true;
                }
                // A writer's way: the bucket is migrated first.
                Some(Err(())) => match self.migrate_for_write(index, hash, guard) {
                    Ok(next) => {
                        source = Some(index);
                        index = next;
                    }
                    Err(NoMemory) => return false,
                },
                None => return true,
            }
        }
    }
}
