//! Which cells of which pages are free: the bookkeeping of an allocator, without its memory.
//!
//! A page is free, or cut into cells of one class. A cell is free, or was taken. A page whose
//! cells are all free is free itself, for any class.
//!
//! ```text
//!            take                       the last cell is given back
//!   free ----------> partly used <---> full          |
//!     ^                  |                           |
//!     |        begin_evacuation                      |
//!     |                  v                           |
//!     +----------- evacuated <-----------------------+
//!        its last cell is given back
//! ```
//!
//! Cells are taken from the fullest pages of a class, so that the emptiest may empty. Nothing is
//! taken from a page that is being evacuated. What a page holds is moved to other pages of its
//! class, or, if these have no room, to larger cells that are free: so a class that is hardly used
//! keeps no page.
//!
//! A cell is named by its offset in bytes from the first page.

use super::size_class::{BUCKETS, CELLS_MAX, CLASSES, Class, PAGE_BYTES, cell_bytes, cells};

/// A page, by its number.
pub(super) type PageId = u32;

/// No page.
const NONE: PageId = PageId::MAX;
/// Partly used pages of a class are kept by how full they are, in so many steps.
const FULLNESS: usize = 16;
/// A page is worth evacuating if at least one in so many of its cells is free.
const WORTH_ONE_IN: usize = 32;
/// What is moved to larger cells takes at most one in so many of a page, and moves up by so many
/// classes at most.
const LARGER_ONE_IN: usize = 2;
const LARGER_CLASSES: usize = 64;
const WORDS: usize = CELLS_MAX.div_ceil(64);
/// What a page costs beside its cells.
pub(super) const PAGE_OVERHEAD_BYTES: usize = size_of::<Page>();
/// Pages whose bookkeeping is allocated together.
const CHUNK: usize = 32;

/// The pages of a table.
#[derive(Debug)]
pub(super) struct Pages {
    pages: Vec<Vec<Page>>,
    /// The first of the partly used pages, by class and fullness.
    partly: Box<[[PageId; FULLNESS]]>,
    /// Free cells in the partly used pages of a class.
    free_cells: Box<[u32]>,
    /// Free pages that were used before; with room for all.
    free: Vec<PageId>,
    /// Pages that were ever used: the first ones.
    touched: PageId,
    /// How many may be touched.
    limit: PageId,
    /// Pages that are being evacuated.
    evacuated: PageId,
    /// Pages of buckets.
    of_buckets: PageId,
    /// Cells that were ever given back.
    given: u64,
}

#[derive(Clone, Debug)]
struct Page {
    /// The cells that are free.
    free: [u64; WORDS],
    class: u16,
    /// Cells that were taken.
    taken: u16,
    state: State,
    /// Its neighbours in the list of its class and fullness.
    previous: PageId,
    next: PageId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Partly,
    Full,
    Evacuated,
}

impl Pages {
    /// No page is used yet.
    pub(super) fn new(limit: PageId) -> Self {
        Self {
            pages: Vec::new(),
            partly: vec![[NONE; FULLNESS]; CLASSES].into_boxed_slice(),
            free_cells: vec![0; CLASSES].into_boxed_slice(),
            free: Vec::new(),
            touched: 0,
            limit,
            evacuated: 0,
            of_buckets: 0,
            given: 0,
        }
    }

    /// Pages that a class can still take.
    pub(super) fn free_pages(&self) -> PageId {
        self.free.len() as PageId + (self.limit - self.touched)
    }

    /// Pages that were ever used, which the system keeps in memory.
    pub(super) fn touched(&self) -> PageId {
        self.touched
    }

    /// How many pages may be touched.
    pub(super) fn limit(&self) -> PageId {
        self.limit
    }

    /// Changes it; never to less than were touched.
    pub(super) fn set_limit(&mut self, limit: PageId) {
        assert!(limit >= self.touched, "a page that was touched is not given up");
        self.limit = limit;
    }

    /// Pages that are being evacuated.
    pub(super) fn evacuated(&self) -> PageId {
        self.evacuated
    }

    /// Pages of buckets that others overflow into.
    pub(super) fn of_buckets(&self) -> PageId {
        self.of_buckets
    }

    /// Cells that were ever given back.
    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// Takes up to `count` cells of a class, and tells of each. A page is begun for it only if
    /// more than `spare` are free. Returns how many there were: less only if there are no more.
    pub(super) fn take(
        &mut self,
        class: Class,
        count: usize,
        spare: PageId,
        mut taken: impl FnMut(usize),
    ) -> usize {
        let mut left = count;
        while left > 0 {
            let id = match self.fullest(class) {
                Some(id) => id,
                // What is there already is enough, before another page is begun.
                None if left < count => break,
                None => match self.take_page(class, spare) {
                    Some(id) => id,
                    None => break,
                },
            };
            left -= self.take_from(id, left, &mut taken);
        }
        count - left
    }

