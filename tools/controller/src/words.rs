//! The words of a line at the prompt: quotes as in a shell, and escapes for bytes.

use crate::escapes::escape;

/// The words of a line. Blanks separate them, `'…'` keeps all that it holds, and elsewhere
/// `\xNN`, `\n`, `\r` and `\t` stand for bytes and a backslash for the character after it. A line
/// that begins with `#` has none.
pub(crate) fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii();
    if rest.starts_with(b"#") {
        return Ok(words);
    }
    while !rest.is_empty() {
        let word;
        (word, rest) = first_word(rest)?;
        words.push(word);
        rest = rest.trim_ascii_start();
    }
    Ok(words)
}

fn first_word(line: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    let mut word = Vec::new();
    let mut rest = line;
    let mut is_in_quotes = false;
    while let Some(&byte) = rest.first() {
        let mut taken = 1;
        match byte {
            b'"' => is_in_quotes = !is_in_quotes,
            b'\\' => {
                let byte;
                (byte, taken) = meant(rest)?;
                word.push(byte);
            }
            _ if is_in_quotes => word.push(byte),
            b'\'' => {
                let end = rest[1..].iter().position(|&byte| byte == b'\'').ok_or_else(unclosed)?;
                word.extend(&rest[1..=end]);
                taken = end + 2;
            }
            _ if byte.is_ascii_whitespace() => break,
            _ => word.push(byte),
        }
        rest = &rest[taken..];
    }
    if is_in_quotes { Err(unclosed()) } else { Ok((word, rest)) }
}

/// The byte that a backslash and the characters after it stand for.
fn meant(text: &[u8]) -> Result<(u8, usize), String> {
    match text {
        [_, sign, ..] if sign.is_ascii_punctuation() || *sign == b' ' => Ok((*sign, 2)),
        _ => escape(text),
    }
}

fn unclosed() -> String {
    "a quote is not closed".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Vec<String> {
        let words = words(line.as_bytes()).unwrap();
        words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
    }

    #[test]
    fn blanks_separate_and_quotes_join() {
        assert_eq!(of("  put  a\tb \n"), ["put", "a", "b"]);
        assert_eq!(of(r#"put 'a b' "c 'd'" e"f g"h"#), ["put", "a b", "c 'd'", "ef gh"]);
        assert_eq!(of(r#"put "" '' "#), ["put", "", ""]);
        assert_eq!(of(r"a\ b \' \#"), ["a b", "'", "#"]);
    }

    #[test]
    fn escapes_are_bytes_except_in_single_quotes() {
        assert_eq!(
            words(br#"\x00\xff "\x01 \n" '\x02'"#).unwrap(),
            [&b"\x00\xff"[..], b"\x01 \n", br"\x02"]
        );
        assert_eq!(of(r#"\\x41 "\\ \"""#), [r"\x41", r#"\ ""#]);
    }

    #[test]
    fn a_comment_has_no_words() {
        assert_eq!(of("# put a b"), [""; 0]);
        assert_eq!(of("put # b"), ["put", "#", "b"]);
    }

    #[test]
    fn what_is_not_closed_or_no_escape_is_refused() {
        for wrong in ["'a", "\"a", "a\\", r"\q", "\"\\\""] {
            assert!(words(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
