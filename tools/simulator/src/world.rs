//! The simulated world: machines, a network, and one queue of what happens next.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::task::Waker;

use kv::table::Table;
use proto::counters::ServerCounters;
use proto::server::{Server, ServerConfig};
use proto::wire::Kind;
use udp::core_loop::Round;
use udp::counters::TransportCounters;
use udp::transport::Transport as _;

use crate::Failure;
use crate::addresses::{is_genuine, is_server, server_address, stranger_address};
use crate::clocks::Process;
use crate::config::Config;
use crate::generators::{Generator, generator};
use crate::hostile;
use crate::link::{Arrived, Departed};
use crate::machine::{Machine, Runs, ThreadRound, Unproved, WorkerRound};
use crate::mishaps::{self, Mishap};
use crate::network::Network;
use crate::queue::Queue;
use crate::random::Random;
use crate::store::{Watched, Written};
use crate::trace::{Datagram, Fate, Trace, What};

/// When a world begins.
const BEGIN_NS: u64 = 1_000_000_000;
/// From the last generator's readiness to the first operation.
const START_NS: u64 = 100_000;

/// A server process: what its workers share.
pub struct Node {
    /// Its records, in this life.
    pub table: Table,
    incarnation: u64,
    /// What workers of earlier lives counted.
    pub past: ServerCounters,
}

enum Event {
    Wake(usize),
    Deliver { to: SocketAddr, arrived: Arrived },
    Mishap(Mishap),
}

/// Longest sleep of the core loop, and its shortest round.
pub(super) const SLEEP_NS_MAX: u64 = 50_000_000;
const ROUND_NS_MIN: u64 = 1_000;
/// Its longest sleep while bursts wait for room.
const BACKLOG_NS: u64 = 1_000_000;

/// What the network and the servers did, for the checks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Requests with operations, sent for the first time, of which no good copy arrives.
    pub requests_lost: u64,
    /// Damaged copies that machines took that are no more.
    pub damaged_taken: u64,
    /// Datagrams for which a socket had no room.
    pub overflowed: u64,
    /// Times that a server started again.
    pub restarts: u64,
}

/// Everything.
pub struct World {
    /// What the seed drew.
    pub config: Config,
    /// What happened.
    pub trace: Trace,
    /// What the servers wrote.
    pub written: Written,
    /// What the network did.
    pub tally: Tally,
    /// What the transports of servers counted that are no more.
    pub transport: TransportCounters,
    /// The servers.
    pub nodes: Vec<Node>,
    /// The generators.
    pub generators: Vec<Generator>,
    /// All machines.
    pub machines: Vec<Machine>,
    /// All processes: the servers, then the generators.
    pub processes: Vec<Process>,
    /// When the network healed.
    pub healed_ns: Option<u64>,
    pub(super) network: Network,
    pub(super) random: Random,
    pub(super) now_ns: u64,
    queue: Queue<Event>,
    places: BTreeMap<SocketAddr, usize>,
    unproved: Unproved,
    /// Datagrams to servers that a hostile sender has seen on their way.
    overheard: Vec<Vec<u8>>,
    failure: Option<Failure>,
    events: u64,
}

/// No world has more events: one that has goes round in circles.
const EVENTS_MAX: u64 = 3_000_000;

impl World {
    /// A world at its beginning.
    #[must_use]
    pub fn new(seed: u64, prints: bool) -> Self {
        let mut random = Random::new(seed);
        let config = Config::draw(&mut random);
        let mut world = Self {
            trace: Trace::new(prints),
            written: Written::default(),
            tally: Tally::default(),
            transport: TransportCounters::default(),
            nodes: Vec::new(),
            generators: Vec::new(),
            machines: Vec::new(),
            processes: Vec::new(),
            healed_ns: None,
            network: Network::default(),
            now_ns: BEGIN_NS,
            queue: Queue::default(),
            places: BTreeMap::new(),
            unproved: BTreeMap::new(),
            overheard: Vec::new(),
            failure: None,
            events: 0,
            config,
            random,
        };
        for server in 0..usize::from(world.config.servers) {
            let ahead_ns = world.random.below(1 << 40);
            world.processes.push(Process::new(ahead_ns));
            let node = world.new_life();
            world.nodes.push(node);
            for worker in 0..world.config.workers {
                let address = server_address(server, worker);
                let state = Box::new(world.new_worker(server, worker));
                let runs = Runs::Worker { server, state };
                world.machines.push(Machine::new(address, server, runs, &world.config));
            }
        }
        for index in 0..usize::from(world.config.generators) {
            generator(&mut world, index);
        }
        for (place, machine) in world.machines.iter().enumerate() {
            world.places.insert(machine.address, place);
        }
        for place in 0..world.machines.len() {
            world.plan_wake(place, BEGIN_NS);
        }
        if world.random.below(4) == 0 {
            world.network.begin_weather();
        }
        mishaps::plan_early(&mut world, BEGIN_NS);
        world
    }

