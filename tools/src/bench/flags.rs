//! The flags that programs share that measure.

use std::path::PathBuf;

use clap::Args;
use generator::workload::Mix;
use generator::zipf::RECORDS_MAX;
use host::flags::{count, theta};
use serde::Serialize;

/// Most rounds.
const ROUNDS_MAX: u64 = 1000;
/// Longest time of one measurement: an hour.
const SECONDS_MAX: f64 = 3600.0;

/// What every candidate does, and for how long.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Setting {
    /// Rounds; in each, all take their turns
    #[arg(long, value_name = "N", default_value = "5", value_parser = count::<usize>(ROUNDS_MAX), allow_negative_numbers = true)]
    pub rounds: usize,

    /// Seconds to measure in each turn
    #[arg(long, value_name = "S", default_value = "3", value_parser = measured_seconds, allow_hyphen_values = true)]
    pub secs: f64,

    /// Seconds before the measured ones
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds, allow_hyphen_values = true)]
    pub warmup: f64,

    /// ycsb-a (half reads), ycsb-b (95 % reads) or ycsb-c (reads only)
    #[arg(long, value_name = "NAME", default_value = "ycsb-b")]
    #[serde(serialize_with = "as_text")]
    pub workload: Mix,

    /// Skew of the Zipf distribution of keys; 0 is uniform
    #[arg(long, value_name = "T", default_value = "0.99", value_parser = theta, allow_hyphen_values = true)]
    pub theta: f64,

    /// Records
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = count::<u64>(RECORDS_MAX), allow_negative_numbers = true)]
    pub records: u64,

    /// Bytes of a value
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    pub value_size: u64,

    /// Threads of the generator
    #[arg(long, value_name = "N", default_value = "1", value_parser = count::<usize>(generator::limits::THREADS_MAX), allow_negative_numbers = true)]
    pub threads: usize,
}

impl Setting {
    /// What a generator is told, but for how long.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mix = match &self.workload {
            Mix::Reads(pct) => arguments([("--read-pct", pct)]),
            named => arguments([("--workload", named)]),
        };
        let others = arguments([
            ("--theta", &self.theta),
            ("--records", &self.records),
            ("--value-size", &self.value_size),
            ("--threads", &self.threads),
        ]);
        [mix, others].concat()
    }

    /// How long it runs.
    #[must_use]
    pub fn times(&self) -> Vec<String> {
        arguments([("--warmup", &self.warmup), ("--secs", &self.secs)])
    }

    /// A sentence about it, for reports.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "{}, theta {}, {} records of {} bytes; {} rounds of {} s after {} s of warm-up, in turn.",
            self.workload,
            self.theta,
            self.records,
            self.value_size,
            self.rounds,
            self.secs,
            self.warmup
        )
    }
}

/// Where the programs are, and where results go.
#[derive(Args, Clone, Debug)]
pub struct Paths {
    /// Folder for the results; the default is in bench-results/, named after the time and the program
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// The server to measure; the default is the one beside this program
    #[arg(long, value_name = "FILE")]
    pub kv: Option<PathBuf>,

    /// The generator to measure with; the default is the one beside this program
    #[arg(long, value_name = "FILE")]
    pub r#gen: Option<PathBuf>,
}

/// Flags and their values, as a program is told them.
pub fn arguments<const N: usize>(flags: [(&str, &dyn std::fmt::Display); N]) -> Vec<String> {
    flags.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_string()]).collect()
}

/// Flags that only load, after those of the setting.
#[must_use]
pub fn load_arguments() -> Vec<String> {
    ["--load", "--secs", "0"].map(str::to_owned).to_vec()
}

fn as_text<S: serde::Serializer>(mix: &Mix, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(mix)
}

/// Seconds, of which there may be none.
pub fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => Ok(seconds),
        _ => Err(format!("expected seconds from 0 to {SECONDS_MAX}")),
    }
}

fn measured_seconds(text: &str) -> Result<f64, String> {
    match seconds(text)? {
        seconds if seconds >= 0.05 => Ok(seconds),
        _ => Err("must be at least 0.05".to_owned()),
    }
}
