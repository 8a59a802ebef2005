//! Any bytes are a history, or are refused at their first fault; what is written is read;
//! and a look at the headers of the blocks alone tells the same as reading them.

use std::collections::BTreeSet;
use std::io::Cursor;

use arbitrary::Unstructured;
use history::format::{
    BLOCK_END, BLOCK_RECORDS, BlockHeader, FILE_HEADER_BYTES, FORMAT_VERSION, FileHeader, MAGIC,
};
use history::operation::{Action, Operation, ValueId};
use history::reader::{Fault, Horizon, Problem, Reader, horizons};
use history::writer::Writer;

use super::{any, below, bytes};

/// The bytes are a file; then they are what is in the blocks of a file whose checksums are
/// right; then they are operations to write.
pub fn run(input: &[u8]) {
    reads(input);
    for file in [sealed(input), composed(&mut Unstructured::new(input))] {
        let (operations, fault) = reads(&file);
        if fault.is_none() {
            // There are many ways to write the same; what they say is the same.
            let again = write(&operations, &BTreeSet::new());
            assert_eq!(reads(&again).0, operations);
        }
    }
    writes(&mut Unstructured::new(input));
}

fn header() -> FileHeader {
    FileHeader {
        magic: MAGIC,
        format_version: FORMAT_VERSION,
        header_bytes: FILE_HEADER_BYTES as u32,
        clock_id: [3; 16],
        epoch_offset_ns: -5,
        start_ns: 0,
        writer: 7,
        generator: 8,
        thread: 1,
        key_bytes: 8,
        value_bytes: 128,
        sample: 1,
        reserved: [0; 3],
        checksum: 0,
    }
}

/// The same bytes with every checksum right, as far as they have the form of a history.
fn sealed(input: &[u8]) -> Vec<u8> {
    let mut file = input.to_vec();
    let Some(first) = file.first_chunk_mut::<FILE_HEADER_BYTES>() else { return file };
    let header: FileHeader = bytemuck::pod_read_unaligned(first);
    first.copy_from_slice(bytemuck::bytes_of(&header.sealed()));
    let mut rest = &mut file[FILE_HEADER_BYTES..];
    while let Some((header, behind)) = rest.split_first_chunk_mut::<{ size_of::<BlockHeader>() }>()
    {
        let block: BlockHeader = bytemuck::pod_read_unaligned(header);
        let payload_bytes = (block.payload_bytes as usize).min(behind.len());
        let (payload, next) = behind.split_at_mut(payload_bytes);
        header.copy_from_slice(bytemuck::bytes_of(&block.sealed(payload)));
        rest = next;
    }
    file
}

/// A file of blocks whose headers are mostly right and whose payloads are anything.
fn composed(input: &mut Unstructured<'_>) -> Vec<u8> {
    let mut file = bytemuck::bytes_of(&header().sealed()).to_vec();
    let mut records_total = 0;
    while !input.is_empty() {
        let records = u64::from(any::<u8>(input)) % 9;
        let payload_bytes = below(input, 256);
        let base_ns = u64::from(any::<u8>(input));
        let payload = bytes(input, payload_bytes);
        file.extend(block(BLOCK_RECORDS, records, base_ns, payload));
        records_total += records;
    }
    file.extend(block(BLOCK_END, records_total, 0, &[]));
    file
}

