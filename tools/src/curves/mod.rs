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

use crate::bench::folder::Folder;
use crate::bench::generator::Generator;
use crate::bench::processes::{Stop, ours};
use crate::bench::progress::Progress;
use curve::Curve;
use flags::Flags;
use results::Results;
use sweep::Sweep;

/// What the curves came to.
#[derive(Debug)]
pub struct Outcome {
    /// The report for a terminal.
    pub text: String,
    /// All curves as JSON.
    pub json: String,
    /// Points that could not be measured although they should.
    pub failures: Vec<String>,
}

/// Curves that are prepared: from here on, what goes wrong is a failure and no wrong flag.
#[derive(Debug)]
pub struct Curves {
    flags: Flags,
    kv: PathBuf,
    generator: Generator,
    folder: Folder,
    stop: Stop,
}

impl Curves {
    /// Checks the flags, finds the programs, and makes the folder.
    pub fn prepare(mut flags: Flags, stop: Stop) -> Result<Self> {
        flags.shorten_if_quick();
        let kv = ours("kv", flags.places.kv.as_deref())?;
        let generator = Generator::new(ours("gen", flags.places.r#gen.as_deref())?, stop.clone())?;
        let folder = Folder::new(flags.places.out.as_deref(), "curves")?;
        Ok(Self { flags, kv, generator, folder, stop })
    }

    /// Measures curve by curve; the files of each are there when it is done.
    pub fn run(self) -> Result<Outcome> {
        let Self { flags, kv, generator, folder, stop } = self;
        let progress = Progress::new("curves");
        let sweep = Sweep {
            kv: &kv,
            generator: &generator,
            logs: folder.logs()?,
            progress: &progress,
            stop: &stop,
        };
        let mut results = Results::new(&flags, &folder);
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
        Ok(Outcome { text, json, failures: results.failures() })
    }
}
