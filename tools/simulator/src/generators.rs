//! The generators of a simulation: what their process does around their threads.

use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::task::Waker;

use anyhow::Result;
use client::entropy::Entropy;
use generator::coordination::{Coordination, ThreadReport, Window};
use generator::driver::{Driver, Setup};
use generator::history::{History, header};
use generator::plan::Plan;
use generator::record::{KeyFormat, ValueFormat};
use generator::recorder::Recorder;
use generator::workload::Workload;
use generator::zipf::Zipf;
use history::operation::Operation;
use history::reader::Reader;
use history::sample::Sample;
use proto::client::ClientConfig;
use proto::limits::HANDSHAKE_TIMEOUT_NS;
use udp::transport::Transport as _;

use crate::addresses::{server_address, thread_address};
use crate::clocks::Process;
use crate::config::Config;
use crate::machine::{Machine, Runs};
use crate::random::Random;

/// A file in memory, that its writer and its reader share.
#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("one thread runs a world").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A generator process.
#[derive(Debug)]
pub struct Generator {
    /// What its threads do.
    pub plan: Arc<Plan>,
    /// How they go together.
    pub coordination: Arc<Coordination>,
    /// Threads that ended well.
    pub reports: Vec<ThreadReport>,
    /// Why others did not.
    pub failures: Vec<String>,
    /// End the waits of its threads.
    pub wakers: Vec<Waker>,
    histories: Vec<Shared>,
}

impl Generator {
    /// Whether its threads wait for the streams to begin.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.coordination.ready.load(Ordering::Relaxed) == self.plan.threads
    }

    /// Whether all threads have ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.reports.len() + self.failures.len() == self.plan.threads
    }

    /// Whether the streams may run.
    #[must_use]
    pub fn window_is_open(&self) -> bool {
        self.coordination.window.get().is_some()
    }

    /// Lets the streams run from a time on its own clock.
    pub fn open_window(&self, start_ns: u64, length_ns: u64) {
        let window = Window { start_ns, measure_ns: start_ns, end_ns: start_ns + length_ns };
        self.coordination.window.set(window).expect("it is opened once");
    }

    /// A thread has ended.
    pub fn ended(&mut self, ended: Result<ThreadReport>) {
        match ended {
            Ok(report) => self.reports.push(report),
            Err(failure) => self.failures.push(format!("{failure:#}")),
        }
    }

    /// The histories of its threads, on the true clock.
    #[must_use]
    pub fn histories(&self, process: &Process) -> Vec<Vec<Operation>> {
        let read = |shared: &Shared| {
            let bytes = shared.0.lock().expect("one thread runs a world");
            let mut reader = Reader::new(bytes.as_slice()).expect("it was just written");
            let mut operations = Vec::new();
            while let Some(mut operation) = reader.next().expect("it was just written") {
                operation.start_ns = process.true_ns(operation.start_ns);
                operation.end_ns = process.true_ns(operation.end_ns);
                operations.push(operation);
            }
            operations
        };
        self.histories.iter().map(read).collect()
    }
}

/// Makes a generator: its process, which has number `process`, and the machines of its threads.
pub fn generator(
    config: &Config,
    random: &mut Random,
    now_ns: u64,
    index: usize,
    process: usize,
) -> (Generator, Process, Vec<Machine>) {
    let plan = Arc::new(Plan {
        servers: (0..usize::from(config.servers)).map(|s| server_address(s, 0)).collect(),
        workload: Workload::new(
            config.mix,
            Arc::new(Zipf::new(config.records, config.theta).expect("the draws are sound")),
        ),
        keys: KeyFormat::new(config.key_bytes, config.records).expect("the draws are sound"),
        values: ValueFormat::new(config.value_bytes),
        order: config.order,
        batch: config.batch,
        streams: config.streams,
        threads: usize::from(config.threads).min(config.streams),
        seed: random.next_u64(),
        rate: config.rate,
        load: index == 0,
        warmup_ns: 0,
        measure_ns: config.run_ns,
        cache: None,
        client: ClientConfig {
            mtu_bytes: config.mtu_bytes,
            // Its values need that.
            mtu_bytes_min: config.mtu_bytes,
            window: config.window,
            reply_bytes_max: 0,
            handshake_timeout_ns: HANDSHAKE_TIMEOUT_NS,
            answer_timeout_ns: config.answer_timeout_ns,
        },
    });
    let coordination = Arc::new(Coordination::new(Arc::default()));
    let clock = Process::new(random.below(1 << 40));
    let clock_ns = clock.clock_ns(now_ns);
    let mut machines = Vec::new();
    let (mut histories, mut wakers) = (Vec::new(), Vec::new());
    for thread in 0..plan.threads {
        let shared = Shared::default();
        histories.push(shared.clone());
        let mut entropy = Entropy::seeded(random.next_u64());
        let writer = entropy.next_u64().expect("a seeded source does not fail");
        let mut header = header(&plan, Sample::ALL, clock_ns, index as u64, thread);
        header.writer = writer;
        let history = History::new(Box::new(shared), header).expect("memory takes everything");
        let (intervals, _) = mpsc::channel();
        let setup = Setup {
            thread,
            receive_buffer_bytes: config.receive_buffer_bytes,
            writer,
            entropy,
            recorder: Recorder::new(intervals),
            history: Some(history),
        };
        let driver = Driver::new(clock_ns, plan.clone(), coordination.clone(), setup);
        let driver = Some(Box::new(driver.expect("a seeded source does not fail")));
        let address = thread_address(index, thread);
        let runs = Runs::Thread { generator: index, driver };
        let mut machine = Machine::new(address, process, runs, config);
        wakers.push(machine.link.waker().expect("a simulated link has one"));
        machines.push(machine);
    }
    let (reports, failures) = (Vec::new(), Vec::new());
    let generator = Generator { plan, coordination, reports, failures, wakers, histories };
    (generator, clock, machines)
}
