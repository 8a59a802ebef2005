//! Measures the points of a curve in turn.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::curve::{Cluster, Curve, Name, Point};
use super::results::{Measured, MeasuredPoint};
use crate::bench::figures::{Figures, Round, rate_text, turns};
use crate::bench::flags::{arguments, load_arguments};
use crate::bench::generator::GeneratorProgram;
use crate::bench::processes::StopSignal;
use crate::bench::progress::RoundsProgress;
use crate::bench::servers::{Kv, RunningServer};

/// What the servers of a curve may take of the memory that is available.
const MEMORY_SHARE: f64 = 0.8;

/// Memory that a machine was just given is slow at first, above all a virtual one, whose host
/// finds large pages for it later. Turns that are thrown away, of a second each: until so many
/// in a row were no faster than the best before them, by this factor.
const SETTLED_TURNS: usize = 3;
const SETTLED_FACTOR: f64 = 1.05;
const SETTLE_TURNS_MAX: usize = 60;

/// What a sweep needs.
pub(super) struct Sweep<'a> {
    pub(super) kv: &'a Path,
    pub(super) generator: &'a GeneratorProgram,
    pub(super) logs: PathBuf,
    pub(super) progress: &'a RoundsProgress,
    pub(super) stop: &'a StopSignal,
}

/// Servers that hold their records.
struct LoadedServers {
    cluster: Cluster,
    servers: Vec<RunningServer>,
}

impl LoadedServers {
    fn addresses(&self) -> String {
        let addresses: Vec<&str> =
            self.servers.iter().map(|server| server.address.as_str()).collect();
        addresses.join(",")
    }
}

