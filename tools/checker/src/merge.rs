//! Merges histories, each in the order of its operations' ends, into one.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::BufReader;
use std::path::Path;

use history::format::FileHeader;
use history::operation::Operation;
use history::reader::{Horizon, Problem, Reader, horizons};

use crate::file::{Cursor, HistoryFile};
use crate::input_error::InputError;

/// What a history file is, before its operations are read.
#[derive(Clone, Debug)]
pub struct HistorySource {
    file: HistoryFile,
    header: FileHeader,
    horizons: Vec<Horizon>,
    is_cut: bool,
    /// Added to its times.
    offset_ns: i64,
    /// Bytes of the file.
    bytes: u64,
}

/// What must be known about clocks and ends of files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trust {
    /// Whether the times of different clocks may be compared.
    pub clocks_are_close: bool,
    /// Whether files may be without their end, because their writers were killed.
    pub may_be_cut: bool,
}

/// Looks through the files; tells what stands against checking them together.
pub fn look_through(files: &[HistoryFile], trust: Trust) -> Result<Vec<HistorySource>, InputError> {
    let mut sources = Vec::new();
    for file in files {
        let bytes = file.bytes()?;
        if bytes == 0 && trust.may_be_cut {
            continue; // Killed between opening it and writing its header: nothing was done yet.
        }
        let path = file.path();
        let reader = Reader::new(file.cursor()).map_err(|fault| (path, fault))?;
        let header = *reader.header();
        let (horizons, cut) = horizons(file.cursor()).map_err(|fault| (path, fault))?;
        let is_cut = cut.is_some();
        if let (Some(fault), false) = (cut, trust.may_be_cut) {
            let hint = "if its generator was killed, --killed reads what is whole";
            return Err(InputError::new(path, format!("{fault}; {hint}")));
        }
        let file = file.clone();
        sources.push(HistorySource { file, header, horizons, is_cut, offset_ns: 0, bytes });
    }
    refuse_same_threads(&sources)?;
    refuse_other_workloads(&sources)?;
    let Some(first) = sources.first().map(|source| source.header) else { return Ok(sources) };
    if let Some(other) = sources.iter().find(|source| source.header.clock_id != first.clock_id) {
        if !trust.clocks_are_close {
            let message = "its clock is another host's: say with --clock-error how far the \
                           clocks may differ, such as --clock-error 1ms";
            return Err(InputError::new(other.path(), message));
        }
        for source in &mut sources {
            source.offset_ns = source.header.epoch_offset_ns;
        }
    }
    Ok(sources)
}

/// A thread has one history: two would tell its operations twice.
fn refuse_same_threads(sources: &[HistorySource]) -> Result<(), InputError> {
    let mut known = HashMap::new();
    for source in sources {
        let FileHeader { generator, thread, .. } = source.header;
        if let Some(first) = known.insert((generator, thread), source.path()) {
            let message = format!(
                "it is of the generator and the thread of {}, as one history given twice: leave \
                 one of them out",
                first.display()
            );
            return Err(InputError::new(source.path(), message));
        }
    }
    Ok(())
}

/// Histories whose records do not mean the same say nothing about each other.
fn refuse_other_workloads(sources: &[HistorySource]) -> Result<(), InputError> {
    let Some((first, others)) = sources.split_first() else { return Ok(()) };
    for other in others {
        let (theirs, header) = (&first.header, &other.header);
        let first = first.path().display();
        let message = if header.sample != theirs.sample {
            format!(
                "it keeps one key in {}, {first} one in {}: they were not of one run",
                header.sample, theirs.sample
            )
        } else if header.key_bytes != theirs.key_bytes {
            format!(
                "its keys have {} bytes, those of {first} {}: records of one number are other \
                 keys, so check apart what ran with another --key-size",
                header.key_bytes, theirs.key_bytes
            )
        } else if header.value_bytes != theirs.value_bytes {
            format!(
                "its values have {} bytes, those of {first} {}: a generator does not know the \
                 values of another --value-size, so that their histories cannot be checked \
                 together",
                header.value_bytes, theirs.value_bytes
            )
        } else {
            continue;
        };
        return Err(InputError::new(other.path(), message));
    }
    Ok(())
}

impl HistorySource {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The writer of its values, if it was killed.
    #[must_use]
    pub fn killed_writer(&self) -> Option<u64> {
        self.is_cut.then_some(self.header.writer)
    }

