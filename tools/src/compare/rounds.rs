//! Measures all in turn, round after round.

use std::time::Duration;

use anyhow::Result;
use host::report::Latency;

use super::candidates::ECHO;
use super::field::{Field, Missing};
use super::flags::Flags;
use super::results::{AtLoad, BestPlace, ComparisonResults, EchoRound, Row, Yardstick};
use super::search::Knobs;
use crate::bench::echo;
use crate::bench::figures::{Figures, Round, rate_text, turns};
use crate::bench::flags::arguments;
use crate::bench::folder::ResultsFolder;
use crate::bench::generator::GeneratorProgram;
use crate::bench::processes::StopSignal;
use crate::bench::progress::RoundsProgress;

/// At which parts of a candidate's own throughput its latency is measured, in percent.
const LOADS_PCT: [u8; 2] = [50, 80];
/// Warm-up of a step of the search, as a part of the step.
const SEARCH_WARMUP: f64 = 0.25;

/// A comparison under way.
pub(super) struct Rounds<'a> {
    flags: &'a Flags,
    field: Field,
    generator: &'a GeneratorProgram,
    progress: &'a RoundsProgress,
    stop: &'a StopSignal,
    /// A row for each entrant of the field.
    rows: Vec<Row>,
    yardstick: Option<Yardstick>,
}

impl<'a> Rounds<'a> {
    pub(super) fn new(
        flags: &'a Flags,
        field: Field,
        generator: &'a GeneratorProgram,
        progress: &'a RoundsProgress,
        stop: &'a StopSignal,
    ) -> Self {
        let rows = field.entrants.iter().map(|entrant| {
            let server = entrant.server.clone().map(|server| &field.servers[server]);
            Row::new(&entrant.candidate, server, flags.setting.records)
        });
        let rows = rows.collect();
        let yardstick = field.beside_echo.as_ref().map(|_| Yardstick::default());
        Self { flags, field, generator, progress, stop, rows, yardstick }
    }

    /// Finds where each candidate is at its best.
    pub(super) fn search(&mut self) -> Result<()> {
        for index in 0..self.rows.len() {
            let is_ours = self.field.entrants[index].candidate.is_ours();
            if !self.rows[index].is_measured() || is_ours && !self.flags.search_kv {
                continue;
            }
            let knobs = if is_ours { Knobs::KV } else { Knobs::BASELINE };
            let found = if self.flags.search_secs > 0.0 {
                knobs.search(|at| self.search_step(index, &knobs, at))?
            } else {
                Ok(knobs.start)
            };
            match found {
                Ok(values) => self.rows[index].found = Some(BestPlace::new(knobs, values)),
                Err(reason) => self.fail(index, reason),
            }
        }
        Ok(())
    }

    fn search_step(
        &self,
        index: usize,
        knobs: &Knobs,
        at: [u64; 2],
    ) -> Result<Result<f64, String>> {
        let secs = self.flags.search_secs;
        let mut flags = knobs.arguments(at);
        flags.extend(arguments([("--secs", &secs), ("--warmup", &(secs * SEARCH_WARMUP))]));
        let place = format!("{} {} {} {}", knobs.names[0], at[0], knobs.names[1], at[1]);
        let name = &self.rows[index].name;
        let taken =
            self.measure(index, flags)?.and_then(|round| match round.unanswered + round.refused {
                0 => Ok(round.ops_per_s),
                count => Err(format!("{count} operations were not answered")),
            });
        let told = match &taken {
            Ok(ops_per_s) => format!("{} op/s", rate_text(*ops_per_s)),
            Err(reason) => reason.clone(),
        };
        self.progress.step(&format!("search {name}: {place}: {told}"));
        Ok(taken)
    }

    /// Measures what each can do, and the yardstick beside them.
    pub(super) fn throughput(&mut self) -> Result<()> {
        let (rounds, rows) = (self.flags.setting.rounds, self.rows.len());
        let entrants = rows + usize::from(self.yardstick.is_some());
        self.progress.begin(rounds * entrants);
        for round in 0..rounds {
            for index in turns(entrants, round) {
                let place = format!("round {}/{rounds}", round + 1);
                if index == rows {
                    self.yardstick_round(&place)?;
                } else if let Some(taken) = self.turn(index, self.flags.setting.times(), &place)? {
                    self.rows[index].rounds.push(taken);
                }
            }
        }
        for row in &mut self.rows {
            row.figures = Figures::of(&row.rounds);
        }
        Ok(())
    }