    /// Takes a cell for what is moved from one of a class, perhaps a larger one. Begins no page:
    /// nothing would be gained.
    pub(super) fn take_for_move(&mut self, class: Class) -> Option<(usize, Class)> {
        let class = self.larger(class).find(|&class| self.free_cells[class] > 0)?;
        let mut taken = None;
        self.take(class, 1, PageId::MAX, |offset| taken = Some((offset, class)));
        taken
    }

    /// Gives a cell back; returns whether that was the last of a page that was being evacuated.
    pub(super) fn give(&mut self, offset: usize) -> bool {
        let id = page_of(offset);
        let page = self.page(id);
        let (class, was) = (usize::from(page.class), page.state);
        let cell = offset % PAGE_BYTES / cell_bytes(class);
        assert!(offset.is_multiple_of(PAGE_BYTES) || was != State::Free, "no cell was taken");
        let (word, bit) = (cell / 64, 1 << (cell % 64));
        assert!(was != State::Free && page.free[word] & bit == 0, "a cell is given back once");
        self.unlink(id);
        let page = self.page_mut(id);
        page.free[word] |= bit;
        page.taken -= 1;
        let is_evacuated = was == State::Evacuated && page.taken == 0;
        self.given += 1;
        self.evacuated -= PageId::from(is_evacuated);
        self.link(id);
        is_evacuated
    }

    /// Begins to evacuate the page with the fewest cells taken whose cells others of its class
    /// have room for; nothing if it would gain too little.
    pub(super) fn begin_evacuation(&mut self) -> Option<PageId> {
        let id = (0..FULLNESS)
            .flat_map(|fullness| self.partly.iter().map(move |heads| heads[fullness]))
            .filter(|&id| id != NONE)
            .find(|&id| self.is_worth_evacuating(id))?;
        self.evacuate(id);
        Some(id)
    }

    /// Begins to evacuate a page that is partly used.
    pub(super) fn evacuate(&mut self, id: PageId) {
        assert_eq!(self.page(id).state, State::Partly, "others don't gain");
        self.unlink(id);
        self.page_mut(id).state = State::Evacuated;
        self.evacuated += 1;
    }

    /// Cells are taken from a page again, unless it is empty already.
    pub(super) fn cancel_evacuation(&mut self, id: PageId) -> bool {
        let is_evacuated = self.is_evacuated(id);
        if is_evacuated {
            self.evacuated -= 1;
            self.page_mut(id).state = State::Free;
            self.link(id);
        }
        is_evacuated
    }

    /// Whether the page is being evacuated.
    pub(super) fn is_evacuated(&self, id: PageId) -> bool {
        self.page(id).state == State::Evacuated
    }

    /// Of which class a page's cells are.
    pub(super) fn class(&self, id: PageId) -> Class {
        usize::from(self.page(id).class)
    }

