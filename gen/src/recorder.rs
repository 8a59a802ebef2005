//! What a thread counts and measures, handed over once a second.

use std::sync::mpsc::Sender;

use hdrhistogram::Histogram;
use host::report::Phase;
use proto::counters::ClientCounters;

use crate::coordination::Window;

/// Longest latency that is told apart, in nanoseconds; longer ones count as this.
const LATENCY_NS_MAX: u64 = 1_000_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;
const SECOND_NS: u64 = 1_000_000_000;

/// What came back in one interval of one thread.
#[derive(Debug)]
pub struct Interval {
    /// What the generator was doing.
    pub phase: Phase,
    /// When the interval began.
    pub start_ns: u64,
    /// When it ended; the same for all threads, but where a run is cut short.
    pub end_ns: u64,
    /// Latencies of GETs, in nanoseconds.
    pub gets: Histogram<u64>,
    /// Latencies of PUTs, in nanoseconds.
    pub puts: Histogram<u64>,
    /// GETs that found no record.
    pub not_found: u64,
    /// Operations that a server refused.
    pub refused: u64,
    /// GETs that the near cache answered: among no others.
    pub cache_hits: u64,
    /// Counters of the thread since its start.
    pub counters: ClientCounters,
}

impl Interval {
    /// An interval in which nothing came back yet.
    #[must_use]
    pub fn new(phase: Phase, start_ns: u64, end_ns: u64) -> Self {
        Self {
            phase,
            start_ns,
            end_ns,
            gets: histogram(),
            puts: histogram(),
            not_found: 0,
            refused: 0,
            cache_hits: 0,
            counters: ClientCounters::default(),
        }
    }

    /// Operations answered.
    #[must_use]
    pub fn ops(&self) -> u64 {
        self.gets.len() + self.puts.len()
    }

    /// Latencies of all operations, in nanoseconds.
    #[must_use]
    pub fn all(&self) -> Histogram<u64> {
        let mut all = self.gets.clone();
        all.add(&self.puts).expect("they have the same bounds");
        all
    }

    /// Adds what another thread counted in the same interval.
    pub fn add(&mut self, other: &Self) {
        self.gets.add(&other.gets).expect("they have the same bounds");
        self.puts.add(&other.puts).expect("they have the same bounds");
        self.not_found += other.not_found;
        self.refused += other.refused;
        self.cache_hits += other.cache_hits;
        self.counters.add(&other.counters);
    }
}

/// A histogram of latencies in nanoseconds.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, SIGNIFICANT_DIGITS).expect("bounds are sound")
}

/// Operations that took equally long are recorded together: they left in one datagram and
/// came back in one burst.
#[derive(Clone, Copy, Debug, Default)]
struct Alike {
    latency_ns: u64,
    is_put: bool,
    count: u64,
}

/// Counts and measures for one thread.
#[derive(Debug)]
pub struct Recorder {
    intervals: Sender<Interval>,
    current: Option<Interval>,
    phase_end_ns: u64,
    alike: Alike,
}

impl Recorder {
    /// Intervals go to `intervals`.
    #[must_use]
    pub fn new(intervals: Sender<Interval>) -> Self {
        Self { intervals, current: None, phase_end_ns: 0, alike: Alike::default() }
    }

    /// Begins a phase, in intervals of a second from its start.
    pub fn begin(&mut self, phase: Phase, start_ns: u64, end_ns: u64, counters: &ClientCounters) {
        self.end(start_ns, counters);
        self.phase_end_ns = end_ns;
        let interval_end_ns = end_ns.min(start_ns + SECOND_NS);
        self.current = Some(Interval::new(phase, start_ns, interval_end_ns));
    }

    /// Begins the first phase of a window.
    pub fn begin_window(&mut self, window: &Window, counters: &ClientCounters) {
        let &Window { start_ns, measure_ns, end_ns } = window;
        if measure_ns > start_ns {
            self.begin(Phase::Warmup, start_ns, measure_ns, counters);
        } else {
            self.begin(Phase::Run, measure_ns, end_ns, counters);
        }
    }

