//! Starts the workers, tells what they do, and ends them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::thread::{Builder, JoinHandle};

use anyhow::{Context as _, Result, anyhow, bail};
use host::output::{to_stderr, to_stdout};
use proto::limits::ANSWER_RATES;
use proto::server::ServerConfig;
use proto::session_table::Rooms;
use udp::core_loop::{self, Endpoint};
use udp::idle::Idle;
use udp::loss::{Loss, Lossy};
use udp::pin::{allowed_cores, pin_to};
use udp::socket::Socket;
use udp::transport::Transport as _;

use crate::flags::{Flags, Pin};
use crate::memory_bound::MemoryBound;
use crate::metrics::{Facts, Metrics};
use crate::observed::Observed;
use crate::reporter::Reporter;
use crate::table::{Choice, RECORD_OVERHEAD_BYTES, Table};
use crate::worker::Worker;

/// A server that answers.
pub struct Running {
    stop: Arc<AtomicBool>,
    reporter: Reporter,
    workers: Vec<JoinHandle<Result<()>>>,
    /// End the workers' waits.
    wakers: Vec<Waker>,
}

/// Starts a server, and says so when it answers.
pub fn start(flags: &Flags) -> Result<Running> {
    let stop = host::signals::stop_flag()?;
    if let Some(parent) = flags.die_with_parent {
        host::signals::die_with_parent(parent)?;
    }
    if flags.table == Choice::Null {
        to_stderr("kv: warning: --table null stores nothing, and answers with a constant");
    }
    let worker_cores = WorkerCores::new(flags)?;
    // Before sockets take the last file descriptors that this process may have.
    let memory = MemoryBound::new(flags)?;
    let base = SocketAddr::new(flags.bind, flags.port);
    let sockets = Socket::bind_consecutive(base, flags.cores, flags.socket_buffer)
        .map_err(|e| cannot_bind(flags, &e))?;
    let metrics = flags.metrics.map(Metrics::bind).transpose()?;
    let ports: Vec<u16> = sockets.iter().map(|socket| socket.address().port()).collect();
    // An index for more records than memory may hold would only take memory away.
    let records = flags.records.min(memory.bytes / RECORD_OVERHEAD_BYTES).max(1);
    let table = Table::new(flags.table, records as usize, memory.bytes).with_context(|| {
        let bytes = memory.bytes;
        format!(
            "no memory for an index of {records} records (--records) and {bytes} bytes (--memory)"
        )
    })?;
    let table = Arc::new(table);
    let observed = Arc::new(Observed::new(ports.clone(), table.clone()));
    let reporter = Reporter::new(flags.samples.as_deref(), observed.clone())?;

    let incarnation = random()?;
    let mut workers = Vec::new();
    let mut wakers = Vec::new();
    for (index, mut socket) in sockets.into_iter().enumerate() {
        // On loopback a datagram leaves the send buffer at once, whoever it is for.
        if !flags.bind.is_loopback() && !socket.part_strangers() {
            to_stderr(
                "kv: warning: no second socket: answers to strangers use a quarter of the common send buffer",
            );
        }
        // Without one a worker ends some milliseconds later.
        wakers.extend(socket.waker().ok());
        let config = ServerConfig {
            mtu_bytes: flags.mtu_bytes(),
            window: flags.window,
            workers: flags.cores,
            worker: index as u16,
            receive_buffer_bytes: socket.receive_buffer_bytes(),
            rooms: Rooms { per_address: flags.sessions_per_address.into(), ..Rooms::default() },
            incarnation: u64::from_le_bytes(incarnation),
            secret: random()?,
            rates: ANSWER_RATES,
        };
        let published = observed.published(index);
        let worker = Worker::new(config, table.clone(), published, stop.clone());
        let loss = match flags.drop_pct {
            pct if pct > 0.0 => Some(Loss::new(pct, u64::from_le_bytes(random()?))),
            _ => None,
        };
        let core = worker_cores.of(index);
        workers.push(match loss {
            Some(loss) => spawn(core, socket, Lossy::new(worker, loss), &stop)?,
            None => spawn(core, socket, worker, &stop)?,
        });
    }
    let facts = Facts { table: flags.table, memory_cap_bytes: memory.bytes };
    let shown = metrics.map(|metrics| metrics.serve(observed, facts, stop.clone())).transpose()?;
    let address = SocketAddr::new(flags.bind, ports[0]);
    if let Some(limit) = memory.exceeded() {
        to_stderr(format_args!(
            "kv: warning: --memory is more than this process may have: {} bytes, {}",
            limit.bytes, limit.source
        ));
    }
    let ready = format!("kv memory {memory}\nkv ready {address} cores={}\n", flags.cores);
    if let Err(error) = to_stdout(&ready) {
        to_stderr(format_args!(
            "kv: warning: ready at {address}, but cannot write to stdout: {error}"
        ));
    }
    if let Some(address) = shown {
        let _ = to_stdout(&format!("kv metrics http://{address}/metrics\n"));
    }
    Ok(Running { stop, reporter, workers, wakers })
}

