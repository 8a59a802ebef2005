//! The simulated world: machines, a network, and one queue of what happens next.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use kv::table::Table;
use proto::counters::ServerCounters;
use proto::server::{Server, ServerConfig};
use proto::wire::Kind;

use crate::Failure;
use crate::addresses::{is_genuine, is_server, server_address, stranger_address};
use crate::clocks::Process;
use crate::config::Config;
use crate::generators::{Generator, generator};
use crate::hostile;
use crate::machine::{Arrived, Machine, Runs, Sent, round_of_thread, round_of_worker};
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

/// What the network and the servers did, for the checks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Requests with operations, sent for the first time, of which no good copy arrives.
    pub requests_lost: u64,
    /// Damaged copies that a machine took.
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
    /// Bytes from and to addresses that have opened no session, by worker and address.
    unproved: BTreeMap<(SocketAddr, SocketAddr), (u64, u64)>,
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
                let buffer = world.config.receive_buffer_bytes;
                let runs = Runs::Worker { server, state };
                world.machines.push(Machine::new(address, server, runs, buffer));
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
            self.machines[place].runs = Runs::Worker { server, state };
            self.machines[place].empty_inbox();
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
                return Ok(());
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
        let clock_ns = process.clock_ns(self.now_ns);
        let mail = machine.take_mail();
        let address = machine.address;
        for arrived in &mail {
            self.tally.damaged_taken += u64::from(arrived.is_damaged);
            let datagram = Datagram::new(arrived.from, address, &arrived.bytes);
            self.trace.add(self.now_ns, address, What::Taken(datagram), &arrived.bytes);
        }
        let sent = self.round(place, clock_ns, &mail);
        self.send(address, sent);
        let machine = &self.machines[place];
        if machine.has_mail() {
            self.plan_wake(place, self.now_ns + 1);
        } else {
            let ahead_ns = self.processes[machine.process].ahead_ns();
            let timeout_ns =
                machine.poll_timeout().map_or(u64::MAX, |at| at.saturating_sub(ahead_ns));
            let latest_ns = self.now_ns + SLEEP_NS_MAX;
            self.plan_wake(place, timeout_ns.clamp(self.now_ns + ROUND_NS_MIN, latest_ns));
        }
    }

    fn round(&mut self, place: usize, clock_ns: u64, mail: &[Arrived]) -> Sent {
        let Self { machines, nodes, generators, written, trace, now_ns, config, .. } = self;
        let machine = &mut machines[place];
        let worker = machine.address;
        match &mut machine.runs {
            Runs::Worker { server, state } => {
                for arrived in mail {
                    let proved = self.unproved.entry((worker, arrived.from)).or_default();
                    proved.0 += arrived.bytes.len() as u64;
                }
                let plan = &generators[0].plan;
                let mut store = Watched {
                    table: &nodes[*server].table,
                    written,
                    trace,
                    keys: &plan.keys,
                    values: &plan.values,
                    worker,
                    from: worker,
                    now_ns: *now_ns,
                };
                machine.busy_until_ns = *now_ns + config.work_ns * mail.len() as u64;
                round_of_worker(state, clock_ns, mail, &mut store)
            }
            Runs::Thread { generator, driver } => {
                let Some(running) = driver else { return Sent::new() };
                let (sent, goes_on) = round_of_thread(running, clock_ns, mail);
                let generator = *generator;
                if !goes_on {
                    let ended = driver.take().expect("it was running").finish();
                    generators[generator].ended(ended);
                }
                self.coordinate();
                sent
            }
        }
    }

    /// Does for the threads what their process does: lets them load, and run together.
    fn coordinate(&mut self) {
        for generator in &self.generators {
            let coordination = &generator.coordination;
            let threads = generator.plan.threads;
            if coordination.connected.load(Ordering::Relaxed) == threads {
                coordination.may_load.store(true, Ordering::Relaxed);
            }
            if !generator.failures.is_empty() {
                coordination.stop.store(true, Ordering::Relaxed);
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

    /// Sends what a machine has to send.
    fn send(&mut self, from: SocketAddr, sent: Sent) {
        let is_server = is_server(from);
        for (to, bytes) in sent {
            if is_server {
                self.check_answer(from, to, &bytes);
            }
            self.send_one(from, to, &bytes);
        }
    }

    /// Hands a datagram to the network.
    pub(super) fn send_one(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
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
            let time_ns = self.now_ns + copy.delay_ns;
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
        self.send_one(from, to, &bytes);
    }
}
