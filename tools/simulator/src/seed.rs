//! One seed, from its draws to the verdict.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use history::operation::Operation;
use udp::core_loop::SLEEP_NS_MAX;

use crate::applications::{self, draws::CALL_NS_MAX};
use crate::checks::{self, Sums};
use crate::config::Config;
use crate::failure::Failure;
use crate::run;
use crate::world::World;

/// What became of a seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What it drew.
    pub config: Config,
    /// What went wrong, with the events before it.
    pub failure: Option<(Failure, String)>,
    /// All that servers answered to the generators' threads, one by one, and to the applications.
    pub histories: Vec<Vec<Operation>>,
    /// What both ends counted.
    pub sums: Sums,
    /// Times that a server started again.
    pub restarts: u64,
    /// Threads that gave up before their end, for reasons that they told.
    pub threads_failed: usize,
    /// Events, and a digest of them.
    pub events: u64,
    /// The same for the same seed.
    pub digest: u64,
    /// Why its events could not be printed, if they were to be.
    pub print_error: Option<String>,
}

/// Lines of events that are shown with a failure.
const TAIL_LINES: usize = 40;
/// How long a thread asks servers for their counters.
const ASKING_NS: u64 = 1_000_000_000;
/// A thread notices what is due after one sleep of its loop, at each of its last stages.
const NOTICING_NS: u64 = 4 * SLEEP_NS_MAX;

/// Runs a seed, all on this thread. `prints`: tell every event on stdout.
#[must_use]
pub fn run_seed(seed: u64, prints: bool) -> Outcome {
    let mut world = World::new(seed, prints);
    // The streams end when everything heals. Then a thread waits for what is outstanding, as
    // long as for any answer, asks for counters, and closes: each stage ends by its own
    // clock, whatever the servers do. An application waits for its calls, and closes.
    let calls_ns = if world.config.applications.is_empty() { 0 } else { CALL_NS_MAX };
    let patience_ns = (world.config.answer_timeout_ns + ASKING_NS).max(calls_ns) + NOTICING_NS;
    let ended = catch_unwind(AssertUnwindSafe(|| {
        run::run(&mut world, patience_ns)?;
        let servers = world.nodes.len();
        let mut histories: Vec<_> = (world.generators.iter().zip(&world.processes[servers..]))
            .flat_map(|(generator, process)| generator.histories(process))
            .collect();
        let sums = Sums::of(&world);
        let checked = checks::check(&world, &sums, &histories);
        histories.extend(applications::checks::histories(&world));
        Ok((histories, sums, checked))
    }));
    let (histories, sums, checked) = match ended {
        Ok(Ok(ended)) => ended,
        Ok(Err(failure)) => (Vec::new(), Sums::of(&world), Err(failure)),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("a panic without a message");
            let failure = Failure { check: "assertions", key: None, text: text.to_owned() };
            (Vec::new(), Sums::default(), Err(failure))
        }
    };
    let (events, digest) = world.trace.digest();
    let failure = checked.err().map(|failure| {
        let tail = world.trace.tail(failure.key, TAIL_LINES);
        (failure, tail)
    });
    Outcome {
        seed,
        failure,
        histories,
        sums,
        restarts: world.tally.restarts,
        threads_failed: world.generators.iter().map(|generator| generator.failures.len()).sum(),
        events,
        digest,
        print_error: world.trace.print_error().map(io::Error::to_string),
        config: world.config,
    }
}
