//! What a thread's operations did, written down for the checker.

use std::fs::{self, OpenOptions};
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use client::near_cache::Cached;
use history::format::FileHeader;
use history::operation::{Action, Operation, ValueId};
use history::sample::Sample;
use history::writer::Writer;
use proto::client::Outcome;

use crate::plan::Plan;
use crate::record::ValueFormat;
use crate::token::Token;

/// How much of a history a generator that is killed may lose.
const FLUSH_NS: u64 = 1_000_000_000;

/// Stands for no counter: the operation writes nothing.
const GET: u64 = u64::MAX;
/// Places for operations outstanding, at first; a power of two.
const PLACES_MIN: usize = 1 << 10;

/// What is known of an operation when it is handed to its session.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The record's number.
    pub key: u64,
    /// Place of its server in the cluster's list.
    pub server: u16,
    /// Of the server's life that the session is with.
    pub incarnation: u64,
    /// The counter of the value that it writes, if it is a PUT.
    pub counter: Option<u64>,
    /// When: the operation's effect is later.
    pub now_ns: u64,
}

/// An operation under way, in few bytes: many are, and each is touched twice.
#[derive(Clone, Copy, Debug)]
struct Outstanding {
    key: u64,
    start_ns: u64,
    client: u32,
    /// Place of the server's life among all that were met; [`Outstanding::ENDED`] if there
    /// is no such operation any more.
    life: u32,
}

const _: () = assert!(size_of::<Outstanding>() == 24);

impl Outstanding {
    const ENDED: u32 = u32::MAX;
    const NONE: Self = Self { key: 0, start_ns: 0, client: 0, life: Self::ENDED };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Life {
    server: u16,
    incarnation: u64,
}

/// The history of one thread.
pub struct History {
    writer: Writer<Box<dyn Write + Send>>,
    sample: Sample,
    /// The values that this thread writes are named by it.
    value_writer: u64,
    values: ValueFormat,
    /// Lives of servers that were met.
    lives: Vec<Life>,
    /// Operations outstanding, by the place that their tokens hold.
    outstanding: Vec<Outstanding>,
    /// For each place the counter of the value that its PUT writes, or [`GET`].
    counters: Vec<u64>,
    /// How many there are, and the place after the latest.
    used: usize,
    next: usize,
    /// The round of the latest answer of the near cache.
    hit_ns: u64,
    flush_ns: u64,
}

impl std::fmt::Debug for History {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("History").field("sample", &self.sample).finish_non_exhaustive()
    }
}

impl History {
    /// Begins the history of a thread; it goes to `out`.
    pub fn new(out: Box<dyn Write + Send>, header: FileHeader) -> io::Result<Self> {
        Ok(Self {
            writer: Writer::new(out, header)?,
            sample: Sample::one_in(header.sample),
            value_writer: header.writer,
            values: ValueFormat::new(header.value_bytes as usize),
            lives: Vec::new(),
            outstanding: Vec::new(),
            counters: Vec::new(),
            used: 0,
            next: 0,
            hit_ns: 0,
            flush_ns: header.start_ns + FLUSH_NS,
        })
    }

