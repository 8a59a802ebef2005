//! Lets a world happen: machines have their rounds, datagrams arrive, things go wrong.

use std::sync::atomic::Ordering;
use std::task::Waker;

use udp::core_loop::{Round, SLEEP_NS_MAX};
use udp::socket::BACKLOG_WAIT;
use udp::transport::Transport as _;

use crate::failure::Failure;
use crate::machine::{Machine, Noted, Runs, WorkerRound};
use crate::mishaps;
use crate::store::Watched;
use crate::world::{BEGIN_NS, Event, World};

/// From the last generator's readiness to the first operation.
const START_NS: u64 = 100_000;
/// No round of the core loop is shorter.
const ROUND_NS_MIN: u64 = 1_000;
/// No world has more events: one that has goes round in circles.
const EVENTS_MAX: u64 = 3_000_000;

/// Lets everything happen until all generators and applications have ended, or `patience_ns` after
/// the network has healed; or until something is wrong.
pub fn run(world: &mut World, patience_ns: u64) -> Result<(), Failure> {
    for place in 0..world.machines.len() {
        world.plan_wake(place, BEGIN_NS);
    }
    mishaps::plan_early(world, BEGIN_NS);
    let mut events = 0;
    while let Some((time_ns, event)) = world.queue.pop() {
        assert!(time_ns >= world.now_ns, "time goes on");
        world.now_ns = time_ns;
        events += 1;
        match event {
            Event::Wake(place) => wake(world, place, time_ns),
            Event::Deliver { to, arrived } => world.deliver(to, arrived),
            Event::Mishap(mishap) => mishaps::happen(world, mishap),
        }
        if let Some(failure) = world.written.failure.take().or_else(|| world.failure.take()) {
            return Err(failure);
        }
        if world.machines.iter().all(|m| matches!(m.runs, Runs::Worker { .. }) || m.is_over()) {
            (0..world.machines.len()).for_each(|place| world.check_counted(place));
            return world.failure.take().map_or(Ok(()), Err);
        }
        let is_late = world.healed_ns.is_some_and(|at| world.now_ns > at + patience_ns);
        if is_late || events > EVENTS_MAX {
            return Err(not_over(world, events));
        }
    }
    Err(not_over(world, events))
}

fn not_over(world: &World, events: u64) -> Failure {
    let over = world.machines.iter().filter(|machine| machine.is_over()).count();
    let text = format!(
        "{over} threads and applications have ended and the others have not, {} ns after the network healed, \
         after {events} events",
        world.healed_ns.map_or(0, |at| world.now_ns - at),
    );
    Failure { check: "liveness", key: None, text }
}

/// One round of a machine, if it is the one that was planned.
fn wake(world: &mut World, place: usize, time_ns: u64) {
    let machine = &mut world.machines[place];
    if machine.wake_ns != time_ns || machine.is_over() {
        return;
    }
    machine.wake_ns = u64::MAX;
    let process = &world.processes[machine.process];
    let mut ready_ns = machine.busy_until_ns.max(process.paused_until_ns);
    if let Runs::Application(Some(application)) = &machine.runs {
        match application.asleep_until_ns() {
            u64::MAX => return,
            until_ns => ready_ns = ready_ns.max(until_ns.saturating_sub(process.ahead_ns())),
        }
    }
    if ready_ns > world.now_ns {
        return world.plan_wake(place, ready_ns);
    }
    let (clock_ns, ahead_ns) = (process.clock_ns(world.now_ns), process.ahead_ns());
    machine.link.begin_round(world.now_ns, clock_ns);
    let round = round(world, place);
    world.send_departed(place);
    match round {
        Round::Worked => world.plan_wake(place, world.now_ns + ROUND_NS_MIN),
        Round::Idle { timeout_ns } => plan_rest(world, place, timeout_ns, ahead_ns),
        Round::Over => ended(world, place),
    }
    coordinate(world);
}

/// Plans the round after a wait: for a timeout on the machine's clock, for room, or for a
/// while. Some waits end early.
fn plan_rest(world: &mut World, place: usize, timeout_ns: Option<u64>, ahead_ns: u64) {
    let has_backlog = world.machines[place].link.has_backlog();
    let rest_ns_max = if has_backlog { BACKLOG_WAIT.as_nanos() as u64 } else { SLEEP_NS_MAX };
    let timeout_ns = timeout_ns.map_or(u64::MAX, |at_ns| at_ns.saturating_sub(ahead_ns));
    let soonest_ns = world.now_ns + ROUND_NS_MIN;
    let mut wake_ns = timeout_ns.clamp(soonest_ns, world.now_ns + rest_ns_max);
    let chance = match world.machines[place].runs {
        Runs::Application(_) => &mut world.apps,
        Runs::Worker { .. } | Runs::Thread { .. } => &mut world.links,
    };
    if chance.happens(world.config.early_wakes) {
        wake_ns = chance.between(soonest_ns, wake_ns);
    }
    world.plan_wake(place, wake_ns);
}

