//! The bookkeeping of pages against a set of the cells that were taken.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::size_class::class_of;
use super::*;

const LIMIT: PageId = 12;
/// Sizes of which pages hold very many cells, many, and few.
const SIZES: [usize; 6] = [24, 160, 1424, 8192, 20_000, PAGE_BYTES];

/// What is asked of pages.
#[derive(Clone, Debug)]
enum Step {
    Take {
        size: usize,
        count: usize,
        spare: PageId,
    },
    /// Of the cells that are taken, so many from a place on.
    Give {
        at: usize,
        count: usize,
    },
    Evacuate,
    Cancel,
}

fn step() -> impl Strategy<Value = Step> {
    let size = proptest::sample::select(&SIZES[..]);
    prop_oneof![
        4 => (size, 1..300_usize, 0..3_u32)
            .prop_map(|(size, count, spare)| Step::Take { size, count, spare }),
        4 => (any::<usize>(), 1..400_usize).prop_map(|(at, count)| Step::Give { at, count }),
        1 => Just(Step::Evacuate),
        1 => Just(Step::Cancel),
    ]
}

/// The cells that are taken, with their size, and what follows from that.
#[derive(Debug, Default)]
struct Model {
    taken: BTreeMap<usize, usize>,
    evacuated: Vec<PageId>,
    ever_used: usize,
}

impl Model {
    fn used_pages(&self) -> usize {
        let mut pages: Vec<_> = self.taken.keys().map(|&offset| page_of(offset)).collect();
        pages.dedup();
        pages.len()
    }

    fn taken_in(&self, page: PageId) -> impl Iterator<Item = (&usize, &usize)> {
        let first = page as usize * PAGE_BYTES;
        self.taken.range(first..first + PAGE_BYTES)
    }

    fn assert_taken(&mut self, size: usize, offset: usize) {
        let cell = cell_bytes(class_of(size).unwrap());
        assert!(
            (offset % PAGE_BYTES).is_multiple_of(cell) && offset % PAGE_BYTES + cell <= PAGE_BYTES
        );
        assert!(!self.evacuated.contains(&page_of(offset)), "it was to empty");
        let other = self.taken_in(page_of(offset)).next().map_or(cell, |(_, &other)| other);
        assert_eq!(other, cell, "a page has one size");
        assert_eq!(self.taken.insert(offset, cell), None, "a cell is taken once");
    }
}

