//! What came back to a thread: counted, measured, and told once a second.

use proto::counters::ClientCounters;

use super::batch::{Answer, Asked};
use super::excerpt;
use crate::coordination::{ThreadReport, Window};
use crate::recorder::Recorder;

/// Counts for one thread.
#[derive(Debug)]
pub struct Tally {
    /// Measures.
    pub recorder: Recorder,
    /// Since the start of the thread.
    pub counters: ClientCounters,
    /// What is known at the end.
    pub report: ThreadReport,
    /// The streams run in it; until there is one, records are loaded.
    window: Option<Window>,
    now_ns: u64,
}

impl Tally {
    /// Nothing has come back yet.
    #[must_use]
    pub fn new(recorder: Recorder) -> Self {
        Self {
            recorder,
            counters: ClientCounters::default(),
            report: ThreadReport::default(),
            window: None,
            now_ns: 0,
        }
    }

    /// The streams begin.
    pub fn begin(&mut self, window: Window) {
        self.recorder.begin_window(&window, &self.counters);
        self.window = Some(window);
    }

    /// The streams end.
    pub fn end(&mut self, now_ns: u64) {
        self.recorder.end(now_ns, &self.counters);
    }

    /// What is told from here on happened now; hands over the intervals that have ended.
    #[inline]
    pub fn at(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        if now_ns >= self.recorder.interval_end_ns()
            && let Some(window) = &self.window
        {
            self.recorder.turn_in(window, now_ns, &self.counters);
        }
    }

    /// An operation was answered.
    #[inline]
    pub fn answered(&mut self, asked: &Asked, answer: Answer<'_>) {
        self.counters.operations_answered += 1;
        if let Answer::Refused(reason) = answer {
            return self.refused(reason);
        }
        self.recorder.answered(self.now_ns.saturating_sub(asked.started_ns), asked.is_put);
        match answer {
            Answer::NotFound => self.recorder.not_found(),
            Answer::Stored => self.report.puts_answered += 1,
            Answer::Found | Answer::Refused(_) => {}
        }
    }

    #[cold]
    fn refused(&mut self, reason: &[u8]) {
        self.recorder.refused();
        self.report.load_refused += u64::from(self.window.is_none());
        self.report.refusal.get_or_insert_with(|| excerpt(reason));
    }

    /// Nobody will know how an operation ended.
    pub fn given_up(&mut self, asked: &Asked) {
        if asked.is_put {
            self.counters.indeterminate += 1;
        } else {
            self.counters.unanswered_gets += 1;
        }
    }
}
