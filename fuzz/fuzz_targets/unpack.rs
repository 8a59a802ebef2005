//! Any bytes end in a value or an error.
#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| testkit::harness::unpack::run(bytes));