    /// Hands over the intervals that have ended by now; the phase after the warm-up begins
    /// there.
    pub fn turn_in(&mut self, window: &Window, now_ns: u64, counters: &ClientCounters) {
        self.turn(now_ns, counters);
        let &Window { measure_ns, end_ns, .. } = window;
        if self.current.is_none() && (measure_ns..end_ns).contains(&now_ns) {
            self.begin(Phase::Run, measure_ns, end_ns, counters);
            self.turn(now_ns, counters);
        }
    }

    /// Ends the phase early, or after its last interval; what comes back later is not
    /// counted.
    pub fn end(&mut self, now_ns: u64, counters: &ClientCounters) {
        self.record_alike();
        if let Some(mut interval) = self.current.take() {
            interval.end_ns = interval.end_ns.min(now_ns).max(interval.start_ns);
            interval.counters = *counters;
            // Nobody listens any more only when the run was given up.
            let _ = self.intervals.send(interval);
        }
    }

    /// When [`Self::turn`] has something to do.
    #[must_use]
    #[inline]
    pub fn interval_end_ns(&self) -> u64 {
        self.current.as_ref().map_or(u64::MAX, |interval| interval.end_ns)
    }

    /// Hands over the intervals that have ended by now.
    pub fn turn(&mut self, now_ns: u64, counters: &ClientCounters) {
        self.record_alike();
        while let Some(interval) = self.current.take_if(|interval| now_ns >= interval.end_ns) {
            let Interval { phase, end_ns, .. } = interval;
            let _ = self.intervals.send(Interval { counters: *counters, ..interval });
            if end_ns < self.phase_end_ns {
                let next_end_ns = self.phase_end_ns.min(end_ns + SECOND_NS);
                self.current = Some(Interval::new(phase, end_ns, next_end_ns));
            }
        }
    }

    /// An operation came back.
    #[inline]
    pub fn answered(&mut self, latency_ns: u64, is_put: bool) {
        if self.alike.latency_ns != latency_ns || self.alike.is_put != is_put {
            self.record_alike();
            self.alike = Alike { latency_ns, is_put, count: 0 };
        }
        self.alike.count += 1;
    }

    /// A GET found no record.
    pub fn not_found(&mut self) {
        if let Some(interval) = &mut self.current {
            interval.not_found += 1;
        }
    }

    /// A server refused an operation.
    pub fn refused(&mut self) {
        if let Some(interval) = &mut self.current {
            interval.refused += 1;
        }
    }

    /// The near cache answered a GET.
    #[inline]
    pub fn hit(&mut self) {
        if let Some(interval) = &mut self.current {
            interval.cache_hits += 1;
        }
    }

    #[inline]
    fn record_alike(&mut self) {
        let Alike { latency_ns, is_put, count } = self.alike;
        self.alike.count = 0;
        if let Some(interval) = &mut self.current
            && count > 0
        {
            let histogram = if is_put { &mut interval.puts } else { &mut interval.gets };
            histogram.saturating_record_n(latency_ns.max(1), count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn intervals_are_of_a_second_and_the_last_is_what_is_left() {
        let (sender, intervals) = channel();
        let mut recorder = Recorder::new(sender);
        let counters = ClientCounters::default();
        recorder.begin(Phase::Run, 100, 100 + SECOND_NS * 5 / 2, &counters);
        recorder.answered(10, false);
        recorder.answered(10, false);
        recorder.answered(10, true);
        recorder.turn(100 + SECOND_NS * 2, &counters);
        recorder.answered(30, false);
        recorder.turn(100 + SECOND_NS * 3, &counters);
        recorder.answered(40, false);
        recorder.end(100 + SECOND_NS * 3, &counters);
        drop(recorder);
        let told: Vec<_> =
            intervals.iter().map(|i| (i.end_ns - i.start_ns, i.gets.len(), i.puts.len())).collect();
        assert_eq!(
            told,
            [(SECOND_NS, 2, 1), (SECOND_NS, 0, 0), (SECOND_NS / 2, 1, 0)],
            "what came back after the end is not counted"
        );
    }
}
