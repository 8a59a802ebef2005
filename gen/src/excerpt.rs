//! What another program sent, cut short for an error of one line.

/// The beginning of what was sent, in quotes.
#[must_use]
pub fn excerpt(bytes: &[u8]) -> String {
    const SHOWN: usize = 60;
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    let more = if bytes.len() > SHOWN { "…" } else { "" };
    format!("'{}{more}'", shown.escape_debug())
}
