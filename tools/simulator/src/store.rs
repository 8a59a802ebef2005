//! The real table, watched: what is written is written once, and what is read was written.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use generator::record::{KeyFormat, ValueFormat};
use history::operation::ValueId;
use kv::table::Table;
use proto::store::{Full, Record, Store};

use crate::addresses::is_genuine;
use crate::failure::Failure;
use crate::on_path::FORGED_KEY;
use crate::trace::{Trace, What};

/// The life of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life {
    /// Which server.
    pub server: usize,
    /// Names the life.
    pub incarnation: u64,
}

/// What all servers have written so far.
#[derive(Debug, Default)]
pub struct Written {
    values: BTreeMap<ValueId, Life>,
    /// GETs that were executed, again or for the first time.
    pub reads: u64,
    /// Forged PUTs that were executed.
    pub forged: u64,
    /// PUTs that were executed twice, or of bytes that nobody put.
    pub failure: Option<Failure>,
}

impl Written {
    /// PUTs that took effect.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.values.len() as u64
    }

    /// Whether there were none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Where a value was written, if it was.
    #[must_use]
    pub fn life_of(&self, value: ValueId) -> Option<Life> {
        self.values.get(&value).copied()
    }

    /// How many PUTs of this writer took effect.
    #[must_use]
    pub fn by(&self, writer: u64) -> u64 {
        let (first, last) = (ValueId { writer, counter: 0 }, ValueId { writer, counter: u64::MAX });
        self.values.range(first..=last).count() as u64
    }

    fn fail(&mut self, check: &'static str, key: Option<u64>, text: String) {
        self.failure.get_or_insert(Failure { check, key, text });
    }
}

/// A table for one call of a worker.
pub struct Watched<'a> {
    /// The table.
    pub table: &'a Table,
    /// What was written.
    pub written: &'a mut Written,
    /// Where it is told.
    pub trace: &'a mut Trace,
    /// How keys look.
    pub keys: &'a KeyFormat,
    /// How values look.
    pub values: &'a ValueFormat,
    /// The life that the table is of.
    pub life: Life,
    /// The worker.
    pub worker: SocketAddr,
    /// The sender of the datagram that the worker is at.
    pub from: SocketAddr,
    /// Now.
    pub now_ns: u64,
}

impl Watched<'_> {
    /// Nothing is executed for one who has no session.
    fn check_sender(&mut self, key: Option<u64>) {
        if !is_genuine(self.from) {
            let text = format!("{} executed an operation for {}", self.worker, self.from);
            self.written.fail("strangers", key, text);
        }
    }
}

impl Store for Watched<'_> {
    fn get(&mut self, keys: &[&[u8]], mut found: impl FnMut(usize, Option<Record<'_>>)) {
        let numbers: Vec<Option<u64>> = keys.iter().map(|key| self.keys.record_of(key)).collect();
        self.check_sender(numbers[0]);
        let Self { table, written, trace, values, worker, now_ns, .. } = self;
        written.reads += keys.len() as u64;
        let mut table: &Table = table;
        table.get(keys, |index, record| {
            let key = numbers[index];
            if let Some(Record { value, .. }) = record
                && values.identity(value).is_none()
            {
                written.fail("whole values", key, "a table returned bytes that nobody put".into());
            }
            let version = record.map_or(0, |record| record.version);
            let what = What::Read { key: key.unwrap_or(u64::MAX), version };
            trace.add(*now_ns, *worker, what, &version.to_le_bytes());
            found(index, record);
        });
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<u64, Full> {
        if key == FORGED_KEY {
            self.written.forged += 1;
            return Ok(1);
        }
        let (number, id) = (self.keys.record_of(key), self.values.identity(value));
        self.check_sender(number);
        let mut table = self.table;
        let stored = table.put(key, value);
        let (Some(number), Some(id)) = (number, id) else {
            let text = "a server executed a PUT of bytes that nobody put".to_owned();
            self.written.fail("whole values", number, text);
            return stored;
        };
        let version = stored.ok();
        let what = What::Wrote { key: number, version, value: id };
        self.trace.add(self.now_ns, self.worker, what, value);
        if stored.is_ok() && self.written.values.insert(id, self.life).is_some() {
            let text = format!("PUT {:x}/{} was executed twice", id.writer, id.counter);
            self.written.fail("at most once", Some(number), text);
        }
        stored
    }

    fn gauges(&self) -> Vec<(&'static str, u64)> {
        self.table.gauges()
    }
}
