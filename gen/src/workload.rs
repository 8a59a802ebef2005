//! What a stream does next: which record, and whether it reads or writes it.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_pcg::Mcg128Xsl64;

use crate::zipf::Zipf;

/// The share of reads and writes, by the name of the YCSB core workload that has it, or as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// YCSB A: half of the operations write.
    A,
    /// YCSB B: one in twenty writes.
    B,
    /// YCSB C: none writes.
    C,
    /// So many of 100 operations read.
    Reads(u8),
}

impl Mix {
    /// Every mix that has a name, in the order in which help and errors list them.
    pub const ALL: [Self; 3] = [Self::A, Self::B, Self::C];

    /// The name in lower case; the same for every share that has no name of its own.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "ycsb-a",
            Self::B => "ycsb-b",
            Self::C => "ycsb-c",
            Self::Reads(_) => "reads",
        }
    }

    /// How many of 100 operations write.
    #[must_use]
    pub fn writes_pct(self) -> u8 {
        match self {
            Self::A => 50,
            Self::B => 5,
            Self::C => 0,
            Self::Reads(pct) => 100 - pct.min(100),
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reads(pct) => formatter.pad(&format!("{}-{pct}", self.name())),
            _ => formatter.pad(self.name()),
        }
    }
}

impl FromStr for Mix {
    type Err = UnknownMix;

    fn from_str(text: &str) -> Result<Self, UnknownMix> {
        Self::ALL
            .into_iter()
            .find(|mix| mix.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownMix { text: text.to_owned() })
    }
}

/// The name of no [`Mix`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownMix {
    text: String,
}

impl fmt::Display for UnknownMix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "unknown workload {:?}: the known ones are {}",
            self.text,
            Mix::ALL.map(Mix::name).join(", ")
        )
    }
}

impl Error for UnknownMix {}

/// An operation that was drawn from a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draw {
    /// The record's number.
    pub key: u64,
    /// Whether it is a PUT; otherwise it is a GET.
    pub write: bool,
}

/// The rule by which every stream draws its operations.
///
/// A record's number is its rank: record 0 is the most popular one. YCSB scatters the
/// popular records over the key space by a hash, for stores that place ranges of keys.
/// Here a key's server, and its place in that server's tables, already come from a hash of
/// the key, so that the neighbours 0, 1, 2 … lie apart, and a second hash would change
/// neither the distribution nor the placement; it would only hide which records are hot.
#[derive(Clone, Debug)]
pub struct Workload {
    mix: Mix,
    zipf: Arc<Zipf>,
    /// A draw of 64 bits below this means a write.
    write_below: u64,
}

impl Workload {
    /// Operations of `mix` on records chosen by `zipf`, whose table all clones share.
    #[must_use]
    pub fn new(mix: Mix, zipf: Arc<Zipf>) -> Self {
        let write_below = (u128::from(mix.writes_pct()) << 64) / 100;
        // All are one more than 64 bits can say; the one draw in 2^64 that reads is missed by nobody.
        let write_below = u64::try_from(write_below).unwrap_or(u64::MAX);
        Self { mix, zipf, write_below }
    }

    /// The share of reads and writes.
    #[must_use]
    pub fn mix(&self) -> Mix {
        self.mix
    }

    /// The number of records, which is one more than the largest record number.
    #[inline]
    #[must_use]
    pub fn records(&self) -> u64 {
        self.zipf.records()
    }

    /// The distribution of the records.
    #[must_use]
    pub fn zipf(&self) -> &Zipf {
        &self.zipf
    }

    /// The next operation of the stream that `random` belongs to.
    #[inline]
    pub fn next(&self, random: &mut StreamRandom) -> Draw {
        let key = self.zipf.sample(|| random.0.next_u64());
        // A draw of its own, because with many records the key uses up all bits of the others.
        let write = self.write_below != 0 && random.0.next_u64() < self.write_below;
        Draw { key, write }
    }
}

/// Where a stream is in its sequence of operations; 16 bytes, so that many fit in a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRandom(Mcg128Xsl64);

const _: () = assert!(size_of::<StreamRandom>() == 16);

