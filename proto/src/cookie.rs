//! Stateless proof of an address: a server keeps nothing of a client that has not shown
//! that it receives what is sent to its address (invariant 4).

use std::net::{IpAddr, SocketAddr};

use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher as _;

use crate::limits::COOKIE_LIFETIME_NS;
use crate::planted::{Fault, is_planted};
use crate::wire::Cookie;

/// Makes and checks the cookies of one life of a server.
#[derive(Clone, Debug)]
pub struct Cookies {
    key: [u8; 16],
}

impl Cookies {
    /// `key` is random and differs with each start, so that no cookie outlives the server.
    #[must_use]
    pub const fn new(key: [u8; 16]) -> Self {
        Self { key }
    }

    /// The cookie for a client that says that it is at `address`.
    #[must_use]
    pub fn issue(&self, now_ns: u64, address: SocketAddr, client_id: [u8; 16]) -> Cookie {
        let mac = self.mac(now_ns, address, client_id);
        Cookie { client_id, issued_at_ns: now_ns, mac }
    }

    /// Whether this server gave `cookie` to `address` not too long ago.
    #[must_use]
    pub fn check(&self, now_ns: u64, address: SocketAddr, cookie: &Cookie) -> bool {
        let fresh = now_ns
            .checked_sub(cookie.issued_at_ns)
            .is_some_and(|age_ns| age_ns <= COOKIE_LIFETIME_NS);
        let mac = self.mac(cookie.issued_at_ns, address, cookie.client_id);
        // Every byte is compared, so that time tells nothing about how many are right.
        let differing = mac.iter().zip(cookie.mac).fold(0, |bits, (a, b)| bits | (a ^ b));
        (fresh && differing == 0) || is_planted(Fault::CookieUnchecked)
    }

    fn mac(&self, issued_at_ns: u64, address: SocketAddr, client_id: [u8; 16]) -> [u8; 16] {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(&issued_at_ns.to_le_bytes());
        hasher.write(&client_id);
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        hasher.write(&ip.octets());
        hasher.write(&address.port().to_le_bytes());
        hasher.finish128().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_NS: u64 = 5_000_000_000;

    fn issued() -> (Cookies, SocketAddr, Cookie) {
        let cookies = Cookies::new([7; 16]);
        let address = "10.0.0.1:4000".parse().unwrap();
        let cookie = cookies.issue(NOW_NS, address, [1; 16]);
        (cookies, address, cookie)
    }

    #[test]
    fn a_cookie_is_good_for_its_address_until_its_lifetime_ends() {
        let (cookies, address, cookie) = issued();
        assert!(cookies.check(NOW_NS, address, &cookie));
        assert!(cookies.check(NOW_NS + COOKIE_LIFETIME_NS, address, &cookie));
        assert!(!cookies.check(NOW_NS + COOKIE_LIFETIME_NS + 1, address, &cookie));
        assert!(!cookies.check(NOW_NS - 1, address, &cookie), "it is from the future");
    }

    #[test]
    fn a_cookie_is_bad_from_another_address_port_client_or_server() {
        let (cookies, address, cookie) = issued();
        for other in ["10.0.0.2:4000", "10.0.0.1:4001", "[::1]:4000"] {
            assert!(!cookies.check(NOW_NS, other.parse().unwrap(), &cookie), "{other}");
        }
        let mut stolen = cookie;
        stolen.client_id[0] ^= 1;
        assert!(!cookies.check(NOW_NS, address, &stolen));
        assert!(!Cookies::new([8; 16]).check(NOW_NS, address, &cookie));
    }

    #[test]
    fn every_bit_of_a_mac_counts() {
        let (cookies, address, cookie) = issued();
        for bit in 0..128 {
            let mut forged = cookie;
            forged.mac[bit / 8] ^= 1 << (bit % 8);
            assert!(!cookies.check(NOW_NS, address, &forged), "bit {bit}");
        }
    }
}
