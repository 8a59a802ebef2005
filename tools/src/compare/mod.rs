//! Our store beside the others, with the same work for all, in turn.
//!
//! `candidates` lists who takes part; `field` starts their servers, once; `search` finds the
//! best batch and connections of each; `rounds` measures all in turn; `echo` is the
//! yardstick for a single round trip; `results` is what comes of it, which `text` prints
//! and `plot` draws.

mod candidates;
mod field;
pub mod flags;
mod plot;
mod results;
mod rounds;
mod search;
mod text;

use anyhow::Result;

use crate::bench::folder::ResultsFolder;
use crate::bench::generator::GeneratorProgram;
use crate::bench::measurements::Measurements;
use crate::bench::processes::{StopSignal, ours};
use crate::bench::progress::RoundsProgress;
use field::Field;
use flags::Flags;
use rounds::Rounds;

/// A comparison that is prepared: from here on, what goes wrong is a failure and no wrong flag.
#[derive(Debug)]
pub struct Comparison {
    flags: Flags,
    names: candidates::Chosen,
    folder: ResultsFolder,
    generator: GeneratorProgram,
    kv: std::path::PathBuf,
    stop: StopSignal,
}

impl Comparison {
    /// Checks the flags, finds the programs, and makes the folder.
    pub fn prepare(flags: Flags, stop: StopSignal) -> Result<Self> {
        let names = candidates::choose(&flags.only)?;
        let kv = ours("kv", flags.paths.kv.as_deref())?;
        let generator =
            GeneratorProgram::new(ours("gen", flags.paths.r#gen.as_deref())?, stop.clone())?;
        let folder = ResultsFolder::new(flags.paths.out.as_deref(), "compare")?;
        Ok(Self { flags, names, folder, generator, kv, stop })
    }

    /// Measures, writes the files, and leaves no process behind.
    pub fn run(self) -> Result<Measurements> {
        let Self { flags, names, folder, generator, kv, stop } = self;
        let progress = RoundsProgress::new("compare");
        let field = Field::start(&flags, names, &kv, &generator, &folder, &progress, &stop)?;
        let mut rounds = Rounds::new(&flags, field, &generator, &progress, &stop);
        rounds.search()?;
        rounds.throughput()?;
        rounds.latency()?;
        progress.finish();
        let results = rounds.results(&folder);

        let json = folder.write_json("compare.json", &results)?;
        folder.write("compare.md", &text::markdown(&results, &folder))?;
        folder.write("compare.svg", &plot::draw(&results)?)?;
        let text = text::terminal(&results, &folder);
        Ok(Measurements { json, text, failures: results.failures() })
    }
}
