//! Packing and unpacking are inverses.
#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| testkit::harness::inverse::run(bytes));
