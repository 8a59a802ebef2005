//! The records of a file, in each of its formats, with the lines where they begin.

use std::cell::Cell;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use serde::Deserialize;

use crate::escapes::unescape;
use crate::flags::Format;
use crate::input::check_key;
use crate::json::bytes;
use crate::limits::LINE_BYTES_MAX;

/// A key and its value.
pub(crate) type Record = (Vec<u8>, Vec<u8>);

/// A line of a file: a record, or the reason why it is invalid.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) line: u64,
    pub(crate) record: Result<Record, String>,
}

/// The records of a file.
pub(crate) enum Records<R> {
    Lines(Lines<R>),
    Rows(Rows<R>),
}

impl<R: Read> Records<R> {
    /// Begins to read. An error if it has not the form that the format asks for.
    pub(crate) fn open(reader: R, format: Format) -> Result<Self, String> {
        match format {
            Format::Jsonl => Ok(Self::Lines(Lines::new(reader, of_json))),
            Format::Tsv => Ok(Self::Lines(Lines::new(reader, of_tsv))),
            Format::Csv => Rows::open(reader).map(Self::Rows),
        }
    }

    /// The next record; none at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Entry>> {
        let entry = match self {
            Self::Lines(lines) => lines.next(),
            Self::Rows(rows) => rows.next(),
        };
        Ok(entry?.map(|Entry { line, record }| {
            let record = record.and_then(|record| check_key(&record.0).map(|()| record));
            Entry { line, record }
        }))
    }
}

/// The format that a file's name tells.
pub(crate) fn format_of(file: &Path) -> Format {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("tsv") => Format::Tsv,
        Some("csv") => Format::Csv,
        _ => Format::Jsonl,
    }
}

/// A record a line; empty lines are skipped.
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    line: u64,
    parse: fn(&[u8]) -> Result<Record, String>,
}

impl<R: Read> Lines<R> {
    fn new(reader: R, parse: fn(&[u8]) -> Result<Record, String>) -> Self {
        Self { reader: BufReader::new(reader), line: 0, parse }
    }

    fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let read = (&mut self.reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            let line = self.line;
            if read as u64 == LINE_BYTES_MAX && !bytes.ends_with(b"\n") {
                self.skip_line()?;
                let reason = format!("the line has more than {LINE_BYTES_MAX} bytes");
                return Ok(Some(Entry { line, record: Err(reason) }));
            }
            let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if !text.is_empty() {
                return Ok(Some(Entry { line, record: (self.parse)(text) }));
            }
        }
    }

    fn skip_line(&mut self) -> io::Result<()> {
        self.reader.skip_until(b'\n').map(|_| ())
    }
}

fn of_json(line: &[u8]) -> Result<Record, String> {
    #[derive(Deserialize)]
    struct Object {
        key: Option<String>,
        key_base64: Option<String>,
        value: Option<String>,
        value_base64: Option<String>,
    }
    let object: Object = serde_json::from_slice(line).map_err(|error| {
        // It counts lines, and there is only one.
        let text = error.to_string();
        let reason = text.split(" at line ").next().unwrap_or_default();
        format!("{reason} at column {}", error.column())
    })?;
    let Object { key, key_base64, value, value_base64 } = object;
    Ok((bytes("key", key, key_base64)?, bytes("value", value, value_base64)?))
}

fn of_tsv(line: &[u8]) -> Result<Record, String> {
    let mut columns = line.split(|&byte| byte == b'\t');
    match (columns.next(), columns.next(), columns.next()) {
        (Some(key), Some(value), None) => Ok((unescape(key)?, unescape(value)?)),
        (_, None, _) => Err("there is no tab between key and value".to_owned()),
        _ => Err("there are more than two columns: a tab in a value is \\t".to_owned()),
    }
}

/// A record a row, below a header.
pub(crate) struct Rows<R> {
    reader: csv::Reader<Rationed<R>>,
    ration: Rc<Cell<u64>>,
    key: usize,
    value: usize,
}

impl<R: Read> Rows<R> {
    fn open(reader: R) -> Result<Self, String> {
        let ration = Rc::new(Cell::new(LINE_BYTES_MAX));
        let rationed = Rationed { reader, left: ration.clone() };
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(rationed);
        let header = reader.byte_headers().map_err(|error| error.to_string())?;
        let column = |name: &str| {
            let at = header.iter().position(|column| column == name.as_bytes());
            at.ok_or_else(|| format!("its first line is no header with a column '{name}'"))
        };
        let (key, value) = (column("key")?, column("value")?);
        Ok(Self { reader, ration, key, value })
    }

    fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut row = csv::ByteRecord::new();
        self.ration.set(LINE_BYTES_MAX);
        if !self.reader.read_byte_record(&mut row).map_err(io::Error::other)? {
            return Ok(None);
        }
        let line = row.position().map_or(0, csv::Position::line);
        let record = match (row.get(self.key), row.get(self.value)) {
            (Some(key), Some(value)) => Ok((key.to_vec(), value.to_vec())),
            _ => Err("the row has fewer columns than the header".to_owned()),
        };
        Ok(Some(Entry { line, record }))
    }
}

/// Fails when a row is longer than its ration: a quote that is not closed would take the
/// whole file into memory.
struct Rationed<R> {
    reader: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Rationed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        let left = self.left.get().checked_sub(read as u64).ok_or_else(|| {
            io::Error::other(format!("a row has more than {LINE_BYTES_MAX} bytes: a quote is open"))
        })?;
        self.left.set(left);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], format: Format) -> Vec<Entry> {
        let mut records = Records::open(text, format).unwrap();
        std::iter::from_fn(|| records.next().unwrap()).collect()
    }

    fn good(line: u64, key: &[u8], value: &[u8]) -> Entry {
        Entry { line, record: Ok((key.to_vec(), value.to_vec())) }
    }

    fn assert_bad(entry: &Entry, line: u64, reason: &str) {
        assert_eq!(entry.line, line);
        let error = entry.record.as_ref().unwrap_err();
        assert!(error.contains(reason), "'{reason}' is not in '{error}'");
    }

    #[test]
    fn json_lines_have_text_or_base64() {
        let text = br#"{"key":"a","value":"b\n","version":"1.2"}

{"key_base64":"AP8=","value_base64":""}
{"key":"a"}
{"key":"a","key_base64":"AP8=","value":""}
{"key":"a","value":5}
{"key":"","value":"b"}
{"key":
"#;
        let entries = all(text, Format::Jsonl);
        assert_eq!(entries[..2], [good(1, b"a", b"b\n"), good(3, b"\x00\xff", b"")]);
        assert_bad(&entries[2], 4, "no value");
        assert_bad(&entries[3], 5, "both key and key_base64");
        assert_bad(&entries[4], 6, "expected a string at column 20");
        assert_bad(&entries[5], 7, "key is empty");
        assert_bad(&entries[6], 8, "EOF");
        assert_eq!(entries.len(), 7);
    }

    #[test]
    fn tsv_has_escapes() {
        let entries =
            all(b"a\tb\r\n\\x00\\t\t\\\\\nno tab\na\tb\tc\n\n\\q\tb\nlast\t", Format::Tsv);
        assert_eq!(entries[..2], [good(1, b"a", b"b"), good(2, b"\0\t", b"\\")]);
        assert_bad(&entries[2], 3, "no tab");
        assert_bad(&entries[3], 4, "more than two");
        assert_bad(&entries[4], 6, "no escape");
        assert_eq!(entries[5], good(7, b"last", b""));
    }

    #[test]
    fn csv_has_a_header_and_rows_of_several_lines() {
        let text = b"n,value,key\n1,b,a\n2,\"x\n\"\"y\",k\n3\n4,\xff,l\n";
        let entries = all(text, Format::Csv);
        assert_eq!(entries[..2], [good(2, b"a", b"b"), good(3, b"k", b"x\n\"y")]);
        assert_bad(&entries[2], 5, "fewer columns");
        assert_eq!(entries[3], good(6, b"l", b"\xff"));
        assert!(Records::open(&b"a,b\n"[..], Format::Csv).is_err_and(|e| e.contains("'key'")));
    }

    #[test]
    fn a_quote_that_is_not_closed_takes_no_memory() {
        let text = [&b"key,value\na,\""[..], &vec![b'x'; 2 * LINE_BYTES_MAX as usize]].concat();
        let mut records = Records::open(&text[..], Format::Csv).unwrap();
        assert!(records.next().unwrap_err().to_string().contains("a quote is open"));
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory_and_the_next_is_read() {
        let mut text = vec![b'x'; LINE_BYTES_MAX as usize + 5];
        text.extend(b"\na\tb\n");
        let entries = all(&text, Format::Tsv);
        assert_bad(&entries[0], 1, "more than");
        assert_eq!(entries[1..], [good(2, b"a", b"b")]);
    }

    #[test]
    fn a_file_tells_its_format() {
        let of = |name| format_of(Path::new(name));
        assert_eq!(
            [of("a.tsv"), of("a.csv"), of("a.json"), of("-")],
            [Format::Tsv, Format::Csv, Format::Jsonl, Format::Jsonl]
        );
    }
}
