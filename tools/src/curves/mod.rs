//! How the store grows: one parameter at a time, with the others at their defaults.
//!
//! `curve` has the points of each curve; `sweep` measures them in turn; `results` is what
//! comes of it, which `text` prints and `plot` draws.

pub mod curve;
pub mod flags;
mod plot;
mod results;
mod sweep;
mod text;

use std::path::PathBuf;

use anyhow::Result;

use crate::bench::folder::ResultsFolder;
use crate::bench::generator::GeneratorProgram;
use crate::bench::measurements::Measurements;
use crate::bench::processes::{StopSignal, ours};
use crate::bench::progress::RoundsProgress;
use curve::Curve;
use flags::Flags;
use results::CurveResults;
use sweep::Sweep;

/// Curves that are prepared: from here on, what goes wrong is a failure and no wrong flag.
#[derive(Debug)]
pub struct Curves {
    flags: Flags,
    kv: PathBuf,
    generator: GeneratorProgram,
    folder: ResultsFolder,
    stop: StopSignal,
}

impl Curves {
    /// Checks the flags, finds the programs, and makes the folder.
    pub fn prepare(mut flags: Flags, stop: StopSignal) -> Result<Self> {
        flags.shorten_if_quick();
        let kv = ours("kv", flags.paths.kv.as_deref())?;
        let generator =
            GeneratorProgram::new(ours("gen", flags.paths.r#gen.as_deref())?, stop.clone())?;
        let folder = ResultsFolder::new(flags.paths.out.as_deref(), "curves")?;
        Ok(Self { flags, kv, generator, folder, stop })
    }

    /// Measures curve by curve; the files of each are there when it is done.
    pub fn run(self) -> Result<Measurements> {
        let Self { flags, kv, generator, folder, stop } = self;
        let progress = RoundsProgress::new("curves");
        let sweep = Sweep {
            kv: &kv,
            generator: &generator,
            logs: folder.logs()?,
            progress: &progress,
            stop: &stop,
        };
        let mut results = CurveResults::new(&flags, &folder);
        for name in flags.names() {
            let curve = Curve::new(name, &flags.setting, flags.quick);
            let measured = sweep.measure(&curve, flags.setting.rounds)?;
            folder.write_json(&format!("{name}.json"), &measured)?;
            folder.write(&format!("{name}.csv"), &measured.csv()?)?;
            folder.write(&format!("{name}.svg"), &plot::draw(&measured)?)?;
            results.curves.push(measured);
            folder.write("curves.md", &text::markdown(&results, &folder))?;
        }
        progress.finish();
        let json = serde_json::to_string_pretty(&results)? + "\n";
        let text = text::terminal(&results, &folder);
        Ok(Measurements { text, json, failures: results.failures() })
    }
}
