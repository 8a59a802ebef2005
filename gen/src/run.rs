//! One run: threads, phases, progress and the report.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use host::output::{print, to_stderr};
use host::report::{ClientReport, ClientSample, Latency, Phase, Usage};
use host::sample::Sampler;
use host::sample_file::SampleFile;
use host::time::unix_time_ms;
use udp::clock::now_ns;

use crate::baseline;
use crate::baseline::stores::Baselines;
use crate::coordination::{Coordination, ThreadReport, Window};
use crate::flags::{Flags, STDOUT};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::recorder::{Interval, Recorder};
use crate::report;
use crate::silence::Silence;
use crate::threads::{self, Common, ThreadHandle};
use client::entropy::Entropy;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Every operation was answered.
    Answered,
    /// It could not start.
    NotStarted,
    /// The outcome of some operations is not known.
    Indeterminate,
    /// The rate that was asked for was not reached.
    Slower,
    /// It failed while it ran, a server refused to store records, or a result could not be
    /// written.
    Failed,
    /// It was told to end early.
    Interrupted,
}

impl From<Status> for std::process::ExitCode {
    fn from(status: Status) -> Self {
        Self::from(match status {
            Status::Answered => 0,
            Status::Failed => 1,
            Status::NotStarted => 2,
            Status::Indeterminate => 3,
            Status::Slower => 4,
            Status::Interrupted => 130,
        })
    }
}

/// How often the threads are looked after.
const LOOK: Duration = Duration::from_millis(20);
/// From the last thread's readiness to the first operation.
const START_NS: u64 = 5_000_000;

/// Runs a plan.
pub fn run(flags: &Flags, plan: Plan, baselines: Option<Baselines>) -> Result<Status> {
    let stop = host::signals::stop_flag()?;
    if let Some(parent) = flags.die_with_parent {
        host::signals::die_with_parent(parent)?;
    }
    let is_baseline = baselines.is_some();
    let mut run = Run::start(flags, Arc::new(plan), baselines.map(Arc::new), stop)?;
    let mut loaded = 0;
    let mut load_secs = 0.0;
    let mut window_ms = (0, 0);
    if run.wait(|coordination| &coordination.connected) {
        let load_began = Instant::now();
        run.coordination.may_load.store(true, Ordering::Relaxed);
        if run.wait(|coordination| &coordination.ready) {
            loaded = run.coordination.loaded.load(Ordering::Relaxed) as u64;
            load_secs = load_began.elapsed().as_secs_f64();
            window_ms = run.open_window();
        }
    }
    run.wait_for_end();
    let threads = match run.join()? {
        Ok(threads) => threads,
        Err(failure) => {
            run.progress.finish();
            to_stderr(format_args!("gen: error: {failure:#}"));
            let connected = run.coordination.connected.load(Ordering::Relaxed);
            let has_started = connected == run.plan.threads;
            return Ok(if has_started { Status::Failed } else { Status::NotStarted });
        }
    };
    run.progress.finish();
    let whole = run.whole();
    if run.is_stopped() {
        window_ms.1 = window_ms.1.min(unix_time_ms());
    }
    let mut report =
        report::client_report(&run.plan, &whole, loaded, window_ms, &threads, run.is_stopped());
    if is_baseline {
        report.order = baseline::ORDER.to_owned();
    }
    let unwritten = run.write_results(flags, &report, load_secs);
    Ok(conclude(&report, &threads, &unwritten, run.is_stopped()))
}

/// Says what went wrong, and how the run ended.
fn conclude(
    report: &ClientReport,
    threads: &[ThreadReport],
    unwritten: &[anyhow::Error],
    is_stopped: bool,
) -> Status {
    for error in unwritten {
        to_stderr(format_args!("gen: error: {error:#}"));
    }
    let is_refused = tell_refused(report, threads);
    if let (Some(rate), Some(false)) = (report.rate_ops_per_s, report.rate_reached) {
        to_stderr(format_args!(
            "gen: the rate that was asked for was not reached: {:.0} of {rate} ops/s were \
             answered, backlog {}",
            report.ops_per_s, report.backlog
        ));
    }
    match () {
        () if is_refused || !unwritten.is_empty() => Status::Failed,
        () if is_stopped => Status::Interrupted,
        () if report.indeterminate + report.unanswered_gets > 0 => Status::Indeterminate,
        () if report.rate_reached == Some(false) => Status::Slower,
        () => Status::Answered,
    }
}