    /// Measures how long each takes when it is asked for less than it can do.
    pub(super) fn latency(&mut self) -> Result<()> {
        let rounds = self.flags.latency_rounds;
        if rounds == 0 {
            return Ok(());
        }
        for row in &mut self.rows {
            let max = row.figures.median_ops_per_s;
            if row.is_measured() && max > 0.0 {
                row.at_load = LOADS_PCT.map(|load_pct| AtLoad::new(load_pct, max)).into();
            }
        }
        let entrants = self.rows.len() * LOADS_PCT.len();
        self.progress.begin(rounds * entrants);
        for round in 0..rounds {
            for turn in turns(entrants, round) {
                let (load, index) = (turn / self.rows.len(), turn % self.rows.len());
                let Some(at_load) = self.rows[index].at_load.get(load) else { continue };
                let mut flags = self.flags.setting.times();
                flags.extend(arguments([("--rate", &at_load.offered_ops_per_s)]));
                let place =
                    format!("latency at {} %, round {}/{rounds}", LOADS_PCT[load], round + 1);
                if let Some(taken) = self.turn(index, flags, &place)? {
                    self.rows[index].at_load[load].rounds.push(taken);
                }
            }
        }
        for at_load in self.rows.iter_mut().flat_map(|row| &mut row.at_load) {
            at_load.figures = Figures::of(&at_load.rounds);
        }
        Ok(())
    }

    /// All that was measured.
    pub(super) fn results(self, folder: &ResultsFolder) -> ComparisonResults {
        let mut results = ComparisonResults::new(self.flags, folder, self.rows, self.yardstick);
        results.relate();
        results
    }

    /// A candidate's turn; none if it is not measured, or no more.
    fn turn(&mut self, index: usize, flags: Vec<String>, place: &str) -> Result<Option<Round>> {
        if !self.rows[index].is_measured() {
            return Ok(None);
        }
        let name = self.rows[index].name.clone();
        let mut all = self.rows[index].found.as_ref().map_or_else(Vec::new, BestPlace::arguments);
        all.extend(flags);
        match self.measure(index, all)? {
            Ok(round) => {
                let rate = rate_text(round.ops_per_s);
                self.progress.step(&format!("{place}: {name} {rate} op/s"));
                Ok(Some(round))
            }
            Err(reason) => {
                self.fail(index, reason);
                Ok(None)
            }
        }
    }

    /// Runs the generator against a candidate's server, with the setting and these flags.
    fn measure(&self, index: usize, flags: Vec<String>) -> Result<Result<Round, String>> {
        let entrant = &self.field.entrants[index];
        let Ok(server) = &entrant.server else { return Ok(Err("it has no server".to_owned())) };
        let server = &self.field.servers[*server].server;
        let mut all = entrant.candidate.way.arguments(&server.address);
        all.extend(self.flags.setting.arguments());
        all.extend(flags);
        self.told(self.generator.run(&all, &[server.pid()]))
    }

    /// Parts a failure of one candidate from the end of everything.
    fn told<T>(&self, result: Result<T>) -> Result<Result<T, String>> {
        match result {
            Ok(taken) => Ok(Ok(taken)),
            Err(error) => self.stop.check().map(|()| Err(format!("{error:#}"))),
        }
    }

    fn fail(&mut self, index: usize, reason: String) {
        let row = &mut self.rows[index];
        self.progress.note(&format!("{} failed: {reason}", row.name));
        row.fail(Missing::Failed(reason));
    }

    fn yardstick_round(&mut self, place: &str) -> Result<()> {
        let taken = self.measure_yardstick();
        let told = self.told(taken)?;
        let yardstick = self.yardstick.as_mut().expect("its turn came");
        match told {
            Ok(round) => {
                self.progress.step(&format!(
                    "{place}: {ECHO} {:.1} µs, one GET {:.1} µs",
                    round.echo.p50_us, round.get.p50_us
                ));
                yardstick.rounds.push(round);
            }
            Err(reason) => {
                self.progress.note(&format!("{ECHO} failed: {reason}"));
                yardstick.failure = Some(reason);
            }
        }
        Ok(())
    }

    /// A datagram and back, and then a GET and back, of the same length in time.
    fn measure_yardstick(&self) -> Result<EchoRound> {
        let setting = &self.flags.setting;
        let seconds = |secs| Duration::from_secs_f64(secs);
        let (warmup, secs) = (seconds(setting.warmup), seconds(setting.secs));
        let echo = echo::round_trips(warmup, secs, self.field.cores, self.stop)?;
        let server = match self.field.beside_echo.as_ref() {
            Some(Ok(server)) => &self.field.servers[*server],
            Some(Err(Missing::Failed(reason) | Missing::Absent(reason))) => {
                anyhow::bail!("{reason}")
            }
            None => unreachable!("its turn came"),
        };
        let mut all = arguments([
            ("--servers", &server.server.address),
            ("--workload", &"ycsb-c"),
            ("--theta", &setting.theta),
            ("--records", &setting.records),
            ("--value-size", &setting.value_size),
            ("--streams", &1),
            ("--batch", &1),
        ]);
        all.extend(setting.times());
        let round = self.generator.run(&all, &[server.server.pid()])?;
        let get = Latency {
            count: round.gets,
            p50_us: round.p50_us,
            p99_us: round.p99_us,
            p999_us: round.p999_us,
            ..Latency::default()
        };
        Ok(EchoRound { echo: echo.into(), get: get.into() })
    }
}
