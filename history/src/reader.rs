//! Reads one thread's history, block by block, and trusts none of it.

use std::fmt;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use crate::format::{
    BLOCK_END, BLOCK_HEADER_BYTES, BLOCK_RECORDS, BlockHeader, FILE_HEADER_BYTES, FORMAT_VERSION,
    FileHeader, MAGIC, NAMES, NUMBER_SLACK_BYTES, PAYLOAD_BYTES_MAX, crc, tag, take_fields,
    take_number,
};
use crate::operation::{Action, Operation, ValueId};

/// Why a file cannot be read on, and where.
#[derive(Debug)]
pub struct Fault {
    /// Bytes from the start of the file to what is wrong.
    pub offset: u64,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum Problem {
    /// It could not be read.
    Io(io::Error),
    /// It is no history.
    NoHistory,
    /// It is of another version of the format.
    OtherVersion(u32),
    /// It ends before its end: its writer was killed, or it was cut.
    Cut,
    /// A checksum is wrong.
    Checksum,
    /// Something has a value that it cannot have.
    Field(&'static str),
    /// There are bytes behind its end.
    Trailing,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "offset {}: ", self.offset)?;
        match &self.problem {
            Problem::Io(error) => error.fmt(formatter),
            Problem::NoHistory => formatter.write_str("this is no history file"),
            Problem::OtherVersion(version) => {
                write!(formatter, "format version {version}, expected {FORMAT_VERSION}")
            }
            Problem::Cut => formatter.write_str("the file ends here, before its end"),
            Problem::Checksum => formatter.write_str("the checksum is wrong"),
            Problem::Field(field) => write!(formatter, "{field} is wrong"),
            Problem::Trailing => formatter.write_str("bytes follow the end"),
        }
    }
}

impl std::error::Error for Fault {}