fn round(world: &mut World, place: usize) -> Round {
    let World {
        machines,
        processes,
        nodes,
        generators,
        written,
        trace,
        now_ns,
        config,
        unproved,
        failure,
        ..
    } = world;
    let Machine { address, process, runs, link, core_loop, busy_until_ns, .. } =
        &mut machines[place];
    let (address, now_ns) = (*address, *now_ns);
    let round = match runs {
        Runs::Worker { server, state } => {
            let plan = &generators[0].plan;
            let store = Watched {
                table: &nodes[*server].table,
                written,
                trace,
                keys: &plan.keys,
                values: &plan.values,
                life: nodes[*server].life(*server),
                worker: address,
                from: address,
                now_ns,
            };
            let mut worker = WorkerRound { state, store, unproved, datagrams: 0 };
            let round = core_loop.round(link, &mut worker);
            *busy_until_ns = now_ns + config.work_ns * worker.datagrams;
            round
        }
        Runs::Thread { driver, .. } => {
            let driver = driver.as_mut().expect("a machine that is over has no rounds");
            let endpoint = driver.as_mut();
            core_loop.round(link, &mut Noted { endpoint, trace, address, now_ns })
        }
        Runs::Application(state) => {
            let endpoint = state.as_deref_mut().expect("a machine that is over has no rounds");
            endpoint.begin_round(now_ns, processes[*process].paused_until_ns);
            let clock_ns = link.now_ns();
            let calls_first = endpoint.calls_first(clock_ns);
            let noted = &mut Noted { endpoint, trace, address, now_ns };
            if calls_first {
                core_loop.send(link, noted, clock_ns);
            }
            let round = core_loop.round(link, noted);
            if let Some(wrong) = endpoint.take_failure() {
                failure.get_or_insert(wrong);
            }
            round
        }
    };
    round.expect("a simulated link does not fail")
}

fn ended(world: &mut World, place: usize) {
    match &mut world.machines[place].runs {
        Runs::Thread { generator, driver } => {
            let ended = driver.take().expect("it was running").finish();
            world.generators[*generator].ended(ended);
        }
        Runs::Application(state) => {
            let ended = state.take().expect("it was running").finish();
            world.applications.push(ended);
        }
        Runs::Worker { .. } => unreachable!("a worker goes on for ever"),
    }
}

/// Does for the threads what their process does: lets them load, and run together.
fn coordinate(world: &mut World) {
    for generator in &world.generators {
        let coordination = &generator.coordination;
        let threads = generator.plan.threads;
        let mut is_news = false;
        if coordination.connected.load(Ordering::Relaxed) == threads {
            is_news |= !coordination.may_load.swap(true, Ordering::Relaxed);
        }
        if !generator.failures.is_empty() {
            is_news |= !coordination.stop.swap(true, Ordering::Relaxed);
        }
        if is_news {
            generator.wakers.iter().for_each(Waker::wake_by_ref);
        }
    }
    for place in 0..world.machines.len() {
        if world.machines[place].link.was_woken() {
            world.plan_wake(place, world.now_ns);
        }
    }
    if world.healed_ns.is_some() || world.generators[0].window_is_open() {
        return;
    }
    if world.generators.iter().all(|generator| generator.is_ready() || generator.is_over()) {
        let start_ns = world.now_ns + START_NS;
        for (index, generator) in world.generators.iter().enumerate() {
            let process = &world.processes[world.nodes.len() + index];
            generator.open_window(process.clock_ns(start_ns), world.config.run_ns);
        }
        for place in 0..world.machines.len() {
            let Machine { process, runs, .. } = &mut world.machines[place];
            if let Runs::Application(Some(application)) = runs {
                let begin_ns = world.processes[*process].clock_ns(start_ns);
                application.open_window(begin_ns, world.config.run_ns);
                world.plan_wake(place, start_ns);
            }
        }
        world.network.begin_weather();
        world.tell("the streams begin".to_owned());
        mishaps::plan(world, start_ns);
    }
}