/// Says what was refused; returns whether that is too much: records, or every operation.
fn tell_refused(report: &ClientReport, threads: &[ThreadReport]) -> bool {
    let load_refused: u64 = threads.iter().map(|thread| thread.load_refused).sum();
    let refusal = threads.iter().find_map(|thread| thread.refusal.as_deref());
    let reason = refusal.unwrap_or("the servers' memory is full");
    if load_refused > 0 {
        to_stderr(format_args!("gen: error: {load_refused} records were refused: {reason}"));
        return true;
    }
    if report.refused > 0 && report.ops == 0 {
        to_stderr(format_args!("gen: error: every operation was refused: {reason}"));
        return true;
    }
    if let (Some(reason), true) = (refusal, report.refused > 0) {
        let refused = report.refused;
        to_stderr(format_args!("gen: warning: {refused} operations were refused: {reason}"));
    }
    false
}

/// A run under way.
struct Run {
    plan: Arc<Plan>,
    coordination: Arc<Coordination>,
    threads: Vec<ThreadHandle>,
    intervals: Receiver<Interval>,
    /// Intervals that some threads have not handed over yet, and how many have.
    partial: Vec<(usize, Interval)>,
    measured: Vec<Interval>,
    progress: Progress,
    /// What was told last: when, and how far it was.
    told: (Instant, f64),
    silence: Arc<Silence>,
    samples: Option<SampleFile>,
    sampler: Sampler,
    last_bytes: (u64, u64),
    last_load: (Instant, u64),
    window: Option<Window>,
}

impl Run {
    fn start(
        flags: &Flags,
        plan: Arc<Plan>,
        baselines: Option<Arc<Baselines>>,
        stop: Arc<AtomicBool>,
    ) -> Result<Self> {
        let coordination = Arc::new(Coordination::new(stop));
        let samples = flags.samples.as_deref().map(SampleFile::create).transpose()?;
        let silence = Arc::new(Silence::new(plan.threads));
        let (sender, intervals) = channel();
        let generator = Entropy::System.next_u64()?;
        let spawn = |thread| {
            let common = Common {
                thread,
                plan: plan.clone(),
                coordination: coordination.clone(),
                silence: silence.clone(),
                recorder: Recorder::new(sender.clone()),
            };
            match &baselines {
                Some(baselines) => threads::spawn_baseline(flags, baselines.clone(), common),
                None => threads::spawn(flags, generator, common),
            }
        };
        let threads = (0..plan.threads).map(spawn).collect::<Result<Vec<_>>>()?;
        drop(sender);
        Ok(Self {
            plan,
            coordination,
            threads,
            intervals,
            partial: Vec::new(),
            measured: Vec::new(),
            progress: Progress::new(),
            told: (Instant::now(), 0.0),
            silence,
            samples,
            sampler: Sampler::new(),
            last_bytes: (0, 0),
            last_load: (Instant::now(), 0),
            window: None,
        })
    }

    fn is_stopped(&self) -> bool {
        self.coordination.is_stopped()
    }

    /// Waits until all threads have come to a point; `false` if they never will.
    fn wait(&mut self, point: impl Fn(&Coordination) -> &AtomicUsize) -> bool {
        while point(&self.coordination).load(Ordering::Relaxed) < self.plan.threads {
            if self.is_stopped() || self.threads.iter().any(JoinHandle::is_finished) {
                return false;
            }
            self.look();
            self.tell_load();
        }
        true
    }

