//! `kv`: see [`kv`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(not(any(loom, shuttle)))]
fn main() -> ExitCode {
    let flags: kv::flags::Flags = host::flags::parse("kv");
    let running = match kv::server::start(&flags) {
        Ok(running) => running,
        Err(error) => host::flags::fail("kv", format_args!("{error:#}")),
    };
    host::output::end("kv", running.wait())
}

/// A model checker needs the table alone.
#[cfg(any(loom, shuttle))]
fn main() -> ExitCode {
    ExitCode::FAILURE
}
