//! Files for `lincheck`, and what it says of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use history::format::{FILE_HEADER_BYTES, FORMAT_VERSION, FileHeader, MAGIC};
use history::operation::{Action, Operation, ValueId};
use history::writer::Writer;
use tempfile::TempDir;

pub(crate) const HEADER: &str = "client,key,op,value,start_ns,end_ns\n";

/// Files of one test.
pub(crate) struct Files {
    pub(crate) folder: TempDir,
}

impl Files {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn csv(&self, rows: &str) -> PathBuf {
        self.table("history.csv", rows)
    }

    pub(crate) fn table(&self, name: &str, rows: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, format!("{HEADER}{rows}")).unwrap();
        path
    }

    /// A history of the writer 7, on a clock.
    pub(crate) fn history(&self, name: &str, clock: u8, operations: &[Operation]) -> PathBuf {
        self.history_of(name, header(name, clock), operations)
    }

    pub(crate) fn history_of(
        &self,
        name: &str,
        header: FileHeader,
        operations: &[Operation],
    ) -> PathBuf {
        let path = self.path(name);
        let mut writer = Writer::new(fs::File::create(&path).unwrap(), header).unwrap();
        operations.iter().for_each(|operation| writer.write(operation));
        writer.finish().unwrap();
        path
    }
}

/// What the history of a generator begins with, which the first letter of its name tells.
pub(crate) fn header(name: &str, clock: u8) -> FileHeader {
    FileHeader {
        magic: MAGIC,
        format_version: FORMAT_VERSION,
        header_bytes: FILE_HEADER_BYTES as u32,
        clock_id: [clock; 16],
        epoch_offset_ns: 1000 * i64::from(clock),
        start_ns: 0,
        writer: 7,
        generator: name.as_bytes()[0].into(),
        thread: 0,
        key_bytes: 8,
        value_bytes: 16,
        sample: 1,
        reserved: [0; 3],
        checksum: 0,
    }
}

pub(crate) fn lincheck(arguments: &[&str], paths: &[&Path]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lincheck"));
    let Output { status, stdout, stderr } = command.args(arguments).args(paths).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

pub(crate) fn of_csv(rows: &str) -> (i32, String, String) {
    lincheck(&[], &[&Files::new().csv(rows)])
}

pub(crate) fn value(counter: u64) -> ValueId {
    ValueId { writer: 7, counter }
}

pub(crate) fn operation(action: Action, version: u64, start_ns: u64, end_ns: u64) -> Operation {
    Operation {
        client: 0,
        server: 0,
        incarnation: 1,
        key: 5,
        action,
        is_cached: false,
        version,
        start_ns,
        end_ns,
    }
}
