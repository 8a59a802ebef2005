//! What a comparison came to: `compare.json`.

use host::report::{Latency, RunDescription};
use proto::order::Order;
use serde::Serialize;

use super::candidates::{Candidate, Way};
use super::field::{Loaded, Missing};
use super::flags::Flags;
use super::search::Knobs;
use crate::bench::figures::{Figures, Round, ratio};
use crate::bench::flags::Setting;
use crate::bench::folder::ResultsFolder;
use crate::median::median;

/// `compare.json`.
#[derive(Debug, Serialize)]
pub(super) struct ComparisonResults {
    pub(super) run: RunDescription,
    pub(super) setting: Setting,
    pub(super) latency_rounds: usize,
    pub(super) candidates: Vec<Row>,
    pub(super) echo: Option<Yardstick>,
    /// What a reader of the figures should know.
    pub(super) notes: Vec<String>,
}

/// A candidate, and all that was measured of it.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) state: RowState,
    /// What the server says that it is.
    pub(super) version: String,
    /// Order mode, of our own.
    pub(super) order: Option<String>,
    pub(super) found: Option<BestPlace>,
    #[serde(flatten)]
    pub(super) figures: Figures,
    pub(super) ratio_to_null: Option<f64>,
    /// Programs that read earlier files know it by this name.
    #[serde(rename = "ratio_to_best_peer")]
    pub(super) ratio_to_best_baseline: Option<f64>,
    pub(super) empty_bytes: u64,
    pub(super) loaded_bytes: u64,
    pub(super) bytes_per_record: f64,
    pub(super) rounds: Vec<Round>,
    pub(super) at_load: Vec<AtLoad>,
    #[serde(skip)]
    is_ours: bool,
    #[serde(skip)]
    is_null: bool,
}

/// Whether a candidate was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "lowercase")]
pub(super) enum RowState {
    Measured,
    Absent(String),
    Failed(String),
}

/// Where a search found a candidate at its best.
#[derive(Debug, Serialize)]
pub(super) struct BestPlace {
    names: [&'static str; 2],
    values: [u64; 2],
    #[serde(skip)]
    knobs: Knobs,
}

/// Latency at a part of a candidate's own throughput.
#[derive(Debug, Serialize)]
pub(super) struct AtLoad {
    pub(super) load_pct: u8,
    pub(super) offered_ops_per_s: f64,
    #[serde(flatten)]
    pub(super) figures: Figures,
    pub(super) rounds: Vec<Round>,
}

/// A bare echo, and one GET at a time beside it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Yardstick {
    pub(super) datagram_bytes: usize,
    pub(super) echo: RoundTrip,
    pub(super) get: RoundTrip,
    /// Median of a GET over median of the echo.
    pub(super) ratio_p50: Option<f64>,
    pub(super) rounds: Vec<EchoRound>,
    pub(super) failure: Option<String>,
}

/// Both in one round.
#[derive(Debug, Serialize)]
pub(super) struct EchoRound {
    pub(super) echo: RoundTrip,
    pub(super) get: RoundTrip,
}

/// One after the other, and back.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct RoundTrip {
    pub(super) count: u64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
}

impl From<Latency> for RoundTrip {
    fn from(latency: Latency) -> Self {
        let Latency { count, p50_us, p99_us, p999_us, .. } = latency;
        Self { count, p50_us, p99_us, p999_us }
    }
}

impl Row {
    pub(super) fn new(
        candidate: &Candidate,
        server: Result<&Loaded, Missing>,
        records: u64,
    ) -> Self {
        let mut row = Self {
            name: candidate.name.clone(),
            state: RowState::Measured,
            version: String::new(),
            order: match candidate.way {
                Way::Kv(order) => Some(order.to_string()),
                Way::Target(_) => None,
            },
            found: None,
            figures: Figures::default(),
            ratio_to_null: None,
            ratio_to_best_baseline: None,
            empty_bytes: 0,
            loaded_bytes: 0,
            bytes_per_record: 0.0,
            rounds: Vec::new(),
            at_load: Vec::new(),
            is_ours: candidate.is_ours(),
            is_null: candidate.is_null(),
        };
        match server {
            Ok(loaded) => {
                row.version.clone_from(&loaded.server.version);
                row.empty_bytes = loaded.server.empty_bytes;
                row.loaded_bytes = loaded.loaded_bytes;
                let grown = row.loaded_bytes.saturating_sub(row.empty_bytes);
                row.bytes_per_record = grown as f64 / records as f64;
            }
            Err(missing) => row.fail(missing),
        }
        row
    }

    pub(super) fn is_measured(&self) -> bool {
        self.state == RowState::Measured
    }

