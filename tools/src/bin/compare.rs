//! Our store beside the others, with one command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use tools::bench::processes::StopSignal;
use tools::compare::Comparison;
use tools::compare::flags::Flags;

const PROGRAM: &str = "compare";

fn main() -> ExitCode {
    let flags: Flags = host::flags::parse(PROGRAM);
    let json = flags.json;
    let prepared = StopSignal::on_signals().and_then(|stop| Comparison::prepare(flags, stop));
    let comparison = match prepared {
        Ok(comparison) => comparison,
        Err(error) => host::flags::fail(PROGRAM, format_args!("{error:#}")),
    };
    tools::bench::end(PROGRAM, comparison.run(), |outcome| {
        host::output::print(if json { &outcome.json } else { &outcome.text })?;
        Ok(outcome.failures)
    })
}
