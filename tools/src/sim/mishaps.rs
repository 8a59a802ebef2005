//! What goes wrong at a time of its own, and when it is over.

use crate::sim::world::World;

/// Something that happens at a time.
#[derive(Clone, Copy, Debug)]
pub enum Mishap {
    /// A link carries nothing in one direction, or in both, until the time given.
    Cut {
        /// When it carries again.
        until_ns: u64,
    },
    /// A process stops until the time given.
    Pause {
        /// Which.
        process: usize,
        /// When it goes on.
        until_ns: u64,
    },
    /// A server is killed and starts again.
    Restart,
    /// A process's clock jumps ahead.
    ClockJump,
    /// One hostile datagram.
    Hostile,
    /// All of this ends.
    Heal,
}

/// Plans what the seed has drawn, for streams that begin at `start_ns`.
pub fn plan(world: &mut World, start_ns: u64) {
    let config = world.config.clone();
    let servers = u64::from(config.servers);
    let heal_ns = start_ns + config.run_ns;
    let mut times = Vec::new();
    let at = |world: &mut World| start_ns + world.random.below(config.run_ns);
    for _ in 0..config.cuts {
        let time_ns = at(world);
        let until_ns = world.random.between(time_ns, heal_ns);
        times.push((time_ns, Mishap::Cut { until_ns }));
    }
    for pause in 0..config.server_pauses + config.generator_pauses {
        let time_ns = at(world);
        let until_ns = world.random.between(time_ns, heal_ns);
        let process = if pause < config.server_pauses {
            world.random.below(servers)
        } else {
            servers + world.random.below(u64::from(config.generators))
        };
        times.push((time_ns, Mishap::Pause { process: process as usize, until_ns }));
    }
    for (count, mishap) in [
        (config.restarts, Mishap::Restart),
        (config.clock_jumps, Mishap::ClockJump),
        (config.hostile_datagrams, Mishap::Hostile),
    ] {
        for _ in 0..count {
            let time_ns = at(world);
            times.push((time_ns, mishap));
        }
    }
    times.push((heal_ns, Mishap::Heal));
    for (time_ns, mishap) in times {
        world.plan_mishap(time_ns, mishap);
    }
}

/// It happens.
pub fn happen(world: &mut World, mishap: Mishap) {
    let now_ns = world.now_ns;
    match mishap {
        Mishap::Cut { until_ns } => {
            let servers = u64::from(world.config.servers);
            let generators = u64::from(world.config.generators);
            let server = [10, 0, 0, world.random.below(servers) as u8 + 1];
            let client = [10, 0, 1, world.random.below(generators) as u8 + 1];
            let ways = world.random.below(3);
            if ways != 1 {
                world.network.cut(client.into(), server.into(), until_ns);
            }
            if ways != 0 {
                world.network.cut(server.into(), client.into(), until_ns);
            }
            let arrow = ["→", "←", "↔"][ways as usize];
            world.tell(format!("cut {client:?} {arrow} {server:?} until {until_ns}"));
        }
        Mishap::Pause { process, until_ns } => {
            let paused = &mut world.processes[process].paused_until_ns;
            *paused = until_ns.max(*paused);
            world.tell(format!("process {process} stops until {until_ns}"));
        }
        Mishap::Restart => {
            let server = world.random.below(u64::from(world.config.servers)) as usize;
            world.restart(server);
            world.tell(format!("server {server} is killed and starts again, empty"));
        }
        Mishap::ClockJump => {
            let process = world.random.below(world.processes.len() as u64) as usize;
            let by_ns = world.random.between(1, world.config.clock_jump_ns_max);
            world.processes[process].jump(now_ns, by_ns);
            world.tell(format!("the clock of process {process} jumps by {by_ns} ns"));
        }
        Mishap::Hostile => world.be_hostile(),
        Mishap::Heal => {
            world.network.heal();
            world.healed_ns = Some(now_ns);
            world.tell("everything heals".to_owned());
        }
    }
}