    /// A new life of a server: nothing is left of the one before.
    fn new_life(&mut self) -> Node {
        let records = self.config.records as usize;
        let table = Table::new(self.config.table, records, self.config.table_bytes_max);
        let table = table.expect("a simulated store is small");
        let incarnation = self.random.next_u64();
        Node { table, incarnation, past: ServerCounters::default() }
    }

    fn new_worker(&mut self, server: usize, worker: u16) -> Server {
        Server::new(ServerConfig {
            mtu_bytes: self.config.server_mtu_bytes,
            window: self.config.server_window,
            workers: self.config.workers,
            worker,
            receive_buffer_bytes: self.config.receive_buffer_bytes,
            incarnation: self.nodes.get(server).map_or(0, |node| node.incarnation),
            secret: self.random.bytes_16(),
        })
    }

    /// A server is killed and starts again.
    pub(super) fn restart(&mut self, server: usize) {
        self.tally.restarts += 1;
        let past = self.counters_of(server);
        self.nodes[server] = Node { past, ..self.new_life() };
        for worker in 0..self.config.workers {
            let place = self.places[&server_address(server, worker)];
            let state = Box::new(self.new_worker(server, worker));
            self.check_counted(place);
            let Self { machines, transport, tally, config, .. } = self;
            let Machine { link, .. } = &machines[place];
            transport.add(link.counters());
            tally.damaged_taken += link.damaged_taken;
            machines[place].restart(Runs::Worker { server, state }, config);
        }
        let ip = server_address(server, 0).ip();
        self.unproved.retain(|(worker, _), _| worker.ip() != ip);
    }

    /// What the workers of a server have counted, in all of its lives.
    #[must_use]
    pub fn counters_of(&self, server: usize) -> ServerCounters {
        let mut sum = self.nodes[server].past;
        for machine in &self.machines {
            if let Runs::Worker { server: of, state } = &machine.runs
                && *of == server
            {
                sum.add(state.counters());
            }
        }
        sum
    }

    /// Whatever a machine was given to send has left, waits, or was counted.
    pub(super) fn check_counted(&mut self, place: usize) {
        if let Err(text) = self.machines[place].link.check_counted() {
            let text = format!("{}: {text}", self.machines[place].address);
            self.fail("unsent", text);
        }
    }

    /// Nobody answers for `address` when a worker sends to it.
    pub(super) fn silence(&mut self, worker: SocketAddr, address: IpAddr, until_ns: u64) {
        let place = self.places[&worker];
        self.machines[place].link.silence(address, until_ns);
    }

    /// Everybody answers again.
    pub(super) fn end_silences(&mut self) {
        self.machines.iter_mut().for_each(|machine| machine.link.heal());
    }

    /// What all transports have counted.
    #[must_use]
    pub fn transport_counters(&self) -> TransportCounters {
        let mut sum = self.transport;
        for machine in &self.machines {
            sum.add(machine.link.counters());
        }
        sum
    }

    /// Damaged datagrams that were taken.
    #[must_use]
    pub fn damaged_taken(&self) -> u64 {
        let now: u64 = self.machines.iter().map(|machine| machine.link.damaged_taken).sum();
        self.tally.damaged_taken + now
    }

    /// Lets everything happen until all generators have ended, or `until_ns` after the
    /// network has healed; or until something is wrong.
    pub fn run(&mut self, patience_ns: u64) -> Result<(), Failure> {
        while let Some((time_ns, event)) = self.queue.pop() {
            assert!(time_ns >= self.now_ns, "time goes on");
            self.now_ns = time_ns;
            self.events += 1;
            match event {
                Event::Wake(place) => self.wake(place, time_ns),
                Event::Deliver { to, arrived } => self.deliver(to, arrived),
                Event::Mishap(mishap) => mishaps::happen(self, mishap),
            }
            if let Some(failure) = self.written.failure.take().or_else(|| self.failure.take()) {
                return Err(failure);
            }
            if self.machines.iter().all(|m| matches!(m.runs, Runs::Worker { .. }) || m.is_over()) {
                (0..self.machines.len()).for_each(|place| self.check_counted(place));
                return self.failure.take().map_or(Ok(()), Err);
            }
            let is_late = self.healed_ns.is_some_and(|at| self.now_ns > at + patience_ns);
            if is_late || self.events > EVENTS_MAX {
                return Err(self.not_over());
            }
        }
        Err(self.not_over())
    }

