//! Records that were retired: they are handed over in bags, and freed when no thread can see them.

use std::ptr::NonNull;
use std::sync::Arc;

use super::bag::Bag;
use super::epoch::{Guard, flush, retire};
use super::header::class_of_record;
use super::shard::Mine;
use super::shards::Shards;

/// Leaves a shard, and hands over what was retired there if that is much.
#[inline]
pub(super) fn leave(mut mine: Mine<'_>, shards: &Arc<Shards>, guard: &Guard) {
    if mine.is_bag_full() {
        let bag = mine.bag().expect("it is full");
        drop(mine);
        hand_over(shards, bag, guard);
    }
}

/// Frees records when no thread can see them any more.
#[cold]
#[inline(never)]
pub(super) fn hand_over(shards: &Arc<Shards>, bag: Box<Bag>, guard: &Guard) {
    let shards = shards.clone();
    shards.cells().add_garbage(bag.bytes());
    let bag = NonNull::from(Box::leak(bag));
    // SAFETY: the bag was leaked above, and its records were taken out of the table.
    unsafe { retire(guard, bag, move |bag| free(&shards, Box::from_raw(bag.as_ptr()))) };
    flush(guard);
}

/// No thread can see them any more.
fn free(shards: &Shards, mut bag: Box<Bag>) {
    let cells = shards.cells();
    cells.sub_garbage(bag.bytes());
    let mut mine = shards.mine();
    let is_evacuating = cells.is_evacuating();
    bag.retain(|record| {
        // The pages of these are to empty.
        if is_evacuating && cells.is_evacuated(record.cast()) {
            return true;
        }
        // SAFETY: it is still initialized.
        let class = unsafe { class_of_record(record) };
        mine.free(record.cast(), class);
        false
    });
    if !bag.is_empty() {
        cells.give(bag.records().map(NonNull::cast));
    }
    bag.clear();
    mine.keep_bag(bag);
}
