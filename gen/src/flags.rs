//! The flags of `gen`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Parser;
use history::sample::Sample;
use host::flags::{count, duration_ns, percent, power_of_two, theta};
use proto::limits::{KEY_BYTES_MAX, MTU_BYTES_MAX, MTU_BYTES_MIN, WINDOW_MAX, mtu_bytes_default};
use proto::order::Order;

use crate::baseline::target::{Protocol, Target};
use crate::baseline::{self, CONNECTIONS_MAX};
use crate::limits::{BATCH_MAX, SECONDS_MAX, STREAMS_MAX, THREADS_MAX};
use crate::workload::Mix;
use crate::zipf::RECORDS_MAX;

/// The name of a file that is stdout.
pub const STDOUT: &str = "-";
const BATCH_DEFAULT: u32 = 1024;

/// A load generator for `kv`, and for memcached and Redis beside it: YCSB A, B and C.
///
/// Runs many sequential streams side by side and reports what was answered and how fast.
/// Exit status: 0 if every operation was answered and the rate that was asked for was reached,
/// 1 if it failed while it ran or something that it was asked for could not be written, 2 if it
/// could not start, 3 if the outcome of some operations is not known, 4 if the rate was not
/// reached, 130 if it was interrupted.
#[derive(Clone, Debug, Parser)]
#[command(name = "gen", version)]
pub struct Flags {
    /// The cluster's servers: HOST:PORT of the first worker of each, in the same order for
    /// every program.
    #[arg(
        long,
        value_name = "HOST:PORT,…",
        value_delimiter = ',',
        required_unless_present = "target",
        conflicts_with = "target"
    )]
    pub servers: Vec<String>,

    /// Instead of --servers, the same as kv://HOST:PORT, or other stores to compare with:
    /// memcached://HOST:PORT (GETs in multi-gets), memcached+udp://HOST:PORT,
    /// redis://HOST:PORT (pipelined), redis+mget://HOST:PORT (GETs in MGETs; Valkey too).
    #[arg(long, value_name = "URL,…", value_delimiter = ',')]
    pub target: Vec<Target>,

    /// ycsb-a (half reads), ycsb-b (95 % reads) or ycsb-c (reads only).
    #[arg(long, value_name = "NAME", default_value = "ycsb-b")]
    pub workload: Mix,

    /// Instead of --workload: so many of 100 operations read.
    #[arg(long, value_name = "N", conflicts_with = "workload",
          value_parser = clap::value_parser!(u8).range(0..=100))]
    pub read_pct: Option<u8>,

    /// Skew of the Zipf distribution of keys; 0 is uniform.
    #[arg(long, value_name = "T", default_value = "0.99", value_parser = theta,
          allow_hyphen_values = true)]
    pub theta: f64,

    /// Records of the workload.
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = count::<u64>(RECORDS_MAX), allow_negative_numbers = true)]
    pub records: u64,

    /// Bytes of a key.
    #[arg(long, value_name = "BYTES", default_value = "8",
          value_parser = count::<usize>(KEY_BYTES_MAX as u64))]
    pub key_size: usize,

    /// Bytes of a value. A datagram must carry it: at most 1424 with the default --mtu, or 1404 over IPv6.
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    pub value_size: usize,

    /// Sequential workloads, side by side. The default is 1024.
    #[arg(long, value_name = "N", value_parser = count::<usize>(STREAMS_MAX), allow_negative_numbers = true)]
    pub streams: Option<usize>,

    /// Connections of each thread to each store of another kind, each a closed loop of
    /// batches. The default is 1.
    #[arg(long, value_name = "N", value_parser = count::<usize>(CONNECTIONS_MAX), allow_negative_numbers = true)]
    pub connections: Option<usize>,

    /// Threads, each with a socket of its own; the streams are dealt out to them.
    #[arg(long, value_name = "N", default_value = "1", value_parser = count::<usize>(THREADS_MAX), allow_negative_numbers = true)]
    pub threads: usize,

    /// GETs of a stream that may be outstanding together (in async order: operations). The
    /// default is 1024. For other stores: operations that a connection sends at once, 100.
    #[arg(long, value_name = "N", value_parser = count::<u32>(BATCH_MAX), allow_negative_numbers = true)]
    pub batch: Option<u32>,

    /// Instead of --batch: as many GETs as one request datagram of BYTES carries (the
    /// default is --mtu).
    #[arg(long, value_name = "BYTES", num_args = 0..=1, require_equals = true,
          conflicts_with = "batch", value_parser = mtu())]
    pub batch_mtu: Option<Option<u16>>,

    /// What waits for what: `strict` (a PUT waits for all earlier operations of its stream,
    /// and all later ones wait for it), `shard` (the same, for each server), or `async`.
    /// The default is `strict`.
    #[arg(long, value_name = "MODE")]
    pub order: Option<Order>,

    /// Seconds before the measured ones.
    #[arg(long, value_name = "S", default_value = "2", value_parser = seconds,
          allow_hyphen_values = true)]
    pub warmup: f64,

    /// Seconds to measure; 0 with --load only loads.
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds,
          allow_hyphen_values = true)]
    pub secs: f64,

    /// Open loop: offer so many operations a second, evenly spaced, whatever comes back.
    /// Latency then counts from when an operation was due. The rate is reached if at least
    /// 99 % of what was due in the measured seconds was answered in them, or all but what
    /// became due in 50 ms. The default is a closed loop.
    #[arg(long, value_name = "OPS", value_parser = rate, allow_hyphen_values = true)]
    pub rate: Option<f64>,

    /// Write all records before the run.
    #[arg(long)]
    pub load: bool,

    /// Seed of the workload; the same seed draws the same operations. The default is
    /// random, and reported.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Write a report to this file; `-` is stdout, and what people read goes to stderr then.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Write the latencies to this file, as an HdrHistogram V2 log in nanoseconds.
    #[arg(long, value_name = "FILE")]
    pub hdr: Option<PathBuf>,

    /// Write a JSON line each second to this file: operations, latency, CPU, memory.
    #[arg(long, value_name = "FILE")]
    pub samples: Option<PathBuf>,

    /// Write what each operation did, for `lincheck`, to new files in this folder, one for
    /// each thread. Needs values of 16 bytes or more.
    #[arg(long, value_name = "DIR")]
    pub history: Option<PathBuf>,

    /// Answer GETs from a near cache where that can: up to ENTRIES records in each thread, which
    /// read what PUTs of their own thread wrote. Such answers may be as old as --cache-max-age.
    /// They are counted apart, and are in no throughput and no latency.
    #[arg(long, value_name = "ENTRIES", requires = "cache_max_age",
          value_parser = count::<usize>(RECORDS_MAX), allow_negative_numbers = true)]
    pub cache: Option<usize>,

    /// Largest age of an answer of the near cache, such as 50ms; it counts from the sending of
    /// the GET that read it. `lincheck --staleness` takes the same.
    #[arg(long, value_name = "TIME", requires = "cache", value_parser = age_ns)]
    pub cache_max_age: Option<u64>,

    /// Keep only about one key in N in the history, each with all of its operations.
    #[arg(long, value_name = "1/N", default_value = "1/1", requires = "history")]
    pub history_sample: Sample,

    /// Largest datagram, in bytes of UDP payload, that is sent and taken. The default is what
    /// Ethernet carries: 1472, or 1452 to servers with an IPv6 address
    #[arg(long, value_name = "BYTES", value_parser = mtu())]
    pub mtu: Option<u16>,

    /// Request datagrams that a session may have outstanding: a power of two, at most 256.
    /// The default is 64.
    #[arg(long, value_name = "N", value_parser = power_of_two(WINDOW_MAX))]
    pub window: Option<usize>,

    /// Seconds to wait for a server to open a session.
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    pub connect_timeout: f64,

    /// Seconds to wait for the answer of an operation; then its outcome is not known. The
    /// default is 10, and 0.5 for memcached+udp://, where nothing is asked again.
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub answer_timeout: Option<f64>,

    /// Where the threads run: `auto` binds each to a core if there are enough, from the
    /// last on, `none` leaves it to the kernel.
    #[arg(long, value_name = "WHERE", default_value = "auto", value_parser = ["auto", "none"])]
    pub pin: String,

    /// Drop this share of the datagrams that arrive, in percent, to see what loss costs.
    #[arg(long, value_name = "PCT", default_value = "0", value_parser = percent)]
    pub drop_pct: f64,

    /// End when the process with this id, our parent, is gone.
    #[arg(long, value_name = "PID")]
    pub die_with_parent: Option<u32>,
}

