//! Whom an address belongs to, as far as limits go.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host: an IPv4 address, or the /64 of an IPv6 address, because a host may use all addresses of
/// its /64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Host(u64);

impl Host {
    /// The host of an address.
    #[inline]
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // No /64 of hosts begins with 32 zeros, but for that of `::1`, which has 64.
            IpAddr::V4(ip) => Self(u64::from(ip.to_bits())),
            IpAddr::V6(ip) => Self((ip.to_bits() >> 64) as u64),
        }
    }

    /// What tells it from others.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    pub(crate) const fn bits_mut(&mut self) -> &mut u64 {
        &mut self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match u32::try_from(self.0) {
            Ok(bits) if bits > 0 => write!(f, "{}", Ipv4Addr::from_bits(bits)),
            _ => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(self.0) << 64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(address: &str) -> Host {
        Host::of(address.parse().unwrap())
    }

    #[test]
    fn a_host_is_an_address_of_version_4_or_a_64th_of_version_6() {
        assert_eq!(host("10.0.0.1"), host("::ffff:10.0.0.1"));
        assert_ne!(host("10.0.0.1"), host("10.0.0.2"));
        assert_eq!(host("fd77::1:0:0:0:1"), host("fd77::1:0:0:0:2"));
        assert_ne!(host("fd77::1:0:0:0:1"), host("fd77::2:0:0:0:1"));
    }

    #[test]
    fn a_host_is_shown_as_it_is_written() {
        assert_eq!(host("10.0.0.1").to_string(), "10.0.0.1");
        assert_eq!(host("fd77::1:2:3:4:5").to_string(), "fd77:0:0:1::/64");
        assert_eq!(host("::1").to_string(), "::/64");
    }
}
