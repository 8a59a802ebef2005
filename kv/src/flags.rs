//! The flags of `kv`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::table::Choice;
use clap::Parser;
use host::flags::{percent, power_of_two};
use proto::limits::{
    MTU_BYTES_MAX, MTU_BYTES_MIN, SESSIONS_PER_WORKER_MAX, WINDOW_DEFAULT, WINDOW_MAX,
    mtu_bytes_default,
};
use udp::socket::BUFFER_BYTES_DEFAULT;

/// Most workers of a server.
pub const CORES_MAX: u16 = 512;

/// A key-value store over UDP.
///
/// Starts one worker for each core, on consecutive ports, over one shared table in memory.
/// Prints a line when it answers, then what it does each second, and its totals when it is
/// ended by SIGINT or SIGTERM.
#[derive(Clone, Debug, Parser)]
#[command(name = "kv", version)]
pub struct Flags {
    /// Address to answer on. The default is this machine only; 0.0.0.0 is all interfaces.
    /// There is no authentication: bind other addresses only on a network that you trust.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub bind: IpAddr,

    /// Port of the first worker; the others follow it. 0 takes any that are free.
    #[arg(long, value_name = "PORT", default_value_t = 7400)]
    pub port: u16,

    /// Workers, each with a thread and a port of its own. The default is 1.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=i64::from(CORES_MAX)))]
    pub cores: u16,

    /// Where the workers run: `auto` binds each to a core if there are enough, `none`
    /// leaves it to the kernel, and `2,3` names the cores.
    #[arg(long, value_name = "WHERE", default_value = "auto")]
    pub pin: Pin,

    /// Largest datagram, in bytes of UDP payload, that is sent and taken. The default is what
    /// Ethernet carries: 1472, or 1452 if --bind is an IPv6 address
    #[arg(long, value_name = "BYTES",
          value_parser = clap::value_parser!(u16)
              .range(MTU_BYTES_MIN as i64..=MTU_BYTES_MAX as i64))]
    pub mtu: Option<u16>,

    /// Request datagrams that a session may have outstanding: a power of two, at most 256.
    #[arg(long, value_name = "N", default_value_t = WINDOW_DEFAULT, value_parser = power_of_two(WINDOW_MAX))]
    pub window: usize,

    /// Sessions that one address may have with a worker; a network of 64 bits is one address of
    /// IPv6. Who has them all gets another when one of them is idle
    #[arg(long, value_name = "N", default_value_t = SESSIONS_PER_WORKER_MAX as u16,
          value_parser = clap::value_parser!(u16).range(1..=SESSIONS_PER_WORKER_MAX as i64))]
    pub sessions_per_address: u16,

    /// Cap on the memory of the records; a write that would exceed it is refused. With a
    /// unit: 512M, 4G. The default is 80 % of what this process may have: the machine's memory, or the limit
    /// of its address space, its data or its control group
    #[arg(long, value_name = "BYTES", value_parser = memory)]
    pub memory: Option<u64>,

    /// The table: `bucket` looks groups of keys up with prefetches, `papaya` is a general
    /// lock-free map, `null` stores nothing and answers every GET with a constant, which
    /// shows what the others cost.
    #[arg(long, value_name = "NAME", value_enum, default_value_t = Choice::Bucket)]
    pub table: Choice,

    /// Records to make room for at the start, at most what --memory can hold. The table grows
    /// with what comes.
    #[arg(long, value_name = "N", default_value_t = 1 << 20,
          value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
    pub records: u64,

    /// Write a JSON line each second to this file: operations, CPU, memory, network.
    #[arg(long, value_name = "FILE")]
    pub samples: Option<PathBuf>,

    /// Show metrics at this address over HTTP: /metrics for Prometheus, /healthz and /readyz.
    /// Anybody who reaches it may read them. Such as 127.0.0.1:9400; port 0 takes any that is free
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = metrics_address)]
    pub metrics: Option<SocketAddr>,

    /// Bytes that each socket's receive buffer and send buffer are to hold, as the kernel counts
    /// them: what is in them and its bookkeeping. It grants at most twice net.core.rmem_max and
    /// net.core.wmem_max. With a unit: 212992, 16M. The default is 16M
    #[arg(long, value_name = "BYTES", hide_default_value = true,
          default_value_t = BUFFER_BYTES_DEFAULT, value_parser = socket_buffer)]
    pub socket_buffer: usize,

    /// Drop this share of the datagrams that arrive, in percent, to see what loss costs.
    #[arg(long, value_name = "PCT", default_value = "0", value_parser = percent)]
    pub drop_pct: f64,

    /// End when the process with this id, our parent, is gone.
    #[arg(long, value_name = "PID")]
    pub die_with_parent: Option<u32>,
}

impl Flags {
    /// `--mtu`, or its default.
    #[must_use]
    pub fn mtu_bytes(&self) -> usize {
        self.mtu.map_or(mtu_bytes_default(self.bind), usize::from)
    }
}

/// Where workers run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// Each on a core of its own, if there are enough.
    Auto,
    /// Wherever the kernel puts them.
    None,
    /// On these cores, in turn.
    Cores(Vec<usize>),
}

impl std::str::FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            _ => (text.split(',').map(|core| core.trim().parse()).collect::<Result<_, _>>())
                .map(Self::Cores)
                .map_err(|_| "expected auto, none or core numbers such as 0,2".to_owned()),
        }
    }
}

fn metrics_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an address and a port, such as 127.0.0.1:9400".to_owned())
}

/// A burst and a datagram fit.
const SOCKET_BUFFER_BYTES_MIN: u64 = 128 << 10;
/// What the kernel's own numbers reach to.
const SOCKET_BUFFER_BYTES_MAX: u64 = 1 << 30;

fn socket_buffer(text: &str) -> Result<usize, String> {
    match host::flags::byte_size(text)? {
        bytes @ SOCKET_BUFFER_BYTES_MIN..=SOCKET_BUFFER_BYTES_MAX => Ok(bytes as usize),
        _ => Err("must be from 128K to 1G".to_owned()),
    }
}

/// Less than this holds nothing worth serving.
const MEMORY_BYTES_MIN: u64 = 1 << 10;

fn memory(text: &str) -> Result<u64, String> {
    match host::flags::byte_size(text)? {
        bytes if bytes >= MEMORY_BYTES_MIN => Ok(bytes),
        _ => Err(format!("must be at least {MEMORY_BYTES_MIN} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        use clap::CommandFactory as _;
        Flags::command().debug_assert();
    }

    #[test]
    fn cores_are_named_or_chosen() {
        assert_eq!("auto".parse(), Ok(Pin::Auto));
        assert_eq!("none".parse(), Ok(Pin::None));
        assert_eq!("0, 3".parse(), Ok(Pin::Cores(vec![0, 3])));
        assert!("x".parse::<Pin>().is_err() && "".parse::<Pin>().is_err());
    }
}
