//! What the simulator's seeds draw does happen: checks of what never comes about find nothing.

use proto::counters::{ClientCounters, ServerCounters};
use simulator::applications::ledger::Ends;
use simulator::{Outcome, run_seed};
use udp::counters::TransportCounters;

const SEEDS: u64 = 150;

/// What no seed can bring about, and why.
const NEVER: [&str; 6] = [
    // Our clients ask for the counters once in a request, and nobody else asks for them here.
    "stats_dropped",
    // All PUTs of a world have one size, which every session carries.
    "gets_too_large",
    // A simulated device takes and gives datagrams one by one, whole, and refuses none.
    "messages_truncated",
    "datagrams_dropped",
    "gso_fallbacks",
    "send_errors",
];

/// How calls of applications end.
const ENDS: [&str; 17] = [
    "not connected",
    "answered from a near cache",
    "found",
    "not found",
    "stored",
    "reads asked again",
    "refused",
    "no server",
    "not sent",
    "withdrawn",
    "withdrawn at the deadline",
    "unanswered at the deadline",
    "unanswered at the close",
    "indeterminate",
    "indeterminate, its sequence was taken",
    "indeterminate at the deadline",
    "indeterminate at the close",
];

#[test]
fn some_seeds_meet_everything_that_is_counted() {
    let (mut clients, mut servers) = (ClientCounters::default(), ServerCounters::default());
    let mut transport = TransportCounters::default();
    let mut ends = Ends::new();
    let mut calm = 0;
    let mut gave_up = 0;
    for seed in 0..SEEDS {
        let Outcome { failure, sums, config, threads_failed, .. } = run_seed(seed, false);
        assert!(failure.is_none(), "seed {seed}: {}", failure.unwrap().0.text);
        clients.add(&sums.clients);
        servers.add(&sums.servers);
        transport.add(&sums.transport);
        for (name, count) in &sums.ends {
            *ends.entry(name).or_default() += count;
        }
        calm += u64::from(config.is_calm());
        gave_up += u64::from(threads_failed > 0);
    }
    let missing: Vec<_> = (clients.named().chain(servers.named()).chain(transport.named()))
        .filter(|&(name, count)| count == 0 && !NEVER.contains(&name))
        .collect();
    assert_eq!(missing, [], "of {SEEDS} seeds");
    let missing: Vec<_> = ENDS.into_iter().filter(|end| !ends.contains_key(end)).collect();
    assert!(missing.is_empty(), "of {SEEDS} seeds, no call ended so: {missing:?}");
    assert!(calm >= SEEDS / 20, "seeds in which nothing goes wrong: {calm}");
    assert!((1..SEEDS / 4).contains(&gave_up), "seeds in which a generator gives up: {gave_up}");
    assert!(clients.operations_answered > SEEDS * 500, "{clients:?}");
}
