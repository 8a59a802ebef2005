//! Reads histories of other stores: CSV with the columns of [`HEADER`].
//!
//! Rows come in any order, and there may be more of them than fit into memory. So they are
//! sorted in pieces, into temporary history files that are merged as a generator's are.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Reader, ReaderBuilder};
use history::format::{FILE_HEADER_BYTES, FORMAT_VERSION, FileHeader, MAGIC};
use history::operation::{Action, Operation, ValueId};
use history::writer::Writer;
use xxhash_rust::xxh3::xxh3_128;

use crate::lincheck::input::InputError;

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
    /// History files.
    pub files: Vec<PathBuf>,
    /// The keys' names, by their numbers.
    pub keys: Vec<String>,
    /// The clients' names, by their numbers.
    pub clients: Vec<String>,
}

/// Sorts rows into history files.
#[derive(Debug)]
pub struct Sorter {
    folder: PathBuf,
    files: Vec<PathBuf>,
    rows: Vec<Operation>,
    keys: Numbers,
    clients: Numbers,
}

impl Sorter {
    /// The files are made in `folder`.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            files: Vec::new(),
            rows: Vec::new(),
            keys: Numbers::default(),
            clients: Numbers::default(),
        }
    }

    /// Takes all rows of a table.
    pub fn read(&mut self, path: &Path) -> Result<(), InputError> {
        let mut reader = open(path)?;
        let header = reader.byte_headers().map_err(|error| at(path, &error))?;
        if header.iter().ne(HEADER.iter().map(|column| column.as_bytes())) {
            let message = format!("offset 0: the first row is not `{}`", HEADER.join(","));
            return Err(InputError::new(path, message));
        }
        let mut row = ByteRecord::new();
        while reader.read_byte_record(&mut row).map_err(|error| at(path, &error))? {
            let operation = self.operation(&row).map_err(|problem| {
                let place = row.position().map_or(0, csv::Position::byte);
                InputError::new(path, format!("offset {place}: {problem}"))
            })?;
            self.rows.extend(operation);
            if self.rows.len() == ROWS_PER_PIECE {
                self.write_piece()?;
            }
        }
        Ok(())
    }

    /// All rows, sorted.
    pub fn finish(mut self) -> Result<Sorted, InputError> {
        if !self.rows.is_empty() || self.files.is_empty() {
            self.write_piece()?;
        }
        let Self { files, keys, clients, .. } = self;
        Ok(Sorted { files, keys: keys.names, clients: clients.names })
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
                let op = String::from_utf8_lossy(op);
                return Err(format!("the op '{op}' is neither get nor put"));
            }
        };
        Ok(Some(Operation {
            client: self.clients.of(client) as u32,
            server: 0,
            incarnation: 0,
            key: self.keys.of(key),
            action,
            version: 0,
            start_ns,
            end_ns: end_ns.unwrap_or(start_ns),
        }))
    }

    fn write_piece(&mut self) -> Result<(), InputError> {
        self.rows.sort_by_key(|operation| operation.end_ns);
        let path = self.folder.join(format!("{}.history", self.files.len()));
        let write = || {
            let file = BufWriter::new(File::create(&path)?);
            let mut writer = Writer::new(file, header())?;
            self.rows.iter().for_each(|operation| writer.write(operation));
            writer.finish()
        };
        write().map_err(|error| InputError::new(&path, error))?;
        self.files.push(path);
        self.rows.clear();
        Ok(())
    }
}

/// The texts of values, found again in the tables; a table that cannot be read has none.
#[must_use]
pub fn texts_of(tables: &[PathBuf], values: &[ValueId]) -> HashMap<ValueId, String> {
    let mut texts = HashMap::new();
    for table in tables {
        let Ok(reader) = open(table) else { continue };
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
    ValueId::from_bytes(xxh3_128(value).to_le_bytes())
}

fn nanoseconds(text: &[u8], column: &str) -> Result<u64, String> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| {
        let text = String::from_utf8_lossy(text);
        format!("{column} '{text}' is no number of nanoseconds")
    })
}

fn open(path: &Path) -> Result<Reader<File>, InputError> {
    let reader = ReaderBuilder::new().has_headers(true).from_path(path);
    reader.map_err(|error| at(path, &error))
}

fn at(path: &Path, error: &csv::Error) -> InputError {
    match error.position() {
        Some(position) => {
            let problem = match error.kind() {
                csv::ErrorKind::UnequalLengths { len, .. } => {
                    format!("a row of {len} columns, expected {}", HEADER.len())
                }
                _ => error.to_string(),
            };
            InputError::new(path, format!("offset {}: {problem}", position.byte()))
        }
        None => InputError::new(path, error),
    }
}

fn header() -> FileHeader {
    FileHeader {
        magic: MAGIC,
        format_version: FORMAT_VERSION,
        header_bytes: FILE_HEADER_BYTES as u32,
        clock_id: [0; 16],
        epoch_offset_ns: 0,
        start_ns: 0,
        writer: 0,
        generator: 0,
        thread: 0,
        key_bytes: 0,
        value_bytes: 0,
        sample: 1,
        reserved: [0; 3],
        checksum: 0,
    }
}
