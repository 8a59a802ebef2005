//! What this process and its machine use, from /proc.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::time::Instant;

use anyhow::Context;
use procfs::process::{FDTarget, Process};
use procfs::{Current, CurrentSI, KernelStats, Meminfo};

use crate::formats::report::Usage;

/// Takes the difference between two readings of /proc.
#[derive(Debug)]
pub struct Sampler {
    /// None if nothing could be read yet.
    previous: Option<Reading>,
}

/// Everything that only its growth tells something about, and when it was read.
#[derive(Clone, Copy, Debug)]
struct Reading {
    time: Instant,
    process_ticks: u64,
    node_busy_ticks: u64,
    node_ticks: u64,
    node_rx_bytes: u64,
    node_tx_bytes: u64,
}

impl Sampler {
    /// Starts the first interval.
    #[must_use]
    pub fn new() -> Self {
        Self { previous: read().ok().map(|(reading, _)| reading) }
    }

    /// What was used since the previous call that was no error, or since [`Sampler::new`].
    ///
    /// The kernel counts a process's CPU in ticks of 10 ms, so an interval of a second is
    /// exact to one percent of a core, and a much shorter one means little.
    pub fn sample(&mut self) -> anyhow::Result<Usage> {
        let (reading, mem_bytes) = read()?;
        let memory = Meminfo::current().context("/proc/meminfo")?;
        let previous = self.previous.replace(reading);
        let previous = previous.context("/proc could not be read when the interval began")?;
        Ok(usage(&previous, &reading, mem_bytes, &memory))
    }
}

impl Default for Sampler {
    fn default() -> Self {
        Self::new()
    }
}

/// The readings, and the resident memory of the process. A process without descriptors to
/// spare cannot read them.
fn read() -> anyhow::Result<(Reading, u64)> {
    let stat = Process::myself().and_then(|process| process.stat()).context("/proc/self/stat")?;
    let node = KernelStats::current().context("/proc/stat")?.total;
    let interfaces = procfs::net::dev_status().context("/proc/net/dev")?;

    // Guest time is part of user time already. Stolen time is not idle, yet nobody here used it.
    let idle_ticks = node.idle + node.iowait.unwrap_or(0);
    let busy_ticks =
        node.user + node.nice + node.system + node.irq.unwrap_or(0) + node.softirq.unwrap_or(0);
    let reading = Reading {
        time: Instant::now(),
        process_ticks: stat.utime + stat.stime,
        node_busy_ticks: busy_ticks,
        node_ticks: busy_ticks + idle_ticks + node.steal.unwrap_or(0),
        node_rx_bytes: interfaces.values().map(|device| device.recv_bytes).sum(),
        node_tx_bytes: interfaces.values().map(|device| device.sent_bytes).sum(),
    };
    Ok((reading, stat.rss.saturating_mul(procfs::page_size())))
}

fn usage(previous: &Reading, reading: &Reading, mem_bytes: u64, memory: &Meminfo) -> Usage {
    let interval_s = reading.time.duration_since(previous.time).as_secs_f64();
    // Counters of an interface that went away make the sum shrink: that is no traffic.
    let rate = |now: u64, before: u64| ratio(now.saturating_sub(before) as f64, interval_s);
    let cores =
        rate(reading.process_ticks, previous.process_ticks) / procfs::ticks_per_second() as f64;
    let mem_total = memory.mem_total as f64;
    let available =
        memory.mem_available.unwrap_or(memory.mem_free + memory.buffers + memory.cached);
    Usage {
        cpu_pct: cores * 100.0,
        mem_bytes,
        mem_pct: ratio(mem_bytes as f64, mem_total) * 100.0,
        node_cpu_pct: 100.0
            * ratio(
                reading.node_busy_ticks.saturating_sub(previous.node_busy_ticks) as f64,
                reading.node_ticks.saturating_sub(previous.node_ticks) as f64,
            ),
        node_mem_pct: ratio(memory.mem_total.saturating_sub(available) as f64, mem_total) * 100.0,
        node_rx_bytes_per_s: rate(reading.node_rx_bytes, previous.node_rx_bytes),
        node_tx_bytes_per_s: rate(reading.node_tx_bytes, previous.node_tx_bytes),
    }
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessUse {
    /// CPU seconds of all its threads, in ticks of 10 ms.
    pub cpu_s: f64,
    /// Resident memory.
    pub mem_bytes: u64,
}

/// What a process of this machine has used since its start.
pub fn process_use(pid: u32) -> anyhow::Result<ProcessUse> {
    let process = i32::try_from(pid).context("no process has such a number")?;
    let stat = Process::new(process)
        .and_then(|process| process.stat())
        .with_context(|| format!("/proc/{pid}/stat"))?;
    Ok(ProcessUse {
        cpu_s: (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64,
        mem_bytes: stat.rss.saturating_mul(procfs::page_size()),
    })
}

/// Zero for an empty whole: a NaN could not be written as JSON.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// The kernel's number of the calling thread.
#[must_use]
pub fn thread_id() -> u64 {
    rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs().into()
}

/// What a thread has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadUse {
    /// Nanoseconds that it ran.
    pub cpu_ns: u64,
    /// Nanoseconds that it could have run, and waited for a core.
    pub waited_ns: u64,
}

/// What a thread of this process has used since its start; none where the kernel does not tell.
#[must_use]
pub fn thread_use(thread: u64) -> Option<ThreadUse> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
    let mut numbers = text.split_ascii_whitespace().map_while(|number| number.parse().ok());
    Some(ThreadUse { cpu_ns: numbers.next()?, waited_ns: numbers.next()? })
}

