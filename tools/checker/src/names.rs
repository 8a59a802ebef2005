//! What people call the keys, clients and values of a history.

use std::collections::HashMap;
use std::path::PathBuf;

use history::operation::{Operation, ValueId};

use crate::csv;

/// The client number of the load phase.
const LOAD: u32 = u32::MAX;
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

/// How things are called.
#[derive(Clone, Debug)]
pub enum Names {
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

impl Names {
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
