//! What must hold whatever the bytes are: each harness takes any bytes and panics when a
//! fact is broken.
//!
//! A fuzzer drives them (`fuzz/`), and so do ordinary tests, with the fuzzer's corpus and
//! with random bytes. They use no clock, entropy or thread: the same bytes do the same.

mod ends;
mod forged;
pub mod history;
pub mod inverse;
pub mod session;
mod store;
pub mod unpack;

use arbitrary::Unstructured;

/// A harness: it panics if the bytes break a fact.
pub type Harness = fn(&[u8]);

/// All harnesses, by the names of their fuzz targets.
pub const ALL: [(&str, Harness); 4] = [
    ("unpack", unpack::run),
    ("inverse", inverse::run),
    ("session", session::run),
    ("history", history::run),
];

/// One of some things; the first when the input is used up.
fn one_of<T: Copy>(input: &mut Unstructured<'_>, things: &[T]) -> T {
    *input.choose(things).expect("there is something to choose from")
}

/// A number less than `limit`; 0 when the input is used up.
fn below(input: &mut Unstructured<'_>, limit: usize) -> usize {
    input.int_in_range(0..=limit - 1).expect("the range is not empty")
}

/// Any value of a type of fixed size; zero when the input is used up.
fn any<T: for<'a> arbitrary::Arbitrary<'a>>(input: &mut Unstructured<'_>) -> T {
    input.arbitrary().expect("numbers are always there")
}

/// So many bytes, or all that are left.
fn bytes<'a>(input: &mut Unstructured<'a>, count: usize) -> &'a [u8] {
    let count = count.min(input.len());
    input.bytes(count).expect("so many are left")
}