/// Datagrams that the kernel dropped at UDP sockets of this process bound to one of
/// `local_ports`, since those sockets were opened.
///
/// A receive buffer that was full is the usual reason.
pub fn kernel_drops(local_ports: &[u16]) -> anyhow::Result<u64> {
    Ok(kernel_drops_by_port(local_ports)?.iter().sum())
}

/// The same, for each port.
pub fn kernel_drops_by_port(local_ports: &[u16]) -> anyhow::Result<Vec<u64>> {
    let inodes = own_socket_inodes().context("/proc/self/fd")?;
    let mut drops = vec![0; local_ports.len()];
    for path in ["/proc/self/net/udp", "/proc/self/net/udp6"] {
        match std::fs::read_to_string(path) {
            Ok(table) => add_drops(&table, local_ports, &inodes, &mut drops),
            // A kernel without IPv6 has no such table.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).context(path),
        }
    }
    Ok(drops)
}

/// Another process may have bound the same port number, to another address or interface.
fn own_socket_inodes() -> anyhow::Result<HashSet<u64>> {
    let mut inodes = HashSet::new();
    for descriptor in Process::myself()?.fd()? {
        // A descriptor that was closed while we listed them is not an error.
        if let Ok(descriptor) = descriptor
            && let FDTarget::Socket(inode) = descriptor.target
        {
            inodes.insert(inode);
        }
    }
    Ok(inodes)
}

