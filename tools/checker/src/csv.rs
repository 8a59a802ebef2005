//! Reads histories of other stores: CSV with the columns of [`HEADER`].
//!
//! Rows come in any order, and there may be more of them than fit into memory. So they are
//! sorted in pieces, into temporary history files that are merged as a generator's are.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Reader};
use history::format::FileHeader;
use history::operation::{Action, Operation, ValueId};
use history::writer::Writer;
use twox_hash::XxHash3_128;

use crate::csv_puts::{Put, Puts};
use crate::csv_quotes::{StrictQuotes, TextPosition};
use crate::file::HistoryFile;
use crate::input_error::InputError;
use crate::shown::{shown, shown_value};

/// The first row.
pub const HEADER: [&str; 6] = ["client", "key", "op", "value", "start_ns", "end_ns"];

/// Rows that are sorted in memory together.
const ROWS_PER_PIECE: usize = 1 << 20;

/// Numbers for names, in the order of their appearance.
#[derive(Debug, Default)]
struct Numbers {
    numbers: HashMap<Vec<u8>, u64>,
    names: Vec<String>,
}

impl Numbers {
    fn of(&mut self, name: &[u8]) -> u64 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.names.len() as u64;
        self.numbers.insert(name.to_owned(), number);
        self.names.push(String::from_utf8_lossy(name).into_owned());
        number
    }
}

/// Tables, as history files.
#[derive(Debug)]
pub struct Sorted {
    /// History files, temporary ones.
    pub files: Vec<HistoryFile>,
    /// The keys' names, by their numbers.
    pub keys: Vec<String>,
    /// The clients' names, by their numbers.
    pub clients: Vec<String>,
    /// GETs that were not answered, and are in no file.
    pub unanswered_gets: u64,
}

/// Sorts rows into history files.
#[derive(Debug, Default)]
pub struct Sorter {
    tables: Vec<PathBuf>,
    files: Vec<HistoryFile>,
    rows: Vec<Operation>,
    puts: Puts,
    keys: Numbers,
    clients: Numbers,
    unanswered_gets: u64,
    is_cached: bool,
}

impl Sorter {
    /// `is_cached`: a near cache may have answered each GET.
    #[must_use]
    pub fn new(is_cached: bool) -> Self {
        Self { is_cached, ..Self::default() }
    }

    /// Takes all rows of a table.
    pub fn read(&mut self, path: &Path) -> Result<(), InputError> {
        let file = File::open(path).map_err(|error| InputError::new(path, error))?;
        let mut reader = Reader::from_reader(StrictQuotes::new(file));
        let first = TextPosition { line: 1, offset: 0 };
        let header = reader.byte_headers().map_err(|error| wrong_row(path, first, &error))?;
        if header.iter().ne(HEADER.iter().map(|column| column.as_bytes())) {
            let message = format!("{first}: the first row is not `{}`", HEADER.join(","));
            return Err(InputError::new(path, message));
        }
        reader.get_mut().next_row();
        self.tables.push(path.to_owned());
        let mut row = ByteRecord::new();
        loop {
            let read = reader.read_byte_record(&mut row);
            let place = reader.get_mut().next_row();
            if !read.map_err(|error| wrong_row(path, place, &error))? {
                break;
            }
            let operation = self
                .operation(&row)
                .map_err(|problem| InputError::new(path, format_args!("{place}: {problem}")))?;
            match operation {
                Some(operation) => self.add(operation, place.line),
                None => self.unanswered_gets += 1,
            }
            if self.rows.len() == ROWS_PER_PIECE {
                self.write_piece()?;
            }
        }
        Ok(())
    }

    /// All rows, sorted; an error if two puts of one key have the same value, for then nobody
    /// can tell which of them a GET found.
    pub fn finish(mut self) -> Result<Sorted, InputError> {
        if !self.rows.is_empty() || self.files.is_empty() {
            self.write_rows().map_err(|error| temporary(&error))?;
        }
        let Self { tables, files, puts, keys, clients, unanswered_gets, .. } = self;
        if let Some(twice) = puts.find_equal().map_err(|error| temporary(&error))? {
            return Err(written_twice(&tables, twice, &keys.names));
        }
        Ok(Sorted { files, keys: keys.names, clients: clients.names, unanswered_gets })
    }

    fn add(&mut self, operation: Operation, line: u64) {
        if let Action::Stored(value) | Action::Indeterminate(value) = operation.action {
            let table = self.tables.len() as u64 - 1;
            self.puts.add(Put { key: operation.key, value, table, line });
        }
        self.rows.push(operation);
    }