    /// Its size.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A file that is being read.
#[derive(Debug)]
struct OpenHistory {
    source: HistorySource,
    reader: Reader<BufReader<Cursor>>,
    head: Option<Operation>,
    /// The block that the head is of.
    block: usize,
}

impl OpenHistory {
    fn open(source: &HistorySource) -> Result<Self, InputError> {
        let reader = Reader::new(BufReader::with_capacity(128 << 10, source.file.cursor()))
            .map_err(|fault| (source.path(), fault))?;
        let mut stream = Self { source: source.clone(), reader, head: None, block: 0 };
        stream.advance()?;
        Ok(stream)
    }

    /// Reads the next operation; returns whether it is of another block.
    #[inline]
    fn advance(&mut self) -> Result<bool, InputError> {
        let before = self.reader.offset();
        self.head = match self.reader.next() {
            Ok(operation) => operation,
            Err(fault) if self.source.is_cut && matches!(fault.problem, Problem::Cut) => None,
            Err(fault) => return Err((self.source.path(), fault).into()),
        };
        if let (Some(head), true) = (&mut self.head, self.source.offset_ns != 0) {
            head.start_ns = head.start_ns.saturating_add_signed(self.source.offset_ns);
            head.end_ns = head.end_ns.saturating_add_signed(self.source.offset_ns);
        }
        let is_new_block = self.reader.offset() != before || self.head.is_none();
        if is_new_block {
            let horizons = &self.source.horizons;
            let offset = self.reader.offset();
            self.block = horizons.partition_point(|horizon| horizon.block_end < offset);
        }
        Ok(is_new_block)
    }

    fn horizon_ns(&self) -> u64 {
        match (&self.head, self.source.horizons.get(self.block)) {
            (Some(_), Some(horizon)) => {
                horizon.min_start_ns.saturating_add_signed(self.source.offset_ns)
            }
            _ => u64::MAX,
        }
    }
}

/// All operations of several files, in the order of their ends.
#[derive(Debug)]
pub struct Merge {
    streams: Vec<OpenHistory>,
    /// The streams that wait for their turn, by the end of their head.
    waiting: BinaryHeap<Reverse<(u64, usize)>>,
    current: usize,
    /// The current stream goes on up to here.
    limit_ns: u64,
    horizon_ns: u64,
}

impl Merge {
    /// Opens the files.
    pub fn open(sources: &[HistorySource]) -> Result<Self, InputError> {
        let streams = sources.iter().map(OpenHistory::open).collect::<Result<Vec<_>, _>>()?;
        let heads = streams.iter().enumerate();
        let waiting = heads.filter_map(|(at, s)| Some(Reverse((s.head.as_ref()?.end_ns, at))));
        let mut merge =
            Self { waiting: waiting.collect(), streams, current: 0, limit_ns: 0, horizon_ns: 0 };
        merge.horizon_ns = merge.least_horizon_ns();
        merge.turn();
        Ok(merge)
    }

    /// No answered operation to come starts before.
    #[must_use]
    #[inline]
    pub const fn horizon_ns(&self) -> u64 {
        self.horizon_ns
    }

    /// Bytes read so far, of all files.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.streams.iter().map(|stream| stream.reader.offset()).sum()
    }

    /// The next operation, and the number of its file.
    #[inline]
    pub fn next_operation(&mut self) -> Result<Option<(usize, Operation)>, InputError> {
        let Some(stream) = self.streams.get_mut(self.current) else { return Ok(None) };
        let Some(operation) = stream.head else { return Ok(None) };
        let file = self.current;
        if stream.advance()? {
            self.horizon_ns = self.least_horizon_ns();
        }
        let stream = &self.streams[file];
        if stream.head.is_none_or(|head| head.end_ns > self.limit_ns) {
            if let Some(head) = &stream.head {
                self.waiting.push(Reverse((head.end_ns, file)));
            }
            self.turn();
        }
        Ok(Some((file, operation)))
    }

    /// Goes on with the stream whose head comes first.
    fn turn(&mut self) {
        if let Some(Reverse((_, first))) = self.waiting.pop() {
            self.current = first;
            self.limit_ns = self.waiting.peek().map_or(u64::MAX, |Reverse((end_ns, _))| *end_ns);
        }
    }

    fn least_horizon_ns(&self) -> u64 {
        self.streams.iter().map(OpenHistory::horizon_ns).min().unwrap_or(u64::MAX)
    }
}
