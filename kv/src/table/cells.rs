//! The memory of the records: cells of pages that the table owns, within its bound (invariant 6).
//! Threads have some of them at hand ([`super::shards`]).

use std::io;
use std::ptr::NonNull;
use std::sync::Arc;

use super::header::{Header, class_of_record};
use super::pages::{PAGE_OVERHEAD_BYTES, PageId, Pages, page_of};
use super::region::{COMMIT_BYTES, Region};
use super::size_class::{BUCKETS, Class, PAGE_BYTES};
use super::sync::{AtomicBool, AtomicU64, IN_MODEL, Mutex, MutexGuard, Ordering};

/// Any `--memory` has so much.
const BYTES_MIN: u64 = if IN_MODEL { 64 << 10 } else { 24 << 20 };
/// What a page costs.
const PAGE_COST_BYTES: u64 = (PAGE_BYTES + PAGE_OVERHEAD_BYTES) as u64;
/// One page in so many is left for records that replace others and don't grow.
const RESERVE_ONE_IN: PageId = 16;
/// Pages that only buckets of the index are in: a bucket must not fail to migrate.
const SPARE_PAGES: PageId = 2;
/// So many cells are given back before evacuation is tried again that had nothing to gain.
const RETRY_AFTER_CELLS: u64 = 256;

/// See above.
#[derive(Debug)]
pub(super) struct Cells {
    region: Region,
    /// Pages and index may have so much together.
    bytes: u64,
    pressure: Pressure,
    state: Mutex<State>,
    /// By page, whether it is being evacuated. Set before the shards are locked in turn.
    is_evacuated: Box<[AtomicBool]>,
    /// Retired records that are waiting to be freed.
    garbage_bytes: AtomicU64,
    /// What was ever moved.
    records_moved: AtomicU64,
    bytes_moved: AtomicU64,
}

/// What each write looks at, and what rarely changes.
#[derive(Debug)]
#[repr(align(64))]
struct Pressure {
    /// Whether records may not grow.
    is_tight: AtomicBool,
    /// Whether free pages run low, and evacuation may gain some.
    is_low: AtomicBool,
    /// Whether pages are being evacuated.
    is_evacuating: AtomicBool,
}

/// Under the lock.
#[derive(Debug)]
struct State {
    pages: Pages,
    index_bytes: u64,
    /// Pages that are memory: the first ones.
    committed: PageId,
    /// The system gives no more.
    is_exhausted: bool,
    /// With so many cells given back evacuation is tried again.
    retry_at: u64,
}

/// What the memory of a table is used for.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemoryUse {
    /// With the pages of buckets that others overflow into.
    pub(super) index_bytes: u64,
    /// Pages that hold records.
    pub(super) page_bytes: u64,
    /// Pages that held something before.
    pub(super) free_page_bytes: u64,
    pub(super) garbage_bytes: u64,
}

impl Cells {
    /// Pages within `--memory`, if the system has addresses for them; of which an index of so many
    /// bytes takes its part from the start.
    pub(super) fn new(memory_bytes: u64, index_bytes: u64) -> io::Result<Arc<Self>> {
        let bytes = memory_bytes.max(BYTES_MIN);
        let out_of_memory = || io::Error::from(io::ErrorKind::OutOfMemory);
        let limit = bytes.saturating_sub(index_bytes).max(BYTES_MIN / 2) / PAGE_COST_BYTES;
        let limit = PageId::try_from(limit).map_err(|_| out_of_memory())?;
        let region = Region::new(limit as usize * PAGE_BYTES, bytes > BYTES_MIN)?;
        let mut is_evacuated = Vec::new();
        is_evacuated.try_reserve_exact(limit as usize).map_err(|_| out_of_memory())?;
        is_evacuated.resize_with(limit as usize, || AtomicBool::new(false));
        Ok(Arc::new(Self {
            region,
            bytes,
            pressure: Pressure {
                is_tight: AtomicBool::new(false),
                is_low: AtomicBool::new(false),
                is_evacuating: AtomicBool::new(false),
            },
            state: Mutex::new(State {
                pages: Pages::new(limit),
                index_bytes: 0,
                committed: 0,
                is_exhausted: false,
                retry_at: 0,
            }),
            is_evacuated: is_evacuated.into_boxed_slice(),
            garbage_bytes: AtomicU64::new(0),
            records_moved: AtomicU64::new(0),
            bytes_moved: AtomicU64::new(0),
        }))
    }

    /// Whether records may not grow.
    #[inline]
    pub(super) fn is_tight(&self) -> bool {
        self.pressure.is_tight.load(Ordering::Relaxed)
    }

    /// Whether free pages run low, and evacuation may gain some.
    #[inline]
    pub(super) fn is_low(&self) -> bool {
        self.pressure.is_low.load(Ordering::Relaxed)
    }

    /// Whether pages are being evacuated.
    #[inline]
    pub(super) fn is_evacuating(&self) -> bool {
        self.pressure.is_evacuating.load(Ordering::Relaxed)
    }

    /// Whether the page of a cell is being evacuated.
    #[inline]
    pub(super) fn is_evacuated(&self, cell: NonNull<u8>) -> bool {
        let page = page_of(self.region.offset(cell));
        self.is_evacuated[page as usize].load(Ordering::Relaxed)
    }

