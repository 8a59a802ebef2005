//! The calls that wait for room in their sessions: a line for each session, and a bound on all
//! together.

use std::collections::VecDeque;

use crate::calls::call::Kind;
use crate::limits::{LINE_BYTES_MAX, LINE_CALLS_MAX};

/// A call in a line.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Which.
    pub(super) call: usize,
    pub(super) key: Box<[u8]>,
    pub(super) value: Box<[u8]>,
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }
}

/// The lines of all sessions.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// For each session, by its place.
    lines: Vec<Line>,
    calls: usize,
    bytes: usize,
}

impl Lines {
    /// Calls in all lines.
    #[inline]
    pub(super) const fn calls(&self) -> usize {
        self.calls
    }

    /// Bytes of their keys and values.
    #[inline]
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Places of the sessions that have, or had, a line.
    pub(super) const fn sessions(&self) -> std::ops::Range<usize> {
        0..self.lines.len()
    }

    /// Whether a call of this kind is the first in its session's line.
    #[inline]
    pub(super) fn is_first(&self, session: usize, kind: Kind) -> bool {
        self.lines.get(session).is_none_or(|line| line.of(kind).is_empty())
    }

    /// Whether nothing waits for a session.
    pub(super) fn is_empty(&self, session: usize) -> bool {
        self.lines[session].mutations.is_empty() && self.lines[session].reads.is_empty()
    }

    /// Whether a call with so many bytes of key and value may wait for a session. A line is no
    /// longer than what is left for the others, so that one server that does not answer leaves
    /// room for those that do (Choudhury and Hahne, "Dynamic queue length thresholds for
    /// shared-memory packet switches", 1998).
    pub(super) fn have_room(&self, session: usize, bytes: usize) -> bool {
        let (calls, line_bytes) = self.lines.get(session).map_or((0, 0), Line::extent);
        calls < LINE_CALLS_MAX.saturating_sub(self.calls)
            && line_bytes + bytes <= LINE_BYTES_MAX.saturating_sub(self.bytes)
    }

    /// The last in its line.
    pub(super) fn push_back(&mut self, session: usize, kind: Kind, waiting: Waiting) {
        self.entered(session, kind, &waiting).push_back(waiting);
    }

    /// The first in its line, because it was there before.
    pub(super) fn push_front(&mut self, session: usize, kind: Kind, waiting: Waiting) {
        self.entered(session, kind, &waiting).push_front(waiting);
    }

    fn entered(&mut self, session: usize, kind: Kind, waiting: &Waiting) -> &mut VecDeque<Waiting> {
        if session >= self.lines.len() {
            self.lines.resize_with(session + 1, Line::default);
        }
        self.calls += 1;
        self.bytes += waiting.bytes();
        self.lines[session].bytes += waiting.bytes();
        self.lines[session].of_mut(kind)
    }

    /// The first of those that wait with calls of this kind.
    pub(super) fn front(&self, session: usize, kind: Kind) -> Option<&Waiting> {
        self.lines[session].of(kind).front()
    }

    /// Takes it out of its line.
    pub(super) fn pop_front(&mut self, session: usize, kind: Kind) -> Option<Waiting> {
        let waiting = self.lines[session].of_mut(kind).pop_front()?;
        self.left(session, &waiting);
        Some(waiting)
    }

    /// Takes all out of a session's line.
    pub(super) fn take_all(&mut self, session: usize) -> Vec<Waiting> {
        self.take_if(session, |_| true)
    }

    /// Takes those out of a session's line for which it holds.
    pub(super) fn take_if(
        &mut self,
        session: usize,
        mut holds: impl FnMut(&Waiting) -> bool,
    ) -> Vec<Waiting> {
        let Line { mutations, reads, .. } = &mut self.lines[session];
        let mut taken = Vec::new();
        for line in [mutations, reads] {
            let (out, stay): (VecDeque<_>, _) =
                std::mem::take(line).into_iter().partition(&mut holds);
            *line = stay;
            taken.extend(out);
        }
        taken.iter().for_each(|waiting| self.left(session, waiting));
        taken
    }

    fn left(&mut self, session: usize, waiting: &Waiting) {
        self.calls -= 1;
        self.bytes -= waiting.bytes();
        self.lines[session].bytes -= waiting.bytes();
    }
}

/// The calls that wait for room in a session. Mutations have less room than reads, and reads
/// do not wait behind them.
#[derive(Debug, Default)]
struct Line {
    mutations: VecDeque<Waiting>,
    reads: VecDeque<Waiting>,
    /// Of keys and values.
    bytes: usize,
}

impl Line {
    /// Its calls and bytes.
    fn extent(&self) -> (usize, usize) {
        (self.mutations.len() + self.reads.len(), self.bytes)
    }

    #[inline]
    const fn of(&self, kind: Kind) -> &VecDeque<Waiting> {
        match kind {
            Kind::Put => &self.mutations,
            Kind::Get | Kind::Stats | Kind::Ping => &self.reads,
        }
    }

    const fn of_mut(&mut self, kind: Kind) -> &mut VecDeque<Waiting> {
        match kind {
            Kind::Put => &mut self.mutations,
            Kind::Get | Kind::Stats | Kind::Ping => &mut self.reads,
        }
    }
}
