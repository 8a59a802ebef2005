//! What a worker tells of itself, and where others read it.

use std::sync::atomic::{AtomicU64, Ordering};

use proto::counters::ServerCounters;
use proto::top_list::TopList;
use udp::counters::TransportCounters;

use super::histogram::Histogram;
use super::pace::{RoundTimes, TimeCounters};

/// Datagrams: one round receives at most 8 messages of 64.
pub(super) type BurstsReceived = Histogram<0, 11>;
/// Datagrams: one burst has at most 64.
pub(super) type BurstsSent = Histogram<0, 8>;

/// The figures of one worker, since its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerFigures {
    /// Of the protocol.
    pub server: ServerCounters,
    /// Of the transport beneath it.
    pub transport: TransportCounters,
    /// What its time went to.
    pub time: TimeCounters,
    /// How long the rounds took that worked.
    pub rounds: RoundTimes,
    /// Datagrams that rounds received, of those that received any.
    pub received: BurstsReceived,
    /// Datagrams of the bursts that it made.
    pub sent: BurstsSent,
    /// The hosts that were limited most.
    pub limited: TopList,
    /// Sessions open now.
    pub sessions: u64,
    /// The kernel's number of its thread; 0 before its first round.
    pub thread: u64,
    /// When it told this.
    pub told_ns: u64,
}

impl WorkerFigures {
    fn values_mut(&mut self) -> impl Iterator<Item = &mut u64> {
        (self.server.values_mut())
            .chain(self.transport.values_mut())
            .chain(self.time.values_mut())
            .chain(self.rounds.values_mut())
            .chain(self.received.values_mut())
            .chain(self.sent.values_mut())
            .chain(self.limited.words_mut())
            .chain([&mut self.sessions, &mut self.thread, &mut self.told_ns])
    }
}

/// Two cache lines, because processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lines([AtomicU64; 16]);

/// Where one worker shows its figures to other threads. Nobody else writes there, and nobody
/// waits: each figure is as old as the last publication or as new as the one under way.
#[derive(Debug)]
pub struct Published(Box<[Lines]>);

impl Default for Published {
    fn default() -> Self {
        let words = WorkerFigures::default().values_mut().count();
        let lines = words.div_ceil(size_of::<Lines>() / size_of::<AtomicU64>());
        Self((0..lines).map(|_| Lines::default()).collect())
    }
}

impl Published {
    /// Shows what the worker has counted.
    pub(super) fn publish(&self, mut figures: WorkerFigures) {
        for (word, value) in self.words().zip(figures.values_mut()) {
            word.store(*value, Ordering::Relaxed);
        }
    }

    /// What the worker showed last.
    #[must_use]
    pub fn read(&self) -> WorkerFigures {
        let mut figures = WorkerFigures::default();
        for (word, value) in self.words().zip(figures.values_mut()) {
            *value = word.load(Ordering::Relaxed);
        }
        figures
    }

    fn words(&self) -> impl Iterator<Item = &AtomicU64> {
        self.0.iter().flat_map(|lines| &lines.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_that_is_published_is_read() {
        let mut figures = WorkerFigures::default();
        for (value, number) in figures.values_mut().zip(1..) {
            *value = number;
        }
        let published = Published::default();
        assert_eq!(published.read().told_ns, 0);
        published.publish(figures);
        let mut read = published.read();
        assert!(read.values_mut().eq(figures.values_mut()));
        let size = size_of::<WorkerFigures>() / size_of::<u64>();
        assert_eq!(read.values_mut().count(), size, "none is left out");
    }
}
