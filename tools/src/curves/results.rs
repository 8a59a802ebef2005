//! What the curves came to: `NAME.json` and `NAME.csv`.

use anyhow::Result;
use host::report::RunDescription;
use serde::Serialize;

use super::curve::{Curve, Name};
use super::flags::Flags;
use crate::bench::figures::{Figures, Round};
use crate::bench::flags::Setting;
use crate::bench::folder::ResultsFolder;

/// All curves, and how they were taken.
#[derive(Debug, Serialize)]
pub(super) struct CurveResults {
    pub(super) run: RunDescription,
    pub(super) setting: Setting,
    pub(super) curves: Vec<Measured>,
}

/// A curve.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    pub(super) name: Name,
    pub(super) points: Vec<MeasuredPoint>,
}

/// A point of a curve.
#[derive(Debug, Serialize)]
pub(super) struct MeasuredPoint {
    pub(super) x: f64,
    #[serde(flatten)]
    pub(super) figures: Figures,
    pub(super) rounds: Vec<Round>,
    /// Why it was left out.
    pub(super) skipped: Option<String>,
    /// Why it could not be measured; what was, stays.
    pub(super) failed: Option<String>,
}

impl CurveResults {
    pub(super) fn new(flags: &Flags, folder: &ResultsFolder) -> Self {
        Self { run: folder.run.clone(), setting: flags.setting.clone(), curves: Vec::new() }
    }

    /// Points that should have been measured and were not.
    pub(super) fn failures(&self) -> Vec<String> {
        let points = self
            .curves
            .iter()
            .flat_map(|curve| curve.points.iter().map(|point| (curve.name, point)));
        points
            .filter_map(|(name, point)| {
                Some(format!("{name} {}: {}", point.x, point.failed.as_ref()?))
            })
            .collect()
    }
}

impl Measured {
    pub(super) fn new(curve: &Curve) -> Self {
        let points = curve.points.iter().map(|point| MeasuredPoint {
            x: point.x,
            figures: Figures::default(),
            rounds: Vec::new(),
            skipped: None,
            failed: None,
        });
        Self { name: curve.name, points: points.collect() }
    }

    /// Points that have figures.
    pub(super) fn taken(&self) -> impl Iterator<Item = &MeasuredPoint> + Clone {
        self.points.iter().filter(|point| !point.rounds.is_empty())
    }

    /// A line for each point; one that was not measured has no figures, and its reason.
    pub(super) fn csv(&self) -> Result<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let name = self.name.to_string().replace('-', "_");
        writer.write_record([
            &name,
            "median_ops_per_s",
            "lowest_ops_per_s",
            "highest_ops_per_s",
            "cpu_s_per_million_ops",
            "p50_us",
            "p99_us",
            "p999_us",
            "reason",
        ])?;
        for point in &self.points {
            let reason = point.skipped.as_ref().or(point.failed.as_ref());
            let figures = match point.rounds.len() {
                0 => Default::default(),
                _ => point.figures.listed().map(|figure| figure.to_string()),
            };
            writer.write_field(point.x.to_string())?;
            for figure in figures {
                writer.write_field(figure)?;
            }
            writer.write_field(reason.map_or("", String::as_str))?;
            writer.write_record(None::<&[u8]>)?;
        }
        Ok(String::from_utf8(writer.into_inner()?)?)
    }
}

impl Figures {
    fn listed(&self) -> [f64; 7] {
        [
            self.median_ops_per_s,
            self.lowest_ops_per_s,
            self.highest_ops_per_s,
            self.cpu_s_per_million_ops,
            self.p50_us,
            self.p99_us,
            self.p999_us,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[test]
    fn a_point_without_figures_has_its_reason() {
        let setting = Flags::parse_from(["curves"]).setting;
        let mut measured = Measured::new(&Curve::new(Name::ValueSize, &setting, true));
        measured.points.truncate(2);
        let round = Round { ops_per_s: 5.0, p50_us: 1.5, ..Round::default() };
        measured.points[0].figures = Figures::of(std::slice::from_ref(&round));
        measured.points[0].rounds.push(round);
        measured.points[1].skipped = Some("left out: no, not".to_owned());
        assert_eq!(
            measured.csv().unwrap(),
            "value_size,median_ops_per_s,lowest_ops_per_s,highest_ops_per_s,\
             cpu_s_per_million_ops,p50_us,p99_us,p999_us,reason\n\
             8,5,5,5,0,1.5,0,0,\n128,,,,,,,,\"left out: no, not\"\n"
        );
    }
}