    pub(super) fn add_garbage(&self, bytes: usize) {
        self.garbage_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn sub_garbage(&self, bytes: usize) {
        self.garbage_bytes.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    /// A record was moved to a cell of so many bytes.
    pub(super) fn moved(&self, bytes: usize) {
        self.records_moved.fetch_add(1, Ordering::Relaxed);
        self.bytes_moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn records_moved(&self) -> u64 {
        self.records_moved.load(Ordering::Relaxed)
    }

    pub(super) fn bytes_moved(&self) -> u64 {
        self.bytes_moved.load(Ordering::Relaxed)
    }

    /// Takes up to `count` cells of a class for records, and tells of each.
    pub(super) fn take(&self, class: Class, count: usize, mut taken: impl FnMut(NonNull<u8>)) {
        let mut state = self.lock_to_take();
        state.pages.take(class, count, SPARE_PAGES, |offset| taken(self.region.at(offset)));
        self.update(&state);
    }

    /// Takes a cell for what is moved from one of a class, and its class.
    pub(super) fn take_for_move(&self, class: Class) -> Option<(NonNull<u8>, Class)> {
        let mut state = self.lock();
        let (offset, class) = state.pages.take_for_move(class)?;
        Some((self.region.at(offset), class))
    }

    /// Takes memory for a bucket that another overflows into.
    pub(super) fn take_bucket(&self) -> Option<NonNull<u8>> {
        let mut state = self.lock_to_take();
        let mut taken = None;
        state.pages.take(BUCKETS, 1, 0, |offset| taken = Some(self.region.at(offset)));
        self.update(&state);
        taken
    }

    /// Takes cells back, of any class.
    pub(super) fn give(&self, cells: impl Iterator<Item = NonNull<u8>>) {
        let mut state = self.lock();
        for cell in cells {
            let offset = self.region.offset(cell);
            if state.pages.give(offset) {
                self.is_evacuated[page_of(offset) as usize].store(false, Ordering::Relaxed);
            }
        }
        self.update(&state);
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
        let most = if state.is_exhausted { state.committed } else { PageId::MAX };
        let limit = limit.min(self.is_evacuated.len() as u64).min(u64::from(most)) as PageId;
        state.pages.set_limit(limit.max(state.pages.touched()));
        self.update(state);
    }

    /// What memory is used for.
    pub(super) fn memory_use(&self) -> MemoryUse {
        let state = self.lock();
        let pages = &state.pages;
        let used = pages.limit() - pages.free_pages();
        let bytes = |pages: PageId| u64::from(pages) * PAGE_BYTES as u64;
        MemoryUse {
            index_bytes: state.index_bytes + bytes(pages.of_buckets()),
            page_bytes: bytes(used - pages.of_buckets()),
            free_page_bytes: bytes(pages.touched() - used),
            garbage_bytes: self.garbage_bytes.load(Ordering::Relaxed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }

    /// The same with memory for a page that may be begun, unless there is none.
    fn lock_to_take(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        if state.pages.touched() == state.committed && !state.is_exhausted {
            self.commit(&mut state);
        }
        state
    }

    #[cold]
    fn commit(&self, state: &mut State) {
        let offset = state.committed as usize * PAGE_BYTES;
        if offset >= self.is_evacuated.len() * PAGE_BYTES {
            return;
        }
        match self.region.commit(offset, COMMIT_BYTES) {
            Ok(()) => state.committed += (COMMIT_BYTES / PAGE_BYTES) as PageId,
            Err(_) => {
                state.is_exhausted = true;
                self.limit_pages(state);
            }
        }
    }

    /// Notes how many pages are free.
    fn update(&self, state: &State) {
        let pages = &state.pages;
        let reserve = pages.limit() / RESERVE_ONE_IN;
        let low = reserve + (reserve / 4).max(2);
        let free = pages.free_pages();
        let may_gain = pages.given() >= state.retry_at;
        let Pressure { is_tight, is_low, is_evacuating } = &self.pressure;
        set(is_tight, free < reserve);
        set(is_low, free + pages.evacuated() < low && may_gain);
        set(is_evacuating, pages.evacuated() > 0);
    }

    /// Begins to evacuate a page, if there is one that gains something.
    pub(super) fn begin_evacuation(&self) -> Option<PageId> {
        let mut state = self.lock();
        let page = state.pages.begin_evacuation();
        match page {
            Some(page) => self.is_evacuated[page as usize].store(true, Ordering::Relaxed),
            None => state.retry_at = state.pages.given() + RETRY_AFTER_CELLS,
        }
        self.update(&state);
        page
    }

    /// The class of a page that is being evacuated; none if it is not, or empty already.
    pub(super) fn class_of_evacuated(&self, page: PageId) -> Option<Class> {
        let state = self.lock();
        state.pages.is_evacuated(page).then(|| state.pages.class(page))
    }

    /// Whether a cell is of a page.
    pub(super) fn is_of_page(&self, cell: NonNull<u8>, page: PageId) -> bool {
        page_of(self.region.offset(cell)) == page
    }

    /// There is no room for what a page holds.
    pub(super) fn cancel_evacuation(&self, page: PageId) {
        let mut state = self.lock();
        if state.pages.cancel_evacuation(page) {
            self.is_evacuated[page as usize].store(false, Ordering::Relaxed);
        }
        state.retry_at = state.pages.given() + RETRY_AFTER_CELLS;
        self.update(&state);
    }

    /// Up to `count` records of a page that is being evacuated, from the cell of a number on; and
    /// the number of the next cell, if there is one. Every shard was locked since its evacuation
    /// began.
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
        let class = state.pages.class(page);
        let mut taken = state.pages.taken_cells(page, from);
        for (_, offset) in taken.by_ref().take(count) {
            let record = self.region.at(offset).cast();
            // SAFETY: it was published, and is freed only under this lock.
            debug_assert_eq!(unsafe { class_of_record(record) }, class, "it is no record");
            told(record);
        }
        taken.next().map(|(cell, _)| cell)
    }
}

/// Workers read it all the time, and it changes rarely.
fn set(flag: &AtomicBool, value: bool) {
    if flag.load(Ordering::Relaxed) != value {
        flag.store(value, Ordering::Relaxed);
    }
}
