//! What people call the keys, clients and values of a history.

use std::collections::HashMap;
use std::path::PathBuf;

use history::operation::{Operation, ValueId};

use crate::csv;
use crate::shown::{shown, shown_value};

/// The client number of the load phase.
const LOAD: u32 = u32::MAX;

/// Which near cache an operation of a file went through.
pub type CacheOf = fn(file: usize, &Operation) -> u64;

/// How things are called.
#[derive(Clone, Debug)]
pub enum DisplayNames {
    /// In histories of the generator: by their numbers.
    Workload,
    /// In CSV: as it is written there.
    Csv {
        /// The keys, by their numbers.
        keys: Vec<String>,
        /// The clients, by their numbers.
        clients: Vec<String>,
        /// The files.
        tables: Vec<PathBuf>,
    },
}

impl DisplayNames {
    /// A thread of a generator, whose history is a file, has one for all of its streams; so has
    /// a client of a CSV.
    #[must_use]
    pub fn cache_of(&self) -> CacheOf {
        match self {
            Self::Workload => |file, _| file as u64,
            Self::Csv { .. } => |_, operation| operation.client.into(),
        }
    }

    /// A key, as it is; for people see [`shown`].
    #[must_use]
    pub fn key(&self, key: u64) -> String {
        match self {
            Self::Workload => format!("{key}"),
            Self::Csv { keys, .. } => keys[key as usize].clone(),
        }
    }

    /// The client of an operation; `file` is the number of the file that it is in.
    #[must_use]
    pub fn client(&self, file: usize, operation: &Operation) -> String {
        match self {
            Self::Workload if operation.client == LOAD => format!("load of file {file}"),
            Self::Workload => format!("stream {} of file {file}", operation.client),
            Self::Csv { clients, .. } => {
                format!("client {}", shown(&clients[operation.client as usize]))
            }
        }
    }

    /// Names for these values.
    #[must_use]
    pub fn values(&self, values: &[ValueId]) -> HashMap<ValueId, String> {
        let named = |&value: &ValueId| {
            let name = match value.writer {
                ValueId::FOREIGN => "bytes that no generator writes".to_owned(),
                writer => format!("{:08x}/{}", writer >> 32, value.counter),
            };
            (value, name)
        };
        match self {
            Self::Workload => values.iter().map(named).collect(),
            Self::Csv { tables, .. } => {
                let mut texts = csv::texts_of(tables, values);
                texts.values_mut().for_each(|text| *text = shown_value(text));
                texts
            }
        }
    }
}
