//! How threads share the memory of the records ([`super::cells`]).
//!
//! ```text
//!   write --- take ---> lists of a shard <--- refill, spill ---> pages (under a lock)
//!     |                       ^                                    ^
//!   retire                    |                                    | of a page that is evacuated
//!     v                       |                                    |
//!   bag of the shard ---> garbage, until no thread can see it -----+
//! ```
//!
//! A thread locks a shard for the time of a write: its own, or if somebody has it another one, so
//! that nobody waits.
//!
//! A cell is taken and published while one shard is locked. So who has locked each shard in turn
//! knows that every cell taken before is published, retired or free again.

use std::cell::Cell;
use std::sync::Arc;

use super::bag::Bag;
use super::cells::Cells;
use super::pages::PageId;
use super::shard::{Mine, Shard};
use super::sync::{IN_MODEL, Ordering, relax};
use super::try_lock::TryLock;

/// More workers than this share their lists.
const SHARDS: usize = if IN_MODEL { 3 } else { 64 };

/// See above.
#[derive(Debug)]
pub(super) struct Shards {
    cells: Arc<Cells>,
    shards: Box<[TryLock<Shard>]>,
    /// What is being evacuated; who gets it goes on with it.
    pub(super) evacuation: TryLock<Evacuation>,
}

/// How far the evacuation of a page is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Evacuation {
    /// There is none.
    Idle,
    /// From this shard on, lists may still hold cells of the page.
    Purging { page: PageId, shard: usize },
    /// From this cell on, records are still to be moved.
    Moving { page: PageId, cell: usize },
}

/// Somebody has the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Busy;

thread_local! {
    /// The shard that this thread locks first.
    static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}
static THREADS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

#[inline]
fn own_shard() -> usize {
    match SHARD.get() {
        usize::MAX => choose_shard(),
        shard => shard,
    }
}

#[cold]
fn choose_shard() -> usize {
    SHARD.set(THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS);
    SHARD.get()
}

impl Shards {
    /// Shards of these cells.
    pub(super) fn new(cells: Arc<Cells>) -> Arc<Self> {
        let shards = (0..SHARDS).map(|_| TryLock::new(Shard::new())).collect();
        Arc::new(Self { cells, shards, evacuation: TryLock::new(Evacuation::Idle) })
    }

    /// The cells that they share.
    pub(super) fn cells(&self) -> &Cells {
        &self.cells
    }

    /// A shard that nobody has.
    #[inline]
    pub(super) fn mine(&self) -> Mine<'_> {
        let own = own_shard();
        match self.shards[own].try_lock() {
            Some(shard) => Mine::new(&self.cells, shard),
            None => self.another(own),
        }
    }

    #[cold]
    fn another(&self, mut shard: usize) -> Mine<'_> {
        loop {
            relax();
            shard = (shard + 1) % SHARDS;
            if let Some(shard) = self.shards[shard].try_lock() {
                return Mine::new(&self.cells, shard);
            }
        }
    }

    /// Begins to evacuate a page, if there is one that gains something.
    pub(super) fn begin_evacuation(&self) -> Option<PageId> {
        self.cells.begin_evacuation().or_else(|| {
            // Perhaps free cells are in lists of those who don't need them.
            self.sweep();
            self.cells.begin_evacuation()
        })
    }

    /// Gives back what a shard has listed of a page that is being evacuated. Its retired records
    /// are returned, to be handed over, so that no thread that rests keeps them.
    pub(super) fn purge(&self, page: PageId, shard: usize) -> Result<Option<Box<Bag>>, Busy> {
        let shard = self.shards[shard].try_lock().ok_or(Busy)?;
        let mut mine = Mine::new(&self.cells, shard);
        if let Some(class) = self.cells.class_of_evacuated(page) {
            mine.purge(class, |cell| self.cells.is_of_page(cell, page));
        }
        Ok(mine.bag())
    }

    /// How many shards there are.
    pub(super) fn count(&self) -> usize {
        self.shards.len()
    }

    /// Gives all listed cells back to their pages.
    fn sweep(&self) {
        for shard in &self.shards {
            if let Some(shard) = shard.try_lock() {
                Mine::new(&self.cells, shard).give_back_all();
            }
        }
    }
}
