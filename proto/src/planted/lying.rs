//! A store that lies, between a worker and its own.

use std::cell::RefCell;
use std::collections::HashMap;

use super::{Fault, is_due, is_planted};
use crate::store::{Full, Record, Store};

thread_local! {
    /// What is kept for each worker, by its secret: it differs with each life of a server.
    static KEPT: RefCell<HashMap<[u8; 16], Kept>> = RefCell::new(HashMap::new());
}

#[derive(Debug, Default)]
struct Kept {
    /// Writes that were answered and are still to be made.
    held: Vec<(Vec<u8>, Vec<u8>)>,
    /// What the latest write of each key replaced.
    replaced: HashMap<Vec<u8>, (u64, Vec<u8>)>,
}

/// A worker's store while it takes one datagram.
#[derive(Debug)]
pub(crate) struct Lying<'a, S: Store> {
    store: &'a mut S,
    worker: [u8; 16],
    /// Writes that were held back before this datagram: they are made after it.
    overdue: usize,
}

/// Forgets what is kept for all workers.
pub(super) fn forget() {
    KEPT.with_borrow_mut(HashMap::clear);
}

/// Stands before `store`, for the worker that `secret` names.
pub(crate) fn lying<S: Store>(store: &mut S, secret: [u8; 16]) -> Lying<'_, S> {
    let overdue = KEPT.with_borrow(|kept| kept.get(&secret).map_or(0, |kept| kept.held.len()));
    Lying { store, worker: secret, overdue }
}

/// The version to answer a PUT with that [`Fault::LostUpdate`] loses, if it loses this one.
pub fn lost_update(store: &mut impl Store, key: &[u8]) -> Option<u64> {
    if !is_planted(Fault::LostUpdate) {
        return None;
    }
    let (version, _) = read(store, key)?;
    is_due(Fault::LostUpdate, Fault::LOST_UPDATE_ONE_IN).then_some(version + 1)
}

fn read(store: &mut impl Store, key: &[u8]) -> Option<(u64, Vec<u8>)> {
    let mut read = None;
    store.get(&[key], |_, record| {
        read = record.map(|Record { version, value }| (version, value.to_vec()));
    });
    read
}

impl<S: Store> Lying<'_, S> {
    fn with_kept<R>(&self, with: impl FnOnce(&mut Kept) -> R) -> R {
        KEPT.with_borrow_mut(|kept| with(kept.entry(self.worker).or_default()))
    }

    /// Answers a write as if it were made now.
    fn hold(&mut self, key: &[u8], value: &[u8]) -> u64 {
        let stored = read(self.store, key).map_or(0, |(version, _)| version);
        self.with_kept(|kept| {
            kept.held.push((key.to_vec(), value.to_vec()));
            stored + kept.held.iter().filter(|(held, _)| held == key).count() as u64
        })
    }

    /// What to answer to the read of a key instead of the truth.
    fn stale(&self, key: &[u8]) -> Option<(u64, Vec<u8>)> {
        let replaced = self.with_kept(|kept| kept.replaced.get(key).cloned())?;
        is_due(Fault::StaleRead, Fault::STALE_READ_ONE_IN).then_some(replaced)
    }
}

impl<S: Store> Store for Lying<'_, S> {
    fn get(&mut self, keys: &[&[u8]], mut found: impl FnMut(usize, Option<Record<'_>>)) {
        if !is_planted(Fault::StaleRead) {
            return self.store.get(keys, found);
        }
        let stale: Vec<_> = keys.iter().map(|key| self.stale(key)).collect();
        self.store.get(keys, |index, record| match &stale[index] {
            Some((version, value)) => found(index, Some(Record { version: *version, value })),
            None => found(index, record),
        });
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<u64, Full> {
        if is_planted(Fault::RepliedBeforeWrite) {
            return Ok(self.hold(key, value));
        }
        if is_planted(Fault::StaleRead)
            && let Some(replaced) = read(self.store, key)
        {
            self.with_kept(|kept| kept.replaced.insert(key.to_vec(), replaced));
        }
        self.store.put(key, value)
    }

    fn gauges(&self) -> Vec<(&'static str, u64)> {
        self.store.gauges()
    }
}

impl<S: Store> Drop for Lying<'_, S> {
    fn drop(&mut self) {
        if self.overdue == 0 {
            return;
        }
        let overdue = self.overdue;
        let due: Vec<_> = self.with_kept(|kept| kept.held.drain(..overdue).collect());
        for (key, value) in due {
            // A store that is full loses it: nobody is there to be told.
            let _ = self.store.put(&key, &value);
        }
    }
}
