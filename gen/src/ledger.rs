//! The ledger of one thread: the result of each operation. It is measured, counted for the
//! report and, if a history is kept, written down.

use anyhow::Result;
use client::calls::parse_counters;
use client::near_cache::Cached;
use client::pool::RemoteWorker;
use proto::client::Outcome;

use crate::coordination::{ThreadReport, Window};
use crate::excerpt::excerpt;
use crate::history::History;
use crate::recorder::Recorder;
use crate::token::{Origin, Token};

/// How a store answered an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// A GET found a value.
    Found,
    /// A GET found no record.
    NotFound,
    /// A PUT was executed.
    Stored,
    /// The store would not, and why, as far as it says.
    Refused(Option<&'a [u8]>),
}

/// The ledger of one thread.
#[derive(Debug)]
pub struct Ledger {
    /// Keeps what the operations did, if that is wanted.
    pub history: Option<History>,
    /// What is known at the end. Its client counters must be up to date whenever an interval
    /// ends: a baseline's connections count in them, sessions are summed up into them.
    pub report: ThreadReport,
    recorder: Recorder,
    /// The streams run in it; until there is one, records are loaded.
    window: Option<Window>,
    /// Questions for counters that were not answered yet.
    questions: usize,
}

impl Ledger {
    /// Nothing has ended yet.
    #[must_use]
    pub fn new(recorder: Recorder, history: Option<History>) -> Self {
        Self { history, report: ThreadReport::default(), recorder, window: None, questions: 0 }
    }

    /// The streams begin.
    pub fn begin(&mut self, window: Window) {
        self.recorder.begin_window(&window, &self.report.client);
        self.window = Some(window);
    }

    /// When [`Self::turn`] has something to do.
    #[must_use]
    #[inline]
    pub fn interval_end_ns(&self) -> u64 {
        self.recorder.interval_end_ns()
    }

    /// Hands over the intervals that have ended by now.
    #[inline]
    pub fn turn(&mut self, now_ns: u64) {
        if now_ns >= self.interval_end_ns()
            && let Some(window) = &self.window
        {
            self.recorder.turn_in(window, now_ns, &self.report.client);
        }
    }

    /// The streams end; what comes back later is not measured.
    pub fn end(&mut self, now_ns: u64) {
        self.recorder.end(now_ns, &self.report.client);
    }

    /// An operation came back, from whichever store.
    #[inline]
    pub fn answered(&mut self, latency_ns: u64, is_put: bool, answer: Answer<'_>) {
        match answer {
            Answer::Refused(reason) => return self.refused(reason),
            Answer::NotFound => self.recorder.not_found(),
            Answer::Stored => self.report.puts_answered += 1,
            Answer::Found => {}
        }
        self.recorder.answered(latency_ns, is_put);
    }

    #[cold]
    fn refused(&mut self, reason: Option<&[u8]>) {
        self.recorder.refused();
        self.report.load_refused += u64::from(self.window.is_none());
        if let (None, Some(reason)) = (&self.report.refusal, reason) {
            self.report.refusal = Some(excerpt(reason));
        }
    }

    /// The near cache answered a GET of a stream: it crossed no wire, and counts apart.
    #[inline]
    pub fn hit(&mut self, now_ns: u64, client: u32, server: usize, key: u64, cached: &Cached) {
        if let Some(history) = &mut self.history {
            history.hit(now_ns, client, server, key, cached);
        }
        self.report.cache_hits += 1;
        self.recorder.hit();
    }

    /// An operation of a session came to its end.
    #[inline]
    pub fn ended(
        &mut self,
        now_ns: u64,
        worker: &RemoteWorker,
        token: Token,
        outcome: &Outcome<'_>,
    ) {
        if token.origin() == Origin::Counters {
            return self.told_counters(worker, outcome);
        }
        if let Some(history) = &mut self.history {
            history.ended(now_ns, token, outcome);
        }
        let answer = match outcome {
            Outcome::Value { .. } => Answer::Found,
            Outcome::NotFound => Answer::NotFound,
            Outcome::Stored { .. } => Answer::Stored,
            Outcome::Full | Outcome::TooLarge => Answer::Refused(None),
            // The session counts them.
            Outcome::Indeterminate { .. } | Outcome::Unanswered => return,
        };
        self.answered(now_ns.saturating_sub(token.started_ns()), token.is_put(), answer);
    }

    /// So many workers were asked for their counters.
    pub fn asked_for_counters(&mut self, workers: usize) {
        self.questions += workers;
    }

    /// Whether every worker that was asked for its counters told them, or never will.
    #[must_use]
    pub const fn has_counters(&self) -> bool {
        self.questions == 0
    }