fn block(kind: u32, records: u64, base_ns: u64, payload: &[u8]) -> Vec<u8> {
    let header = BlockHeader {
        kind,
        payload_bytes: payload.len() as u32,
        records,
        base_ns,
        min_start_ns: 0,
        reserved: 0,
        payload_checksum: 0,
        checksum: 0,
    };
    let mut bytes = bytemuck::bytes_of(&header.sealed(payload)).to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// Reads a file in both ways, and compares what they say.
fn reads(file: &[u8]) -> (Vec<Operation>, Option<Fault>) {
    let headers = horizons(Cursor::new(file));
    let mut reader = match Reader::new(file) {
        Ok(reader) => reader,
        Err(fault) => {
            let told = headers.expect_err("it has no header");
            assert_eq!(told.to_string(), fault.to_string());
            return (Vec::new(), Some(fault));
        }
    };
    let (mut operations, mut block_ends) = (Vec::new(), Vec::new());
    let fault = loop {
        match reader.next() {
            Ok(Some(operation)) => {
                operations.push(operation);
                block_ends.push(reader.offset());
            }
            Ok(None) => break None,
            Err(fault) => break Some(fault),
        }
        assert!(operations.len() <= file.len(), "no more operations than bytes");
    };
    assert!(operations.iter().all(|operation| operation.start_ns <= operation.end_ns));
    assert!(operations.is_sorted_by_key(|operation| operation.end_ns), "in order of their ends");
    if let Some(fault) = &fault {
        assert!(fault.offset <= file.len() as u64, "{fault} is not in the file");
    }
    agree(&headers, &operations, &block_ends, fault.as_ref());
    (operations, fault)
}

/// The headers alone know no more than all of the file, and are told nothing else.
fn agree(
    headers: &Result<(Vec<Horizon>, Option<Fault>), Fault>,
    operations: &[Operation],
    block_ends: &[u64],
    fault: Option<&Fault>,
) {
    let (horizons, told) = match headers {
        Ok((horizons, cut)) => (horizons.as_slice(), cut.as_ref()),
        Err(fault) => (&[][..], Some(fault)),
    };
    if let Some(told) = told {
        let fault = fault.expect("what is wrong with a header is wrong with the file");
        assert!(fault.offset <= told.offset, "{fault} is behind {told}");
    }
    if let Some(fault) = fault.filter(|fault| matches!(fault.problem, Problem::Cut)) {
        let told = told.expect("a cut is seen by the headers");
        assert_eq!((told.offset, told.to_string()), (fault.offset, fault.to_string()));
    }
    if headers.is_err() {
        return;
    }
    for (operation, block_end) in operations.iter().zip(block_ends) {
        let at = horizons.binary_search_by_key(block_end, |horizon| horizon.block_end);
        let horizon = horizons[at.expect("each operation is of a block")];
        let is_answered = !matches!(operation.action, Action::Indeterminate(_));
        assert!(
            horizon.min_start_ns <= operation.start_ns || !is_answered,
            "{operation:?} is before {horizon:?}"
        );
    }
}

/// What is written is read; a cut and a change are noticed.
fn writes(input: &mut Unstructured<'_>) {
    let cut: u32 = any(input);
    let (changed, change): (u32, u8) = (any(input), any(input));
    let (mut operations, mut flushes) = (Vec::new(), BTreeSet::new());
    let mut end_ns = header().start_ns;
    while !input.is_empty() {
        end_ns = operation(input, end_ns, &mut operations, &mut flushes);
    }
    let file = write(&operations, &flushes);
    let (read, fault) = reads(&file);
    assert!(fault.is_none(), "{fault:?}");
    assert_eq!(read, operations);
    horizons_are_exact(&file, &operations);

    let cut = cut as usize % file.len();
    let (read, fault) = reads(&file[..cut]);
    let fault = fault.expect("it is cut");
    assert!(cut == 0 || matches!(fault.problem, Problem::Cut), "{fault}");
    assert_eq!(fault.offset, cut as u64);
    assert!(operations.starts_with(&read));

    let mut damaged = file;
    let changed = changed as usize % damaged.len();
    damaged[changed] ^= change.max(1);
    let (read, fault) = reads(&damaged);
    let fault = fault.unwrap_or_else(|| panic!("a change of byte {changed} is not noticed"));
    assert!(fault.offset <= changed as u64, "{fault} is behind the change of byte {changed}");
    assert!(operations.starts_with(&read), "only what is whole is told");
}

/// Adds one operation, or the end of a block; returns when the latest operation ended.
fn operation(
    input: &mut Unstructured<'_>,
    end_ns: u64,
    operations: &mut Vec<Operation>,
    flushes: &mut BTreeSet<usize>,
) -> u64 {
    let shape: u8 = any(input);
    if shape & 7 == 7 {
        flushes.insert(operations.len());
        return end_ns;
    }
    if shape & 7 == 6
        && let Some(&last) = operations.last()
    {
        operations.push(Operation { key: u64::from(shape), ..last });
        return end_ns;
    }
    // Numbers of all lengths, and few names.
    let number = |input: &mut Unstructured<'_>| any::<u64>(input) >> below(input, 64);
    let value = ValueId { writer: u64::from(shape >> 6).wrapping_neg(), counter: number(input) };
    let action = match shape & 3 {
        0 => Action::Found(value),
        1 => Action::NotFound,
        2 => Action::Stored(value),
        _ => Action::Indeterminate(value),
    };
    let next_ns = end_ns.saturating_add(u64::from(any::<u16>(input)));
    operations.push(Operation {
        client: any(input),
        server: u16::from(shape >> 5),
        incarnation: u64::from(shape >> 4),
        key: number(input),
        action,
        is_cached: shape & 32 != 0 && shape & 3 < 2,
        version: number(input),
        start_ns: next_ns.saturating_sub(u64::from(any::<u16>(input))),
        end_ns: next_ns,
    });
    next_ns
}

fn write(operations: &[Operation], flushes: &BTreeSet<usize>) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, header()).expect("memory takes all");
    for (index, operation) in operations.iter().enumerate() {
        if flushes.contains(&index) {
            writer.flush().expect("memory takes all");
        }
        writer.write(operation);
    }
    let count = writer.finish().expect("memory takes all");
    assert_eq!(count, operations.len() as u64);
    file
}

/// Of what a writer wrote, the horizons are not only sound but the latest that are.
fn horizons_are_exact(file: &[u8], operations: &[Operation]) {
    let (horizons, cut) = horizons(Cursor::new(file)).expect("it is whole");
    assert!(cut.is_none());
    let mut reader = Reader::new(file).expect("it is whole");
    let mut starts = Vec::new();
    let mut read = 0;
    while let Some(operation) = reader.next().expect("it is whole") {
        read += 1;
        if !matches!(operation.action, Action::Indeterminate(_)) {
            starts.push((reader.offset(), operation.start_ns));
        }
    }
    assert_eq!(read, operations.len());
    for horizon in &horizons {
        let later = starts.iter().filter(|(block_end, _)| *block_end >= horizon.block_end);
        let earliest_ns = later.map(|(_, start_ns)| *start_ns).min();
        assert_eq!(earliest_ns.unwrap_or(u64::MAX), horizon.min_start_ns);
    }
    assert_eq!(horizons.is_empty(), operations.is_empty());
}
