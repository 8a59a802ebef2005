//! What a run will do: flags that were checked, servers that were found, tables that were
//! made.

use std::fs::OpenOptions;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use history::operation::ValueId;
use proto::client::ClientConfig;
use proto::limits::{WINDOW_DEFAULT, gets_per_datagram, value_bytes_max};
use proto::order::Order;

use crate::baseline::ANSWER_TIMEOUT_UDP_DEFAULT;
use crate::baseline::target::Protocol;
use crate::flags::{Flags, STDOUT};
use crate::record::{KeyFormat, ValueFormat};
use crate::workload::{Mix, Workload};
use crate::zipf::Zipf;
use client::entropy::Entropy;
use client::near_cache::CacheConfig;

/// Bytes of the table that draws one record.
const ZIPF_BYTES_PER_RECORD: u64 = 8;

/// Bytes of a record in a near cache, beside its key and its value.
const CACHE_BYTES_PER_RECORD: usize = 160;

/// Bits of a seed that is drawn: as many as every reader of JSON keeps of a number.
const SEED_BITS: u32 = 53;

const STREAMS_DEFAULT: usize = 1024;
/// Seconds to wait for an answer.
const ANSWER_TIMEOUT_DEFAULT: f64 = 10.0;

/// Everything that the threads of a run share and none changes.
#[derive(Debug)]
pub struct Plan {
    /// First worker of each server.
    pub servers: Vec<SocketAddr>,
    /// What streams draw from.
    pub workload: Workload,
    /// How keys look.
    pub keys: KeyFormat,
    /// How values look.
    pub values: ValueFormat,
    /// What waits for what.
    pub order: Order,
    /// Operations of a stream that may be outstanding together.
    pub batch: u32,
    /// Streams of all threads.
    pub streams: usize,
    /// Threads.
    pub threads: usize,
    /// Seed of the streams.
    pub seed: u64,
    /// Operations a second of all threads in open loop.
    pub rate: Option<f64>,
    /// Whether to write the records first.
    pub load: bool,
    /// Before what is measured.
    pub warmup_ns: u64,
    /// What is measured.
    pub measure_ns: u64,
    /// The near cache of each thread, if they have one.
    pub cache: Option<CacheConfig>,
    /// What sessions are told; each thread sets its share of the receive buffer.
    pub client: ClientConfig,
}

impl Plan {
    /// Checks flags and finds servers. The errors say what to do.
    pub fn new(flags: &Flags) -> Result<Self> {
        ensure!(
            flags.secs > 0.0 || flags.load,
            "--secs 0 measures nothing: give it --load, or some seconds"
        );
        check_files(flags)?;
        let keys = KeyFormat::new(flags.key_size, flags.records)?;
        check_memory(flags)?;
        let servers = find_servers(flags)?;
        let client = client_config(flags, servers[0].ip());
        let baseline = flags.baseline();
        if baseline.is_none() {
            check_value_fits(flags.value_size, flags.key_size, client.mtu_bytes)?;
        }
        let batch = match flags.batch_mtu {
            None => flags.batch(),
            Some(bytes) => {
                let mtu_bytes = bytes.map_or(client.mtu_bytes, usize::from);
                gets_per_datagram(mtu_bytes, flags.key_size) as u32
            }
        };
        // Each connection to another store is one stream.
        let streams = match baseline {
            Some(_) => flags.threads * flags.connections.unwrap_or(1),
            None => flags.streams.unwrap_or(STREAMS_DEFAULT),
        };
        Ok(Self {
            servers,
            workload: Workload::new(
                flags.read_pct.map_or(flags.workload, Mix::Reads),
                Arc::new(Zipf::new(flags.records, flags.theta)?),
            ),
            keys,
            values: ValueFormat::new(flags.value_size),
            order: flags.order.unwrap_or(Order::Strict),
            batch,
            streams,
            threads: flags.threads.min(streams),
            seed: match flags.seed {
                Some(seed) => seed,
                None => Entropy::System.next_u64()? >> (u64::BITS - SEED_BITS),
            },
            rate: flags.rate,
            load: flags.load,
            warmup_ns: if flags.secs > 0.0 { nanoseconds(flags.warmup) } else { 0 },
            measure_ns: nanoseconds(flags.secs),
            cache: cache_config(flags)?,
            client,
        })
    }
}