    fn not_over(&self) -> Failure {
        let over = self.machines.iter().filter(|machine| machine.is_over()).count();
        let text = format!(
            "{over} threads have ended and the others have not, {} ns after the network healed, \
             after {} events",
            self.healed_ns.map_or(0, |at| self.now_ns - at),
            self.events
        );
        Failure { check: "liveness", key: None, text }
    }

    pub(super) fn fail(&mut self, check: &'static str, text: String) {
        self.failure.get_or_insert(Failure { check, key: None, text });
    }

    pub(super) fn tell(&mut self, text: String) {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let bytes = text.clone().into_bytes();
        self.trace.add(self.now_ns, nowhere, What::Mishap(text), &bytes);
    }

    pub(super) fn plan_mishap(&mut self, time_ns: u64, mishap: Mishap) {
        self.push(time_ns, Event::Mishap(mishap));
    }

    fn push(&mut self, time_ns: u64, event: Event) {
        self.queue.push(time_ns.max(self.now_ns), event);
    }

    /// Plans a round, if none is planned before.
    fn plan_wake(&mut self, place: usize, time_ns: u64) {
        let machine = &mut self.machines[place];
        let process = &self.processes[machine.process];
        let time_ns = time_ns.max(machine.busy_until_ns).max(process.paused_until_ns);
        if time_ns < machine.wake_ns {
            machine.wake_ns = time_ns;
            self.push(time_ns, Event::Wake(place));
        }
    }

    fn deliver(&mut self, to: SocketAddr, arrived: Arrived) {
        let Some(&place) = self.places.get(&to) else { return }; // A hostile sender's.
        if self.machines[place].arrive(arrived) {
            self.plan_wake(place, self.now_ns);
        } else if !self.machines[place].is_over() {
            self.tally.overflowed += 1;
        }
    }

    /// One round of a machine, if it is the one that was planned.
    fn wake(&mut self, place: usize, time_ns: u64) {
        let machine = &mut self.machines[place];
        if machine.wake_ns != time_ns || machine.is_over() {
            return;
        }
        machine.wake_ns = u64::MAX;
        let process = &self.processes[machine.process];
        let ready_ns = machine.busy_until_ns.max(process.paused_until_ns);
        if ready_ns > self.now_ns {
            return self.plan_wake(place, ready_ns);
        }
        let (clock_ns, ahead_ns) = (process.clock_ns(self.now_ns), process.ahead_ns());
        machine.link.begin_round(self.now_ns, clock_ns);
        let round = self.round(place);
        self.send_departed(place);
        match round {
            Round::Worked => self.plan_wake(place, self.now_ns + ROUND_NS_MIN),
            Round::Idle { timeout_ns } => self.plan_rest(place, timeout_ns, ahead_ns),
            Round::Over => self.thread_ended(place),
        }
        self.coordinate();
    }

    /// Plans the round after a wait: for a timeout on the machine's clock, for room, or for a
    /// while. Some waits end early.
    fn plan_rest(&mut self, place: usize, timeout_ns: Option<u64>, ahead_ns: u64) {
        let has_backlog = self.machines[place].link.has_backlog();
        let rest_ns_max = if has_backlog { BACKLOG_NS } else { SLEEP_NS_MAX };
        let timeout_ns = timeout_ns.map_or(u64::MAX, |at_ns| at_ns.saturating_sub(ahead_ns));
        let soonest_ns = self.now_ns + ROUND_NS_MIN;
        let mut wake_ns = timeout_ns.clamp(soonest_ns, self.now_ns + rest_ns_max);
        if self.random.happens(self.config.early_wakes) {
            wake_ns = self.random.between(soonest_ns, wake_ns);
        }
        self.plan_wake(place, wake_ns);
    }

