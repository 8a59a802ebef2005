//! Any bytes are a history, or are refused.
#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| testkit::harness::history::run(bytes));