impl Flags {
    /// HOST:PORT of each server, of whichever kind.
    #[must_use]
    pub fn addresses(&self) -> Vec<&str> {
        let targets = self.target.iter().map(|target| target.address.as_str());
        self.servers.iter().map(String::as_str).chain(targets).collect()
    }

    /// How another store is spoken to; none for our own.
    #[must_use]
    pub fn baseline(&self) -> Option<Protocol> {
        self.target.first().and_then(|target| target.protocol)
    }

    /// `--batch`, or its default.
    #[must_use]
    pub fn batch(&self) -> u32 {
        let default =
            if self.baseline().is_some() { baseline::BATCH_DEFAULT } else { BATCH_DEFAULT };
        self.batch.unwrap_or(default)
    }

    /// `--mtu`, or its default on the way to a server.
    #[must_use]
    pub fn mtu_bytes(&self, server: IpAddr) -> usize {
        self.mtu.map_or(mtu_bytes_default(server), usize::from)
    }
}

fn mtu() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(MTU_BYTES_MIN as i64..=MTU_BYTES_MAX as i64)
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => Ok(seconds),
        _ => Err(format!("expected seconds from 0 to {SECONDS_MAX}")),
    }
}

fn age_ns(text: &str) -> Result<u64, String> {
    match duration_ns(text)? {
        0 => Err("an answer of age 0 is never there: leave out --cache".to_owned()),
        age_ns => Ok(age_ns),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (1e-3..=1e9).contains(&rate) => Ok(rate),
        _ => Err("expected operations a second, from 0.001 to 1000000000".to_owned()),
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
    fn reads_have_a_share_or_a_workload_has() {
        let parse = |arguments: &[&str]| {
            Flags::try_parse_from([&["gen", "--servers", "a:1"], arguments].concat())
        };
        assert_eq!(parse(&["--read-pct", "70"]).unwrap().read_pct, Some(70));
        assert!(parse(&["--read-pct", "101"]).is_err());
        assert!(parse(&["--read-pct", "70", "--workload", "ycsb-a"]).is_err());
    }

    #[test]
    fn a_cache_has_a_size_and_an_age() {
        let parse = |arguments: &[&str]| {
            let line = [&["gen", "--servers", "a:1"], arguments].concat();
            Flags::try_parse_from(line).map(|flags| (flags.cache, flags.cache_max_age))
        };
        assert_eq!(parse(&[]).unwrap(), (None, None));
        let both = parse(&["--cache", "100", "--cache-max-age", "50ms"]).unwrap();
        assert_eq!(both, (Some(100), Some(50_000_000)));
        assert!(parse(&["--cache", "100"]).is_err());
        assert!(parse(&["--cache-max-age", "50ms"]).is_err());
        assert!(parse(&["--cache", "0", "--cache-max-age", "50ms"]).is_err());
        assert!(parse(&["--cache", "1", "--cache-max-age", "0"]).is_err());
        assert!(parse(&["--cache", "1", "--cache-max-age", "fast"]).is_err());
    }

    #[test]
    fn batch_mtu_takes_a_value_or_none() {
        let parse = |arguments: &[&str]| {
            let mut line = vec!["gen", "--servers", "a:1,b:2"];
            line.extend(arguments);
            Flags::try_parse_from(line).map(|flags| (flags.servers, flags.batch_mtu))
        };
        let servers = || vec!["a:1".to_owned(), "b:2".to_owned()];
        assert_eq!(parse(&[]).unwrap(), (servers(), None));
        assert_eq!(parse(&["--batch-mtu"]).unwrap(), (servers(), Some(None)));
        assert_eq!(parse(&["--batch-mtu=600"]).unwrap(), (servers(), Some(Some(600))));
        assert!(parse(&["--batch-mtu=100"]).is_err());
        assert!(parse(&["--batch-mtu", "--batch", "3"]).is_err());
    }
}
