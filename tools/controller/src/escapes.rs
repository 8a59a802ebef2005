//! Bytes as text: `\xNN`, `\n`, `\r`, `\t` and `\\`, and hexadecimal digits.

use crate::limits::SHOWN_BYTES_MAX;

/// The byte that the escape at the beginning of `text` stands for, and the escape's length.
pub(crate) fn escape(text: &[u8]) -> Result<(u8, usize), String> {
    match text {
        [b'\\', b'\\', ..] => Ok((b'\\', 2)),
        [b'\\', b'n', ..] => Ok((b'\n', 2)),
        [b'\\', b'r', ..] => Ok((b'\r', 2)),
        [b'\\', b't', ..] => Ok((b'\t', 2)),
        [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            Ok((16 * digit(*high) + digit(*low), 4))
        }
        [b'\\', other, ..] if (b'!'..=b'~').contains(other) => Err(format!(
            "\\{} is no escape: there are \\xNN, \\n, \\r, \\t and \\\\",
            char::from(*other)
        )),
        _ => Err("a \\ stands alone: there are \\xNN, \\n, \\r, \\t and \\\\".to_owned()),
    }
}

/// The bytes of a text in which escapes stand for bytes.
pub(crate) fn unescape(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(&first) = rest.first() {
        let (byte, length) = if first == b'\\' { escape(rest)? } else { (first, 1) };
        bytes.push(byte);
        rest = &rest[length..];
    }
    Ok(bytes)
}

/// The bytes of pairs of hexadecimal digits.
pub(crate) fn unhex(text: &[u8]) -> Result<Vec<u8>, String> {
    if !text.len().is_multiple_of(2) || !text.iter().all(u8::is_ascii_hexdigit) {
        return Err("expected pairs of hexadecimal digits, such as 00ff".to_owned());
    }
    Ok(text.chunks_exact(2).map(|pair| 16 * digit(pair[0]) + digit(pair[1])).collect())
}

/// A text of one line that [`unescape`] turns into these bytes again.
#[must_use]
pub(crate) fn escaped(bytes: &[u8]) -> String {
    shown(bytes, |character| !character.is_control() && character != '\\')
}

/// What a terminal can show without harm: line ends and tabs stay.
#[must_use]
pub(crate) fn harmless(bytes: &[u8]) -> String {
    shown(bytes, |character| !character.is_control() || "\n\t".contains(character))
}

/// The beginning of a key, in quotes, for messages.
#[must_use]
pub(crate) fn quoted(key: &[u8]) -> String {
    match key.get(..SHOWN_BYTES_MAX) {
        Some(beginning) if key.len() > SHOWN_BYTES_MAX => format!("'{}…'", escaped(beginning)),
        _ => format!("'{}'", escaped(key)),
    }
}

fn shown(bytes: &[u8], is_kept: impl Fn(char) -> bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                _ if is_kept(character) => text.push(character),
                '\\' => text += "\\\\",
                '\n' => text += "\\n",
                '\r' => text += "\\r",
                '\t' => text += "\\t",
                _ => {
                    let mut buffer = [0; 4];
                    push_hex(&mut text, character.encode_utf8(&mut buffer).as_bytes());
                }
            }
        }
        push_hex(&mut text, chunk.invalid());
    }
    text
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        *text += &format!("\\x{byte:02x}");
    }
}

fn digit(digit: u8) -> u8 {
    char::from(digit).to_digit(16).expect("it was looked at") as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_escaped_and_found_again() {
        let all: Vec<u8> = (0..=255).collect();
        let text = escaped(&all);
        assert!(!text.contains(['\n', '\t', '\r']), "{text}");
        assert_eq!(unescape(text.as_bytes()).unwrap(), all);
        assert_eq!(escaped("grün\t\\ \u{85}".as_bytes()), r"grün\t\\ \xc2\x85");
    }

    #[test]
    fn an_escape_that_there_is_not_is_refused() {
        for wrong in [r"\q", r"\", r"\x", r"\x1", r"\xg0", r"\0"] {
            assert!(unescape(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hexadecimal_digits_come_in_pairs() {
        assert_eq!(unhex(b"00fF"), Ok(vec![0, 255]));
        for wrong in ["0", "0x00", "g0", "é"] {
            assert!(unhex(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_value_cannot_take_over_the_terminal() {
        assert_eq!(harmless(b"a\nb\x1b[2J"), "a\nb\\x1b[2J");
        assert_eq!(harmless(r"C:\x".as_bytes()), r"C:\x");
    }

    #[test]
    fn messages_show_the_beginning_of_a_long_key() {
        assert_eq!(quoted(b"a\0"), r"'a\x00'");
        assert!(quoted(&[b'k'; 512]).len() < 80);
    }
}