    /// The place that the next call gets, if `key` is kept.
    ///
    /// Places follow each other as calls do, round and round: answers come in about the order
    /// of their calls, and memory that is read in its order is there when it is needed.
    #[inline]
    pub fn place(&mut self, key: u64) -> Option<u32> {
        if !self.sample.keeps(key) {
            return None;
        }
        // Few places are empty: all of them pass through the cache in turn.
        if 4 * self.used >= 3 * self.outstanding.len() {
            let places = (2 * self.outstanding.len()).max(PLACES_MIN);
            self.outstanding.resize(places, Outstanding::NONE);
            self.counters.resize(places, GET);
        }
        while self.outstanding[self.next].life != Outstanding::ENDED {
            self.next = self.after(self.next);
        }
        Some(self.next as u32)
    }

    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.outstanding.len() - 1)
    }

    /// An operation was handed to its session, under the place that [`Self::place`] gave.
    #[inline]
    pub fn called(&mut self, token: Token, call: Call) {
        let Some(place) = token.history_place() else { return };
        assert_eq!(self.next as u32, place, "one call at a time");
        let life = Life { server: call.server, incarnation: call.incarnation };
        let life = self.place_of_life(life);
        self.outstanding[self.next] = Outstanding {
            key: call.key,
            // The clock was read once, before: whatever was answered by then came before, and
            // so did what the near cache answered in this round.
            start_ns: call.now_ns + 1 + u64::from(self.hit_ns == call.now_ns),
            client: token.client(),
            life,
        };
        if let Some(counter) = call.counter {
            self.counters[self.next] = counter;
        }
        self.used += 1;
        self.next = self.after(self.next);
    }

    /// The near cache answered a GET of a stream. It is called and answered after what ended
    /// in this round, and before what is sent in it.
    pub fn hit(&mut self, now_ns: u64, client: u32, server: usize, key: u64, cached: &Cached) {
        self.hit_ns = now_ns;
        if self.sample.keeps(key) {
            self.writer.write(&Operation {
                client,
                server: server as u16,
                incarnation: cached.version.incarnation(),
                key,
                action: Action::Found(identity(&self.values, &cached.value)),
                is_cached: true,
                version: cached.version.number(),
                start_ns: now_ns + 1,
                end_ns: now_ns + 1,
            });
        }
    }

    /// An operation came to its end.
    #[inline]
    pub fn ended(&mut self, now_ns: u64, token: Token, outcome: &Outcome<'_>) {
        let Some(place) = token.history_place() else { return };
        let place = place as usize;
        let outstanding = &mut self.outstanding[place];
        let ended = *outstanding;
        assert!(ended.life != Outstanding::ENDED, "an operation ends once");
        outstanding.life = Outstanding::ENDED;
        self.used -= 1;
        let (action, version) = match *outcome {
            Outcome::Value { value, version } => {
                (Action::Found(identity(&self.values, value)), version)
            }
            Outcome::NotFound => (Action::NotFound, 0),
            Outcome::Stored { version } => (Action::Stored(self.written(place)), version),
            Outcome::Indeterminate { .. } => (Action::Indeterminate(self.written(place)), 0),
            // None of these says anything about the order of the others.
            Outcome::Unanswered | Outcome::TooLarge => return,
            Outcome::Full => {
                self.counters[place] = GET;
                return;
            }
        };
        self.write(&ended, action, version, now_ns);
    }

    /// Hands what is buffered to the file when it is time; an error if that failed, now or
    /// since the last time.
    #[inline]
    pub fn handle_timeout(&mut self, now_ns: u64) -> Result<()> {
        if now_ns < self.flush_ns {
            return Ok(());
        }
        self.flush_ns = now_ns + FLUSH_NS;
        self.writer.flush().context("cannot write the history")
    }

    /// Ends the file; nobody will know whether the PUTs still outstanding happened.
    pub fn finish(mut self, now_ns: u64) -> Result<()> {
        for place in 0..self.outstanding.len() {
            let outstanding = self.outstanding[place];
            if outstanding.life != Outstanding::ENDED && self.counters[place] != GET {
                let action = Action::Indeterminate(self.written(place));
                self.write(&outstanding, action, 0, now_ns);
            }
        }
        self.writer.finish().context("cannot write the history")?;
        Ok(())
    }

    /// The value of a PUT, whose place is left to others.
    fn written(&mut self, place: usize) -> ValueId {
        let counter = std::mem::replace(&mut self.counters[place], GET);
        assert_ne!(counter, GET, "only a PUT writes");
        ValueId { writer: self.value_writer, counter }
    }

    #[inline]
    fn write(&mut self, ended: &Outstanding, action: Action, version: u64, now_ns: u64) {
        let Life { server, incarnation } = self.lives[ended.life as usize];
        let Outstanding { key, start_ns, client, .. } = *ended;
        self.writer.write(&Operation {
            client,
            server,
            incarnation,
            key,
            action,
            is_cached: false,
            version,
            start_ns,
            end_ns: now_ns,
        });
    }

    /// The latest are looked at first: those before them are mostly over.
    #[inline]
    fn place_of_life(&mut self, life: Life) -> u32 {
        let place = self.lives.iter().rposition(|&known| known == life);
        let place = place.unwrap_or_else(|| {
            self.lives.push(life);
            self.lives.len() - 1
        });
        place as u32
    }
}

#[inline]
fn identity(values: &ValueFormat, value: &[u8]) -> ValueId {
    values.identity(value).unwrap_or_else(|| foreign(value))
}

#[cold]
fn foreign(value: &[u8]) -> ValueId {
    let mut hasher = DefaultHasher::new();
    hasher.write(value);
    ValueId { writer: ValueId::FOREIGN, counter: hasher.finish() }
}

/// What the history of a thread begins with; its writer and its clock are still to be named.
#[must_use]
pub fn header(
    plan: &Plan,
    sample: Sample,
    now_ns: u64,
    generator: u64,
    thread: usize,
) -> FileHeader {
    FileHeader {
        start_ns: now_ns,
        generator,
        key_bytes: plan.keys.key_size() as u32,
        value_bytes: plan.values.value_size() as u32,
        sample: sample.denominator(),
        ..FileHeader::of_thread(thread)
    }
}

/// A new file in `folder`, named for the generator and the thread.
pub fn create(folder: &Path, header: &FileHeader) -> Result<Box<dyn Write + Send>> {
    let path = folder.join(format!("{:016x}-{}.history", header.generator, header.thread));
    let file = OpenOptions::new().write(true).create_new(true).open(&path);
    Ok(Box::new(file.with_context(|| format!("cannot write {}", path.display()))?))
}

/// Names the clock that times are of: processes of one boot, in one time namespace, share it.
#[must_use]
pub fn clock_id() -> [u8; 16] {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = boot.chars().filter(char::is_ascii_hexdigit).collect();
    let boot = u128::from_str_radix(&digits, 16).unwrap_or(0);
    let namespace = fs::read_link("/proc/self/ns/time").unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    hasher.write(namespace.as_os_str().as_encoded_bytes());
    (boot ^ u128::from(hasher.finish())).to_le_bytes()
}

/// What to add to a time of the monotonic clock to have nanoseconds since the epoch.
#[must_use]
pub fn epoch_offset_ns(now_ns: u64) -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_nanos() as i64 - now_ns.cast_signed()
}