    /// The cells of a page that were taken, with their number, from a number on.
    pub(super) fn taken_cells(
        &self,
        id: PageId,
        from: usize,
    ) -> impl Iterator<Item = (usize, usize)> + '_ {
        let page = self.page(id);
        let class = usize::from(page.class);
        let is_taken = |cell: &usize| page.free[cell / 64] & (1 << (cell % 64)) == 0;
        (from..cells(class))
            .filter(is_taken)
            .map(move |cell| (cell, id as usize * PAGE_BYTES + cell * cell_bytes(class)))
    }

    fn is_worth_evacuating(&self, id: PageId) -> bool {
        let page = self.page(id);
        let class = usize::from(page.class);
        let (taken, all) = (usize::from(page.taken), cells(class));
        let free = all - taken;
        if class == BUCKETS || free * WORTH_ONE_IN < all {
            return false;
        }
        let mut homeless = taken.saturating_sub(self.free_cells[class] as usize - free);
        for larger in self.larger(class).skip(1) {
            if homeless == 0 || homeless * cell_bytes(larger) * LARGER_ONE_IN > PAGE_BYTES {
                break;
            }
            homeless = homeless.saturating_sub(self.free_cells[larger] as usize);
        }
        homeless == 0
    }

    /// A class, and those to whose cells its records may be moved.
    fn larger(&self, class: Class) -> impl Iterator<Item = Class> + use<> {
        class..(class + LARGER_CLASSES).min(CLASSES)
    }

    fn fullest(&self, class: Class) -> Option<PageId> {
        self.partly[class].iter().rev().copied().find(|&id| id != NONE)
    }

    fn take_page(&mut self, class: Class, spare: PageId) -> Option<PageId> {
        if self.free_pages() <= spare {
            return None;
        }
        let id = match self.free.pop() {
            Some(id) => id,
            None => self.touch()?,
        };
        self.of_buckets += PageId::from(class == BUCKETS);
        let page = self.page_mut(id);
        debug_assert_eq!((page.state, page.taken), (State::Free, 0));
        page.class = class as u16;
        page.free = std::array::from_fn(|word| match cells(class).saturating_sub(64 * word) {
            0 => 0,
            left @ ..64 => (1 << left) - 1,
            _ => u64::MAX,
        });
        Some(id)
    }

    /// A page that was never used, if the system has memory for its bookkeeping.
    fn touch(&mut self) -> Option<PageId> {
        if self.touched as usize == self.pages.len() * CHUNK {
            let mut chunk = Vec::new();
            chunk.try_reserve_exact(CHUNK).ok()?;
            self.pages.try_reserve(1).ok()?;
            self.free.try_reserve(self.touched as usize + CHUNK).ok()?;
            chunk.resize(CHUNK, Page::FREE);
            self.pages.push(chunk);
        }
        self.touched += 1;
        Some(self.touched - 1)
    }

    fn take_from(&mut self, id: PageId, most: usize, taken: &mut impl FnMut(usize)) -> usize {
        self.unlink(id);
        let page = self.page_mut(id);
        let cell_bytes = cell_bytes(usize::from(page.class));
        let mut count = 0;
        'words: for (word, free) in page.free.iter_mut().enumerate() {
            while *free != 0 {
                if count == most {
                    break 'words;
                }
                let cell = 64 * word + free.trailing_zeros() as usize;
                *free &= *free - 1;
                count += 1;
                taken(id as usize * PAGE_BYTES + cell * cell_bytes);
            }
        }
        page.taken += count as u16;
        self.link(id);
        count
    }

    /// Takes a page out of the list of its class and fullness, if it is in one.
    fn unlink(&mut self, id: PageId) {
        let Page { class, taken, state, previous, next, .. } = *self.page(id);
        if state != State::Partly {
            return;
        }
        let class = usize::from(class);
        self.free_cells[class] -= (cells(class) - usize::from(taken)) as u32;
        match previous {
            NONE => self.partly[class][fullness(class, taken)] = next,
            _ => self.page_mut(previous).next = next,
        }
        if next != NONE {
            self.page_mut(next).previous = previous;
        }
    }

    /// Puts a page into the list where it belongs now.
    fn link(&mut self, id: PageId) {
        let Page { class, taken, state, .. } = *self.page(id);
        let class = usize::from(class);
        let state = match usize::from(taken) {
            0 => State::Free,
            _ if state == State::Evacuated => State::Evacuated,
            all if all == cells(class) => State::Full,
            _ => State::Partly,
        };
        self.page_mut(id).state = state;
        match state {
            State::Free => {
                self.of_buckets -= PageId::from(class == BUCKETS);
                self.free.push(id);
            }
            State::Full | State::Evacuated => {}
            State::Partly => {
                self.free_cells[class] += (cells(class) - usize::from(taken)) as u32;
                let head = &mut self.partly[class][fullness(class, taken)];
                let next = std::mem::replace(head, id);
                if next != NONE {
                    self.page_mut(next).previous = id;
                }
                let page = self.page_mut(id);
                (page.previous, page.next) = (NONE, next);
            }
        }
    }

    fn page(&self, id: PageId) -> &Page {
        &self.pages[id as usize / CHUNK][id as usize % CHUNK]
    }

    fn page_mut(&mut self, id: PageId) -> &mut Page {
        &mut self.pages[id as usize / CHUNK][id as usize % CHUNK]
    }
}

impl Page {
    const FREE: Self = Self {
        free: [0; WORDS],
        class: 0,
        taken: 0,
        state: State::Free,
        previous: NONE,
        next: NONE,
    };
}

/// The page of a cell.
pub(super) const fn page_of(offset: usize) -> PageId {
    (offset / PAGE_BYTES) as PageId
}

fn fullness(class: Class, taken: u16) -> usize {
    usize::from(taken) * FULLNESS / cells(class)
}

#[cfg(all(test, not(any(loom, shuttle))))]
#[path = "pages_tests.rs"]
mod tests;
