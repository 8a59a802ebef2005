//! The flags of `compare`.

use clap::Parser;

use super::candidates;
use crate::bench::flags::{Paths, Setting, seconds};

/// Compares the store with memcached, Redis and Valkey, and with a bare echo.
///
/// Starts every candidate once, with the same records, finds the best batch and number of
/// connections of each, and measures all in turn, round after round, so that a machine that
/// drifts treats all alike: throughput first, then latency at a part of each one's own
/// throughput. Candidates that are not installed are named, and left out
/// (tools/baselines.sh installs them).
///
/// Exit status: 0 if every candidate that is here was measured, 1 if one failed, 2 if it
/// could not start, 130 if it was interrupted.
#[derive(Clone, Debug, Parser)]
#[command(name = "compare", version)]
pub struct Flags {
    /// What every candidate does
    #[command(flatten)]
    pub setting: Setting,

    /// Names of candidates; empty for all
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', help = only_help())]
    pub only: Vec<String>,

    /// Seconds of each step of the search for a baseline's best batch and connections; 0 takes
    /// batches of 100 and 8 connections
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds, allow_hyphen_values = true)]
    pub search_secs: f64,

    /// Search for the best streams and window of our store, too, instead of its defaults
    #[arg(long)]
    pub search_kv: bool,

    /// Rounds for latency at 50 and 80 % of each candidate's throughput; 0 leaves it out
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub latency_rounds: usize,

    /// Print compare.json instead of the report
    #[arg(long)]
    pub json: bool,

    /// Where programs and results are
    #[command(flatten)]
    pub paths: Paths,
}

fn only_help() -> String {
    format!("Only these candidates: {}", candidates::names().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        use clap::CommandFactory as _;
        Flags::command().debug_assert();
    }

    #[test]
    fn help_names_every_candidate() {
        use clap::CommandFactory as _;
        let help = Flags::command().render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for name in candidates::names() {
            assert!(help.contains(&name), "{name}");
        }
    }

    #[test]
    fn names_are_those_that_only_takes() {
        let choose =
            |only| candidates::choose(&Flags::parse_from(["compare", "--only", only]).only);
        let chosen = choose("redis-mget,echo").unwrap();
        assert!(chosen.echo);
        assert_eq!(chosen.candidates.len(), 1);
        assert_eq!(chosen.candidates[0].way, candidates::Way::Target("redis+mget"));
        let error = choose("redis").unwrap_err().to_string();
        assert!(
            error.contains("\"redis\": the candidates are kv-null, kv-null-async, kv-bucket"),
            "{error}"
        );
    }
}
