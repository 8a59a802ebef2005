//! `kv`: see [`kv`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let flags: kv::flags::Flags = host::flags::parse("kv");
    let running = match kv::server::start(&flags) {
        Ok(running) => running,
        Err(error) => host::flags::fail("kv", format_args!("{error:#}")),
    };
    match running.wait() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            host::output::to_stderr(format_args!("kv: error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
