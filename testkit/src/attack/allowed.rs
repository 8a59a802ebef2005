//! Whom an attacker may send to: the loopback, and hosts of a network that was made for a test.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;

/// An address that may be attacked from this thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target(SocketAddr);

impl Target {
    /// The loopback is always allowed. Another address only if it is a private one, and only
    /// from a network namespace that `ip netns` made and from which no route leads elsewhere.
    pub fn new(address: SocketAddr) -> io::Result<Self> {
        if address.ip().is_loopback() {
            return Ok(Self(address));
        }
        let SocketAddr::V4(v4) = address else {
            return refused("of IPv6, only the loopback may be attacked");
        };
        if !v4.ip().is_private() {
            return refused("only the loopback and private addresses may be attacked");
        }
        if !is_in_named_namespace()? {
            return refused("this is no network namespace that `ip netns add` made");
        }
        if leads_elsewhere(&fs::read_to_string("/proc/thread-self/net/route")?) {
            return refused("a route leads out of this network namespace");
        }
        Ok(Self(address))
    }

    /// The address.
    #[must_use]
    pub const fn address(self) -> SocketAddr {
        self.0
    }
}

fn refused(why: &str) -> io::Result<Target> {
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

/// Whether the network namespace of this thread has a name. That of a machine or a container
/// has none.
fn is_in_named_namespace() -> io::Result<bool> {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let own = fs::metadata("/proc/thread-self/ns/net").map(identity)?;
    let named = match fs::read_dir("/run/netns") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        named => named?,
    };
    Ok(named.flatten().any(|entry| fs::metadata(entry.path()).is_ok_and(|it| identity(it) == own)))
}

/// Whether any route of the kernel's table has a gateway, or is good for all addresses. What
/// cannot be read leads elsewhere.
fn leads_elsewhere(table: &str) -> bool {
    const NONE: &str = "00000000";
    table.lines().skip(1).any(|route| {
        let fields: Vec<&str> = route.split_whitespace().collect();
        match fields[..] {
            [_, destination, gateway, ..] => destination == NONE || gateway != NONE,
            _ => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_may_be_attacked_and_nobody_else_from_here() {
        for allowed in ["127.0.0.1:7400", "127.3.2.1:1", "[::1]:7400"] {
            assert!(Target::new(allowed.parse().unwrap()).is_ok(), "{allowed}");
        }
        for elsewhere in ["10.77.0.10:7400", "192.0.2.1:7400", "8.8.8.8:53", "[fd77::1]:7400"] {
            let error = Target::new(elsewhere.parse().unwrap()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{elsewhere}");
        }
    }

    #[test]
    fn a_route_with_a_gateway_or_to_everywhere_leads_elsewhere() {
        let head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n";
        let link = "eth0\t00004D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\n";
        assert!(!leads_elsewhere(head));
        assert!(!leads_elsewhere(&format!("{head}{link}")));
        for out in ["eth0\t00000000\t00000000\t0001\n", "eth0\t0000A8C0\t0100000A\t0003\n", "?\n"] {
            assert!(leads_elsewhere(&format!("{head}{link}{out}")), "{out}");
        }
    }
}
