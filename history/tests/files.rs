//! What is written is read; what was cut or changed is told, with its place.

use std::io::Cursor;

use history::format::{BlockHeader, FILE_HEADER_BYTES, FORMAT_VERSION, FileHeader, MAGIC, tag};
use history::operation::{Action, Operation, ValueId};
use history::reader::{Fault, Problem, Reader, horizons};
use history::writer::Writer;
use proptest::collection::vec;
use proptest::prelude::*;

const START_NS: u64 = 1_000_000;

fn header() -> FileHeader {
    FileHeader {
        magic: MAGIC,
        format_version: FORMAT_VERSION,
        header_bytes: FILE_HEADER_BYTES as u32,
        clock_id: [3; 16],
        epoch_offset_ns: -5,
        start_ns: START_NS,
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

fn written(operations: &[Operation]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, header()).unwrap();
    operations.iter().for_each(|operation| writer.write(operation));
    assert_eq!(writer.finish().unwrap(), operations.len() as u64);
    bytes
}

/// All operations up to the end or the first fault.
fn read(bytes: &[u8]) -> (Vec<Operation>, Option<Fault>) {
    let mut operations = Vec::new();
    let mut reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(fault) => return (operations, Some(fault)),
    };
    loop {
        match reader.next() {
            Ok(Some(operation)) => operations.push(operation),
            Ok(None) => return (operations, None),
            Err(fault) => return (operations, Some(fault)),
        }
    }
}

fn any_action() -> impl Strategy<Value = Action> {
    let value = (0..9_u64, any::<u64>()).prop_map(|(writer, counter)| ValueId {
        writer: writer.wrapping_mul(u64::MAX / 7),
        counter,
    });
    (0..4, value).prop_map(|(kind, value)| match kind {
        0 => Action::Found(value),
        1 => Action::NotFound,
        2 => Action::Stored(value),
        _ => Action::Indeterminate(value),
    })
}

/// Operations in the order of their ends.
fn any_operations() -> impl Strategy<Value = Vec<Operation>> {
    let life = (0..3_u16, 0..3_u64);
    let action = (any_action(), any::<bool>());
    let one = (any::<u32>(), life, any::<u64>(), action, any::<u64>(), 0..3_u64);
    vec((one, 0..4_u64), 0..200).prop_map(|all| {
        let mut end_ns = START_NS;
        let operation = |(
            (client, (server, incarnation), key, (action, is_cached), version, before),
            after,
        )| {
            end_ns += after;
            let start_ns = end_ns - before;
            let is_cached = is_cached && matches!(action, Action::Found(_) | Action::NotFound);
            Operation {
                client,
                server,
                incarnation,
                key,
                action,
                is_cached,
                version,
                start_ns,
                end_ns,
            }
        };
        all.into_iter().map(operation).collect()
    })
}

/// So many that they take several blocks.
fn many() -> Vec<Operation> {
    let operation = |number: u64| Operation {
        client: number as u32 % 100,
        server: (number % 3) as u16,
        incarnation: number % 3 + 100,
        key: number * 31 % 1000,
        action: Action::Found(ValueId { writer: number % 5, counter: number }),
        is_cached: number.is_multiple_of(3),
        version: number / 7,
        start_ns: START_NS + number * 10 - number % 50,
        end_ns: START_NS + number * 10,
    };
    (0..20_000).map(operation).collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read(operations in any_operations()) {
        let (read, fault) = read(&written(&operations));
        prop_assert!(fault.is_none(), "{fault:?}");
        prop_assert_eq!(read, operations);
    }

    #[test]
    fn any_bytes_end_in_operations_or_a_fault(bytes in vec(any::<u8>(), 0..300)) {
        read(&bytes);
        let mut file = written(&many()[..10]);
        file.truncate(FILE_HEADER_BYTES);
        file.extend(bytes);
        let (_, fault) = read(&file);
        prop_assert!(fault.is_some());
    }

    #[test]
    fn a_changed_byte_is_noticed(at in 0..700_usize, change in 1..=255_u8) {
        let operations = &many()[..40];
        let mut bytes = written(operations);
        let at = at % bytes.len();
        bytes[at] ^= change;
        let (read, fault) = read(&bytes);
        let fault = fault.expect("it is noticed");
        prop_assert!(fault.offset <= bytes.len() as u64);
        prop_assert!(read.is_empty() || read == operations, "only whole blocks are told");
    }
}

#[test]
fn a_history_of_several_blocks_is_read_whole() {
    let operations = many();
    let bytes = written(&operations);
    assert!(bytes.len() > 3 * (64 << 10), "{}", bytes.len());
    let (read, fault) = read(&bytes);
    assert!(fault.is_none(), "{fault:?}");
    assert_eq!(read, operations);
}

