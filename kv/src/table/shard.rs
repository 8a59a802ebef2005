//! What a thread has at hand for its writes: free cells, and records that it retired.
//!
//! A shard has a list of free cells for each class, last in, first out, linked through the cells
//! themselves: what was freed last is still in the cache.

use std::ptr::NonNull;

use super::bag::Bag;
use super::cells::Cells;
use super::header::Header;
use super::size_class::{CLASSES, Class, cell_bytes};
use super::sync::IN_MODEL;
use super::try_lock::Locked;

/// What the lists of a shard hold at most, together and of one class.
const LISTED_BYTES_MAX: usize = 1 << 20;
const CLASS_BYTES_MAX: usize = 256 << 10;
const CLASS_CELLS_MAX: usize = 1024;
/// Cells that are taken from pages together, and their bytes.
const REFILL_CELLS: usize = if IN_MODEL { 1 } else { 32 };
const REFILL_BYTES: usize = 4 << 10;
/// Empty bags that a shard keeps: as many as are usually waiting.
const SPARE_BAGS: usize = 8;
#[cfg(all(debug_assertions, not(loom)))]
const POISON: u8 = 0xdd;

/// See above.
#[derive(Debug)]
pub(super) struct Shard {
    lists: [List; CLASSES],
    /// Of all cells that are listed.
    bytes: usize,
    /// Records that were taken out of the table and are not handed over yet.
    bag: Option<Box<Bag>>,
    /// Empty ones.
    spare_bags: [Option<Box<Bag>>; SPARE_BAGS],
}

/// Free cells of a class.
#[derive(Clone, Copy, Debug)]
struct List {
    head: Option<NonNull<Link>>,
    cells: u32,
    cells_max: u32,
}

/// The first bytes of a free cell.
#[derive(Debug)]
struct Link {
    next: Option<NonNull<Link>>,
}

// SAFETY: the cells in its lists are its own, and nobody else has a right to them.
unsafe impl Send for Shard {}

/// A shard, for the time of a write.
pub(super) struct Mine<'a> {
    cells: &'a Cells,
    shard: Locked<'a, Shard>,
}

impl<'a> Mine<'a> {
    #[inline]
    pub(super) fn new(cells: &'a Cells, shard: Locked<'a, Shard>) -> Self {
        Self { cells, shard }
    }

    /// A cell of a class, unless there is no memory.
    #[inline]
    pub(super) fn allocate(&mut self, class: Class) -> Option<NonNull<u8>> {
        match self.shard.pop(class) {
            Some(cell) => Some(cell),
            None => self.refill(class),
        }
    }

    /// A cell for what is moved from a cell of a class, and its class; unless there is no room.
    pub(super) fn allocate_for_move(&mut self, class: Class) -> Option<(NonNull<u8>, Class)> {
        match self.shard.pop(class) {
            Some(cell) => Some((cell, class)),
            None => {
                let taken = self.cells.take_for_move(class);
                taken.inspect(|&(cell, class)| poison(cell, class))
            }
        }
    }

    /// Takes cells from pages; one is not listed.
    #[cold]
    #[inline(never)]
    fn refill(&mut self, class: Class) -> Option<NonNull<u8>> {
        let count = (REFILL_BYTES / cell_bytes(class)).clamp(1, REFILL_CELLS);
        let (cells, shard) = (self.cells, &mut *self.shard);
        cells.take(class, count, |cell| {
            poison(cell, class);
            shard.list(cell, class);
        });
        shard.pop(class)
    }

    /// Takes back memory that nobody else can see.
    #[inline]
    pub(super) fn free(&mut self, cell: NonNull<u8>, class: Class) {
        poison(cell, class);
        self.shard.list(cell, class);
        let List { cells, cells_max, .. } = self.shard.lists[class];
        if cells > cells_max || self.shard.bytes > LISTED_BYTES_MAX {
            self.spill(class);
        }
    }

    /// There is too much in the lists.
    #[cold]
    #[inline(never)]
    fn spill(&mut self, class: Class) {
        if self.shard.bytes > LISTED_BYTES_MAX {
            self.shard.give_back_all(self.cells);
        } else {
            // The coldest.
            let kept = self.shard.lists[class].cells_max / 2;
            self.shard.give_back(class, kept, self.cells);
        }
    }

    /// Whether a record may be retired: there is memory to note it in.
    #[inline]
    pub(super) fn can_retire(&mut self) -> bool {
        self.shard.bag.is_some() || self.begin_bag()
    }

    #[cold]
    fn begin_bag(&mut self) -> bool {
        let spare = self.shard.spare_bags.iter_mut().find_map(Option::take);
        self.shard.bag = spare.or_else(Bag::new);
        self.shard.bag.is_some()
    }

    /// Notes that a record was taken out of the table. There is room for one after
    /// [`Self::can_retire`].
    #[inline]
    pub(super) fn retire(&mut self, record: NonNull<Header>, class: Class) {
        let bag = self.shard.bag.as_mut().expect("it was asked for before");
        bag.push(record, cell_bytes(class));
    }

