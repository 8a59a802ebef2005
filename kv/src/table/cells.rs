//! The memory of the records: cells of pages that the table owns, within its bound (invariant 6).
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
//! that nobody waits. A shard has a list of free cells for each class, last in, first out: what
//! was freed last is still in the cache.
//!
//! A cell is taken and published while one shard is locked. So who has locked each shard in turn
//! knows that every cell taken before is published, retired or free again.

use std::cell::Cell;
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;

use super::epoch::{Guard, flush, retire};
use super::evacuation::Evacuation;
use super::pages::{PAGE_OVERHEAD_BYTES, PageId, Pages, page_of};
use super::record::{Header, size_of_record};
use super::region::Region;
use super::size_class::{CLASSES, Class, PAGE_BYTES, cell_bytes, class_of};
use super::sync::{AtomicU64, Mutex, MutexGuard, Ordering, relax};
use super::try_lock::{Locked, TryLock};

/// Any `--memory` has so much: a page for each class.
const BYTES_MIN: u64 = if cfg!(loom) { 64 << 10 } else { 24 << 20 };
/// More workers than this share their lists.
const SHARDS: usize = if cfg!(loom) { 3 } else { 64 };
/// What a page costs.
const PAGE_COST_BYTES: u64 = (PAGE_BYTES + PAGE_OVERHEAD_BYTES) as u64;
/// One page in so many is left for records that replace others and don't grow.
const RESERVE_ONE_IN: PageId = 16;
/// Pages that only evacuation takes.
const SPARE_PAGES: PageId = 2;
/// What the lists of a shard hold at most, together and of one class.
const LISTED_BYTES_MAX: usize = 1 << 20;
const CLASS_BYTES_MAX: usize = 256 << 10;
const CLASS_CELLS_MAX: usize = 1024;
/// Cells that are taken from pages together, and their bytes.
const REFILL_CELLS: usize = if cfg!(loom) { 1 } else { 32 };
const REFILL_BYTES: usize = 4 << 10;
/// Retired records that are handed over together.
const BAG: usize = 64;
/// So many cells are given back before evacuation is tried again that had nothing to gain.
const RETRY_AFTER_CELLS: u64 = 256;
#[cfg(all(debug_assertions, not(loom)))]
const POISON: u8 = 0xdd;

/// See above.
#[derive(Debug)]
pub(super) struct Cells {
    region: Region,
    /// Pages and index may have so much together.
    bytes: u64,
    state: Mutex<State>,
    shards: Box<[TryLock<Shard>]>,
    /// What is being evacuated; who gets it goes on with it.
    pub(super) evacuation: TryLock<Evacuation>,
    /// Pages that are being evacuated. Set before the shards are locked in turn.
    evacuated: AtomicU64,
    /// Whether records may not grow.
    is_tight: AtomicU64,
    /// Whether free pages run low, and evacuation may gain some.
    is_low: AtomicU64,
}

/// Under the lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) pages: Pages,
    index_bytes: u64,
    /// With so many cells given back evacuation is tried again.
    retry_at: u64,
}

/// The lists of the threads that use it.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// By class; none before the first refill.
    by_class: Vec<Vec<NonNull<u8>>>,
    bytes: usize,
    /// Records that were taken out of the table and are not handed over yet.
    bag: Vec<NonNull<Header>>,
}

// SAFETY: the cells in its lists are its own.
unsafe impl Send for Shard {}

/// Who asks for a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    Write,
    Evacuation,
}

/// A shard, for the time of a write.
pub(super) struct Mine<'a> {
    cells: &'a Cells,
    shard: Locked<'a, Shard>,
}

/// Retired records, until no thread can see them.
struct Garbage {
    cells: Arc<Cells>,
    records: Vec<NonNull<Header>>,
}

thread_local! {
    /// The shard that this thread locks first.
    static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}
static THREADS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

#[inline]
fn own_shard() -> usize {
    SHARD.with(|shard| {
        if shard.get() == usize::MAX {
            shard.set(THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS);
        }
        shard.get()
    })
}