    /// Tells each second how far the load is.
    fn tell_load(&mut self) {
        let loaded = self.coordination.loaded.load(Ordering::Relaxed) as u64;
        let (then, before) = self.last_load;
        let secs = then.elapsed().as_secs_f64();
        if loaded > 0 && secs >= 1.0 {
            self.last_load = (Instant::now(), loaded);
            let records = self.plan.workload.records();
            let per_s = (loaded - before) as f64 / secs;
            let message = format!("load {loaded}/{records} records, {per_s:.0} puts/s");
            self.show(loaded as f64 / records as f64, message);
        }
    }

    /// Shows how far it is, and who does not answer.
    fn show(&mut self, done: f64, mut message: String) {
        self.told = (Instant::now(), done);
        if let Some(silence) = self.silence.describe(now_ns()) {
            message += ", ";
            message += &silence;
        }
        self.progress.tell(done, &message);
    }

    /// Shows who does not answer, if nothing else was shown in the last second.
    fn show_silence(&mut self) {
        let (told, done) = self.told;
        if told.elapsed() >= Duration::from_secs(1)
            && let Some(silence) = self.silence.describe(now_ns())
        {
            self.told = (Instant::now(), done);
            self.progress.tell(done, &silence);
        }
    }

    /// Lets the streams run; returns when the measured window is, in milliseconds since
    /// the epoch.
    fn open_window(&mut self) -> (u64, u64) {
        let now = now_ns();
        let start_ns = now + START_NS;
        let measure_ns = start_ns + self.plan.warmup_ns;
        let window = Window { start_ns, measure_ns, end_ns: measure_ns + self.plan.measure_ns };
        self.window = Some(window);
        self.coordination.window.set(window).expect("it is set once");
        let at = |time_ns: u64| unix_time_ms() + (time_ns - now) / 1_000_000;
        (at(window.measure_ns), at(window.end_ns))
    }

    fn wait_for_end(&mut self) {
        while !self.threads.iter().all(JoinHandle::is_finished) {
            // One thread that failed ends the others.
            if self.threads.iter().any(|thread| thread.is_finished()) && self.window.is_none() {
                self.coordination.end_early();
            }
            self.look();
        }
        self.look();
    }

