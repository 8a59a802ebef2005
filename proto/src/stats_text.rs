//! What STATS answers: a text that is made anew only now and then, because anybody with a
//! session may ask for it as often as for a record.

use std::fmt::Write as _;

use crate::counters::ServerCounters;
use crate::limits::STATS_TEXT_NS;
use crate::store::Store;

/// A line `name value` for each figure that is not zero.
#[derive(Debug, Default)]
pub(crate) struct StatsText {
    text: String,
    made_at_ns: Option<u64>,
}

impl StatsText {
    /// The whole lines that fit in `room` bytes, as they were a short time ago at most.
    pub(crate) fn lines(
        &mut self,
        now_ns: u64,
        counters: &ServerCounters,
        store: &impl Store,
        room: usize,
    ) -> &[u8] {
        let age_ns = self.made_at_ns.map(|made_at_ns| now_ns.saturating_sub(made_at_ns));
        if age_ns.is_none_or(|age_ns| age_ns > STATS_TEXT_NS) {
            self.made_at_ns = Some(now_ns);
            self.make(counters, store);
        }
        let fitting = &self.text.as_bytes()[..room.min(self.text.len())];
        let end = fitting.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        &fitting[..end]
    }

    fn make(&mut self, counters: &ServerCounters, store: &impl Store) {
        self.text.clear();
        for (name, count) in store.gauges().into_iter().chain(counters.named()) {
            if count > 0 {
                writeln!(self.text, "{name} {count}").expect("memory takes any text");
            }
        }
    }
}
