//! The curves and their points.

use std::fmt;

use clap::ValueEnum;
use generator::workload::Mix;
use proto::limits::{MTU_BYTES_DEFAULT, value_bytes_max};
use serde::{Serialize, Serializer};

use crate::bench::flags::{Setting, arguments};

/// Bytes of a key of the workload.
const KEY_BYTES: usize = 8;

/// A curve, by the parameter that it varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// Records, from 10,000 to 50 million
    Records,
    /// Bytes of a value, up to what one datagram carries
    ValueSize,
    /// Sequential streams of the generator
    Streams,
    /// GETs of a stream that may be outstanding together
    Batch,
    /// Skew of the keys
    Theta,
    /// Reads, of 100 operations
    Reads,
    /// Servers on this machine
    Servers,
    /// Offered load, against latency
    Load,
}

/// A curve to be measured.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub(super) name: Name,
    pub(super) points: Vec<Point>,
}

/// A point to be measured.
#[derive(Clone, Debug)]
pub(super) struct Point {
    /// Its place on the curve; for [`Name::Load`] in percent of what the store can do.
    pub(super) x: f64,
    pub(super) cluster: Cluster,
    pub(super) setting: Setting,
    /// Further flags of the generator.
    pub(super) flags: Vec<String>,
}

/// Servers that points may share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cluster {
    pub(super) servers: u64,
    pub(super) records: u64,
    pub(super) value_size: u64,
}

impl Name {
    /// What the horizontal axis says.
    pub(super) const fn axis(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::ValueSize => "bytes of a value",
            Self::Streams => "streams",
            Self::Batch => "batch",
            Self::Theta => "theta",
            Self::Reads => "reads, %",
            Self::Servers => "servers",
            Self::Load => "offered op/s",
        }
    }

    /// Whether each step multiplies.
    pub(super) const fn is_logarithmic(self) -> bool {
        !matches!(self, Self::Theta | Self::Reads | Self::Load)
    }

    fn values(self) -> Vec<f64> {
        let value_max = value_bytes_max(MTU_BYTES_DEFAULT, KEY_BYTES) as f64;
        match self {
            Self::Records => vec![1e4, 1e5, 1e6, 1e7, 5e7],
            Self::ValueSize => vec![8.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, value_max],
            Self::Streams => vec![1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0],
            Self::Batch => vec![1.0, 10.0, 100.0, 1000.0, 10_000.0],
            Self::Theta => vec![0.0, 0.5, 0.8, 0.9, 0.99, 1.1, 1.2],
            Self::Reads => vec![0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 100.0],
            Self::Servers => vec![1.0, 2.0, 4.0, 8.0],
            Self::Load => vec![10.0, 25.0, 50.0, 70.0, 80.0, 90.0, 100.0, 110.0],
        }
    }

    fn quick_values(self) -> Vec<f64> {
        match self {
            Self::Records => vec![1e4, 1e5, 1e6],
            Self::ValueSize => vec![8.0, 128.0, 1024.0],
            Self::Streams => vec![1.0, 64.0, 1024.0],
            Self::Batch => vec![1.0, 100.0, 10_000.0],
            Self::Theta => vec![0.0, 0.99, 1.2],
            Self::Reads => vec![0.0, 50.0, 100.0],
            Self::Servers => vec![1.0, 2.0],
            Self::Load => vec![25.0, 50.0, 80.0],
        }
    }
}

/// As `--curve` takes it.
impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("none is hidden");
        formatter.pad(value.get_name())
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Curve {
    pub(super) fn new(name: Name, setting: &Setting, is_quick: bool) -> Self {
        let values = if is_quick { name.quick_values() } else { name.values() };
        let points = values.into_iter().map(|x| Point::new(name, x, setting.clone()));
        Self { name, points: points.collect() }
    }
}

impl Point {
    fn new(name: Name, x: f64, mut setting: Setting) -> Self {
        let (whole, mut servers, mut flags) = (x as u64, 1, Vec::new());
        match name {
            Name::Records => setting.records = whole,
            Name::ValueSize => setting.value_size = whole,
            Name::Streams => flags = arguments([("--streams", &whole)]),
            Name::Batch => flags = arguments([("--batch", &whole)]),
            Name::Theta => setting.theta = x,
            Name::Reads => setting.workload = Mix::Reads(whole as u8),
            Name::Servers => servers = whole,
            // What it comes to in operations is known once the store was measured.
            Name::Load => {}
        }
        let Setting { records, value_size, .. } = setting;
        Self { x, cluster: Cluster { servers, records, value_size }, setting, flags }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, Command, FromArgMatches as _};

    /// The defaults.
    fn setting() -> Setting {
        let matches = Setting::augment_args(Command::new("curves")).get_matches_from(["curves"]);
        Setting::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn a_point_differs_from_the_defaults_in_its_own_parameter_only() {
        let defaults = setting().arguments();
        for name in Name::value_variants() {
            for is_quick in [false, true] {
                for point in Curve::new(*name, &setting(), is_quick).points {
                    let arguments = point.setting.arguments();
                    let differ = arguments.iter().zip(&defaults).filter(|(a, b)| a != b).count();
                    // The share of reads replaces a flag and its value.
                    let differ_max = if *name == Name::Reads { 2 } else { 1 };
                    let further = usize::from(!point.flags.is_empty());
                    assert!(differ + further <= differ_max, "{name}: {arguments:?}");
                    assert_eq!(arguments.len(), defaults.len());
                }
            }
        }
    }

    #[test]
    fn the_largest_value_is_what_one_datagram_carries() {
        let curve = Curve::new(Name::ValueSize, &setting(), false);
        assert_eq!(curve.points.last().unwrap().setting.value_size, 1424);
    }

    #[test]
    fn points_grow() {
        for name in Name::value_variants() {
            for values in [name.values(), name.quick_values()] {
                assert!(values.is_sorted_by(|a, b| a < b), "{name}");
            }
        }
    }
}
