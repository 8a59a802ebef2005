//! How fast `lincheck` is, and how much memory it takes: 100 million operations on a million
//! keys, YCSB-B with a Zipf skew of 0.99, in the files of two generators.
//!
//! `cargo bench -p checker --bench lincheck [-- OPERATIONS]`. It needs 1.3 GB in the folder for
//! temporary files. It fails if the check is slower than 5 M operations/s or takes more than
//! 512 MiB.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use generator::workload::{Mix, StreamRandom, Workload};
use generator::zipf::Zipf;
use history::format::{FILE_HEADER_BYTES, FORMAT_VERSION, FileHeader, MAGIC};
use history::operation::{Action, Operation, ValueId};
use history::writer::Writer;

const OPERATIONS: u64 = 100_000_000;
const KEYS: u64 = 1_000_000;
const GENERATORS: u64 = 2;
/// Operations that leave in one datagram and come back in one.
const GROUP: u64 = 64;
/// From one group to the next: 6 M operations a second.
const GROUP_NS: u64 = 10_700;
const RATE_MIN: f64 = 5e6;
const MEMORY_BYTES_MAX: u64 = 512 << 20;

/// A store in which each operation takes effect at once, and what its generators saw.
struct Store {
    records: Vec<(ValueId, u64)>,
    puts: [u64; GENERATORS as usize],
    writers: Vec<Writer<File>>,
}

impl Store {
    fn new(folder: &Path) -> Self {
        let writer = |generator| {
            let header = FileHeader {
                magic: MAGIC,
                format_version: FORMAT_VERSION,
                header_bytes: FILE_HEADER_BYTES as u32,
                clock_id: [0; 16],
                epoch_offset_ns: 0,
                start_ns: 0,
                writer: generator,
                generator,
                thread: 0,
                key_bytes: 8,
                value_bytes: 128,
                sample: 1,
                reserved: [0; 3],
                checksum: 0,
            };
            let file = File::create(folder.join(format!("{generator}.history")));
            Writer::new(file.expect("a new file"), header).expect("room for a header")
        };
        let nobody = ValueId { writer: u64::MAX, counter: 0 };
        Self {
            records: vec![(nobody, 0); KEYS as usize],
            puts: [0; GENERATORS as usize],
            writers: (0..GENERATORS).map(writer).collect(),
        }
    }

    /// An operation of a group that takes effect at its time.
    fn execute(&mut self, group: u64, client: u32, key: u64, is_put: bool) {
        let generator = group % GENERATORS;
        let time_ns = 1_000_000 + group * GROUP_NS;
        let record = &mut self.records[key as usize];
        if is_put {
            let counter = &mut self.puts[generator as usize];
            *record = (ValueId { writer: generator, counter: *counter }, record.1 + 1);
            *counter += 1;
        }
        let (value, version) = *record;
        self.writers[generator as usize].write(&Operation {
            client,
            server: 0,
            incarnation: 1,
            key,
            action: if is_put { Action::Stored(value) } else { Action::Found(value) },
            is_cached: false,
            version,
            start_ns: time_ns - 50_000 - group * 7919 % 200_000,
            end_ns: time_ns + 150_000,
        });
    }

    fn fill(mut self, operations: u64) {
        for key in 0..KEYS {
            self.execute(key / GROUP, u32::MAX, key, true);
        }
        let workload = Workload::new(Mix::B, Arc::new(Zipf::new(KEYS, 0.99).expect("sound")));
        let mut random = StreamRandom::new(1, 0, 0);
        for number in KEYS..operations {
            let operation = workload.next(&mut random);
            let client = (number % 1024) as u32;
            self.execute(number / GROUP, client, operation.key, operation.write);
        }
        for writer in self.writers {
            writer.finish().expect("room for the history");
        }
    }
}

/// Most memory that a process has had so far.
fn peak_bytes(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}

#[expect(clippy::print_stdout, reason = "a benchmark that cannot print may fail")]
fn main() {
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    let operations: u64 = asked.unwrap_or(OPERATIONS).max(KEYS);
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    Store::new(folder.path()).fill(operations);
    let began = Instant::now();
    let mut lincheck = Command::new(env!("CARGO_BIN_EXE_lincheck"))
        .arg(folder.path())
        .spawn()
        .expect("it is built");
    let mut peak = 0;
    let status = loop {
        peak = peak.max(peak_bytes(&lincheck).unwrap_or(0));
        if let Some(status) = lincheck.try_wait().expect("it is our child") {
            break status;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let rate = operations as f64 / began.elapsed().as_secs_f64();
    println!(
        "{operations} operations, {KEYS} keys: {:.2} M operations/s, {} MiB at most",
        rate / 1e6,
        peak >> 20
    );
    assert!(status.success(), "the history is linearizable");
    assert!(rate >= RATE_MIN, "it is slower than the store");
    assert!(peak <= MEMORY_BYTES_MAX, "it takes too much memory");
}
