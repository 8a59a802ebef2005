//! How one request executes: at most once, against a [`Store`] (invariant 1).

use crate::counters::ServerCounters;
use crate::entries_hash::EntriesHash;
use crate::limits::{KEY_BYTES_MIN, LOOKUP_GROUP_MAX};
use crate::replies::{Destination, Replies};
use crate::session::{Arrival, Completion, MutationResult, Session};
use crate::stats_text::StatsText;
use crate::store::{Full, Record, Store};
use crate::unpack::{self, RequestSpan};
use crate::wire::{HEADER_BYTES, Op, REPLY_ENTRY_BYTES, Status};

/// One request while it executes.
pub(crate) struct Execution<'a> {
    pub(crate) arrival: Arrival,
    pub(crate) destination: Destination,
    pub(crate) sequence: u64,
    pub(crate) datagram: &'a [u8],
    pub(crate) spans: &'a [RequestSpan],
    pub(crate) entries_hash: &'a EntriesHash,
    pub(crate) counters: &'a mut ServerCounters,
    pub(crate) replies: &'a mut Replies,
    pub(crate) stats: &'a mut StatsText,
    pub(crate) now_ns: u64,
}

impl Execution<'_> {
    /// Its operations came together, so each may take effect before or after any other:
    /// mutations go first, reads follow in groups.
    #[inline(always)] // Else its parts are merged into it, and a PUT takes more instructions.
    pub(crate) fn run(
        &mut self,
        session: &mut Session,
        is_mutations_only: bool,
        store: &mut impl Store,
    ) {
        self.mutate(session.completion_mut(self.sequence), store);
        if !is_mutations_only {
            self.read(store);
        }
    }

    fn mutate(&mut self, completion: &mut Completion, store: &mut impl Store) {
        match self.arrival {
            Arrival::New => self.execute(completion, store),
            Arrival::Again | Arrival::Old => self.answer_again(completion),
        }
    }

    fn execute(&mut self, completion: &mut Completion, store: &mut impl Store) {
        completion.begin(self.sequence);
        let spans = self.spans;
        let mutations = spans.iter().enumerate().filter(|(_, span)| span.op.is_mutation());
        let mut ahead = mutations.clone();
        let mut told = 0;
        for (index, span) in mutations {
            // A group is told to the table before it is executed.
            if told == 0 && spans.len() > 1 {
                self.prefetch(ahead.by_ref().map(|(_, span)| span), store);
                told = LOOKUP_GROUP_MAX;
            }
            told = told.saturating_sub(1);
            let result = self.put(span, store);
            completion.record(result);
            self.answer(index, result.status, result.version, &[]);
        }
        if !completion.results().is_empty() {
            completion.keep_hash(self.entries_hash.of(unpack::entries(self.datagram, spans)));
        }
    }

    #[cold]
    fn answer_again(&mut self, completion: &Completion) {
        let mutations = self.spans.iter().enumerate().filter(|(_, span)| span.op.is_mutation());
        let mut results = completion.results().iter();
        for (index, _) in mutations {
            let result = results.next().expect("each mutation has its record");
            self.counters.mutations_suppressed += 1;
            self.answer(index, result.status, result.version, &[]);
        }
        assert!(results.next().is_none(), "each record has its mutation");
    }

    /// Tells the table of the next group of mutations.
    fn prefetch<'s>(&self, spans: impl Iterator<Item = &'s RequestSpan>, store: &mut impl Store) {
        let mut keys: [&[u8]; LOOKUP_GROUP_MAX] = [&[]; LOOKUP_GROUP_MAX];
        let mut grouped = 0;
        for (key, span) in keys.iter_mut().zip(spans) {
            *key = span.key(self.datagram);
            grouped += 1;
        }
        if grouped > 1 {
            store.prefetch(&keys[..grouped]);
        }
    }

    fn put(&mut self, span: &RequestSpan, store: &mut impl Store) -> MutationResult {
        match store.put(span.key(self.datagram), span.value(self.datagram)) {
            Ok(version) => {
                self.counters.puts += 1;
                MutationResult { version, status: Status::Ok }
            }
            Err(Full) => {
                self.counters.puts_refused += 1;
                MutationResult { version: 0, status: Status::Full }
            }
        }
    }

    fn read(&mut self, store: &mut impl Store) {
        let mut keys: [&[u8]; LOOKUP_GROUP_MAX] = [&[]; LOOKUP_GROUP_MAX];
        let mut indexes = [0u16; LOOKUP_GROUP_MAX];
        let mut grouped = 0;
        let mut is_told = false;
        for (index, span) in self.spans.iter().enumerate() {
            match span.op {
                Op::Get => {
                    keys[grouped] = span.key(self.datagram);
                    debug_assert!(keys[grouped].len() >= KEY_BYTES_MIN);
                    indexes[grouped] = index as u16;
                    grouped += 1;
                    if grouped == LOOKUP_GROUP_MAX {
                        self.look_up(&keys, &indexes, store);
                        grouped = 0;
                    }
                }
                Op::Stats if is_told => self.counters.stats_dropped += 1,
                Op::Stats => {
                    self.stats(index, store);
                    is_told = true;
                }
                Op::Put => {}
            }
        }
        if grouped > 0 {
            self.look_up(&keys[..grouped], &indexes[..grouped], store);
        }
    }

    #[inline]
    fn look_up(&mut self, keys: &[&[u8]], indexes: &[u16], store: &mut impl Store) {
        let is_new = self.arrival == Arrival::New;
        let executed =
            if is_new { &mut self.counters.gets } else { &mut self.counters.gets_repeated };
        *executed += keys.len() as u64;
        let room = self.destination.mtu_bytes - HEADER_BYTES - REPLY_ENTRY_BYTES;
        let mut answered = 0;
        store.get(keys, |key, record| {
            assert_eq!(key, answered, "a table answers each key once, in order");
            answered += 1;
            let (status, version, value): (_, _, &[u8]) = match record {
                Some(Record { version, value }) if value.len() <= room => {
                    (Status::Ok, version, value)
                }
                Some(Record { version, .. }) => {
                    self.counters.gets_too_large += u64::from(is_new);
                    (Status::TooLarge, version, &[])
                }
                None => {
                    self.counters.gets_not_found += u64::from(is_new);
                    (Status::NotFound, 0, &[])
                }
            };
            let Self { destination, sequence, replies, .. } = self;
            replies.answer(destination, *sequence, indexes[key], status, version, value);
        });
        assert_eq!(answered, keys.len(), "a table answers every key");
    }

    /// Answers with as many of the counters as fit.
    #[cold]
    fn stats(&mut self, index: usize, store: &impl Store) {
        let Self { destination, sequence, replies, stats, counters, now_ns, .. } = self;
        let room = destination.mtu_bytes - HEADER_BYTES - REPLY_ENTRY_BYTES;
        let text = stats.lines(*now_ns, counters, store, room);
        add(replies, destination, *sequence, index, Status::Ok, 0, text);
    }

    fn answer(&mut self, index: usize, status: Status, version: u64, value: &[u8]) {
        let Self { destination, sequence, replies, .. } = self;
        add(replies, destination, *sequence, index, status, version, value);
    }
}

/// Adds an answer where speed does not count: it leaves the room for inlining to reads.
#[inline(never)]
fn add(
    replies: &mut Replies,
    destination: &Destination,
    sequence: u64,
    index: usize,
    status: Status,
    version: u64,
    value: &[u8],
) {
    replies.answer(destination, sequence, index as u16, status, version, value);
}