fn follow(steps: Vec<Step>) {
    let (mut pages, mut model) = (Pages::new(LIMIT), Model::default());
    for step in steps {
        match step {
            Step::Take { size, count, spare } => {
                let class = class_of(size).unwrap();
                let mut offsets = Vec::new();
                let had_pages = pages.free_pages();
                let taken = pages.take(class, count, spare, |offset| offsets.push(offset));
                assert_eq!(taken, offsets.len());
                assert!(taken > 0 || had_pages <= spare, "there was a page for it");
                for offset in offsets {
                    model.assert_taken(size, offset);
                }
            }
            Step::Give { at, count } => {
                let from = at % model.taken.len().max(1);
                let given: Vec<_> = model.taken.keys().skip(from).take(count).copied().collect();
                for offset in given {
                    pages.give(offset);
                    model.taken.remove(&offset);
                }
                let is_used = |&page: &PageId| model.taken_in(page).next().is_some();
                let left = model.evacuated.iter().copied().filter(is_used).collect();
                model.evacuated = left;
            }
            Step::Evacuate => {
                if let Some(page) = pages.begin_evacuation() {
                    let cells: Vec<_> = pages.taken_cells(page, 0).map(|(_, at)| at).collect();
                    let expected: Vec<_> = model.taken_in(page).map(|(&at, _)| at).collect();
                    assert_eq!(cells, expected, "the cells that were taken");
                    model.evacuated.push(page);
                }
            }
            Step::Cancel => {
                if let Some(page) = model.evacuated.pop() {
                    pages.cancel_evacuation(page);
                }
            }
        }
        let used = model.used_pages();
        model.ever_used = model.ever_used.max(used);
        assert_eq!(pages.free_pages() as usize, LIMIT as usize - used);
        assert_eq!(pages.touched() as usize, model.ever_used, "used pages are used again first");
        assert_eq!(pages.evacuated() as usize, model.evacuated.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pages_do_what_a_set_of_taken_cells_does(steps in prop::collection::vec(step(), 1..60)) {
        follow(steps);
    }
}

/// Takes so many cells.
fn take(pages: &mut Pages, size: usize, count: usize) -> Vec<usize> {
    let mut offsets = Vec::new();
    while offsets.len() < count {
        let left = count - offsets.len();
        assert!(pages.take(class_of(size).unwrap(), left, 0, |offset| offsets.push(offset)) > 0);
    }
    offsets
}

#[test]
fn cells_are_taken_from_the_fullest_page() {
    let mut pages = Pages::new(LIMIT);
    let cells = take(&mut pages, 8192, 24);
    for &offset in cells[..6].iter().chain(&cells[8..11]) {
        pages.give(offset);
    }
    let taken = take(&mut pages, 8192, 3);
    assert!(taken.iter().all(|&offset| page_of(offset) == page_of(cells[8])), "{taken:?}");
}

#[test]
fn the_emptiest_page_is_evacuated_if_others_have_room_for_it() {
    let mut pages = Pages::new(LIMIT);
    let cells = take(&mut pages, 8192, 24);
    let others = take(&mut pages, 1424, 10);
    assert_eq!(pages.begin_evacuation(), None, "the others of its class are full, or none");
    for &offset in cells[..6].iter().chain(&cells[8..11]) {
        pages.give(offset);
    }
    assert_eq!(pages.begin_evacuation(), Some(page_of(cells[0])));
    assert_eq!(pages.begin_evacuation(), None, "what is left has no room for another");
    let emptied = [6, 7].map(|cell: usize| pages.give(cells[cell]));
    assert_eq!(emptied, [false, true]);
    let free = pages.free_pages();
    assert_eq!((free, pages.evacuated()), (LIMIT - 3, 0), "{others:?}");
}

#[test]
fn the_last_page_of_a_class_is_evacuated_if_larger_cells_are_free() {
    let mut pages = Pages::new(LIMIT);
    let few = take(&mut pages, 160, 3);
    assert_eq!(pages.begin_evacuation(), None, "there is no other page");
    let larger = take(&mut pages, 200, 4);
    assert_eq!(pages.begin_evacuation(), Some(page_of(few[0])));
    let moved = few.iter().map(|_| pages.take_for_move(class_of(160).unwrap()));
    let moved: Vec<_> = moved.map(|moved| moved.expect("there is room")).collect();
    let page = page_of(larger[0]);
    let is_larger = |&(offset, class)| page_of(offset) == page && class == class_of(200).unwrap();
    assert!(moved.iter().all(is_larger), "{moved:?}");
    let emptied: Vec<_> = few.iter().map(|&offset| pages.give(offset)).collect();
    assert_eq!(emptied, [false, false, true]);
    assert_eq!(pages.free_pages(), LIMIT - 1);
}

#[test]
fn records_are_moved_to_larger_cells_only_if_they_take_less_than_a_page() {
    let mut pages = Pages::new(LIMIT);
    take(&mut pages, 160, 300);
    take(&mut pages, 400, 1);
    assert_eq!(pages.begin_evacuation(), None, "300 records in 100 cells that are free");
    take(&mut pages, 20_000, 1);
    assert_eq!(pages.begin_evacuation(), None, "two records, as large as a page together");
}

#[test]
fn buckets_are_not_evacuated() {
    let mut pages = Pages::new(LIMIT);
    let mut buckets = Vec::new();
    for _ in 0..2 {
        pages.take(BUCKETS, cells(BUCKETS), 0, |offset| buckets.push(offset));
    }
    buckets.iter().step_by(2).for_each(|&offset| assert!(!pages.give(offset)));
    assert_eq!(pages.begin_evacuation(), None, "nobody moves them");
}

#[test]
#[should_panic(expected = "a cell is given back once")]
fn a_cell_that_is_given_back_twice_is_noticed() {
    let mut pages = Pages::new(LIMIT);
    let cells = take(&mut pages, 160, 2);
    pages.give(cells[0]);
    pages.give(cells[0]);
}
