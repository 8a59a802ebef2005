//! Which server holds a key, the same in every program; and which of its workers is asked for it.

use twox_hash::XxHash3_64;

/// Index, in a cluster's list of `servers`, of the one that holds `key`.
///
/// XXH3-64 of the key scaled to the number of servers (Lemire, "Fast random integer
/// generation in an interval", 2019). Every client of a cluster has to list its servers
/// in the same order.
///
/// # Panics
/// If there are no servers.
#[must_use]
#[inline]
pub fn server_of(key: &[u8], servers: usize) -> usize {
    assert!(servers > 0, "a cluster has at least one server");
    if servers == 1 {
        return 0;
    }
    KeyHash::of(key).server_of(servers)
}

/// XXH3-64 of a key, for who needs its server and its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash(u64);

impl KeyHash {
    /// Of a key.
    #[must_use]
    #[inline]
    pub fn of(key: &[u8]) -> Self {
        Self(XxHash3_64::oneshot(key))
    }

    /// As [`server_of`]: the upper bits tell the server.
    #[must_use]
    #[inline]
    pub fn server_of(self, servers: usize) -> usize {
        ((u128::from(self.0) * servers as u128) >> 64) as usize
    }

    /// Which of a client's sessions with a server carries the key: the lower bits tell. All
    /// workers of a server hold all of its keys, so clients need not agree on this.
    #[must_use]
    #[inline]
    pub const fn session_of(self, sessions: usize) -> usize {
        (((self.0 & 0xffff_ffff) * sessions as u64) >> 32) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placement_never_changes() {
        // Figures of the published XXH3-64, so that other programs place alike.
        let places: Vec<_> = (0u64..8).map(|key| server_of(&key.to_be_bytes(), 4)).collect();
        assert_eq!(places, PLACES_OF_FIRST_EIGHT);
        assert_eq!(server_of(b"any", 1), 0);
    }

    const PLACES_OF_FIRST_EIGHT: [usize; 8] = [3, 3, 0, 3, 2, 3, 1, 3];

    #[test]
    fn keys_spread_evenly_over_servers_and_over_the_sessions_with_each() {
        let (mut servers, mut sessions) = ([0u32; 7], [0u32; 7]);
        for key in 0u64..490_000 {
            let hash = KeyHash::of(&key.to_be_bytes());
            let server = hash.server_of(7);
            assert_eq!(server, server_of(&key.to_be_bytes(), 7));
            servers[server] += 1;
            if server == 3 {
                sessions[hash.session_of(7)] += 1;
            }
        }
        // Five standard deviations of binomials with p = 1/7.
        assert!(servers.iter().all(|&count| count.abs_diff(70_000) < 1225), "{servers:?}");
        assert!(sessions.iter().all(|&count| count.abs_diff(10_000) < 463), "{sessions:?}");
    }
}
