//! The bucket table, with a fixed secret of its hash: a random one fills the buckets otherwise each time,
//! and counts differ by 5 %.

use std::hint::black_box;

use kv::table::{BucketTable, SecretHash};
use proto::store::Store as _;

use super::count;

const RECORDS: u64 = 4096;
/// Keys that are looked up together.
const GROUP: usize = 64;
const GROUPS: usize = 64;
const MEMORY_CAP_BYTES: u64 = 1 << 30;
const VALUE: [u8; 128] = [7; 128];

const _: () = assert!(GROUPS * GROUP == RECORDS as usize);

fn filled() -> BucketTable {
    let table =
        BucketTable::with_hash(RECORDS as usize, MEMORY_CAP_BYTES, SecretHash::new([7; 16]));
    for key in 0..RECORDS {
        (&table).put(&key.to_be_bytes(), &VALUE).expect("there is room");
    }
    table
}

pub(super) fn get_groups() {
    let table = filled();
    count(GROUPS, |group| {
        let first = (group * GROUP) as u64;
        let keys: [[u8; 8]; GROUP] =
            std::array::from_fn(|index| (first + index as u64).to_be_bytes());
        // The compiler is not to know their lengths: a server doesn't.
        let keys: [&[u8]; GROUP] = std::array::from_fn(|index| black_box(&keys[index][..]));
        (&table).get(&keys, |_, record| {
            let value: [u8; VALUE.len()] =
                record.expect("it was put").value.try_into().expect("as it was put");
            black_box(value);
        });
    });
}

pub(super) fn overwrite() {
    let table = filled();
    count(RECORDS as usize, |key| {
        let key = (key as u64).to_be_bytes();
        (&table).put(black_box(&key[..]), black_box(&VALUE[..])).expect("there is room");
    });
}
