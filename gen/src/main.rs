//! `gen`: see [`generator`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

use generator::peer::target::Peers;
use generator::plan::Plan;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let flags: generator::flags::Flags = host::flags::parse("gen");
    let planned = Peers::new(&flags).and_then(|peers| Ok((Plan::new(&flags)?, peers)));
    let (plan, peers) = match planned {
        Ok(planned) => planned,
        Err(error) => host::flags::fail("gen", format_args!("{error:#}")),
    };
    match generator::run::run(&flags, plan, peers) {
        Ok(status) => status.into(),
        Err(error) => {
            eprintln!("gen: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