impl Cells {
    /// Pages within `--memory`, if the system has addresses for them.
    pub(super) fn new(memory_bytes: u64) -> io::Result<Arc<Self>> {
        let bytes = memory_bytes.max(BYTES_MIN);
        let limit = PageId::try_from(bytes / PAGE_COST_BYTES);
        let limit = limit.map_err(|_| io::ErrorKind::OutOfMemory)?;
        let region = Region::new(limit as usize * PAGE_BYTES, bytes > BYTES_MIN)?;
        Ok(Arc::new(Self {
            region,
            bytes,
            state: Mutex::new(State { pages: Pages::new(limit), index_bytes: 0, retry_at: 0 }),
            shards: (0..SHARDS).map(|_| TryLock::new(Shard::default())).collect(),
            evacuation: TryLock::new(Evacuation::Idle),
            evacuated: AtomicU64::new(0),
            is_tight: AtomicU64::new(0),
            is_low: AtomicU64::new(0),
        }))
    }

    /// A shard that nobody has.
    #[inline]
    pub(super) fn mine(&self) -> Mine<'_> {
        let mut shard = own_shard();
        loop {
            if let Some(shard) = self.shards[shard].try_lock() {
                return Mine { cells: self, shard };
            }
            shard = (shard + 1) % SHARDS;
            relax();
        }
    }

    /// Whether records may not grow.
    #[inline]
    pub(super) fn is_tight(&self) -> bool {
        self.is_tight.load(Ordering::Relaxed) != 0
    }

    /// Whether free pages run low, and evacuation may gain some.
    #[inline]
    pub(super) fn is_low(&self) -> bool {
        self.is_low.load(Ordering::Relaxed) != 0
    }

    /// Takes memory for an index, which it needs if it is the first, or says that there is none.
    pub(super) fn take_for_index(&self, bytes: u64, is_first: bool) -> bool {
        let mut state = self.lock();
        let used = u64::from(state.pages.touched()) * PAGE_COST_BYTES + state.index_bytes;
        let has_room = used + bytes <= self.bytes;
        if has_room || is_first {
            state.index_bytes += bytes;
            self.limit_pages(&mut state);
        }
        has_room || is_first
    }

    /// An index is gone.
    pub(super) fn give_from_index(&self, bytes: u64) {
        let mut state = self.lock();
        state.index_bytes -= bytes;
        self.limit_pages(&mut state);
    }

    fn limit_pages(&self, state: &mut State) {
        let limit = self.bytes.saturating_sub(state.index_bytes) / PAGE_COST_BYTES;
        state.pages.set_limit((limit as PageId).max(state.pages.touched()));
        self.update(state);
    }

    /// Bytes of the index, of the pages in use, and of free pages that were used before.
    pub(super) fn figures(&self) -> [u64; 3] {
        let state = self.lock();
        let used = state.pages.limit() - state.pages.free_pages();
        let pages = [used, state.pages.touched() - used].map(|n| u64::from(n) * PAGE_BYTES as u64);
        [state.index_bytes, pages[0], pages[1]]
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }

    /// Notes how many pages are free.
    pub(super) fn update(&self, state: &State) {
        let pages = &state.pages;
        let reserve = pages.limit() / RESERVE_ONE_IN;
        let low = reserve + (reserve / 4).max(2);
        let free = pages.free_pages();
        let may_gain = pages.given() >= state.retry_at;
        set(&self.is_tight, free < reserve);
        set(&self.is_low, free + pages.evacuated() < low && may_gain);
        set_to(&self.evacuated, u64::from(pages.evacuated()));
    }

    /// Begins to evacuate a page, if there is one that gains something.
    pub(super) fn begin_evacuation(&self) -> Option<PageId> {
        let begin = || {
            let mut state = self.lock();
            let page = state.pages.begin_evacuation();
            if page.is_none() {
                state.retry_at = state.pages.given() + RETRY_AFTER_CELLS;
            }
            self.update(&state);
            page
        };
        begin().or_else(|| {
            // Perhaps free cells are in lists of those who don't need them.
            self.sweep();
            begin()
        })
    }

    /// There is no room for what a page holds.
    pub(super) fn cancel_evacuation(&self, page: PageId) {
        let mut state = self.lock();
        state.pages.cancel_evacuation(page);
        state.retry_at = state.pages.given() + RETRY_AFTER_CELLS;
        self.update(&state);
    }

    /// Up to `count` records of a page that is being evacuated, and their keys, from the cell of a
    /// number on; and the number of the next cell, if there is one. Every shard was locked since
    /// its evacuation began.
    pub(super) fn records_of(
        &self,
        page: PageId,
        from: usize,
        count: usize,
        mut told: impl FnMut(NonNull<Header>),
    ) -> Option<usize> {
        let state = self.lock();
        if !state.pages.is_evacuated(page) {
            return None; // It is empty already.
        }
        let mut taken = state.pages.taken_cells(page, from);
        for (_, offset) in taken.by_ref().take(count) {
            // It was published, and is freed only under this lock.
            told(self.region.at(offset).cast());
        }
        taken.next().map(|(cell, _)| cell)
    }

    /// Takes what a shard has listed of a page that is being evacuated; false if somebody has it.
    /// Its retired records are handed over, too, so that no thread that rests keeps them.
    pub(super) fn purge(self: &Arc<Self>, page: PageId, shard: usize, guard: &Guard) -> bool {
        let Some(mut shard) = self.shards[shard].try_lock() else { return false };
        let mut state = self.lock();
        if state.pages.is_evacuated(page) {
            let class = state.pages.class(page);
            let Shard { by_class, bytes, .. } = &mut *shard;
            if let Some(list) = by_class.get_mut(class) {
                list.retain(|&cell| {
                    let offset = self.region.offset(cell);
                    let stays = page_of(offset) != page;
                    if !stays {
                        state.pages.give(offset);
                        *bytes -= cell_bytes(class);
                    }
                    stays
                });
            }
        }
        self.update(&state);
        drop(state);
        let bag = std::mem::take(&mut shard.bag);
        drop(shard);
        self.hand_over(bag, guard);
        true
    }

    /// How many shards there are.
    pub(super) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Gives all listed cells back to their pages.
    fn sweep(&self) {
        for shard in &self.shards {
            if let Some(mut shard) = shard.try_lock() {
                shard.give_back_all(self);
            }
        }
    }

    /// Frees records when no thread can see them any more.
    pub(super) fn hand_over(self: &Arc<Self>, records: Vec<NonNull<Header>>, guard: &Guard) {
        if records.is_empty() {
            return;
        }
        let garbage = Box::new(Garbage { cells: self.clone(), records });
        let garbage = NonNull::from(Box::leak(garbage));
        // SAFETY: it was made from a box above, and its records were taken out of the table.
        unsafe {
            retire(guard, garbage, |garbage| Box::from_raw(garbage.as_ptr()).free());
        }
        flush(guard);
    }

    /// Whether a page is being evacuated.
    #[inline]
    fn has_evacuated(&self) -> bool {
        self.evacuated.load(Ordering::Relaxed) != 0
    }
}

