//! `gen`: see [`generator`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let flags: generator::flags::Flags = host::flags::parse("gen");
    let plan = match generator::plan::Plan::new(&flags) {
        Ok(plan) => plan,
        Err(error) => host::flags::fail("gen", format_args!("{error:#}")),
    };
    match generator::run::run(&flags, plan) {
        Ok(status) => status.into(),
        Err(error) => {
            eprintln!("gen: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
