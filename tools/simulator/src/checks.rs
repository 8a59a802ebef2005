//! What must hold when a world is at its end.

use std::collections::BTreeMap;

use history::operation::{Action, Operation};
use proto::counters::{ClientCounters, ServerCounters};
use proto::limits::ANSWER_RATES;
use proto::order::Order;
use udp::counters::TransportCounters;

use crate::applications;
use crate::applications::ledger::Ends;
use crate::failure::Failure;
use crate::world::World;

/// What the clients and the servers counted, all together.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    /// All clients'.
    pub clients: ClientCounters,
    /// The generators' alone.
    pub generators: ClientCounters,
    /// The servers', in all of their lives.
    pub servers: ServerCounters,
    /// How calls of applications ended, those that were answered from a near cache among them.
    pub ends: Ends,
    /// All transports'.
    pub transport: TransportCounters,
    /// PUTs of generators that were answered as executed.
    pub puts_answered: u64,
    /// Questions for counters that were answered.
    pub stats_answered: u64,
}

impl Sums {
    /// Adds up.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let mut sums = Self { transport: world.transport_counters(), ..Self::default() };
        for report in world.generators.iter().flat_map(|generator| &generator.reports) {
            sums.generators.add(&report.client);
            sums.puts_answered += report.puts_answered;
            sums.stats_answered += report.servers.len() as u64;
        }
        sums.clients = sums.generators;
        for ledger in &world.applications {
            sums.clients.add(&ledger.counters);
            for (&name, count) in &ledger.ends {
                *sums.ends.entry(name).or_default() += count;
            }
        }
        for server in 0..world.nodes.len() {
            sums.servers.add(&world.counters_of(server));
        }
        sums
    }
}

/// Checks everything that can be checked at the end; `histories` are of the generators' threads.
pub fn check(world: &World, sums: &Sums, histories: &[Vec<Operation>]) -> Result<(), Failure> {
    check_failures(world)?;
    for history in histories {
        check_order(world.config.order, history)?;
    }
    let mut all: Vec<Operation> = histories.iter().flatten().copied().collect();
    let recorded = all.len() as u64;
    applications::checks::check(world)?;
    all.extend(applications::checks::histories(world).flatten());
    all.extend(world.applications.iter().flat_map(|ledger| &ledger.cached));
    if let Err(violation) = checker::verify(&all) {
        let key = violation.key.as_ref().and_then(|key| key.parse().ok());
        let name = violation.key.unwrap_or_default();
        let text = format!("not linearizable: key {name}\n{}", violation.text);
        return Err(Failure { check: "linearizable", key, text });
    }
    if world.generators.iter().all(|generator| generator.failures.is_empty()) {
        check_counters(world, sums, recorded)?;
    }
    Ok(())
}

/// A generator gives up for reasons only that it can tell a user.
fn check_failures(world: &World) -> Result<(), Failure> {
    for failure in world.generators.iter().flat_map(|generator| &generator.failures) {
        let is_explained = !world.config.is_calm()
            && ["no answer from", "was lost while", "ended the session", "speaks version"]
                .iter()
                .any(|reason| failure.contains(reason));
        if !is_explained {
            return Err(Failure {
                check: "generators",
                key: None,
                text: format!("a generator failed: {failure}"),
            });
        }
    }
    Ok(())
}

/// Invariant 7, stream by stream and, in shard order, server by server: a PUT overlaps with
/// nothing.
fn check_order(order: Order, history: &[Operation]) -> Result<(), Failure> {
    if order == Order::Async {
        return Ok(());
    }
    let mut sequences: BTreeMap<(u32, u16), Vec<&Operation>> = BTreeMap::new();
    for operation in history.iter().filter(|operation| operation.client != u32::MAX) {
        let server = if order == Order::Shard { operation.server } else { 0 };
        sequences.entry((operation.client, server)).or_default().push(operation);
    }
    for ((stream, _), mut sequence) in sequences {
        sequence.sort_by_key(|operation| operation.start_ns);
        let (mut last_end_ns, mut last_put_end_ns) = (0, 0);
        for operation in sequence {
            let is_put = !matches!(operation.action, Action::Found(_) | Action::NotFound);
            let waits_for_ns = if is_put { last_end_ns } else { last_put_end_ns };
            if operation.start_ns <= waits_for_ns {
                let text = format!(
                    "stream {stream} sent an operation on key {} at {} ns, before {waits_for_ns} \
                     ns, when what it had to wait for ended",
                    operation.key, operation.start_ns
                );
                return Err(Failure { check: "order", key: Some(operation.key), text });
            }
            last_end_ns = last_end_ns.max(operation.end_ns);
            if is_put {
                last_put_end_ns = last_put_end_ns.max(operation.end_ns);
            }
        }
    }
    Ok(())
}