    fn round(&mut self, place: usize) -> Round {
        let Self { machines, nodes, generators, written, trace, now_ns, config, .. } = self;
        let Machine { address, runs, link, core_loop, busy_until_ns, .. } = &mut machines[place];
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
                    worker: address,
                    from: address,
                    now_ns,
                };
                let unproved = &mut self.unproved;
                let mut worker = WorkerRound { state, store, unproved, datagrams: 0 };
                let round = core_loop.round(link, &mut worker);
                *busy_until_ns = now_ns + config.work_ns * worker.datagrams;
                round
            }
            Runs::Thread { driver, .. } => {
                let driver = driver.as_mut().expect("a machine that is over has no rounds");
                core_loop.round(link, &mut ThreadRound { driver, trace, address, now_ns })
            }
        };
        round.expect("a simulated link does not fail")
    }

    fn thread_ended(&mut self, place: usize) {
        if let Runs::Thread { generator, driver } = &mut self.machines[place].runs {
            let ended = driver.take().expect("it was running").finish();
            self.generators[*generator].ended(ended);
        }
    }

    /// Does for the threads what their process does: lets them load, and run together.
    fn coordinate(&mut self) {
        for generator in &self.generators {
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
        for place in 0..self.machines.len() {
            if self.machines[place].link.was_woken() {
                self.plan_wake(place, self.now_ns);
            }
        }
        if self.healed_ns.is_some() || self.generators[0].window_is_open() {
            return;
        }
        if self.generators.iter().all(|generator| generator.is_ready() || generator.is_over()) {
            let start_ns = self.now_ns + START_NS;
            for (index, generator) in self.generators.iter().enumerate() {
                let process = &self.processes[self.nodes.len() + index];
                generator.open_window(process.clock_ns(start_ns), self.config.run_ns);
            }
            self.network.begin_weather();
            self.tell("the streams begin".to_owned());
            mishaps::plan(self, start_ns);
        }
    }

    /// Hands to the network what has left a machine.
    fn send_departed(&mut self, place: usize) {
        let from = self.machines[place].address;
        for Departed { to, bytes, at_ns, is_stuck } in self.machines[place].link.departed() {
            if is_server(from) {
                self.check_answer(from, to, &bytes);
            }
            if is_stuck {
                self.note_sent(from, to, &bytes, Fate::default());
            } else {
                self.send_one(from, to, &bytes, at_ns);
            }
        }
    }

    /// Hands a datagram to the network, which has it from `at_ns` on.
    fn send_one(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8], at_ns: u64) {
        let Self { network, random, config, now_ns, overheard, .. } = self;
        let to_server = is_server(to);
        if to_server && is_genuine(from) && config.hostile_datagrams > 0 {
            hostile::overhear(random, overheard, bytes);
        }
        let (fate, copies) = if is_genuine(from) && is_genuine(to) || is_server(from) {
            network.carry(*now_ns, random, config, (from, to), to_server, bytes)
        } else {
            network.carry_for_strangers(bytes)
        };
        self.note_sent(from, to, bytes, fate);
        for copy in copies {
            let time_ns = at_ns + copy.delay_ns;
            let arrived = Arrived { from, bytes: copy.bytes, is_damaged: copy.is_damaged };
            self.push(time_ns, Event::Deliver { to, arrived });
        }
    }

    fn note_sent(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8], fate: Fate) {
        let datagram = Datagram::new(from, to, bytes);
        if fate.good == 0 && datagram.is_first_request() {
            self.tally.requests_lost += 1;
        }
        self.trace.add(self.now_ns, from, What::Sent(datagram, fate), bytes);
    }

    /// A server sends no more to an address than it has from there, until that has opened a
    /// session; and none is opened for one who only makes things up (invariant 4).
    fn check_answer(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let is_accept = bytes.get(7) == Some(&(Kind::Accept as u8));
        let traffic = self.unproved.entry((from, to)).or_default();
        if is_accept {
            traffic.0 = u64::MAX / 2;
        }
        traffic.1 += bytes.len() as u64;
        let (received, sent) = *traffic;
        if sent > received {
            let text = format!("{from} sent {sent} bytes to {to}, which had sent {received}");
            self.fail("no amplification", text);
        }
        if is_accept && !is_genuine(to) {
            let text = format!("{from} opened a session for {to}, which made its cookie up");
            self.fail("cookies", text);
        }
    }

    /// One datagram of a hostile sender.
    pub(super) fn be_hostile(&mut self) {
        let from = stranger_address(self.random.between(1, 3));
        let at = self.random.below(self.machines.len() as u64) as usize;
        let Machine { address: to, process, .. } = self.machines[at];
        let clock_ns = self.processes[process].clock_ns(self.now_ns);
        let mtu_bytes = self.config.mtu_bytes;
        let bytes = hostile::datagram(&mut self.random, mtu_bytes, clock_ns, &self.overheard);
        self.send_one(from, to, &bytes, self.now_ns);
    }
}