impl Running {
    /// Tells what the workers do until SIGINT or SIGTERM, and then the totals.
    pub fn wait(mut self) -> Result<()> {
        self.reporter.run(&self.stop);
        self.stop.store(true, Ordering::Relaxed);
        self.wakers.iter().for_each(Waker::wake_by_ref);
        for worker in self.workers {
            worker.join().map_err(|_| anyhow!("a worker panicked"))??;
        }
        self.reporter.totals();
        self.reporter.finish()
    }
}

/// Which core each worker runs on, and whether it has it to itself.
struct WorkerCores {
    cores: Vec<Option<usize>>,
    may_spin: bool,
}

impl WorkerCores {
    fn new(flags: &Flags) -> Result<Self> {
        let allowed = allowed_cores();
        let workers = usize::from(flags.cores);
        let fits = workers <= allowed.len();
        if !fits {
            to_stderr(format_args!(
                "kv: warning: {workers} workers share {} cores; they sleep instead of spinning",
                allowed.len()
            ));
        }
        let cores = match &flags.pin {
            Pin::Auto if fits => allowed.iter().copied().map(Some).take(workers).collect(),
            Pin::Auto | Pin::None => vec![None; workers],
            Pin::Cores(cores) => {
                if let Some(core) = cores.iter().find(|core| !allowed.contains(core)) {
                    bail!("--pin names core {core}, but this process may use only {allowed:?}");
                }
                cores.iter().copied().map(Some).cycle().take(workers).collect()
            }
        };
        Ok(Self { cores, may_spin: fits })
    }

    fn of(&self, index: usize) -> WorkerCore {
        WorkerCore { index, core: self.cores[index], may_spin: self.may_spin }
    }
}

/// The core of one worker.
#[derive(Clone, Copy, Debug)]
struct WorkerCore {
    index: usize,
    core: Option<usize>,
    may_spin: bool,
}

fn spawn(
    core: WorkerCore,
    mut socket: Socket,
    mut worker: impl Endpoint + Send + 'static,
    stop: &Arc<AtomicBool>,
) -> Result<JoinHandle<Result<()>>> {
    let WorkerCore { index, core, may_spin } = core;
    let stop = stop.clone();
    let run = move || {
        if let Some(core) = core
            && !pin_to(core)
        {
            to_stderr(format_args!(
                "kv: warning: worker {index} could not be bound to core {core}"
            ));
        }
        // However a worker ends, the server ends with it.
        let _stop = StopOnDrop(stop);
        core_loop::run(&mut socket, Idle::new(may_spin), &mut worker)
            .context("a worker's socket failed")
    };
    Ok(Builder::new().name(format!("worker-{index}")).spawn(run)?)
}

struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn cannot_bind(flags: &Flags, error: &io::Error) -> anyhow::Error {
    let Flags { bind, port, cores, .. } = flags;
    let last = u32::from(*port) + u32::from(*cores) - 1;
    match error.kind() {
        io::ErrorKind::AddrInUse if last > u32::from(u16::MAX) => {
            anyhow!("ports {port} to {last} are too many: the last port is {}", u16::MAX)
        }
        io::ErrorKind::AddrInUse => {
            anyhow!("a port from {port} to {last} of {bind} is in use: choose another --port, or 0")
        }
        io::ErrorKind::AddrNotAvailable => {
            anyhow!("{bind} is not an address of this machine: choose another --bind")
        }
        io::ErrorKind::PermissionDenied => {
            anyhow!("port {port} may not be bound without privileges: choose one above 1023")
        }
        _ => anyhow!("cannot bind {bind}:{port}: {error}"),
    }
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no random bytes: {error}"))?;
    Ok(bytes)
}
