//! What happened in a simulation: kept for a while, and summed up for ever.

use std::collections::VecDeque;
use std::fmt;
use std::hash::Hasher as _;
use std::io::{self, ErrorKind, Write as _};
use std::net::SocketAddr;

use history::operation::ValueId;
use proto::unpack;
use proto::wire::{HEADER_BYTES, Kind};
use twox_hash::XxHash3_64;

/// Events that are kept.
const EVENTS_MAX: usize = 1 << 16;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum What {
    /// A datagram was sent, and what will become of it.
    Sent(Datagram, Fate),
    /// A datagram was taken by its machine.
    Taken(Datagram),
    /// A server wrote a record.
    Wrote {
        /// The record.
        key: u64,
        /// Its new version; none if memory was full.
        version: Option<u64>,
        /// What was written.
        value: ValueId,
    },
    /// A server read a record.
    Read {
        /// The record.
        key: u64,
        /// The version that was there; 0 if nothing was.
        version: u64,
    },
    /// Something went wrong, as the seed wanted, or came to an end.
    Mishap(String),
}

/// What the network does with a datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// Copies that arrive as they were sent.
    pub good: u8,
    /// Copies that arrive changed or cut.
    pub damaged: u8,
}

/// What is shown of a datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram {
    from: SocketAddr,
    to: SocketAddr,
    bytes: usize,
    /// Kind, session, sequence, attempt, entries; none if it is shorter than a header.
    header: Option<(u8, u64, u64, u8, u16)>,
}

impl Datagram {
    /// A look at a datagram, whole or not.
    #[must_use]
    pub fn new(from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> Self {
        let header = (bytes.len() >= HEADER_BYTES).then(|| {
            let header = unpack::unchecked_header(bytes);
            (header.kind, header.session, header.sequence, header.attempt, header.entries)
        });
        Self { from, to, bytes: bytes.len(), header }
    }

    /// Whether it is a request with operations, sent for the first time.
    #[must_use]
    pub fn is_first_request(&self) -> bool {
        const REQUEST: u8 = Kind::Request as u8;
        self.header.is_some_and(|(kind, _, _, attempt, entries)| {
            kind == REQUEST && attempt == 0 && entries > 0
        })
    }
}

impl fmt::Display for Datagram {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KINDS: [&str; 9] =
            ["?", "hello", "cookie", "open", "accept", "request", "reply", "refuse", "close"];
        let Self { from, to, bytes, header } = self;
        write!(formatter, "{from} → {to} {bytes} bytes")?;
        let Some((kind, session, sequence, attempt, entries)) = header else { return Ok(()) };
        let kind = KINDS.get(usize::from(*kind)).unwrap_or(&"?");
        write!(formatter, " {kind} session {session:016x} sequence {sequence}")?;
        write!(formatter, " attempt {attempt} entries {entries}")
    }
}

#[derive(Clone, Debug)]
struct Event {
    time_ns: u64,
    machine: SocketAddr,
    what: What,
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:>15} ", self.time_ns)?;
        match &self.what {
            What::Sent(datagram, fate) => {
                write!(formatter, "sent  {datagram}")?;
                match (fate.good, fate.damaged) {
                    (1, 0) => Ok(()),
                    (0, 0) => formatter.write_str(" LOST"),
                    (good, damaged) => write!(formatter, " COPIES {good} DAMAGED {damaged}"),
                }
            }
            What::Taken(datagram) => write!(formatter, "taken {datagram}"),
            What::Wrote { key, version: Some(version), value } => write!(
                formatter,
                "{} wrote key {key} version {version} value {:x}/{}",
                self.machine, value.writer, value.counter
            ),
            What::Wrote { key, version: None, .. } => {
                write!(formatter, "{} was full for key {key}", self.machine)
            }
            What::Read { key, version } => {
                write!(formatter, "{} read key {key} version {version}", self.machine)
            }
            What::Mishap(text) => write!(formatter, "*** {text}"),
        }
    }
}

/// The events of a simulation, and a digest of all of them.
pub struct Trace {
    events: VecDeque<Event>,
    digest: XxHash3_64,
    count: u64,
    /// Whether to print each event at once.
    prints: bool,
    /// Why printing came to an end.
    print_error: Option<io::Error>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Trace").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Trace {
    /// An empty one.
    #[must_use]
    pub fn new(prints: bool) -> Self {
        Self {
            events: VecDeque::new(),
            digest: XxHash3_64::new(),
            count: 0,
            prints,
            print_error: None,
        }
    }

    /// Something happened at a machine. `bytes`: all that it was about, for the digest.
    pub fn add(&mut self, time_ns: u64, machine: SocketAddr, what: What, bytes: &[u8]) {
        self.count += 1;
        self.digest.write(&time_ns.to_le_bytes());
        self.digest.write(&machine.port().to_le_bytes());
        self.digest.write(bytes);
        let event = Event { time_ns, machine, what };
        if self.prints && self.print_error.is_none() {
            self.print_error = writeln!(io::stdout().lock(), "{event}").err();
        }
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Why events could not be printed. A reader that has seen enough (`… | head`) is no error.
    #[must_use]
    pub fn print_error(&self) -> Option<&io::Error> {
        self.print_error.as_ref().filter(|error| error.kind() != ErrorKind::BrokenPipe)
    }

    /// Events so far, and a digest of them.
    #[must_use]
    pub fn digest(&self) -> (u64, u64) {
        (self.count, self.digest.finish())
    }

    /// The latest events, at most `lines`: if a key is in question, those of that key and the
    /// mishaps between them.
    #[must_use]
    pub fn tail(&self, key: Option<u64>, lines: usize) -> String {
        let concerns = |event: &&Event| match (&event.what, key) {
            (_, None) | (What::Mishap(_), _) => true,
            (What::Wrote { key: of, .. } | What::Read { key: of, .. }, Some(key)) => *of == key,
            (What::Sent(..) | What::Taken(_), Some(_)) => false,
        };
        let mut tail: Vec<String> =
            self.events.iter().rev().filter(concerns).take(lines).map(Event::to_string).collect();
        tail.reverse();
        tail.join("\n")
    }
}