/// Adds the last column, which the `procfs` crate leaves out, to the `drops` of each port.
fn add_drops(table: &str, local_ports: &[u16], inodes: &HashSet<u64>, drops: &mut [u64]) {
    let sockets = table.lines().filter_map(|line| {
        // sl local remote state queues timer retransmits uid timeout inode ref pointer drops
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = columns.get(1)?.rsplit_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let inode = columns.get(9)?.parse().ok()?;
        let dropped = columns.get(12)?.parse::<u64>().ok()?;
        let at = local_ports.iter().position(|&local| local == port)?;
        inodes.contains(&inode).then_some((at, dropped))
    });
    for (at, dropped) in sockets {
        drops[at] += dropped;
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;

    const TABLE: &str = "\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  100: 0100007F:1CE8 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 11 2 0000000000000000 40
  101: 0100007F:1CE9 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 12 2 0000000000000000 2
  102: 0200007F:1CE8 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 13 2 0000000000000000 1000
  103: 00000000000000000000000001000000:1CEA 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 14 2 0000000000000000 7
";

    fn drops(table: &str, local_ports: &[u16], inodes: &HashSet<u64>) -> Vec<u64> {
        let mut drops = vec![0; local_ports.len()];
        add_drops(table, local_ports, inodes, &mut drops);
        drops
    }

    fn reading(time: Instant, growth: u64) -> Reading {
        Reading {
            time,
            process_ticks: growth,
            node_busy_ticks: growth,
            node_ticks: 4 * growth,
            node_rx_bytes: 10 * growth,
            node_tx_bytes: 20 * growth,
        }
    }

    #[test]
    fn percentages_are_over_the_real_interval() {
        let start = Instant::now();
        let memory = Meminfo::current().unwrap();
        let ticks = procfs::ticks_per_second();
        let usage = usage(
            &reading(start, 0),
            &reading(start + Duration::from_millis(500), ticks),
            memory.mem_total / 4,
            &memory,
        );
        // One second of CPU in half a second is two cores.
        assert_eq!(usage.cpu_pct, 200.0);
        assert_eq!(usage.node_cpu_pct, 25.0);
        assert_eq!(usage.node_rx_bytes_per_s, 20.0 * ticks as f64);
        assert_eq!(usage.node_tx_bytes_per_s, 40.0 * ticks as f64);
        assert!((usage.mem_pct - 25.0).abs() < 0.01);
    }

    #[test]
    fn an_empty_interval_and_a_shrinking_counter_give_zeros() {
        let start = Instant::now();
        let memory = Meminfo::current().unwrap();
        let now = usage(&reading(start, 5), &reading(start, 5), 0, &memory);
        assert_eq!(now.cpu_pct, 0.0);
        assert_eq!(now.node_cpu_pct, 0.0);
        assert_eq!(now.node_rx_bytes_per_s, 0.0);

        let later = start + Duration::from_secs(1);
        let shrunk = usage(&reading(start, 5), &reading(later, 4), 0, &memory);
        assert_eq!(shrunk.node_rx_bytes_per_s, 0.0);
    }

    #[test]
    fn a_sample_of_this_process_is_plausible() {
        let mut sampler = Sampler::new();
        let usage = sampler.sample().unwrap();
        assert!(usage.mem_bytes > 100_000, "{usage:?}");
        assert!(usage.mem_pct > 0.0 && usage.mem_pct < 100.0, "{usage:?}");
        assert!(usage.node_mem_pct > 0.0 && usage.node_mem_pct < 100.0, "{usage:?}");
        assert!((0.0..=100.0).contains(&usage.node_cpu_pct), "{usage:?}");
    }

    #[test]
    fn what_a_process_uses_is_known_while_it_is_there() {
        let used = process_use(std::process::id()).unwrap();
        assert!(used.mem_bytes > 100_000 && used.cpu_s >= 0.0, "{used:?}");
        assert!(process_use(u32::MAX).is_err());
    }

    #[test]
    fn drops_are_summed_over_own_sockets_on_the_given_ports() {
        let own = HashSet::from([11, 12, 14]);
        assert_eq!(drops(TABLE, &[7400, 7402], &own), [40, 7]);
        assert_eq!(drops(TABLE, &[7401], &own), [2]);
        assert!(drops(TABLE, &[], &own).is_empty());
        // The third socket has port 7400 as well, but belongs to somebody else.
        assert_eq!(drops(TABLE, &[7400], &HashSet::from([13])), [1000]);
    }

    #[test]
    fn lines_that_are_no_sockets_are_passed_over() {
        let own = HashSet::from([1]);
        assert_eq!(drops("", &[1], &own), [0]);
        assert_eq!(drops("a b\n: : : :\n\u{fffd}\n", &[1], &own), [0]);
    }

    #[test]
    fn what_a_thread_uses_is_told_for_it_alone() {
        let Some(before) = thread_use(thread_id()) else {
            eprintln!("not tested: this kernel does not tell what a thread used");
            return;
        };
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        let now = thread_use(thread_id()).unwrap();
        assert!(now.cpu_ns > before.cpu_ns && now.waited_ns >= before.waited_ns, "{now:?}");
        let other = std::thread::spawn(|| thread_use(thread_id())).join().unwrap().unwrap();
        assert!(other.cpu_ns < now.cpu_ns, "{other:?}");
        assert_eq!(thread_use(0), None);
    }

    #[test]
    fn a_full_receive_buffer_is_seen_as_drops() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = receiver.local_addr().unwrap();
        assert_eq!(kernel_drops(&[address.port()]).unwrap(), 0);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        // On loopback, send_to returns after the receiver's buffer took or dropped it.
        for _ in 0..4096 {
            sender.send_to(&[0; 8192], address).unwrap();
        }
        assert!(kernel_drops(&[address.port()]).unwrap() > 0);
    }
}
