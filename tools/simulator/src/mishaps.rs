//! What goes wrong at a time of its own, and when it is over.

use crate::addresses::{application_address, server_address, stranger_address, thread_address};
use crate::mishap::{Mishap, Whom};
use crate::world::World;

/// What there is to draw.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Cut(Whom),
    ServerPause,
    ClientPause(Whom),
    Restart(Whom),
    ClockJump(Whom),
    Hostile,
    Hoard,
    Silence,
}

/// When it may happen, and by when it is over.
#[derive(Clone, Copy, Debug)]
struct Span {
    start_ns: u64,
    end_ns: u64,
}

/// Connecting and loading take about so many one-way trips.
const EARLY_DELAYS: u64 = 30;

/// Plans what the seed has drawn for streams that begin at `start_ns`.
pub fn plan(world: &mut World, start_ns: u64) {
    let config = world.config.clone();
    let run = Span { start_ns, end_ns: start_ns + config.run_ns };
    for (count, kind) in [
        (config.cuts, Kind::Cut(Whom::Generators)),
        (config.server_pauses, Kind::ServerPause),
        (config.generator_pauses, Kind::ClientPause(Whom::Generators)),
        (config.restarts, Kind::Restart(Whom::Generators)),
        (config.clock_jumps, Kind::ClockJump(Whom::Generators)),
        (config.hostile_datagrams, Kind::Hostile),
        (config.silences, Kind::Silence),
        (config.hoards, Kind::Hoard),
    ] {
        for _ in 0..count {
            plan_one(world, kind, run);
        }
    }
    for application in &config.applications {
        for (count, kind) in [
            (application.cuts, Kind::Cut(Whom::Applications)),
            (application.pauses, Kind::ClientPause(Whom::Applications)),
            (application.clock_jumps, Kind::ClockJump(Whom::Applications)),
            (application.restarts, Kind::Restart(Whom::Applications)),
        ] {
            for _ in 0..count {
                plan_one(world, kind, run);
            }
        }
    }
    world.plan_mishap(run.end_ns, Mishap::Heal);
}

/// Plans what goes wrong while the generators connect and load, from `start_ns` on: that
/// takes a few round trips.
pub fn plan_early(world: &mut World, start_ns: u64) {
    let early = Span { start_ns, end_ns: start_ns + EARLY_DELAYS * world.config.delay_ns };
    for _ in 0..world.config.early_mishaps {
        let kind = world.random.pick(&[
            Kind::Cut(Whom::Generators),
            Kind::ServerPause,
            Kind::ClientPause(Whom::Generators),
            Kind::Restart(Whom::Generators),
            Kind::ClockJump(Whom::Generators),
        ]);
        plan_one(world, kind, early);
    }
}

fn plan_one(world: &mut World, kind: Kind, Span { start_ns, end_ns }: Span) {
    let (servers, _) = world.processes_of(Whom::Generators);
    let random = match kind {
        Kind::Cut(whom) | Kind::ClientPause(whom) | Kind::Restart(whom) | Kind::ClockJump(whom) => {
            world.chance(whom)
        }
        _ => &mut world.random,
    };
    let time_ns = start_ns + random.below(end_ns - start_ns);
    let until_ns = random.between(time_ns, end_ns);
    let mishap = match kind {
        Kind::Cut(whom) => Mishap::Cut { whom, until_ns },
        Kind::Silence => Mishap::Silence { until_ns },
        Kind::ServerPause => {
            Mishap::Pause { process: random.below(servers as u64) as usize, until_ns }
        }
        Kind::ClientPause(whom) => {
            let (first, count) = world.processes_of(whom);
            let process = first + world.chance(whom).below(count as u64) as usize;
            Mishap::Pause { process, until_ns }
        }
        Kind::Restart(whom) => Mishap::Restart { whom },
        Kind::ClockJump(whom) => Mishap::ClockJump { whom },
        Kind::Hostile => Mishap::Hostile,
        Kind::Hoard => Mishap::Hoard,
    };
    world.plan_mishap(time_ns, mishap);
}

/// It happens.
pub fn happen(world: &mut World, mishap: Mishap) {
    let now_ns = world.now_ns;
    match mishap {
        Mishap::Cut { whom, until_ns } => {
            let servers = u64::from(world.config.servers);
            let (_, clients) = world.processes_of(whom);
            let random = world.chance(whom);
            let server = server_address(random.below(servers) as usize, 0).ip();
            let client = random.below(clients as u64) as usize;
            let ways = random.below(3);
            let client = match whom {
                Whom::Generators => thread_address(client, 0).ip(),
                Whom::Applications => application_address(client).ip(),
            };
            if ways != 1 {
                world.network.cut(client, server, until_ns);
            }
            if ways != 0 {
                world.network.cut(server, client, until_ns);
            }
            let arrow = ["→", "←", "↔"][ways as usize];
            world.tell(format!("cut {client} {arrow} {server} until {until_ns}"));
        }
        Mishap::Pause { process, until_ns } => {
            let paused = &mut world.processes[process].paused_until_ns;
            *paused = until_ns.max(*paused);
            world.tell(format!("process {process} stops until {until_ns}"));
        }
        Mishap::Restart { whom } => {
            let servers = u64::from(world.config.servers);
            let server = world.chance(whom).below(servers) as usize;
            world.restart(server);
            world.tell(format!("server {server} is killed and starts again, empty"));
        }
        Mishap::ClockJump { whom } => {
            let (first, count) = match (whom, world.processes_of(whom)) {
                // The servers' clocks jump with theirs.
                (Whom::Generators, (servers, generators)) => (0, servers + generators),
                (Whom::Applications, processes) => processes,
            };
            let by_ns_max = world.config.clock_jump_ns_max;
            let random = world.chance(whom);
            let process = first + random.below(count as u64) as usize;
            let by_ns = random.between(1, by_ns_max);
            world.processes[process].jump(now_ns, by_ns);
            world.tell(format!("the clock of process {process} jumps by {by_ns} ns"));
        }
        Mishap::Hostile => world.be_hostile(),
        Mishap::Hoard => world.hoard(),
        Mishap::Silence { until_ns } => {
            let server = world.links.below(u64::from(world.config.servers)) as usize;
            let worker = world.links.below(u64::from(world.config.workers)) as u16;
            let client = match world.links.below(4) {
                0 => stranger_address(world.links.between(1, 3)),
                _ => {
                    let generators = u64::from(world.config.generators);
                    thread_address(world.links.below(generators) as usize, 0)
                }
            };
            let worker = server_address(server, worker);
            world.silence(worker, client.ip(), until_ns);
            world.tell(format!("{client} answers {worker} no more until {until_ns}"));
        }
        Mishap::Heal => {
            world.network.heal();
            world.end_silences();
            world.healed_ns = Some(now_ns);
            world.tell("everything heals".to_owned());
        }
    }
}