/// Reads a history. Whatever the bytes are, it ends in operations or a [`Fault`], and holds
/// no more than a block.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    header: FileHeader,
    /// Where the next block begins.
    offset: u64,
    block: BlockHeader,
    /// The payload, and slack behind it to read numbers in one piece.
    payload: Vec<u8>,
    at: usize,
    records_left: u64,
    records_total: u64,
    last_start_ns: u64,
    last_end_ns: u64,
    writers: Box<[Option<u64>; NAMES]>,
    lives: Box<[Option<(u16, u64)>; NAMES]>,
    is_over: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    pub fn new(mut input: R) -> Result<Self, Fault> {
        let mut bytes = [0; FILE_HEADER_BYTES];
        let fault = |problem| Fault { offset: 0, problem };
        let length = read_up_to(&mut input, &mut bytes).map_err(|e| fault(Problem::Io(e)))?;
        if bytes[..length.min(MAGIC.len())] != MAGIC[..length.min(MAGIC.len())] || length == 0 {
            return Err(fault(Problem::NoHistory));
        }
        if length < FILE_HEADER_BYTES {
            return Err(Fault { offset: length as u64, problem: Problem::Cut });
        }
        let header: FileHeader = bytemuck::pod_read_unaligned(&bytes);
        if header.format_version != FORMAT_VERSION {
            return Err(fault(Problem::OtherVersion(header.format_version)));
        }
        if header.checksum != header.sum() {
            return Err(fault(Problem::Checksum));
        }
        if header.header_bytes as usize != FILE_HEADER_BYTES
            || header.sample == 0
            || header.reserved != [0; 3]
        {
            return Err(fault(Problem::Field("the header")));
        }
        Ok(Self {
            input,
            header,
            offset: FILE_HEADER_BYTES as u64,
            block: bytemuck::Zeroable::zeroed(),
            payload: Vec::new(),
            at: 0,
            records_left: 0,
            records_total: 0,
            last_start_ns: header.start_ns,
            last_end_ns: header.start_ns,
            writers: Box::new([None; NAMES]),
            lives: Box::new([None; NAMES]),
            is_over: false,
        })
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &FileHeader {
        &self.header
    }

    /// The next operation; none at the end of a whole file. [`Problem::Cut`] is told once:
    /// all that was whole has been read by then.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "it ends at the first fault")]
    pub fn next(&mut self) -> Result<Option<Operation>, Fault> {
        while self.records_left == 0 {
            if !self.read_block()? {
                return Ok(None);
            }
        }
        match self.decode() {
            Ok(operation) => {
                self.records_left -= 1;
                if self.records_left == 0 && self.at != self.block.payload_bytes as usize {
                    return Err(self.fault_inside("the number of records"));
                }
                Ok(Some(operation))
            }
            Err(field) => Err(self.fault_inside(field)),
        }
    }

    /// Where the block ends that the latest operation is of.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    fn fault_inside(&self, field: &'static str) -> Fault {
        let payload_from = self.offset - u64::from(self.block.payload_bytes);
        Fault { offset: payload_from + self.at as u64, problem: Problem::Field(field) }
    }

    /// Reads the next block; whether there is one.
    #[cold]
    fn read_block(&mut self) -> Result<bool, Fault> {
        if self.is_over {
            return Ok(false);
        }
        let Some(block) = self.read_block_header()? else { return Ok(false) };
        let bytes = block.payload_bytes as usize;
        self.payload.clear();
        self.payload.resize(bytes + NUMBER_SLACK_BYTES, 0);
        let payload = &mut self.payload[..bytes];
        let length = match read_up_to(&mut self.input, payload) {
            Ok(length) => length,
            Err(error) => return Err(self.io(error)),
        };
        if length < bytes {
            self.is_over = true;
            return Err(self.fault_at(length as u64, Problem::Cut));
        }
        if crc(&self.payload[..bytes]) != block.payload_checksum {
            return Err(self.fault_at(0, Problem::Checksum));
        }
        self.offset += length as u64;
        self.block = block;
        self.at = 0;
        self.records_left = block.records;
        self.records_total += block.records;
        // The first record of a block tells its times.
        self.last_start_ns = 0;
        self.last_end_ns = block.base_ns;
        self.writers.fill(None);
        self.lives.fill(None);
        Ok(true)
    }

    /// Reads the header of the next block, and stands behind it; none at the end.
    fn read_block_header(&mut self) -> Result<Option<BlockHeader>, Fault> {
        let mut bytes = [0; BLOCK_HEADER_BYTES];
        let length = read_up_to(&mut self.input, &mut bytes).map_err(|e| self.io(e))?;
        if length < bytes.len() {
            self.is_over = true;
            return Err(self.fault_at(length as u64, Problem::Cut));
        }
        let block: BlockHeader = bytemuck::pod_read_unaligned(&bytes);
        if block.checksum != block.sum() {
            return Err(self.fault_at(0, Problem::Checksum));
        }
        let records_max = u64::from(block.payload_bytes);
        match block.kind {
            BLOCK_RECORDS
                if block.payload_bytes as usize <= PAYLOAD_BYTES_MAX
                    && block.records <= records_max
                    && block.base_ns >= self.last_end_ns => {}
            BLOCK_END if block.payload_bytes == 0 && block.records == self.records_total => {
                self.is_over = true;
                self.offset += length as u64;
                let more = read_up_to(&mut self.input, &mut [0]).map_err(|e| self.io(e))?;
                if more > 0 {
                    return Err(self.fault_at(0, Problem::Trailing));
                }
                return Ok(None);
            }
            _ => return Err(self.fault_at(0, Problem::Field("a block's header"))),
        }
        self.offset += length as u64;
        Ok(Some(block))
    }

    /// Reads one record, with the names before it; an error names the field that is wrong.
    #[inline]
    fn decode(&mut self) -> Result<Operation, &'static str> {
        let bytes = self.payload.as_slice();
        let mut at = self.at;
        let mut tag = byte(bytes, &mut at)?;
        while matches!(tag, tag::WRITER | tag::LIFE) {
            let place = usize::from(byte(bytes, &mut at)?);
            if tag == tag::WRITER {
                self.writers[place] = Some(u64::from_le_bytes(array(bytes, &mut at)?));
            } else {
                let server = u16::from_le_bytes(array(bytes, &mut at)?);
                let incarnation = u64::from_le_bytes(array(bytes, &mut at)?);
                self.lives[place] = Some((server, incarnation));
            }
            tag = byte(bytes, &mut at)?;
        }
        let life = byte(bytes, &mut at)?;
        let (server, incarnation) = self.lives[usize::from(life)].ok_or("a server's life")?;
        let writer = byte(bytes, &mut at)?;
        let writer = self.writers[usize::from(writer)].ok_or("a writer")?;
        let mut number = || take_number(bytes, &mut at).ok_or("a number");
        let (start_ns, end_ns) = if tag & tag::SAME_TIMES == 0 {
            let end_ns = self.last_end_ns.checked_add(number()?).ok_or("an end")?;
            (end_ns.checked_sub(number()?).ok_or("a start")?, end_ns)
        } else {
            tag &= !tag::SAME_TIMES;
            (self.last_start_ns, self.last_end_ns)
        };
        let [client, key, version, counter] = take_fields(bytes, &mut at).ok_or("a number")?;
        let client = u32::try_from(client).map_err(|_| "a client")?;
        let value = ValueId { writer, counter };
        let is_cached = tag & tag::CACHED != 0;
        tag &= !tag::CACHED;
        let action = match tag {
            tag::FOUND => Action::Found(value),
            tag::NOT_FOUND => Action::NotFound,
            tag::STORED if !is_cached => Action::Stored(value),
            tag::INDETERMINATE if !is_cached => Action::Indeterminate(value),
            _ => return Err("a tag"),
        };
        if start_ns < self.block.min_start_ns && tag != tag::INDETERMINATE {
            return Err("a start");
        }
        if at > self.block.payload_bytes as usize {
            return Err("the number of records");
        }
        self.at = at;
        self.last_start_ns = start_ns;
        self.last_end_ns = end_ns;
        Ok(Operation {
            client,
            server,
            incarnation,
            key,
            action,
            is_cached,
            version,
            start_ns,
            end_ns,
        })
    }

    fn io(&self, error: io::Error) -> Fault {
        Fault { offset: self.offset, problem: Problem::Io(error) }
    }

    fn fault_at(&self, behind: u64, problem: Problem) -> Fault {
        Fault { offset: self.offset + behind, problem }
    }
}

