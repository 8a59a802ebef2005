//! `kvctl`: see [`controller`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    let flags = host::flags::parse(controller::flags::PROGRAM);
    controller::run(&flags).into()
}
