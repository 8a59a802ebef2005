//! What an application knows of its calls, and what must hold of each of their ends.

use std::collections::BTreeMap;

use client::calls::{Calls, Reply};
use client::{Error, Version, Why};
use generator::record::ValueFormat;
use history::operation::{Action, Operation, ValueId};
use proto::counters::ClientCounters;

use crate::failure::Failure;

/// A call ends so much after its deadline at the latest, where nothing keeps its machine: a
/// few rounds.
const LATE_NS_MAX: u64 = 10_000;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It was answered.
    Answered,
    /// A mutation was sent and not answered.
    Indeterminate,
    /// A read was sent and not answered.
    Unanswered,
    /// The server would not.
    Refused,
    /// It was not sent.
    NotExecuted,
}

/// How calls ended, by names for a report.
pub type Ends = BTreeMap<&'static str, u64>;

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The record.
    pub key: u64,
    /// The record's server.
    pub server: u16,
    /// What it writes, if it is a PUT.
    pub value: Option<ValueId>,
    /// When it was made.
    pub begun_ns: u64,
    /// When it is to have ended, if no clock jumps.
    pub deadline_ns: u64,
    /// The same on its machine's clock.
    pub deadline_clock_ns: u64,
    /// When it ended, and how.
    pub ended: Option<(u64, Told)>,
}

/// What time it is.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The true time.
    pub true_ns: u64,
    /// What the machine's clock shows.
    pub clock_ns: u64,
    /// Until then the machine had stopped, or could not know whether what had not come was
    /// late, because it had not read all that had.
    pub excused_until_ns: u64,
}

/// The last own PUT of a record that was answered: a later answer is no older.
#[derive(Clone, Copy, Debug)]
struct OwnWrite {
    version: Version,
    ended_ns: u64,
}

/// All that one application knows. Times are true ones.
#[derive(Debug)]
pub struct Ledger {
    /// Names the application.
    pub number: u32,
    /// Names it in the values that it writes.
    pub writer: u64,
    /// All calls, by their tokens.
    pub calls: Vec<Call>,
    /// Answers of servers.
    pub answered: Vec<Operation>,
    /// Answers of near caches; each begins when its value may have been current last.
    pub cached: Vec<Operation>,
    /// What its sessions counted.
    pub counters: ClientCounters,
    /// How its calls ended.
    pub ends: Ends,
    /// What did not hold.
    pub failure: Option<Failure>,
    cache_age_ns: u64,
    open: usize,
    own_writes: BTreeMap<(u64, u64), OwnWrite>,
}

impl Ledger {
    /// Nothing was called yet.
    #[must_use]
    pub fn new(number: u32, writer: u64, cache_age_ns: u64) -> Self {
        Self {
            number,
            writer,
            calls: Vec::new(),
            answered: Vec::new(),
            cached: Vec::new(),
            counters: ClientCounters::default(),
            ends: Ends::new(),
            failure: None,
            cache_age_ns,
            open: 0,
            own_writes: BTreeMap::new(),
        }
    }

    /// Calls that have not ended.
    #[must_use]
    pub const fn open(&self) -> usize {
        self.open
    }

    /// The value that the next PUT writes.
    #[must_use]
    pub const fn next_value(&self) -> ValueId {
        ValueId { writer: self.writer, counter: self.calls.len() as u64 }
    }

    /// A call is made; returns its token.
    pub fn begin(&mut self, call: Call) -> usize {
        self.calls.push(call);
        self.open += 1;
        self.calls.len() - 1
    }

    /// A GET was answered from the near cache.
    pub fn hit(&mut self, now_ns: u64, key: u64, server: u16, version: Version, value: ValueId) {
        let incarnation = version.incarnation();
        let own = self.own_writes.get(&(key, incarnation)).copied();
        if let Some(own) = own.filter(|own| own.version.number() > version.number()) {
            self.fail_for(
                key,
                "own writes",
                format!(
                    "the near cache answered with version {version} at {now_ns}, and an own PUT of \
                 {} was answered at {}",
                    own.version, own.ended_ns
                ),
            );
        }
        let oldest_ns = own.map_or(0, |own| own.ended_ns + 1);
        let start_ns = now_ns.saturating_sub(self.cache_age_ns).max(oldest_ns).min(now_ns);
        *self.ends.entry("answered from a near cache").or_default() += 1;
        self.cached.push(Operation {
            client: self.number,
            server,
            incarnation,
            key,
            action: Action::Found(value),
            version: version.number(),
            // Its beginning is moved here.
            is_cached: false,
            start_ns,
            end_ns: now_ns,
        });
    }

    /// A call ended. `incarnation`: of the session that it was in.
    pub fn end(&mut self, now: Now, token: usize, incarnation: u64, ended: Result<Answer, Error>) {
        let (now_ns, call) = (now.true_ns, self.calls[token]);
        let told = match &ended {
            Ok(_) => Told::Answered,
            Err(error) => match told(error) {
                Some(told) => told,
                None => return self.fail_for(call.key, "calls", format!("a call failed: {error}")),
            },
        };
        if let Some((at_ns, before)) = call.ended {
            let text = format!("a call ended twice: {before:?} at {at_ns}, {told:?} at {now_ns}");
            return self.fail_for(call.key, "calls", text);
        }
        self.calls[token].ended = Some((now_ns, told));
        *self.ends.entry(name(&ended)).or_default() += 1;
        self.open -= 1;
        let is_late = now_ns > call.deadline_ns.max(now.excused_until_ns) + LATE_NS_MAX;
        let is_early = now.clock_ns < call.deadline_clock_ns && is_over(&ended);
        if is_late || is_early {
            let text = format!(
                "a call until {}, on its clock {}, ended at {now_ns}, on its clock {}: {ended:?}",
                call.deadline_ns, call.deadline_clock_ns, now.clock_ns
            );
            self.fail_for(call.key, "deadlines", text);
        }
        match (call.value, told) {
            (None, Told::Indeterminate) | (Some(_), Told::Unanswered) => {
                let text =
                    format!("a {} is {told:?}", if call.value.is_none() { "GET" } else { "PUT" });
                self.fail_for(call.key, "calls", text);
            }
            _ => {}
        }
        if let Ok(answer) = ended {
            self.answered(now_ns, &call, incarnation, answer);
        }
    }

