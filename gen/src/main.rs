//! `gen`: see [`generator`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

use generator::baseline::stores::Baselines;
use generator::plan::Plan;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let flags: generator::flags::Flags = host::flags::parse("gen");
    let planned = Baselines::new(&flags).and_then(|baselines| Ok((Plan::new(&flags)?, baselines)));
    let (plan, baselines) = match planned {
        Ok(planned) => planned,
        Err(error) => host::flags::fail("gen", format_args!("{error:#}")),
    };
    match generator::run::run(&flags, plan, baselines) {
        Ok(status) => status.into(),
        Err(error) => {
            host::output::to_stderr(format_args!("gen: error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
