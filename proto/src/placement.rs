//! Which server holds a key: the same in every program.

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
    ((u128::from(XxHash3_64::oneshot(key)) * servers as u128) >> 64) as usize
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
    fn keys_spread_evenly_over_servers() {
        let mut counts = [0u32; 7];
        for key in 0u64..70_000 {
            counts[server_of(&key.to_be_bytes(), 7)] += 1;
        }
        // Five standard deviations of a binomial with n = 70,000 and p = 1/7.
        assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 463), "{counts:?}");
    }
}