    #[cold]
    fn told_counters(&mut self, worker: &RemoteWorker, outcome: &Outcome<'_>) {
        self.questions -= 1;
        if let Outcome::Value { value, .. } = outcome {
            self.report.servers.insert(worker.address, parse_counters(value));
        }
    }

    /// Writes down what is due; an error if the history could not be written.
    #[inline]
    pub fn handle_timeout(&mut self, now_ns: u64) -> Result<()> {
        self.history.as_mut().map_or(Ok(()), |history| history.handle_timeout(now_ns))
    }

    /// Ends the history, if there is one that has not ended.
    pub fn end_history(&mut self, now_ns: u64) -> Result<()> {
        self.history.take().map_or(Ok(()), |history| history.finish(now_ns))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::sync::mpsc::{Receiver, channel};

    use host::report::Counters;
    use proto::client::Ended;

    use super::*;
    use crate::recorder::Interval;

    const NOW_NS: u64 = 5_000;
    const WORKER: RemoteWorker = RemoteWorker {
        address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7400),
        server: 0,
        incarnation: 1,
    };

    fn ledger() -> (Ledger, Receiver<Interval>) {
        let (sender, intervals) = channel();
        (Ledger::new(Recorder::new(sender), None), intervals)
    }

    fn end_each(ledger: &mut Ledger, outcomes: &[(bool, Outcome<'_>)]) {
        for (is_put, outcome) in outcomes {
            let token = Token::new(Origin::Stream(0), *is_put, None, NOW_NS - 1_000);
            ledger.ended(NOW_NS, &WORKER, token, outcome);
        }
    }

    #[test]
    fn answers_are_measured_refusals_counted_and_what_was_given_up_is_neither() {
        let (mut ledger, intervals) = ledger();
        ledger.begin(Window { start_ns: 0, measure_ns: 0, end_ns: 10_000 });
        let (found, stored) =
            (Outcome::Value { value: b"value", version: 1 }, Outcome::Stored { version: 2 });
        let answered = [(false, found), (false, Outcome::NotFound), (true, stored)];
        let refused = [(true, Outcome::Full), (false, Outcome::TooLarge)];
        let given_up = [
            (true, Outcome::Indeterminate { ended: Ended::NoAnswer }),
            (false, Outcome::Unanswered),
        ];
        end_each(&mut ledger, &[&answered[..], &refused, &given_up].concat());
        ledger.end(NOW_NS);
        end_each(&mut ledger, &answered);
        let interval = intervals.recv().unwrap();
        assert_eq!((interval.gets.len(), interval.puts.len()), (2, 1));
        assert_eq!((interval.gets.min(), interval.gets.max()), (1_000, 1_000));
        assert_eq!((interval.not_found, interval.refused), (1, 2));
        let ThreadReport { puts_answered, load_refused, .. } = ledger.report;
        assert_eq!((puts_answered, load_refused), (2, 0), "one came after the window");
    }

    #[test]
    fn what_is_refused_before_the_streams_begin_is_of_the_load() {
        let (mut ledger, _intervals) = ledger();
        end_each(&mut ledger, &[(true, Outcome::Full), (true, Outcome::Full)]);
        ledger.begin(Window { start_ns: 0, measure_ns: 0, end_ns: 10_000 });
        end_each(&mut ledger, &[(true, Outcome::Full)]);
        assert_eq!((ledger.report.load_refused, ledger.report.refusal), (2, None));
    }

    #[test]
    fn the_first_reason_for_a_refusal_is_kept() {
        let (mut ledger, _intervals) = ledger();
        for reason in ["out of memory", "read only"] {
            ledger.answered(1, true, Answer::Refused(Some(reason.as_bytes())));
        }
        assert_eq!(ledger.report.refusal.as_deref(), Some("'out of memory'"));
    }

    #[test]
    fn counters_are_read_line_by_line_and_are_no_operation() {
        let (mut ledger, intervals) = ledger();
        ledger.begin(Window { start_ns: 0, measure_ns: 0, end_ns: 10_000 });
        ledger.asked_for_counters(2);
        let token = Token::new(Origin::Counters, false, None, 0);
        let text = b"gets 3\nno number\nlonely\nputs 4\n";
        ledger.ended(NOW_NS, &WORKER, token, &Outcome::Value { value: text, version: 0 });
        assert!(!ledger.has_counters());
        ledger.ended(NOW_NS, &WORKER, token, &Outcome::Unanswered);
        assert!(ledger.has_counters());
        let told = &ledger.report.servers[&WORKER.address];
        assert_eq!(*told, Counters::from([("gets".to_owned(), 3), ("puts".to_owned(), 4)]));
        ledger.end(NOW_NS);
        assert_eq!(intervals.recv().unwrap().ops(), 0);
    }
}