impl Sweep<'_> {
    /// Measures a curve. Its servers are up, and loaded once, until it is done.
    pub(super) fn measure(&self, curve: &Curve, rounds: usize) -> Result<Measured> {
        let mut running: Vec<LoadedServers> = Vec::new();
        let mut measured = Measured::new(curve);
        let mut free_bytes = (host::machine::available_bytes() as f64 * MEMORY_SHARE) as u64;
        for (point, taken) in curve.points.iter().zip(&mut measured.points) {
            if running.iter().any(|running| running.cluster == point.cluster) {
                continue;
            }
            let needed_bytes = self.needed_bytes(point);
            if needed_bytes > free_bytes {
                let mib = |bytes: u64| bytes >> 20;
                let (needed, free) = (mib(needed_bytes), mib(free_bytes));
                let reason =
                    format!("left out: it may need {needed} MiB of memory, and {free} are free");
                self.progress.note(&format!("{} {}: {reason}", curve.name, point.x));
                taken.skipped = Some(reason);
                continue;
            }
            match self.start_settled(point) {
                Ok(started) => running.push(started),
                Err(error) => self.fail(curve, taken, &error)?,
            }
            free_bytes -= needed_bytes;
        }

        let mut points = curve.points.clone();
        if curve.name == Name::Load {
            self.turn_into_rates(&mut points, &mut measured, &running)?;
        }
        self.progress.begin(rounds * points.len());
        for round in 0..rounds {
            for index in turns(points.len(), round) {
                let (point, taken) = (&points[index], &mut measured.points[index]);
                if taken.skipped.is_some() || taken.failed.is_some() {
                    continue;
                }
                let mut flags = point.flags.clone();
                flags.extend(point.setting.times());
                match self.run(point, &running, flags) {
                    Ok(round_taken) => {
                        self.progress.step(&format!(
                            "{}, round {}/{rounds}: {} {} op/s",
                            curve.name,
                            round + 1,
                            taken.x,
                            rate_text(round_taken.ops_per_s)
                        ));
                        taken.rounds.push(round_taken);
                    }
                    Err(error) => self.fail(curve, taken, &error)?,
                }
            }
        }
        for point in &mut measured.points {
            point.figures = Figures::of(&point.rounds);
        }
        Ok(measured)
    }

    /// One failed point does not keep the others from being measured; a signal does.
    fn fail(&self, curve: &Curve, taken: &mut MeasuredPoint, error: &anyhow::Error) -> Result<()> {
        self.stop.check()?;
        let reason = format!("{error:#}");
        self.progress.note(&format!("{} {} failed: {reason}", curve.name, taken.x));
        taken.failed = Some(reason);
        Ok(())
    }

    /// The bound of the servers' memory.
    fn needed_bytes(&self, point: &Point) -> u64 {
        self.kv(&point.cluster, 0).memory_bytes() * point.cluster.servers
    }

    /// Servers are dealt out to the cores in turn, the generator has the last.
    fn kv(&self, cluster: &Cluster, index: u64) -> Kv {
        let cores = udp::pin::allowed_cores();
        // Keys are dealt out by hash: an eighth more than an equal share is room enough.
        let share = cluster.records / cluster.servers;
        let room = if cluster.servers > 1 { share / 8 + 1024 } else { 0 };
        Kv {
            program: self.kv.to_owned(),
            table: None,
            records: share + room,
            value_size: cluster.value_size,
            window: None,
            core: Some(cores[index as usize % cores.len()]),
        }
    }

    fn start(&self, point: &Point) -> Result<LoadedServers> {
        let cluster = point.cluster;
        let mut running = LoadedServers { cluster, servers: Vec::new() };
        let Cluster { records, value_size, servers } = cluster;
        let what = format!("{records} records of {value_size} bytes, {servers} servers");
        self.progress.note(&format!("starting and loading {what}"));
        for index in 0..servers {
            let name = format!("kv-{records}-{value_size}-{}-of-{servers}", index + 1);
            let log = self.logs.join(format!("{name}.log"));
            running.servers.push(self.kv(&cluster, index).start(&name, &log, self.stop)?);
        }
        let mut flags = arguments([("--servers", &running.addresses())]);
        flags.extend(point.setting.arguments());
        flags.extend(load_arguments());
        let loaded = self.generator.run(&flags, &[])?;
        if loaded.refused > 0 {
            bail!("{} records were refused", loaded.refused);
        }
        for server in &mut running.servers {
            server.check()?;
        }
        Ok(running)
    }

    fn start_settled(&self, point: &Point) -> Result<LoadedServers> {
        let started = self.start(point)?;
        self.settle(point, std::slice::from_ref(&started))?;
        Ok(started)
    }

    /// Runs what is not measured until it gets no faster.
    fn settle(&self, point: &Point, running: &[LoadedServers]) -> Result<()> {
        let (mut best_ops_per_s, mut turns_since) = (0.0, 0);
        for _ in 0..SETTLE_TURNS_MAX {
            let times = arguments([("--secs", &1), ("--warmup", &0)]);
            let ops_per_s = self.run(point, running, times)?.ops_per_s;
            turns_since += 1;
            if ops_per_s > SETTLED_FACTOR * best_ops_per_s {
                (best_ops_per_s, turns_since) = (ops_per_s, 0);
            }
            if turns_since == SETTLED_TURNS {
                break;
            }
        }
        Ok(())
    }

    fn run(&self, point: &Point, running: &[LoadedServers], flags: Vec<String>) -> Result<Round> {
        let Some(cluster) = running.iter().find(|running| running.cluster == point.cluster) else {
            bail!("it has no servers");
        };
        let pids: Vec<u32> = cluster.servers.iter().map(RunningServer::pid).collect();
        let mut all = arguments([("--servers", &cluster.addresses())]);
        all.extend(point.setting.arguments());
        all.extend(flags);
        self.generator.run(&all, &pids)
    }

    /// Measures what the store can do, and offers parts of it.
    fn turn_into_rates(
        &self,
        points: &mut [Point],
        measured: &mut Measured,
        running: &[LoadedServers],
    ) -> Result<()> {
        let Some(first) = points.first() else { return Ok(()) };
        let max_ops_per_s = match self.run(first, running, first.setting.times()) {
            Ok(round) => round.ops_per_s,
            Err(error) => {
                self.stop.check()?;
                for taken in &mut measured.points {
                    taken.failed = Some(format!("what the store can do is unknown: {error:#}"));
                }
                return Ok(());
            }
        };
        self.progress.note(&format!("load: the store can do {} op/s", rate_text(max_ops_per_s)));
        for (point, taken) in points.iter_mut().zip(&mut measured.points) {
            let rate = (max_ops_per_s * point.x / 100.0).round().max(1.0);
            (point.x, taken.x) = (rate, rate);
            point.flags = arguments([("--rate", &rate)]);
        }
        Ok(())
    }
}
