//! What the answers of the text protocols have in common: lines, and values whose length is told
//! before them.

use anyhow::{Error, Result, anyhow, ensure};
use memchr::memchr;

use super::LINE_BYTES_MAX;
use crate::excerpt::excerpt;

/// The length of the line that `input` begins with, its end left out; none if it is not whole
/// yet.
#[inline]
pub fn line_length(input: &[u8], protocol: &str) -> Result<Option<usize>> {
    let end = memchr(b'\n', &input[..input.len().min(LINE_BYTES_MAX)]);
    if end.is_none() && input.len() >= LINE_BYTES_MAX {
        return Err(foreign(protocol, input));
    }
    Ok(end)
}

/// The length of a line of `line_bytes` and of the value of `size` bytes behind it that `input`
/// begins with; none if they are not whole yet.
#[inline]
pub fn value_length(
    input: &[u8],
    line_bytes: usize,
    size: usize,
    value_size: usize,
) -> Result<Option<usize>> {
    ensure!(
        size == value_size,
        "it holds a value of {size} bytes where {value_size} are expected: it was written with \
         another --value-size; write the records again with --load"
    );
    let whole = line_bytes + size + 2;
    if input.len() < whole {
        return Ok(None);
    }
    ensure!(input[..whole].ends_with(b"\r\n"), "it sent a value that is longer than it said");
    Ok(Some(whole))
}

/// The error that `sent` is not of a protocol.
#[cold]
pub fn foreign(protocol: &str, sent: &[u8]) -> Error {
    anyhow!("it does not speak {protocol}: it sent {}", excerpt(sent))
}
