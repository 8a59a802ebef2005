//! Our store beside the others, with the same work for all, in turn.
//!
//! `candidates` lists who takes part; `field` starts their servers, once; `search` finds the
//! best batch and connections of each; `rounds` measures all in turn; `echo` is the
//! yardstick for a single round trip; `results` is what comes of it, which `text` prints
//! and `plot` draws.

mod candidates;
mod echo;
mod field;
pub mod flags;
mod plot;
mod results;
mod rounds;
mod search;
mod text;

use anyhow::Result;

use crate::bench::folder::Folder;
use crate::bench::generator::Generator;
use crate::bench::processes::{Stop, ours};
use crate::bench::progress::Progress;
use field::Field;
use flags::Flags;
use rounds::Rounds;

/// What a comparison came to.
#[derive(Debug)]
pub struct Outcome {
    /// `compare.json`.
    pub json: String,
    /// The report for a terminal.
    pub text: String,
    /// Candidates that could not be measured although they are here, and why.
    pub failures: Vec<String>,
}

/// A comparison that is prepared: from here on, what goes wrong is a failure and no wrong flag.
#[derive(Debug)]
pub struct Comparison {
    flags: Flags,
    names: candidates::Chosen,
    folder: Folder,
    generator: Generator,
    kv: std::path::PathBuf,
    stop: Stop,
}

impl Comparison {
    /// Checks the flags, finds the programs, and makes the folder.
    pub fn prepare(flags: Flags, stop: Stop) -> Result<Self> {
        let names = candidates::choose(&flags.only)?;
        let kv = ours("kv", flags.places.kv.as_deref())?;
        let generator = Generator::new(ours("gen", flags.places.r#gen.as_deref())?, stop.clone())?;
        let folder = Folder::new(flags.places.out.as_deref(), "compare")?;
        Ok(Self { flags, names, folder, generator, kv, stop })
    }

    /// Measures, writes the files, and leaves no process behind.
    pub fn run(self) -> Result<Outcome> {
        let Self { flags, names, folder, generator, kv, stop } = self;
        let progress = Progress::new("compare");
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
        Ok(Outcome { json, text, failures: results.failures() })
    }
}
