//! Names of servers and generators, as their files have them.

use std::path::Path;

/// The stems of the files `<prefix>*.<extension>` of a folder, in the order people count.
pub(super) fn stems(folder: &Path, prefix: &str, extension: &str) -> std::io::Result<Vec<String>> {
    let mut stems = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        // A name that is no UTF-8 is none of ours.
        if let Some(name) = entry?.file_name().to_str()
            && name.starts_with(prefix)
            && let Some((stem, found)) = name.rsplit_once('.')
            && found == extension
        {
            stems.push(stem.to_owned());
        }
    }
    stems.sort_by(|a, b| by_number(a).cmp(&by_number(b)));
    Ok(stems)
}

/// Orders `server-2` before `server-10`: by what comes before the number, then by the number.
pub(super) fn by_number(name: &str) -> (&str, usize, &str) {
    let digits_start = name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (text, digits) = name.split_at(digits_start);
    let digits = digits.trim_start_matches('0');
    // Of two numbers without leading zeros the longer is larger, whatever fits a u64.
    (text, digits.len(), digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_their_number() {
        let mut names = ["server-10", "server-2", "server-1", "client-3", "server-b", "server-007"];
        names.sort_by(|a, b| by_number(a).cmp(&by_number(b)));
        assert_eq!(
            names,
            ["client-3", "server-1", "server-2", "server-007", "server-10", "server-b"]
        );
    }

    #[test]
    fn numbers_of_any_length_are_compared() {
        assert!(by_number("a-99999999999999999999999") < by_number("a-100000000000000000000000"));
    }

    #[test]
    fn stems_are_of_the_prefix_and_the_extension() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["server-2.jsonl", "server-1.jsonl", "server-1.json", "client-1.jsonl", "x"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let stems = stems(folder.path(), "server-", "jsonl").unwrap();
        assert_eq!(stems, ["server-1", "server-2"]);
    }
}
