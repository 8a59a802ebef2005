//! Facts of the machine, and the speed of its network.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::sync::OnceLock;

use procfs::{CpuInfo, Current, Meminfo};

use crate::formats::report::MachineFacts;

/// Speed that utilization is measured against where no interface tells one: the nodes that
/// the first figures of this workload were taken on had links of 10 Gbit/s.
const ASSUMED_LINK_BITS_PER_S: f64 = 10e9;

const INTERFACES: &str = "/sys/class/net";

/// What a figure depends on. What cannot be found out is empty or zero.
pub fn facts() -> MachineFacts {
    let (link_bits_per_s, link) = link_bits_per_s();
    MachineFacts {
        cpu: cpu_model(),
        cores: std::thread::available_parallelism().map_or(0, |cores| cores.get() as u64),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        mem_bytes: Meminfo::current().map_or(0, |memory| memory.mem_total),
        mtu: mtu_by_interface(Path::new(INTERFACES)),
        rmem_max_bytes: number(Path::new("/proc/sys/net/core/rmem_max")).unwrap_or(0),
        wmem_max_bytes: number(Path::new("/proc/sys/net/core/wmem_max")).unwrap_or(0),
        link_bits_per_s,
        link,
    }
}

/// Memory that programs may still take without swapping; 0 if nobody tells.
pub fn available_bytes() -> u64 {
    Meminfo::current().map_or(0, |memory| memory.mem_available.unwrap_or(memory.mem_free))
}

/// Speed of the fastest interface that is up and not the loopback, and its name; or
/// 10 Gbit/s and `assumed` where none tells a speed, as on loopback and most virtual machines.
///
/// Read once: it is asked for with every sample.
pub fn link_bits_per_s() -> (f64, String) {
    static LINK: OnceLock<(f64, String)> = OnceLock::new();
    LINK.get_or_init(|| fastest_link(Path::new(INTERFACES))).clone()
}

/// The larger of the two directions against [`link_bits_per_s`]; a link carries both at once.
pub fn net_pct(rx_bytes_per_s: f64, tx_bytes_per_s: f64) -> f64 {
    let (bits_per_s, _) = link_bits_per_s();
    rx_bytes_per_s.max(tx_bytes_per_s) * 8.0 / bits_per_s * 100.0
}

fn cpu_model() -> String {
    let Ok(processors) = CpuInfo::current() else {
        return String::new();
    };
    processors.model_name(0).unwrap_or_default().to_owned()
}

fn mtu_by_interface(interfaces: &Path) -> BTreeMap<String, u64> {
    names(interfaces)
        .into_iter()
        .filter_map(|name| Some((number(&interfaces.join(&name).join("mtu"))?, name)))
        .map(|(mtu, name)| (name, mtu))
        .collect()
}

fn fastest_link(interfaces: &Path) -> (f64, String) {
    let mut fastest = (ASSUMED_LINK_BITS_PER_S, "assumed".to_owned());
    let mut fastest_mbits_per_s = 0;
    for name in names(interfaces) {
        let interface = interfaces.join(&name);
        // A virtual interface may say -1, or give an error instead of a number.
        let mbits_per_s: i64 = number(&interface.join("speed")).unwrap_or(0);
        if name != "lo" && is_up(&interface) && mbits_per_s > fastest_mbits_per_s {
            fastest_mbits_per_s = mbits_per_s;
            fastest = (mbits_per_s as f64 * 1e6, name);
        }
    }
    fastest
}

/// Interfaces without a notion of being up or down say `unknown`.
fn is_up(interface: &Path) -> bool {
    let state = fs::read_to_string(interface.join("operstate")).unwrap_or_default();
    matches!(state.trim(), "up" | "unknown")
}

/// Sorted, so that of two equal links the same one is named each time.
fn names(interfaces: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(interfaces) else {
        return Vec::new();
    };
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn number<T: FromStr>(path: &Path) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add_interface(folder: &Path, name: &str, speed: &str, state: &str) {
        let interface = folder.join(name);
        fs::create_dir(&interface).unwrap();
        fs::write(interface.join("speed"), speed).unwrap();
        fs::write(interface.join("operstate"), state).unwrap();
        fs::write(interface.join("mtu"), "1500\n").unwrap();
    }

    #[test]
    fn the_fastest_link_that_is_up_counts() {
        let folder = tempfile::tempdir().unwrap();
        add_interface(folder.path(), "eth0", "1000\n", "up\n");
        add_interface(folder.path(), "eth1", "25000\n", "up\n");
        add_interface(folder.path(), "eth2", "100000\n", "down\n");
        add_interface(folder.path(), "eth3", "25000\n", "up\n");
        add_interface(folder.path(), "lo", "400000\n", "unknown\n");
        assert_eq!(fastest_link(folder.path()), (25e9, "eth1".to_owned()));
        assert_eq!(mtu_by_interface(folder.path())["eth2"], 1500);
    }

    #[test]
    fn a_link_that_tells_no_speed_is_assumed() {
        let folder = tempfile::tempdir().unwrap();
        add_interface(folder.path(), "eth0", "-1\n", "up\n");
        add_interface(folder.path(), "tun0", "", "unknown\n");
        let assumed = (10e9, "assumed".to_owned());
        assert_eq!(fastest_link(folder.path()), assumed);
        assert_eq!(fastest_link(Path::new("/nonexistent")), assumed);
    }

    #[test]
    fn utilization_is_the_larger_direction() {
        let (bits_per_s, _) = link_bits_per_s();
        let full_bytes_per_s = bits_per_s / 8.0;
        assert_eq!(net_pct(full_bytes_per_s, full_bytes_per_s / 2.0), 100.0);
        assert_eq!(net_pct(0.0, full_bytes_per_s / 2.0), 50.0);
    }

    #[test]
    fn facts_of_this_machine_are_known() {
        let machine = facts();
        assert!(machine.cores > 0);
        assert!(!machine.kernel.is_empty());
        assert!(machine.mem_bytes > 0);
        assert!((1..=machine.mem_bytes).contains(&available_bytes()));
        assert!(machine.mtu.contains_key("lo"));
    }
}