    /// The threads' reports, or why one of them failed.
    fn join(&mut self) -> Result<Result<Vec<ThreadReport>>> {
        let mut reports = Vec::new();
        let mut failure = None;
        for thread in self.threads.drain(..) {
            match thread.join().map_err(|_| anyhow!("a thread panicked"))? {
                Ok(report) => reports.push(report),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Ok(match failure {
            Some(failure) => Err(failure),
            None => Ok(reports),
        })
    }

    /// Prints the report and writes the files that were asked for; returns what could not be
    /// written.
    fn write_results(
        &self,
        flags: &Flags,
        report: &ClientReport,
        load_secs: f64,
    ) -> Vec<anyhow::Error> {
        let text = report::text(flags, report, load_secs);
        let printed = match flags.json.as_deref() {
            Some(path) if path == Path::new(STDOUT) => {
                to_stderr(text.trim_end());
                Ok(())
            }
            _ => print(&text),
        };
        let written = [
            printed,
            flags.json.as_ref().map_or(Ok(()), |path| report::write_json(path, report)),
            flags.hdr.as_ref().map_or(Ok(()), |path| report::write_hdr(path, &self.measured)),
            self.samples.as_ref().map_or(Ok(()), SampleFile::finish),
        ];
        written.into_iter().filter_map(Result::err).collect()
    }

    /// Everything that was measured.
    fn whole(&self) -> Interval {
        let start_ns = self.measured.first().map_or(0, |interval| interval.start_ns);
        let end_ns = self.measured.last().map_or(0, |interval| interval.end_ns);
        let mut whole = Interval::new(Phase::Run, start_ns, end_ns);
        for interval in &self.measured {
            whole.add(interval);
        }
        whole
    }

    /// Takes the intervals that threads hand over.
    fn look(&mut self) {
        let mut wait = LOOK;
        loop {
            match self.intervals.recv_timeout(wait) {
                Ok(interval) => self.take(interval),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    std::thread::sleep(wait);
                    break;
                }
            }
            wait = Duration::ZERO;
        }
        self.show_silence();
    }

    /// Tells of an interval when all threads have handed it over.
    fn take(&mut self, interval: Interval) {
        let same = |other: &(usize, Interval)| {
            (other.1.phase, other.1.start_ns) == (interval.phase, interval.start_ns)
        };
        let at = match self.partial.iter().position(same) {
            Some(at) => {
                let (threads, sum) = &mut self.partial[at];
                *threads += 1;
                sum.end_ns = sum.end_ns.max(interval.end_ns);
                sum.add(&interval);
                at
            }
            None => {
                self.partial.push((1, interval));
                self.partial.len() - 1
            }
        };
        if self.partial[at].0 == self.plan.threads {
            let (_, whole) = self.partial.remove(at);
            self.tell(whole);
        }
    }

    fn tell(&mut self, interval: Interval) {
        let secs = ((interval.end_ns - interval.start_ns) as f64 / 1e9).max(1e-9);
        let latency = Latency::of(&interval.all());
        let ops_per_s = interval.ops() as f64 / secs;
        let counters = interval.counters;
        let (done, message) = self.message(&interval, ops_per_s);
        if secs > 0.1 {
            self.show(done, message);
        }
        let (rx_before, tx_before) = self.last_bytes;
        self.last_bytes = (counters.bytes_received, counters.bytes_sent);
        let rx_bytes_per_s = counters.bytes_received.saturating_sub(rx_before) as f64 / secs;
        let tx_bytes_per_s = counters.bytes_sent.saturating_sub(tx_before) as f64 / secs;
        let of_usage = |usage: Usage| ClientSample {
            time_ms: unix_time_ms()
                .saturating_sub(now_ns().saturating_sub(interval.end_ns) / 1_000_000),
            interval_ms: secs * 1e3,
            phase: interval.phase,
            ops_per_s,
            p50_us: latency.p50_us,
            p99_us: latency.p99_us,
            p999_us: latency.p999_us,
            retransmits: counters.retransmits,
            indeterminate: counters.indeterminate,
            gets_asked_again: counters.gets_asked_again,
            cache_hits_per_s: interval.cache_hits as f64 / secs,
            rx_bytes_per_s,
            tx_bytes_per_s,
            net_pct: host::machine::net_pct(rx_bytes_per_s, tx_bytes_per_s),
            usage,
        };
        if let Some(samples) = &mut self.samples
            && let Some(reason) = samples.append(self.sampler.sample().map(of_usage))
        {
            to_stderr(format_args!("gen: warning: a sample is missing: {reason}"));
        }
        if interval.phase == Phase::Run && interval.end_ns > interval.start_ns {
            self.measured.push(interval);
        }
    }

    fn message(&self, interval: &Interval, ops_per_s: f64) -> (f64, String) {
        let window = self.window.expect("threads measure in its window");
        let (name, from_ns, length_ns) = match interval.phase {
            Phase::Warmup => ("warm-up", window.start_ns, self.plan.warmup_ns),
            Phase::Run => ("run", window.measure_ns, self.plan.measure_ns),
        };
        let at_ns = interval.end_ns.saturating_sub(from_ns);
        let counters = &interval.counters;
        let mut message = format!(
            "{name} {:.0}/{:.0} s, {ops_per_s:.0} ops/s",
            at_ns as f64 / 1e9,
            length_ns as f64 / 1e9,
        );
        if self.plan.cache.is_some() {
            let secs = (interval.end_ns - interval.start_ns).max(1) as f64 / 1e9;
            message += &format!(", {:.0} cache hits/s", interval.cache_hits as f64 / secs);
        }
        if counters.retransmits > 0 {
            message += &format!(", {} retransmits", counters.retransmits);
        }
        if counters.indeterminate > 0 {
            message += &format!(", {} indeterminate", counters.indeterminate);
        }
        (at_ns as f64 / length_ns.max(1) as f64, message)
    }
}