/// Nothing is hidden (invariant 8): the counters of both ends tell of everything.
fn check_counters(world: &World, sums: &Sums, recorded: u64) -> Result<(), Failure> {
    let Sums { clients, generators, servers, puts_answered, stats_answered, .. } = *sums;
    let tally = world.tally;
    let damaged_taken = world.damaged_taken();
    let executed = world.written.len();
    let by_applications: u64 =
        world.applications.iter().map(|ledger| world.written.by(ledger.writer)).sum();
    let by_generators = executed - by_applications;
    let given_up = clients.indeterminate + clients.unanswered_gets;
    let stats_unanswered =
        clients.operations_sent.wrapping_sub(clients.operations_answered + given_up);
    let damaged =
        clients.malformed + clients.other_version + servers.malformed + servers.other_version;
    let repeated = clients.retransmits + clients.gets_asked_again;
    let refused = servers.puts_refused + servers.gets_too_large;
    let (told, ended) =
        (recorded + stats_answered, generators.operations_answered + generators.indeterminate);
    let again = clients.answers_duplicate
        + clients.answers_late
        + servers.requests_duplicate
        + servers.requests_old
        + servers.mutations_suppressed
        + servers.gets_repeated;
    // The closing datagrams may still be under way.
    let closing = clients.sessions_opened;
    let lost = (clients.datagrams_sent - closing).saturating_sub(servers.datagrams_received)
        + (servers.datagrams_sent.saturating_sub(clients.datagrams_received));
    let is_calm = world.config.is_calm();
    let facts = [
        ("sent = answered + given up", stats_unanswered <= clients.sessions_opened),
        // What was refused is answered and not recorded; a refusal may also be lost.
        ("no more is recorded than ended", told <= ended),
        ("all that ended is recorded or was refused", ended <= told + refused),
        ("every PUT answered was executed", puts_answered <= by_generators),
        ("no PUT was executed unasked", by_generators <= puts_answered + generators.indeterminate),
        ("PUTs are counted", executed + world.written.forged == servers.puts),
        ("GETs are counted", world.written.reads == servers.gets + servers.gets_repeated),
        ("sessions are opened by their server", clients.sessions_opened <= servers.sessions_opened),
        // What comes from where no session is any more, or from who has had enough answers, is
        // counted without a look inside.
        (
            "what was damaged was counted",
            damaged + clients.misdirected + servers.answers_limited >= damaged_taken,
        ),
        // By default no honest client comes near a limit, and nobody here floods.
        (
            "nobody is limited without need",
            world.config.rates != ANSWER_RATES
                || servers.answers_limited + servers.repeats_limited == 0,
        ),
        ("nothing else was damaged", damaged <= damaged_taken + world.config.hostile_datagrams),
        (
            "what was lost was sent again",
            clients.sessions_lost > 0 || given_up > 0 || tally.requests_lost <= repeated,
        ),
        ("nothing is sent again without need", !is_calm || repeated + again == 0),
        ("nothing is given up without need", !is_calm || given_up + clients.sessions_lost == 0),
        (
            "all is answered in calm",
            !is_calm || clients.operations_sent == clients.operations_answered,
        ),
        ("nothing is lost in calm", !is_calm || lost + damaged + tally.overflowed == 0),
    ];
    match facts.into_iter().find(|&(_, holds)| !holds) {
        None => Ok(()),
        Some((fact, _)) => {
            let text = format!(
                "{fact}: does not hold\n{clients:?}\n{servers:?}\n{tally:?}\nPUTs answered \
                 {puts_answered}, executed {executed}; STATS answered {stats_answered}; operations \
                 recorded {recorded}"
            );
            Err(Failure { check: "counters", key: None, text })
        }
    }
}
