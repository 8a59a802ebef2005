//! The best of two settings, one after the other.

use std::collections::BTreeMap;

use anyhow::Result;

/// Connections of a baseline's candidate that is not searched.
pub(super) const CONNECTIONS_DEFAULT: u64 = 8;

/// Two flags of the generator, and what is tried for each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Knobs {
    pub(super) names: [&'static str; 2],
    flags: [&'static str; 2],
    values: [&'static [u64]; 2],
    pub(super) start: [u64; 2],
}

impl Knobs {
    /// Of a baseline.
    pub(super) const BASELINE: Self = Self {
        names: ["batch", "connections"],
        flags: ["--batch", "--connections"],
        values: [&[1, 10, 32, 100, 316, 1000], &[1, 2, 4, 8, 16, 32]],
        start: [100, CONNECTIONS_DEFAULT],
    };
    /// Of our store.
    pub(super) const KV: Self = Self {
        names: ["streams", "window"],
        flags: ["--streams", "--window"],
        values: [&[64, 256, 1024, 4096, 16384], &[16, 32, 64, 128, 256]],
        start: [1024, 64],
    };

    /// What the generator is told.
    pub(super) fn arguments(&self, at: [u64; 2]) -> Vec<String> {
        let pairs = self.flags.iter().zip(at);
        pairs.flat_map(|(flag, value)| [(*flag).to_owned(), value.to_string()]).collect()
    }

    /// The best place, found by turning one knob at a time until no turn is better. What
    /// could not be measured counts as nothing; if nothing could, the first reason returns.
    pub(super) fn search(
        &self,
        mut measure: impl FnMut([u64; 2]) -> Result<Result<f64, String>>,
    ) -> Result<Result<[u64; 2], String>> {
        let mut seen: BTreeMap<[u64; 2], f64> = BTreeMap::new();
        let mut reason = None;
        let mut best = self.start;
        // Each time around is better than the last, and the grid is finite.
        loop {
            let before = best;
            for (knob, values) in self.values.iter().enumerate() {
                for &value in *values {
                    let mut at = best;
                    at[knob] = value;
                    if let std::collections::btree_map::Entry::Vacant(entry) = seen.entry(at) {
                        let ops_per_s = measure(at)?.unwrap_or_else(|why| {
                            reason.get_or_insert(why);
                            0.0
                        });
                        entry.insert(ops_per_s);
                    }
                }
                let along = seen.iter().filter(|(at, _)| at[1 - knob] == best[1 - knob]);
                if let Some((&at, &ops_per_s)) = along.max_by(|a, b| a.1.total_cmp(b.1))
                    && ops_per_s > seen.get(&best).copied().unwrap_or(0.0)
                {
                    best = at;
                }
            }
            if best == before {
                break;
            }
        }
        if seen.values().all(|&ops_per_s| ops_per_s <= 0.0) {
            return Ok(Err(reason.unwrap_or_else(|| "nothing was answered".to_owned())));
        }
        Ok(Ok(best))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hill(top: [u64; 2]) -> impl FnMut([u64; 2]) -> Result<Result<f64, String>> {
        let distance = |a: u64, b: u64| ((a as f64).ln() - (b as f64).ln()).abs();
        move |at| Ok(Ok(100.0 - distance(at[0], top[0]) - distance(at[1], top[1])))
    }

    #[test]
    fn the_top_is_found_wherever_it_is() {
        for top in [[1, 1], [1000, 32], [10, 16], Knobs::BASELINE.start] {
            assert_eq!(Knobs::BASELINE.search(hill(top)).unwrap(), Ok(top));
        }
    }

    #[test]
    fn a_place_is_measured_once() {
        let mut places = Vec::new();
        let mut hill = hill([316, 4]);
        let found = Knobs::BASELINE.search(|at| {
            assert!(!places.contains(&at), "{at:?}");
            places.push(at);
            hill(at)
        });
        assert_eq!(found.unwrap(), Ok([316, 4]));
    }

    #[test]
    fn places_that_fail_are_left_out() {
        let found = Knobs::BASELINE.search(|at| match at {
            [batch, _] if batch >= 100 => Ok(Err("too long for a datagram".to_owned())),
            _ => hill([1000, 2])(at),
        });
        assert_eq!(found.unwrap(), Ok([32, 2]));
    }

    #[test]
    fn if_all_fail_the_first_reason_is_told() {
        let mut count = 0;
        let found = Knobs::BASELINE.search(|_| {
            count += 1;
            Ok(Err(format!("reason {count}")))
        });
        assert_eq!(found.unwrap(), Err("reason 1".to_owned()));
    }
}
