//! How the store grows, one parameter at a time.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use tools::bench::processes::StopSignal;
use tools::curves::Curves;
use tools::curves::flags::Flags;

const PROGRAM: &str = "curves";

fn main() -> ExitCode {
    let flags: Flags = host::flags::parse(PROGRAM);
    let json = flags.json;
    let prepared = StopSignal::on_signals().and_then(|stop| Curves::prepare(flags, stop));
    let curves = match prepared {
        Ok(curves) => curves,
        Err(error) => host::flags::fail(PROGRAM, format_args!("{error:#}")),
    };
    tools::bench::end(PROGRAM, curves.run(), |outcome| {
        host::output::print(if json { &outcome.json } else { &outcome.text })?;
        Ok(outcome.failures)
    })
}