#[test]
fn a_cut_file_gives_its_whole_blocks_and_the_place_of_the_cut() {
    let bytes = written(&many()[..6000]);
    let whole: Vec<u64> =
        horizons(Cursor::new(&bytes)).unwrap().0.iter().map(|h| h.block_end).collect();
    assert!(whole.len() >= 2);
    for cut in (0..bytes.len()).step_by(97).chain(bytes.len() - 50..bytes.len()) {
        let (read, fault) = read(&bytes[..cut]);
        let fault = fault.expect("it is cut");
        let is_cut = matches!(fault.problem, Problem::Cut);
        assert!(is_cut || cut < 8, "{fault} at {cut}");
        assert_eq!(fault.offset, if cut == 0 { 0 } else { cut as u64 });
        let blocks = whole.iter().filter(|&&end| end <= cut as u64).count();
        assert_eq!(read.is_empty(), blocks == 0, "cut at {cut}");
        if cut >= FILE_HEADER_BYTES {
            let (told, fault) = horizons(Cursor::new(&bytes[..cut])).unwrap();
            assert_eq!(told.len(), blocks);
            assert!(fault.is_some_and(|fault| fault.offset == cut as u64));
        }
    }
}

#[test]
fn a_header_with_something_where_nothing_belongs_is_refused() {
    for place in 0..3 {
        let mut header = header();
        header.reserved[place] = 1;
        let bytes = bytemuck::bytes_of(&header.sealed()).to_vec();
        let fault = Reader::new(bytes.as_slice()).unwrap_err();
        assert!(matches!(fault.problem, Problem::Field("the header")), "{fault}");
    }
}

#[test]
fn a_file_that_goes_on_behind_its_end_is_refused() {
    let mut bytes = written(&many()[..10]);
    let length = bytes.len() as u64;
    bytes.push(0);
    let (_, fault) = read(&bytes);
    let fault = fault.unwrap();
    assert!(matches!(fault.problem, Problem::Trailing));
    assert_eq!(fault.offset, length);
}

#[test]
fn no_later_operation_starts_before_the_horizon() {
    let mut operations = many();
    operations[15_000].start_ns = START_NS + 3;
    let bytes = written(&operations);
    let (horizons, cut) = horizons(Cursor::new(&bytes)).unwrap();
    assert!(cut.is_none());
    assert!(horizons.is_sorted_by_key(|horizon| (horizon.block_end, horizon.min_start_ns)));
    let mut reader = Reader::new(bytes.as_slice()).unwrap();
    let mut read = Vec::new();
    while let Some(operation) = reader.next().unwrap() {
        read.push((reader.offset(), operation.start_ns));
    }
    for horizon in horizons {
        let later = read.iter().filter(|(block_end, _)| *block_end >= horizon.block_end);
        assert_eq!(later.map(|(_, start_ns)| *start_ns).min(), Some(horizon.min_start_ns));
    }
}

/// Takes nothing.
struct Full;

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.len() == FILE_HEADER_BYTES {
            return Ok(bytes.len());
        }
        Err(std::io::Error::other("no space"))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_told_at_the_next_flush() {
    let mut writer = Writer::new(Full, header()).unwrap();
    many().iter().for_each(|operation| writer.write(operation));
    assert_eq!(writer.flush().unwrap_err().to_string(), "no space");
}

/// The tag of the only record, which follows the names of a writer and of a life.
fn with_tag(action: Action, is_cached: bool, add: u8) -> (u8, Vec<u8>) {
    const NAMES: usize = 10 + 12;
    let mut bytes = written(&[Operation { action, is_cached, ..many()[0] }]);
    let payload = FILE_HEADER_BYTES + size_of::<BlockHeader>();
    let end = bytes.len() - size_of::<BlockHeader>();
    let (before, behind) = bytes[..end].split_at_mut(payload);
    behind[NAMES] += add;
    let mut header: BlockHeader = bytemuck::pod_read_unaligned(&before[FILE_HEADER_BYTES..]);
    header = header.sealed(behind);
    before[FILE_HEADER_BYTES..].copy_from_slice(bytemuck::bytes_of(&header));
    (behind[NAMES], bytes)
}

#[test]
fn a_bit_tells_which_gets_the_near_cache_answered_and_a_put_cannot_have_it() {
    let value = ValueId { writer: 1, counter: 2 };
    for (action, tag, cached) in [
        (Action::Found(value), tag::FOUND, true),
        (Action::NotFound, tag::NOT_FOUND, true),
        (Action::Stored(value), tag::STORED, false),
        (Action::Indeterminate(value), tag::INDETERMINATE, false),
    ] {
        assert_eq!(with_tag(action, false, 0).0, tag, "as files without a cache have it");
        let (written, _) = with_tag(action, true, 0);
        assert_eq!(written, if cached { tag | tag::CACHED } else { tag });
        let (read, fault) = read(&with_tag(action, false, tag::CACHED).1);
        match fault {
            None => assert!(cached && read[0].is_cached),
            Some(fault) => assert!(!cached && matches!(fault.problem, Problem::Field("a tag"))),
        }
    }
}