    /// Whether it is time to hand over what was retired.
    #[inline]
    pub(super) fn is_bag_full(&self) -> bool {
        self.shard.bag.as_ref().is_some_and(|bag| bag.is_full())
    }

    /// What was retired, to be handed over.
    pub(super) fn bag(&mut self) -> Option<Box<Bag>> {
        self.shard.bag.take_if(|bag| !bag.is_empty())
    }

    /// An empty bag is used again.
    pub(super) fn keep_bag(&mut self, bag: Box<Bag>) {
        if let Some(place) = self.shard.spare_bags.iter_mut().find(|place| place.is_none()) {
            *place = Some(bag);
        }
    }

    /// Gives back all listed cells of a class that are of a page.
    pub(super) fn purge(&mut self, class: Class, is_of_page: impl Fn(NonNull<u8>) -> bool) {
        let mut left = self.shard.take_list(class);
        self.cells.give(std::iter::from_fn(|| {
            loop {
                let cell = unlink(&mut left)?;
                if is_of_page(cell) {
                    return Some(cell);
                }
                self.shard.list(cell, class);
            }
        }));
    }

    /// Gives back all listed cells.
    pub(super) fn give_back_all(&mut self) {
        self.shard.give_back_all(self.cells);
    }
}

impl Shard {
    pub(super) fn new() -> Self {
        let list = |class| {
            // Of the smallest there are the most; class 0 is never listed.
            let cells = (CLASS_BYTES_MAX / cell_bytes(class)).clamp(1, CLASS_CELLS_MAX);
            List { head: None, cells: 0, cells_max: cells as u32 }
        };
        Self {
            lists: std::array::from_fn(list),
            bytes: 0,
            bag: None,
            spare_bags: [const { None }; SPARE_BAGS],
        }
    }

    #[inline]
    fn pop(&mut self, class: Class) -> Option<NonNull<u8>> {
        let list = &mut self.lists[class];
        let cell = unlink(&mut list.head)?;
        list.cells -= 1;
        self.bytes -= cell_bytes(class);
        assert_poison(cell, class);
        Some(cell)
    }

    #[inline]
    fn list(&mut self, cell: NonNull<u8>, class: Class) {
        let list = &mut self.lists[class];
        let link = cell.cast::<Link>();
        // SAFETY: the cell is free and this shard's, and long enough for a link.
        unsafe { link.write(Link { next: list.head }) };
        list.head = Some(link);
        list.cells += 1;
        self.bytes += cell_bytes(class);
    }

    fn take_list(&mut self, class: Class) -> Option<NonNull<Link>> {
        let list = &mut self.lists[class];
        self.bytes -= list.cells as usize * cell_bytes(class);
        list.cells = 0;
        list.head.take()
    }

    fn give_back_all(&mut self, cells: &Cells) {
        for class in 0..CLASSES {
            self.give_back(class, 0, cells);
        }
    }

    /// Gives back all cells of a class but those that were freed last.
    fn give_back(&mut self, class: Class, kept: u32, cells: &Cells) {
        let list = &mut self.lists[class];
        let count = list.cells.saturating_sub(kept);
        if count == 0 {
            return;
        }
        let mut rest = &mut list.head;
        for _ in 0..kept {
            // SAFETY: it is in the list, so it is free and its link was written.
            rest = unsafe { &mut rest.as_mut().expect("there are so many").as_mut().next };
        }
        let mut rest = rest.take();
        list.cells = kept;
        self.bytes -= count as usize * cell_bytes(class);
        cells.give(std::iter::from_fn(|| unlink(&mut rest)));
    }
}

/// Takes the first of a list.
#[inline]
fn unlink(head: &mut Option<NonNull<Link>>) -> Option<NonNull<u8>> {
    let link = (*head)?;
    // SAFETY: it is in the list, so it is free and its link was written.
    *head = unsafe { link.as_ref() }.next;
    Some(link.cast())
}

/// Nobody is to read what is free, or to write it.
#[cfg(all(debug_assertions, not(loom)))]
fn poison(cell: NonNull<u8>, class: Class) {
    // SAFETY: it is free, and as long as its class says.
    unsafe { cell.write_bytes(POISON, cell_bytes(class)) };
}

/// The link of a free cell is written, and nothing else of it.
#[cfg(all(debug_assertions, not(loom)))]
fn assert_poison(cell: NonNull<u8>, class: Class) {
    // SAFETY: it is free, initialized by `poison`, and as long as its class says.
    let bytes = unsafe { std::slice::from_raw_parts(cell.as_ptr(), cell_bytes(class)) };
    assert!(
        bytes[size_of::<Link>()..].iter().all(|&byte| byte == POISON),
        "a free cell was written"
    );
}

#[cfg(not(all(debug_assertions, not(loom))))]
#[inline]
fn poison(_cell: NonNull<u8>, _class: Class) {}

#[cfg(not(all(debug_assertions, not(loom))))]
#[inline]
fn assert_poison(_cell: NonNull<u8>, _class: Class) {}
