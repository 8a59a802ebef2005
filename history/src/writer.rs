//! Writes one thread's history.

use std::io::{self, Write};

use crate::format::{
    BLOCK_END, BLOCK_HEADER_BYTES, BLOCK_RECORDS, BlockHeader, FileHeader, NAMES,
    PAYLOAD_BYTES_MAX, RECORD_BYTES_MAX, place_of, put_fields, put_number, tag,
};
use crate::operation::{Action, Operation, ValueId};

/// Names of a block that are known at one time, by their places.
#[derive(Debug)]
struct Names<T> {
    names: Box<[Option<T>; NAMES]>,
}

impl<T: Copy + PartialEq> Names<T> {
    fn new() -> Self {
        Self { names: Box::new([None; NAMES]) }
    }

    fn forget(&mut self) {
        self.names.fill(None);
    }

    /// Whether the place had another name before.
    #[inline]
    fn changes(&mut self, place: u8, name: T) -> bool {
        self.names[usize::from(place)].replace(name) != Some(name)
    }
}

/// Writes a history, in blocks that each stand on their own.
///
/// An error is kept until [`Self::flush`] or [`Self::finish`] tells it; what is written
/// after it is lost.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    /// The block that is filling: room for its header, then the payload up to `filled`.
    block: Box<[u8]>,
    filled: usize,
    records: u64,
    base_ns: u64,
    min_start_ns: u64,
    last_start_ns: u64,
    last_end_ns: u64,
    records_total: u64,
    last_life: (u16, u64),
    last_value: ValueId,
    writers: Names<u64>,
    lives: Names<(u16, u64)>,
    error: Option<io::Error>,
}

impl<W: Write> Writer<W> {
    /// Begins a file; `header` need not be sealed.
    pub fn new(mut out: W, header: FileHeader) -> io::Result<Self> {
        out.write_all(bytemuck::bytes_of(&header.sealed()))?;
        Ok(Self {
            out,
            block: vec![0; BLOCK_HEADER_BYTES + PAYLOAD_BYTES_MAX].into(),
            filled: BLOCK_HEADER_BYTES,
            records: 0,
            base_ns: header.start_ns,
            min_start_ns: u64::MAX,
            last_start_ns: header.start_ns,
            last_end_ns: header.start_ns,
            records_total: 0,
            last_life: (0, 0),
            last_value: ValueId { writer: 0, counter: 0 },
            writers: Names::new(),
            lives: Names::new(),
            error: None,
        })
    }

    /// Adds an operation. They come in the order of their ends: one that ended before its
    /// predecessor is taken to have ended with it.
    #[inline]
    pub fn write(&mut self, operation: &Operation) {
        if self.filled + RECORD_BYTES_MAX > self.block.len() {
            self.write_block();
        }
        let end_ns = operation.end_ns.max(self.last_end_ns);
        let start_ns = operation.start_ns.min(end_ns);
        let life = self.life_place(operation);
        let cached = if operation.is_cached { tag::CACHED } else { 0 };
        let (tag, value) = match operation.action {
            Action::Found(value) => (tag::FOUND | cached, value),
            Action::NotFound => (tag::NOT_FOUND | cached, self.last_value),
            Action::Stored(value) => (tag::STORED, value),
            Action::Indeterminate(value) => (tag::INDETERMINATE, value),
        };
        let writer = self.writer_place(value);
        let bytes = &mut self.block;
        let mut at = self.filled;
        bytes[at + 1] = life;
        bytes[at + 2] = writer;
        if end_ns == self.last_end_ns && start_ns == self.last_start_ns && self.records > 0 {
            bytes[at] = tag | tag::SAME_TIMES;
            at += 3;
        } else {
            bytes[at] = tag;
            at = put_number(bytes, at + 3, end_ns - self.last_end_ns);
            at = put_number(bytes, at, end_ns - start_ns);
            self.last_end_ns = end_ns;
            self.last_start_ns = start_ns;
        }
        if tag != tag::INDETERMINATE {
            self.min_start_ns = self.min_start_ns.min(start_ns);
        }
        let Operation { client, key, version, .. } = *operation;
        self.filled = put_fields(bytes, at, [client.into(), key, version, value.counter]);
        self.records += 1;
    }

    /// Hands what is buffered to the file, so that only later operations are lost if the
    /// process is killed.
    pub fn flush(&mut self) -> io::Result<()> {
        self.write_block();
        match self.error.take() {
            Some(error) => Err(error),
            None => self.out.flush(),
        }
    }

    /// Ends the file; returns how many operations it holds.
    pub fn finish(mut self) -> io::Result<u64> {
        self.write_block();
        let records = self.records_total;
        let header = BlockHeader {
            kind: BLOCK_END,
            payload_bytes: 0,
            records,
            base_ns: self.last_end_ns,
            min_start_ns: u64::MAX,
            reserved: 0,
            payload_checksum: 0,
            checksum: 0,
        };
        if self.error.is_none() {
            self.out.write_all(bytemuck::bytes_of(&header.sealed(&[])))?;
        }
        self.flush()?;
        Ok(records)
    }

    /// The place of the server's life, mostly the same as before.
    #[inline]
    fn life_place(&mut self, operation: &Operation) -> u8 {
        let life = (operation.server, operation.incarnation);
        let place = place_of(operation.incarnation ^ u64::from(operation.server));
        if self.records == 0 || self.last_life != life {
            self.last_life = life;
            if self.lives.changes(place, life) {
                self.name_life(place, operation);
            }
        }
        place
    }

    /// The place of the value's writer, often the same as before.
    #[inline]
    fn writer_place(&mut self, value: ValueId) -> u8 {
        let place = place_of(value.writer);
        let may_change = self.records == 0 || self.last_value.writer != value.writer;
        if may_change && self.writers.changes(place, value.writer) {
            self.name_writer(place, value.writer);
        }
        self.last_value = value;
        place
    }

    #[cold]
    fn name_writer(&mut self, place: u8, writer: u64) {
        let name = &mut self.block[self.filled..][..10];
        name[..2].copy_from_slice(&[tag::WRITER, place]);
        name[2..].copy_from_slice(&writer.to_le_bytes());
        self.filled += name.len();
    }

    #[cold]
    fn name_life(&mut self, place: u8, operation: &Operation) {
        let name = &mut self.block[self.filled..][..12];
        name[..2].copy_from_slice(&[tag::LIFE, place]);
        name[2..4].copy_from_slice(&operation.server.to_le_bytes());
        name[4..].copy_from_slice(&operation.incarnation.to_le_bytes());
        self.filled += name.len();
    }

    #[cold]
    fn write_block(&mut self) {
        if self.records > 0 && self.error.is_none() {
            let (header, payload) = self.block[..self.filled].split_at_mut(BLOCK_HEADER_BYTES);
            let filled = BlockHeader {
                kind: BLOCK_RECORDS,
                payload_bytes: payload.len() as u32,
                records: self.records,
                base_ns: self.base_ns,
                min_start_ns: self.min_start_ns,
                reserved: 0,
                payload_checksum: 0,
                checksum: 0,
            };
            header.copy_from_slice(bytemuck::bytes_of(&filled.sealed(payload)));
            match self.out.write_all(&self.block[..self.filled]) {
                Ok(()) => self.records_total += self.records,
                Err(error) => self.error = Some(error),
            }
        }
        self.filled = BLOCK_HEADER_BYTES;
        self.records = 0;
        self.base_ns = self.last_end_ns;
        self.min_start_ns = u64::MAX;
        self.writers.forget();
        self.lives.forget();
    }
}
