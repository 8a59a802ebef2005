//! The threads of a run: where each runs, and what it is given.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use anyhow::{Context as _, Result, bail};
use host::output::to_stderr;
use udp::clock::now_ns;
use udp::core_loop;
use udp::idle::Idle;
use udp::loss::{Loss, Lossy};
use udp::pin::{allowed_cores, pin_to};
use udp::socket::Socket;

use crate::baseline::stores::Baselines;
use crate::baseline::thread::{BaselineSetup, BaselineThread};
use crate::coordination::{Coordination, ThreadReport};
use crate::driver::{Driver, Setup};
use crate::flags::Flags;
use crate::history::{self, History};
use crate::plan::Plan;
use crate::recorder::Recorder;
use crate::silence::Silence;
use client::entropy::Entropy;

/// Ends with what the thread knows then, or with why it failed.
pub type ThreadHandle = JoinHandle<Result<ThreadReport>>;

/// What every thread is given.
#[derive(Debug)]
pub struct Common {
    /// Which thread it is, of the plan's.
    pub thread: usize,
    /// What is to be done.
    pub plan: Arc<Plan>,
    /// How the threads go together.
    pub coordination: Arc<Coordination>,
    /// Where it notes who does not answer.
    pub silence: Arc<Silence>,
    /// Counts and measures.
    pub recorder: Recorder,
}

/// The core that a thread runs on, if it has one of its own.
#[derive(Clone, Copy, Debug)]
struct CoreAssignment {
    thread: usize,
    core: Option<usize>,
    /// Whether every thread has a core.
    fits: bool,
}

impl CoreAssignment {
    /// Servers take cores from the first on, generators from the last.
    fn new(flags: &Flags, thread: usize, threads: usize) -> Self {
        let cores = allowed_cores();
        let fits = threads <= cores.len();
        let core = (fits && flags.pin == "auto").then(|| cores[cores.len() - 1 - thread]);
        Self { thread, core, fits }
    }

    /// Binds the calling thread.
    fn take(self) {
        if let Some(core) = self.core
            && !pin_to(core)
        {
            to_stderr(format_args!(
                "gen: warning: thread {} could not be bound to core {core}",
                self.thread
            ));
        }
    }

    fn start(
        self,
        run: impl FnOnce() -> Result<ThreadReport> + Send + 'static,
    ) -> Result<ThreadHandle> {
        Ok(Builder::new().name(format!("gen-{}", self.thread)).spawn(run)?)
    }
}

/// Starts a thread that drives our own store.
pub fn spawn(flags: &Flags, generator: u64, common: Common) -> Result<ThreadHandle> {
    let Common { thread, plan, coordination, silence, recorder } = common;
    let assignment = CoreAssignment::new(flags, thread, plan.threads);
    let any = if plan.servers[0].is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let any: SocketAddr = any.parse().expect("it is an address");
    let mut socket = Socket::bind(any).context("cannot open a socket")?;
    let loss = match flags.drop_pct {
        pct if pct > 0.0 => Some(Loss::new(pct, Entropy::System.next_u64()?)),
        _ => None,
    };
    let writer = Entropy::System.next_u64()?;
    let history = match &flags.history {
        Some(folder) => Some(open_history(folder, flags, &plan, generator, thread, writer)?),
        None => None,
    };
    assignment.start(move || {
        assignment.take();
        let setup = Setup {
            thread,
            receive_buffer_bytes: socket.receive_buffer_bytes(),
            writer,
            entropy: Entropy::System,
            recorder,
            history,
        };
        let mut driver = Driver::new(now_ns(), plan, coordination, setup)?.noting(silence);
        let idle = Idle::new(assignment.fits);
        let ran = match loss {
            None => core_loop::run(&mut socket, idle, &mut driver),
            Some(loss) => {
                let mut lossy = Lossy::new(driver, loss);
                let ran = core_loop::run(&mut socket, idle, &mut lossy);
                driver = lossy.endpoint;
                ran
            }
        };
        ran.context("the socket failed")?;
        if let (Some(error), true) = (socket.last_send_error(), driver.has_failed()) {
            let error = std::io::Error::from_raw_os_error(error);
            bail!(driver.finish().unwrap_err().context(format!("sending failed with '{error}'")));
        }
        let port = socket.address().port();
        let mut report = driver.finish()?;
        // Without /proc nobody can tell; the rest stays true.
        report.kernel_drops = host::sample::kernel_drops(&[port]).unwrap_or(0);
        Ok(report)
    })
}

/// Starts a thread that drives baselines.
pub fn spawn_baseline(
    flags: &Flags,
    baselines: Arc<Baselines>,
    common: Common,
) -> Result<ThreadHandle> {
    let Common { thread, plan, coordination, silence, recorder } = common;
    let assignment = CoreAssignment::new(flags, thread, plan.threads);
    let writer = Entropy::System.next_u64()?;
    assignment.start(move || {
        assignment.take();
        let idle = Idle::new(assignment.fits);
        let setup = BaselineSetup { thread, baselines, writer, recorder, silence, idle };
        let result =
            BaselineThread::new(plan, coordination.clone(), setup).and_then(BaselineThread::run);
        if result.is_err() {
            // The figures of the others would be of another run than was asked for.
            coordination.end_early();
        }
        result
    })
}

/// Begins the history of a thread.
fn open_history(
    folder: &Path,
    flags: &Flags,
    plan: &Plan,
    generator: u64,
    thread: usize,
    writer: u64,
) -> Result<History> {
    let now_ns = now_ns();
    let mut header = history::header(plan, flags.history_sample, now_ns, generator, thread);
    header.writer = writer;
    header.clock_id = history::clock_id();
    header.epoch_offset_ns = history::epoch_offset_ns(now_ns);
    History::new(history::create(folder, &header)?, header).context("cannot write the history")
}