    /// What a row says; nothing if it is a GET that was not answered.
    fn operation(&mut self, row: &ByteRecord) -> Result<Option<Operation>, String> {
        let [client, key, op, value, start, end] = [0, 1, 2, 3, 4, 5].map(|column| &row[column]);
        let start_ns = nanoseconds(start, "start_ns")?;
        let end_ns = if end.is_empty() { None } else { Some(nanoseconds(end, "end_ns")?) };
        if end_ns.is_some_and(|end_ns| end_ns < start_ns) {
            return Err("it ends before it starts".to_owned());
        }
        let id = value_id(value);
        let action = match (op, value, end_ns) {
            (b"put", [], _) => {
                return Err("a put of an empty value cannot be told from none".to_owned());
            }
            (b"put", _, Some(_)) => Action::Stored(id),
            (b"put", _, None) => Action::Indeterminate(id),
            (b"get", _, None) => return Ok(None),
            (b"get", [], Some(_)) => Action::NotFound,
            (b"get", _, Some(_)) => Action::Found(id),
            _ => {
                let op = shown(&String::from_utf8_lossy(op));
                return Err(format!("the op '{op}' is neither get nor put"));
            }
        };
        Ok(Some(Operation {
            client: self.clients.of(client) as u32,
            server: 0,
            incarnation: 0,
            key: self.keys.of(key),
            action,
            is_cached: self.is_cached && matches!(action, Action::Found(_) | Action::NotFound),
            version: 0,
            start_ns,
            end_ns: end_ns.unwrap_or(start_ns),
        }))
    }

    fn write_piece(&mut self) -> Result<(), InputError> {
        let written = self.write_rows().and_then(|()| self.puts.write_piece());
        written.map_err(|error| temporary(&error))
    }

    fn write_rows(&mut self) -> io::Result<()> {
        self.rows.sort_by_key(|operation| operation.end_ns);
        let file = tempfile::tempfile()?;
        let out = BufWriter::new(file.try_clone()?);
        let mut writer = Writer::new(out, FileHeader::of_thread(self.files.len()))?;
        self.rows.drain(..).for_each(|operation| writer.write(&operation));
        writer.finish()?;
        self.files.push(HistoryFile::new(std::env::temp_dir(), file));
        Ok(())
    }
}

/// A temporary file could not be written or read.
fn temporary(error: &io::Error) -> InputError {
    InputError::new(&std::env::temp_dir(), format_args!("a temporary file: {error}"))
}

fn written_twice(tables: &[PathBuf], [first, again]: [Put; 2], keys: &[String]) -> InputError {
    let path = |put: &Put| tables[put.table as usize].as_path();
    let value = texts_of(tables, &[again.value]).remove(&again.value);
    let value =
        value.map_or_else(|| "a value".to_owned(), |text| format!("'{}'", shown_value(&text)));
    let file = match path(&first) {
        same if same == path(&again) => String::new(),
        other => format!(" of {}", other.display()),
    };
    let message = format!(
        "line {}: it puts {value} under the key '{}', as line {}{file} does: puts of one key must \
         have distinct values",
        again.line,
        shown(&keys[again.key as usize]),
        first.line,
    );
    InputError::new(path(&again), message)
}

/// The texts of values, found again in the tables; a table that cannot be read has none, nor
/// one that is read only once, such as a pipe.
#[must_use]
pub fn texts_of(tables: &[PathBuf], values: &[ValueId]) -> HashMap<ValueId, String> {
    let mut texts = HashMap::new();
    for table in tables.iter().filter(|table| table.is_file()) {
        let Ok(reader) = Reader::from_path(table) else { continue };
        for row in reader.into_byte_records().map_while(Result::ok) {
            let value = row.get(3).unwrap_or_default();
            let id = value_id(value);
            if values.contains(&id) {
                texts.insert(id, String::from_utf8_lossy(value).into_owned());
            }
        }
    }
    texts
}

fn value_id(value: &[u8]) -> ValueId {
    ValueId::from_bytes(XxHash3_128::oneshot(value).to_le_bytes())
}

fn nanoseconds(text: &[u8], column: &str) -> Result<u64, String> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| {
        let text = shown(&String::from_utf8_lossy(text));
        format!("{column} '{text}' is no number of nanoseconds")
    })
}

fn wrong_row(path: &Path, place: TextPosition, error: &csv::Error) -> InputError {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { len, .. } => {
            let expected = HEADER.len();
            let message = format!("{place}: a row of {len} columns, expected {expected}");
            InputError::new(path, message)
        }
        // Of a quote it tells the place.
        _ => InputError::new(path, error),
    }
}
