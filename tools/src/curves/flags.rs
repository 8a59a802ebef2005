//! The flags of `curves`.

use clap::{Parser, ValueEnum as _};

use super::curve::Name;
use crate::bench::flags::{Paths, Setting};

/// Rounds, seconds and warm-up of a quick run.
const QUICK: (usize, f64, f64) = (1, 0.5, 0.2);

/// Shows how the store grows: one parameter at a time, with the others at their defaults.
///
/// The points of a curve take turns, round after round, so that a machine that drifts treats
/// all alike. Points that this machine's memory does not hold are left out, with the reason.
///
/// Exit status: 0 if every other point was measured, 1 if one failed, 2 if it could not
/// start, 130 if it was interrupted.
#[derive(Clone, Debug, Parser)]
#[command(name = "curves", version)]
pub struct Flags {
    /// What all points do but for their curve's own parameter
    #[command(flatten)]
    pub setting: Setting,

    /// Only these curves; the default is all
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_enum)]
    pub curve: Vec<Name>,

    /// A short look: one round of half a second, and fewer points
    #[arg(long, conflicts_with_all = ["rounds", "secs", "warmup"])]
    pub quick: bool,

    /// Print the results as JSON instead of the report
    #[arg(long)]
    pub json: bool,

    /// Where programs and results are
    #[command(flatten)]
    pub paths: Paths,
}

impl Flags {
    /// The curves to measure.
    #[must_use]
    pub fn names(&self) -> Vec<Name> {
        if self.curve.is_empty() { Name::value_variants().to_vec() } else { self.curve.clone() }
    }

    pub(super) fn shorten_if_quick(&mut self) {
        if self.quick {
            (self.setting.rounds, self.setting.secs, self.setting.warmup) = QUICK;
        }
    }
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
    fn quick_is_short_and_says_so_beside_other_lengths() {
        let mut flags = Flags::parse_from(["curves", "--quick"]);
        flags.shorten_if_quick();
        assert_eq!(flags.setting.rounds, 1);
        assert!(Flags::try_parse_from(["curves", "--quick", "--secs", "3"]).is_err());
    }
}