    /// It is measured no more; what was, stays.
    pub(super) fn fail(&mut self, missing: Missing) {
        self.state = match missing {
            Missing::Absent(reason) => RowState::Absent(reason),
            Missing::Failed(reason) => RowState::Failed(reason),
        };
    }
}

impl BestPlace {
    pub(super) fn new(knobs: Knobs, values: [u64; 2]) -> Self {
        Self { names: knobs.names, values, knobs }
    }

    /// What the generator is told.
    pub(super) fn arguments(&self) -> Vec<String> {
        self.knobs.arguments(self.values)
    }

    /// For tables.
    pub(super) fn text(&self) -> String {
        let [first, second] = self.names;
        format!("{first} {}, {second} {}", self.values[0], self.values[1])
    }
}

impl AtLoad {
    pub(super) fn new(load_pct: u8, max_ops_per_s: f64) -> Self {
        Self {
            load_pct,
            // Whole operations, at least one: less is no load.
            offered_ops_per_s: (max_ops_per_s * f64::from(load_pct) / 100.0).round().max(1.0),
            figures: Figures::default(),
            rounds: Vec::new(),
        }
    }
}

impl ComparisonResults {
    pub(super) fn new(
        flags: &Flags,
        folder: &ResultsFolder,
        candidates: Vec<Row>,
        mut echo: Option<Yardstick>,
    ) -> Self {
        if let Some(echo) = &mut echo {
            echo.summarize();
        }
        Self {
            run: folder.run.clone(),
            setting: flags.setting.clone(),
            latency_rounds: flags.latency_rounds,
            candidates,
            echo,
            notes: Vec::new(),
        }
    }

    /// Sets each candidate beside the ceiling and the best baseline, and notes what was not right.
    pub(super) fn relate(&mut self) {
        let best = |rows: &[Row], which: &dyn Fn(&Row) -> bool| {
            let rates = rows.iter().filter(|row| which(row) && row.is_measured());
            rates.map(|row| row.figures.median_ops_per_s).reduce(f64::max).unwrap_or(0.0)
        };
        let strict = Some(Order::Strict.to_string());
        let ceilings: Vec<f64> = (self.candidates.iter())
            .map(|row| {
                let order = row.order.as_ref().or(strict.as_ref());
                best(&self.candidates, &|null| null.is_null && null.order.as_ref() == order)
            })
            .collect();
        let baseline = best(&self.candidates, &|row| !row.is_ours);
        for (row, null) in self.candidates.iter_mut().zip(ceilings) {
            if row.rounds.is_empty() {
                continue;
            }
            row.ratio_to_null = ratio(row.figures.median_ops_per_s, null);
            row.ratio_to_best_baseline = ratio(row.figures.median_ops_per_s, baseline);
            let all = row.rounds.iter().chain(row.at_load.iter().flat_map(|load| &load.rounds));
            for (what, count) in [
                ("GETs found no record", all.clone().map(|round| round.not_found).sum::<u64>()),
                ("operations were not answered", all.clone().map(|round| round.unanswered).sum()),
                ("operations were refused", all.map(|round| round.refused).sum()),
            ] {
                if count > 0 {
                    self.notes.push(format!("{}: {count} {what}", row.name));
                }
            }
            for load in &row.at_load {
                let reached = load.figures.median_ops_per_s;
                if !load.rounds.is_empty() && reached < 0.98 * load.offered_ops_per_s {
                    self.notes.push(format!(
                        "{}: at {} % only {reached:.0} of {:.0} op/s were answered: its latency there is that of a queue",
                        row.name, load.load_pct, load.offered_ops_per_s
                    ));
                }
            }
        }
    }

    /// Who is here and could not be measured.
    pub(super) fn failures(&self) -> Vec<String> {
        let rows = self.candidates.iter().filter_map(|row| match &row.state {
            RowState::Failed(reason) => Some(format!("{}: {reason}", row.name)),
            RowState::Measured | RowState::Absent(_) => None,
        });
        let echo = self.echo.as_ref().and_then(|echo| echo.failure.as_ref());
        rows.chain(echo.map(|reason| format!("echo: {reason}"))).collect()
    }
}

impl Yardstick {
    fn summarize(&mut self) {
        self.datagram_bytes = crate::bench::echo::DATAGRAM_BYTES;
        let of = |which: fn(&EchoRound) -> &RoundTrip| {
            let trips = || self.rounds.iter().map(which);
            RoundTrip {
                count: trips().map(|trip| trip.count).sum(),
                p50_us: median(trips().map(|trip| trip.p50_us)),
                p99_us: median(trips().map(|trip| trip.p99_us)),
                p999_us: median(trips().map(|trip| trip.p999_us)),
            }
        };
        let (echo, get) = (of(|round| &round.echo), of(|round| &round.get));
        self.ratio_p50 = ratio(get.p50_us, echo.p50_us);
        (self.echo, self.get) = (echo, get);
    }
}