/// Where a block begins, and the earliest start of its records and all that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// Where the block ends: [`Reader::offset`] while its operations are read.
    pub block_end: u64,
    /// No answered operation of this block, nor of a later one, starts before.
    pub min_start_ns: u64,
}

/// Looks through a whole file, at the headers of its blocks only. What is wrong inside of a
/// block is told when it is read; a file that was cut has the horizons of its whole blocks,
/// and the fault beside them.
pub fn horizons<R: Read + Seek>(input: R) -> Result<(Vec<Horizon>, Option<Fault>), Fault> {
    let mut reader = Reader::new(input)?;
    let length = reader.input.seek(SeekFrom::End(0)).map_err(|e| reader.io(e))?;
    let seek = |reader: &mut Reader<R>| {
        reader.input.seek(SeekFrom::Start(reader.offset)).map_err(|e| reader.io(e))
    };
    seek(&mut reader)?;
    let mut horizons = Vec::new();
    let mut cut = None;
    loop {
        match reader.read_block_header() {
            Ok(Some(block)) => {
                let block_end = reader.offset + u64::from(block.payload_bytes);
                if block_end > length {
                    cut = Some(Fault { offset: length, problem: Problem::Cut });
                    break;
                }
                reader.offset = block_end;
                reader.records_total += block.records;
                horizons.push(Horizon { block_end, min_start_ns: block.min_start_ns });
                seek(&mut reader)?;
            }
            Ok(None) => break,
            Err(fault) if matches!(fault.problem, Problem::Cut) => {
                cut = Some(fault);
                break;
            }
            Err(fault) => return Err(fault),
        }
    }
    for index in (1..horizons.len()).rev() {
        let later_ns = horizons[index].min_start_ns;
        let earlier: &mut Horizon = &mut horizons[index - 1];
        earlier.min_start_ns = earlier.min_start_ns.min(later_ns);
    }
    Ok((horizons, cut))
}

#[inline]
fn byte(bytes: &[u8], at: &mut usize) -> Result<u8, &'static str> {
    let byte = *bytes.get(*at).ok_or("the number of records")?;
    *at += 1;
    Ok(byte)
}

#[inline]
fn array<const N: usize>(bytes: &[u8], at: &mut usize) -> Result<[u8; N], &'static str> {
    let array = bytes.get(*at..*at + N).ok_or("a name")?;
    *at += N;
    Ok(array.try_into().expect("it has this length"))
}

/// Fills `bytes` as far as the input reaches.
fn read_up_to(input: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match input.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