impl StreamRandom {
    /// The start of the sequence that belongs to these three numbers.
    ///
    /// Nothing else enters, so that a run is repeated with any number of threads. Streams
    /// of one run start apart: the seed's mask is the same for all of them, so what they
    /// expand from differs as their indices do.
    #[must_use]
    pub fn new(seed: u64, generator_index: u32, stream_index: u32) -> Self {
        let place = u64::from(generator_index) << 32 | u64::from(stream_index);
        // Without the mask, seed 1 of stream 0 would be seed 0 of stream 1.
        let mask = Mcg128Xsl64::seed_from_u64(seed).next_u64();
        Self(Mcg128Xsl64::seed_from_u64(mask ^ place))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn workload(mix: Mix) -> Workload {
        Workload::new(mix, Arc::new(Zipf::new(1_000_000, 0.99).unwrap()))
    }

    fn first_operations(workload: &Workload, mut random: StreamRandom) -> Vec<Draw> {
        (0..100).map(|_| workload.next(&mut random)).collect()
    }

    #[test]
    fn names_are_read_in_any_case_and_printed_in_lower_case() {
        for (text, mix) in
            [("ycsb-a", Mix::A), ("YCSB-B", Mix::B), ("Ycsb-c", Mix::C), ("yCSB-a", Mix::A)]
        {
            assert_eq!(text.parse(), Ok(mix));
            assert_eq!(mix.to_string(), text.to_lowercase());
        }
    }

    #[test]
    fn a_share_without_a_name_is_told_as_it_is() {
        assert_eq!(Mix::Reads(70).to_string(), "reads-70");
        assert_eq!(Mix::Reads(70).writes_pct(), 30);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        for text in ["ycsb-d", "", "a", "ycsb-a "] {
            assert_eq!(
                text.parse::<Mix>().unwrap_err().to_string(),
                format!("unknown workload {text:?}: the known ones are ycsb-a, ycsb-b, ycsb-c")
            );
        }
    }

    #[test]
    fn writes_have_their_share() {
        const SEED: u64 = 3;
        const OPERATIONS: u32 = 1_000_000;
        for (mix, share) in [
            (Mix::A, 0.5),
            (Mix::B, 0.05),
            (Mix::C, 0.0),
            (Mix::Reads(80), 0.2),
            (Mix::Reads(0), 1.0),
            (Mix::Reads(100), 0.0),
        ] {
            let workload = workload(mix);
            let mut random = StreamRandom::new(SEED, 0, 0);
            let writes = (0..OPERATIONS).filter(|_| workload.next(&mut random).write).count();
            let expected = f64::from(OPERATIONS) * share;
            // A right share goes beyond this bound once in 1000 seeds; that of no or only writes is 0.
            let bound = 3.29 * (expected * (1.0 - share)).sqrt();
            assert!(
                (writes as f64 - expected).abs() <= bound,
                "seed {SEED}, {mix}: {writes} writes, expected {expected} ± {bound}"
            );
        }
    }

    #[test]
    fn reads_and_writes_choose_their_records_alike() {
        const SEED: u64 = 4;
        const HOT: u64 = 1000;
        let workload = workload(Mix::A);
        let mut random = StreamRandom::new(SEED, 0, 0);
        let (mut operations, mut hot) = ([0_u32; 2], [0_u32; 2]);
        for _ in 0..1_000_000 {
            let operation = workload.next(&mut random);
            operations[usize::from(operation.write)] += 1;
            hot[usize::from(operation.write)] += u32::from(operation.key < HOT);
        }
        let share: f64 = (0..HOT).map(|key| workload.zipf().probability(key)).sum();
        for kind in [0, 1] {
            let expected = f64::from(operations[kind]) * share;
            let bound = 3.29 * (expected * (1.0 - share)).sqrt();
            assert!(
                (f64::from(hot[kind]) - expected).abs() <= bound,
                "seed {SEED}, write {kind}: {} hot, expected {expected} ± {bound}",
                hot[kind]
            );
        }
    }

    #[test]
    fn a_stream_is_repeated_by_its_three_numbers() {
        let workload = workload(Mix::B);
        let start = StreamRandom::new(5, 6, 7);
        assert_eq!(start, StreamRandom::new(5, 6, 7));
        assert_eq!(
            first_operations(&workload, start.clone()),
            first_operations(&workload.clone(), start)
        );
    }

    #[test]
    fn a_stream_begins_the_same_in_every_version() {
        // A change of these figures makes old runs unrepeatable: say so in the release.
        let workload = Workload::new(Mix::A, Arc::new(Zipf::new(1000, 0.0).unwrap()));
        let operations = first_operations(&workload, StreamRandom::new(1, 0, 0));
        let first: Vec<_> =
            operations[..4].iter().map(|operation| (operation.key, operation.write)).collect();
        assert_eq!(first, [(136, false), (550, false), (312, true), (205, true)]);
    }

    #[test]
    fn streams_differ_in_each_of_their_three_numbers() {
        let workload = workload(Mix::B);
        let mut seen = HashSet::new();
        for seed in 0..4 {
            for generator_index in 0..4 {
                for stream_index in 0..64 {
                    let start = StreamRandom::new(seed, generator_index, stream_index);
                    let keys: Vec<_> = first_operations(&workload, start)
                        .iter()
                        .map(|operation| operation.key)
                        .collect();
                    assert!(
                        seen.insert(keys),
                        "seed {seed} generator {generator_index} stream {stream_index}"
                    );
                }
            }
        }
    }
}