/// Refuses files that cannot be written, now and not when there is a report to lose.
fn check_files(flags: &Flags) -> Result<()> {
    let json = flags.json.as_ref().filter(|path| *path != Path::new(STDOUT));
    for path in json.into_iter().chain(&flags.hdr) {
        let opened = OpenOptions::new().create(true).append(true).open(path);
        opened.with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(folder) = &flags.history {
        ensure!(
            flags.value_size >= ValueId::SIZE,
            "--history needs values of at least {} bytes, to tell which PUT wrote them: give a \
             larger --value-size",
            ValueId::SIZE
        );
        let made = std::fs::create_dir_all(folder);
        made.with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    Ok(())
}

/// Refuses more records than this machine's memory lets it draw from.
fn check_memory(flags: &Flags) -> Result<()> {
    let table_bytes = if flags.theta > 0.0 { flags.records * ZIPF_BYTES_PER_RECORD } else { 0 };
    let machine_bytes = host::machine::facts().mem_bytes;
    ensure!(
        machine_bytes == 0 || table_bytes <= machine_bytes / 2,
        "--records {} takes a table of {} MiB to draw from, more than half of this machine's \
         memory: choose fewer, or --theta 0",
        flags.records,
        table_bytes >> 20
    );
    Ok(())
}

fn find_servers(flags: &Flags) -> Result<Vec<SocketAddr>> {
    let named = if flags.target.is_empty() { "--servers" } else { "--target" };
    let check = match flags.baseline() {
        None => client::check_servers,
        // Each connection has a socket of its own.
        Some(_) => client::check_addresses,
    };
    let servers = client::resolve(&flags.addresses().join(","));
    let servers = servers.and_then(|servers| check(&servers).map(|()| servers));
    servers.context(named)
}

fn client_config(flags: &Flags, server: IpAddr) -> ClientConfig {
    let answer_timeout_default = match flags.baseline() {
        Some(Protocol::MemcachedUdp) => ANSWER_TIMEOUT_UDP_DEFAULT,
        _ => ANSWER_TIMEOUT_DEFAULT,
    };
    let answer_timeout = flags.answer_timeout.unwrap_or(answer_timeout_default);
    ClientConfig {
        mtu_bytes: flags.mtu_bytes(server),
        // A figure is one of the datagrams that were asked for.
        mtu_bytes_min: flags.mtu_bytes(server),
        window: flags.window.unwrap_or(WINDOW_DEFAULT),
        reply_bytes_max: 0,
        handshake_timeout_ns: nanoseconds(flags.connect_timeout),
        answer_timeout_ns: nanoseconds(answer_timeout),
    }
}

/// Refuses a cache that may take more than half of this machine's memory.
fn cache_config(flags: &Flags) -> Result<Option<CacheConfig>> {
    let (Some(entries), Some(max_age_ns)) = (flags.cache, flags.cache_max_age) else {
        return Ok(None);
    };
    // There are no more to keep.
    let entries = usize::try_from(flags.records).map_or(entries, |records| entries.min(records));
    let record_bytes = flags.key_size + flags.value_size + CACHE_BYTES_PER_RECORD;
    let cache_bytes =
        (flags.threads as u64).saturating_mul(entries as u64).saturating_mul(record_bytes as u64);
    let machine_bytes = host::machine::facts().mem_bytes;
    ensure!(
        machine_bytes == 0 || cache_bytes <= machine_bytes / 2,
        "--cache {entries} of {} threads may take {} MiB, more than half of this machine's memory: \
         keep fewer records",
        flags.threads,
        cache_bytes >> 20
    );
    Ok(Some(CacheConfig::new(entries, Duration::from_nanos(max_age_ns))))
}

/// Refuses a value that no datagram of `mtu_bytes` carries.
pub fn check_value_fits(value_size: usize, key_size: usize, mtu_bytes: usize) -> Result<()> {
    let value_max = value_bytes_max(mtu_bytes, key_size);
    if value_size > value_max {
        bail!(
            "a value of {value_size} bytes does not fit in one datagram: the limit is {value_max} \
             bytes with an MTU of {mtu_bytes} bytes and keys of {key_size}"
        );
    }
    Ok(())
}

fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}
