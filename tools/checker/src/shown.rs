//! Names and values of somebody else, and times, as a person can read them.

use std::time::Duration;

/// Longest name of a value that is shown.
const VALUE_CHARACTERS_MAX: usize = 24;

/// A name of somebody else's, for people: what is no character that can be seen is escaped.
#[must_use]
pub fn shown(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        match character {
            '\'' | '"' => text.push(character),
            _ => text.extend(character.escape_debug()),
        }
    }
    text
}

/// The beginning of a value that may be long.
#[must_use]
pub fn shown_value(value: &str) -> String {
    let (kept, rest) = match value.char_indices().nth(VALUE_CHARACTERS_MAX) {
        Some((end, _)) => (&value[..end], "…"),
        None => (value, ""),
    };
    shown(kept) + rest
}

/// A time in the largest unit of which it has one, to the nanosecond: `1.5ms`.
#[must_use]
pub fn shown_time(ns: u64) -> String {
    format!("{:?}", Duration::from_nanos(ns))
}
