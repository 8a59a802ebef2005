//! A client and a server under a script of misfortunes.
#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| testkit::harness::session::run(bytes));