impl Mine<'_> {
    /// Memory of at least so many bytes, unless there is none.
    #[inline]
    pub(super) fn allocate(&mut self, bytes: usize, what_for: For) -> Option<NonNull<u8>> {
        let class = class_of(bytes)?;
        let cell = match self.shard.by_class.get_mut(class).and_then(Vec::pop) {
            Some(cell) => cell,
            None => self.refill(class, what_for)?,
        };
        self.shard.bytes -= cell_bytes(class);
        #[cfg(all(debug_assertions, not(loom)))]
        assert_poison(cell, class);
        Some(cell)
    }

    /// Takes cells from pages; one is not listed.
    #[cold]
    fn refill(&mut self, class: Class, what_for: For) -> Option<NonNull<u8>> {
        let (cells, shard) = (self.cells, &mut *self.shard);
        if shard.by_class.is_empty() {
            shard.by_class = vec![Vec::new(); CLASSES];
        }
        let mut state = cells.lock();
        let spare = if what_for == For::Evacuation { 0 } else { SPARE_PAGES };
        let count = (REFILL_BYTES / cell_bytes(class)).clamp(1, REFILL_CELLS);
        let list = &mut shard.by_class[class];
        let taken = state.pages.take(class, count, spare, |offset| {
            let cell = cells.region.at(offset);
            #[cfg(all(debug_assertions, not(loom)))]
            poison(cell, class);
            list.push(cell);
        });
        cells.update(&state);
        shard.bytes += taken * cell_bytes(class);
        list.pop()
    }

    /// Takes back memory that nobody else has seen.
    pub(super) fn discard(&mut self, cell: NonNull<u8>, bytes: usize) {
        let class = class_of(bytes).expect("it was allocated");
        self.shard.push(cell, class, self.cells);
    }

    /// Notes that a record was taken out of the table.
    #[inline]
    pub(super) fn retire(&mut self, record: NonNull<Header>) {
        self.shard.bag.push(record);
    }

    /// What is to be handed over, if it is time.
    #[inline]
    pub(super) fn full_bag(&mut self) -> Vec<NonNull<Header>> {
        if self.shard.bag.len() < BAG { Vec::new() } else { self.bag() }
    }

    /// What is to be handed over.
    #[cold]
    pub(super) fn bag(&mut self) -> Vec<NonNull<Header>> {
        std::mem::replace(&mut self.shard.bag, Vec::with_capacity(BAG))
    }
}