    /// Sessions that were waited for did not open.
    pub fn end_of_connecting(&mut self) {
        *self.ends.entry("not connected").or_default() += 1;
    }

    /// A client was closed, and is no more.
    pub fn closed(&mut self, calls: &Calls<usize>) {
        self.counters.add(&calls.session_counters());
        let again = calls.counters().asked_again;
        if again > 0 {
            *self.ends.entry("reads asked again").or_default() += again;
        }
    }

    fn answered(&mut self, now_ns: u64, call: &Call, incarnation: u64, answer: Answer) {
        let (action, version) = match (answer, call.value) {
            (Answer::Found(version, value), None) => (Action::Found(value), version),
            (Answer::NotFound, None) => (Action::NotFound, Version::new(incarnation, 0)),
            (Answer::Stored(version), Some(value)) => {
                let own = OwnWrite { version, ended_ns: now_ns };
                let of_key = self.own_writes.entry((call.key, incarnation)).or_insert(own);
                if of_key.version.number() < version.number() {
                    *of_key = own;
                }
                (Action::Stored(value), version)
            }
            (answer, _) => {
                let text = format!("another operation was answered: {answer:?}");
                return self.fail_for(call.key, "calls", text);
            }
        };
        self.answered.push(Operation {
            client: self.number,
            server: call.server,
            incarnation: version.incarnation(),
            key: call.key,
            action,
            version: version.number(),
            is_cached: false,
            // The clock was read once, before: what was answered by then came before.
            start_ns: call.begun_ns + 1,
            end_ns: now_ns,
        });
    }

    fn fail_for(&mut self, key: u64, check: &'static str, text: String) {
        let text = format!("application {}, key {key}: {text}", self.number);
        self.failure.get_or_insert(Failure { check, key: Some(key), text });
    }
}

/// A server's answer, in values that know their PUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A GET found this.
    Found(Version, ValueId),
    /// A GET found nothing.
    NotFound,
    /// A PUT was executed.
    Stored(Version),
    /// What is no answer to either.
    Other,
}

impl Answer {
    /// What was answered.
    #[must_use]
    pub fn of(reply: &Reply<'_>, values: &ValueFormat) -> Self {
        match *reply {
            Reply::Found { version, value } => Self::Found(version, identity(values, value)),
            Reply::NotFound => Self::NotFound,
            Reply::Stored(version) => Self::Stored(version),
            Reply::Counters(_) | Reply::Pong => Self::Other,
        }
    }
}

/// Which PUT wrote a value; one that no PUT wrote is nobody's.
#[must_use]
pub fn identity(values: &ValueFormat, value: &[u8]) -> ValueId {
    values.identity(value).unwrap_or(ValueId { writer: ValueId::FOREIGN, counter: 0 })
}

/// Whether a call is told that its time is over.
const fn is_over(ended: &Result<Answer, Error>) -> bool {
    matches!(
        ended,
        Err(Error::NotExecuted(Why::Deadline)
            | Error::Indeterminate(Why::Deadline)
            | Error::Unanswered(Why::Deadline)
            | Error::NoServer { .. })
    )
}

/// How a call ended, for a report.
fn name(ended: &Result<Answer, Error>) -> &'static str {
    match ended {
        Ok(Answer::Found(..)) => "found",
        Ok(Answer::NotFound) => "not found",
        Ok(Answer::Stored(_)) => "stored",
        Err(Error::NotExecuted(Why::Deadline)) => "withdrawn at the deadline",
        Err(Error::NotExecuted(_)) => "withdrawn",
        Err(Error::NotSent) => "not sent",
        Err(Error::NoServer { .. }) => "no server",
        Err(Error::OtherVersion { .. }) => "other version",
        Err(Error::Refused(_)) => "refused",
        Err(Error::Indeterminate(Why::Deadline)) => "indeterminate at the deadline",
        Err(Error::Indeterminate(Why::Closed)) => "indeterminate at the close",
        Err(Error::Indeterminate(Why::SequenceTaken)) => "indeterminate, its sequence was taken",
        Err(Error::Indeterminate(_)) => "indeterminate",
        Err(Error::Unanswered(Why::Deadline)) => "unanswered at the deadline",
        Err(Error::Unanswered(_)) => "unanswered at the close",
        Ok(Answer::Other) | Err(_) => "other",
    }
}

/// What an error says of its call; none if no call of a simulation may have it.
fn told(error: &Error) -> Option<Told> {
    match error {
        Error::NotSent
        | Error::NotExecuted(_)
        | Error::NoServer { .. }
        // The version of a datagram is no part of its checksum.
        | Error::OtherVersion { .. } => Some(Told::NotExecuted),
        Error::Refused(_) => Some(Told::Refused),
        Error::Indeterminate(_) => Some(Told::Indeterminate),
        Error::Unanswered(_) => Some(Told::Unanswered),
        _ => None,
    }
}
