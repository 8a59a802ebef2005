//! Commands that come line by line from stdin.

use std::io::{BufRead as _, BufReader, Read as _};

use crate::failure::Failure;
use crate::flags::PROGRAM;
use crate::input;
use crate::limits::LINE_BYTES_MAX;
use crate::output::Source;
use crate::runner::{Led, Runner};
use crate::status::Status;

/// Runs each line; ends with the worst status of all.
pub(crate) fn run(mut runner: Runner) -> Result<Status, Failure> {
    runner.interrupt.begin()?;
    let mut stdin = BufReader::new(runner.interrupt.reader(input::stdin()?));
    let mut worst = Status::Done;
    for number in 1.. {
        let mut line = Vec::new();
        let read = (&mut stdin).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        read.map_err(|error| Failure::new(format_args!("cannot read stdin: {error}")))?;
        if runner.interrupt.has_come() {
            worst.add(Status::Interrupted);
            break;
        }
        if line.is_empty() {
            break;
        }
        if line.len() as u64 == LINE_BYTES_MAX && !line.ends_with(b"\n") {
            let reason = format!("{PROGRAM} takes lines of at most {LINE_BYTES_MAX} bytes");
            return Err(Failure::Told(worst.max(Status::Failed), reason));
        }
        match runner.run_line(&line, Source::Stdin(number)) {
            Ok(Led::To(status)) => worst.add(status),
            Ok(Led::ToTheEnd) => break,
            // Stdout is closed.
            Err(failure) => return Ok(failure.status(worst)),
        }
    }
    Ok(worst)
}