impl Shard {
    #[inline]
    fn push(&mut self, cell: NonNull<u8>, class: Class, cells: &Cells) {
        #[cfg(all(debug_assertions, not(loom)))]
        poison(cell, class);
        let bytes = cell_bytes(class);
        if self.bytes + bytes > LISTED_BYTES_MAX {
            self.give_back_all(cells);
        }
        if self.by_class.is_empty() {
            self.by_class = vec![Vec::new(); CLASSES];
        }
        let list = &mut self.by_class[class];
        list.push(cell);
        self.bytes += bytes;
        let count = list.len();
        if count > CLASS_CELLS_MAX || count * bytes > CLASS_BYTES_MAX {
            // The coldest.
            self.give_back(class, count.div_ceil(2), cells);
        }
    }

    #[cold]
    fn give_back_all(&mut self, cells: &Cells) {
        for class in 0..self.by_class.len() {
            self.give_back(class, usize::MAX, cells);
        }
    }

    #[cold]
    fn give_back(&mut self, class: Class, most: usize, cells: &Cells) {
        let list = &mut self.by_class[class];
        let count = list.len().min(most);
        if count == 0 {
            return;
        }
        let mut state = cells.lock();
        list.drain(..count).for_each(|cell| state.pages.give(cells.region.offset(cell)));
        cells.update(&state);
        self.bytes -= count * cell_bytes(class);
    }
}

impl Garbage {
    /// No thread can see them any more.
    fn free(self) {
        let Self { cells, records } = self;
        let mut mine = cells.mine();
        let mut state = cells.has_evacuated().then(|| cells.lock());
        for record in records {
            // SAFETY: it is still initialized.
            let bytes = unsafe { size_of_record(record) };
            let class = class_of(bytes).expect("it was allocated");
            let cell = record.cast();
            let offset = cells.region.offset(cell);
            match &mut state {
                // Some may be of a page that is to empty.
                Some(state) => {
                    #[cfg(all(debug_assertions, not(loom)))]
                    poison(cell, class);
                    state.pages.give(offset);
                }
                None => mine.shard.push(cell, class, &cells),
            }
        }
        if let Some(state) = state {
            cells.update(&state);
        }
    }
}

fn set(flag: &AtomicU64, value: bool) {
    set_to(flag, u64::from(value));
}

/// Workers read it all the time, and it changes rarely.
fn set_to(flag: &AtomicU64, value: u64) {
    if flag.load(Ordering::Relaxed) != value {
        flag.store(value, Ordering::Relaxed);
    }
}

/// Nobody is to read what is free, or to write it.
#[cfg(all(debug_assertions, not(loom)))]
fn poison(cell: NonNull<u8>, class: Class) {
    // SAFETY: it is free, and as long as its class says.
    unsafe { cell.write_bytes(POISON, cell_bytes(class)) };
}

#[cfg(all(debug_assertions, not(loom)))]
fn assert_poison(cell: NonNull<u8>, class: Class) {
    // SAFETY: it is free, initialized by `poison`, and as long as its class says.
    let bytes = unsafe { std::slice::from_raw_parts(cell.as_ptr(), cell_bytes(class)) };
    assert!(bytes.iter().all(|&byte| byte == POISON), "a free cell was written");
}
