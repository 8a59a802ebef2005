//! The simulated world: machines, a network, and one queue of what happens next. `run` lets
//! it happen.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use kv::table::Table;
use proto::counters::ServerCounters;
use proto::limits::QUEUE_NS_MAX;
use proto::server::{Server, ServerConfig};
use proto::wire::{Kind, Reason};
use udp::counters::TransportCounters;
use udp::transport::Transport as _;

use crate::addresses::{
    is_application, is_genuine, is_hoarder, is_server, server_address, stranger_address,
};
use crate::applications::{Carried, Ledger, application};
use crate::clocks::Process;
use crate::config::Config;
use crate::failure::Failure;
use crate::generators::{Generator, generator};
use crate::hoarder::{self, Hoarders};
use crate::hostile;
use crate::link::{Arrived, Departed};
use crate::machine::{Machine, Runs, Unproved};
use crate::mishap::{Mishap, Whom};
use crate::network::Network;
use crate::on_path::{OnPath, Sent};
use crate::queue::Queue;
use crate::random::Random;
use crate::store::{Life, Written};
use crate::trace::{Datagram, Fate, Trace, What};

/// When a world begins.
pub(crate) const BEGIN_NS: u64 = 1_000_000_000;

/// Sets the applications' source of chance apart from the others of a seed.
const APPLICATIONS_SEED: u64 = u64::from_be_bytes(*b"applicat");

/// A server process: what its workers share.
pub struct Node {
    /// Its records, in this life.
    pub table: Table,
    incarnation: u64,
    /// What workers of earlier lives counted.
    pub past: ServerCounters,
}

impl Node {
    /// The life that it is in, if it has this number.
    #[must_use]
    pub const fn life(&self, server: usize) -> Life {
        Life { server, incarnation: self.incarnation }
    }
}

/// What happens next.
pub(crate) enum Event {
    /// A machine has a round.
    Wake(usize),
    /// A datagram arrives.
    Deliver {
        /// Where.
        to: SocketAddr,
        /// What.
        arrived: Arrived,
    },
    /// Something goes wrong, or is over.
    Mishap(Mishap),
}

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
    /// What the applications know that have ended.
    pub applications: Vec<Ledger>,
    /// Which sessions carried the applications' PUTs.
    pub carried: Carried,
    /// All machines.
    pub machines: Vec<Machine>,
    /// All processes: the servers, then the generators, then the applications.
    pub processes: Vec<Process>,
    /// When the network healed.
    pub healed_ns: Option<u64>,
    pub(crate) network: Network,
    pub(crate) random: Random,
    /// What is drawn for the machines' links.
    pub(crate) links: Random,
    /// What is drawn for the applications.
    pub(crate) apps: Random,
    pub(crate) now_ns: u64,
    pub(crate) queue: Queue<Event>,
    places: BTreeMap<SocketAddr, usize>,
    /// The lives of servers by their incarnations, numbered as they began.
    lives: BTreeMap<u64, u64>,
    pub(crate) unproved: Unproved,
    hoarders: Hoarders,
    /// Cookies and refusals of a worker to an address: how many, and when it began.
    answered: BTreeMap<(SocketAddr, IpAddr, bool), (u64, u64)>,
    /// Who sees all datagrams.
    pub on_path: OnPath,
    /// Datagrams to servers that a hostile sender has seen on their way.
    overheard: Vec<Vec<u8>>,
    pub(crate) failure: Option<Failure>,
}

impl World {
    /// A world at its beginning.
    #[must_use]
    pub fn new(seed: u64, prints: bool) -> Self {
        let mut random = Random::new(seed);
        let mut links = Random::new(!seed);
        let mut apps = Random::new(seed.wrapping_add(APPLICATIONS_SEED));
        let mut on_path = OnPath::draw(seed);
        let mut config = Config::draw(&mut random, &mut links, &mut apps);
        config.is_watched = on_path.is_there() && !config.is_calm();
        if !config.is_watched {
            on_path.rest();
        }
        let hoarders = Hoarders::draw(seed, &mut config);
        let mut world = Self {
            trace: Trace::new(prints),
            written: Written::default(),
            tally: Tally::default(),
            transport: TransportCounters::default(),
            nodes: Vec::new(),
            generators: Vec::new(),
            applications: Vec::new(),
            carried: Carried::default(),
            machines: Vec::new(),
            processes: Vec::new(),
            healed_ns: None,
            network: Network::default(),
            now_ns: BEGIN_NS,
            queue: Queue::default(),
            places: BTreeMap::new(),
            lives: BTreeMap::new(),
            unproved: BTreeMap::new(),
            hoarders,
            answered: BTreeMap::new(),
            on_path,
            overheard: Vec::new(),
            failure: None,
            config,
            random,
            links,
            apps,
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
            let World { config, random, processes, machines, generators, .. } = &mut world;
            let made = generator(config, random, BEGIN_NS, index, processes.len());
            let (generator, process, threads) = made;
            processes.push(process);
            machines.extend(threads);
            generators.push(generator);
        }
        for index in 0..world.config.applications.len() {
            let World { config, apps, processes, machines, generators, .. } = &mut world;
            let plan = &generators[0].plan;
            let (process, machine) =
                application(config, plan, apps, BEGIN_NS, index, processes.len());
            processes.push(process);
            machines.push(machine);
        }
        for (place, machine) in world.machines.iter().enumerate() {
            world.places.insert(machine.address, place);
        }
        if world.random.below(4) == 0 {
            world.network.begin_weather();
        }
        world
    }

    /// A new life of a server: nothing is left of the one before.
    fn new_life(&mut self) -> Node {
        let records = self.config.records as usize;
        let table = Table::new(self.config.table, records, self.config.table_bytes_max);
        let table = table.expect("a simulated store is small");
        let incarnation = self.random.next_u64();
        self.lives.insert(incarnation, self.lives.len() as u64);
        Node { table, incarnation, past: ServerCounters::default() }
    }

    fn new_worker(&mut self, server: usize, worker: u16) -> Server {
        Server::new(ServerConfig {
            mtu_bytes: self.config.server_mtu_bytes,
            window: self.config.server_window,
            workers: self.config.workers,
            worker,
            receive_buffer_bytes: self.config.receive_buffer_bytes,
            rooms: self.config.rooms,
            incarnation: self.nodes.get(server).map_or(0, |node| node.incarnation),
            secret: self.random.bytes_16(),
            rates: self.config.rates,
        })
    }

    /// A server is killed and starts again.
    pub(crate) fn restart(&mut self, server: usize) {
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
        self.answered.retain(|(worker, _, _), _| worker.ip() != ip);
    }

    /// The number of a life: later lives have greater ones.
    #[must_use]
    pub fn life_number(&self, incarnation: u64) -> u64 {
        self.lives.get(&incarnation).copied().expect("a server answered from it")
    }

    /// Where the rest of what befalls somebody is drawn from.
    pub(crate) fn chance(&mut self, whom: Whom) -> &mut Random {
        match whom {
            Whom::Generators => &mut self.random,
            Whom::Applications => &mut self.apps,
        }
    }

    /// The first of their processes, and how many they are.
    pub(crate) fn processes_of(&self, whom: Whom) -> (usize, usize) {
        let (servers, generators) = (self.nodes.len(), self.generators.len());
        match whom {
            Whom::Generators => (servers, generators),
            Whom::Applications => (servers + generators, self.config.applications.len()),
        }
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
    pub(crate) fn check_counted(&mut self, place: usize) {
        if let Err(text) = self.machines[place].link.check_counted() {
            let text = format!("{}: {text}", self.machines[place].address);
            self.fail("unsent", text);
        }
    }

    /// Nobody answers for `address` when a worker sends to it.
    pub(crate) fn silence(&mut self, worker: SocketAddr, address: IpAddr, until_ns: u64) {
        let place = self.places[&worker];
        self.machines[place].link.silence(address, until_ns);
    }

    /// Everybody answers again.
    pub(crate) fn end_silences(&mut self) {
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

    pub(crate) fn fail(&mut self, check: &'static str, text: String) {
        self.failure.get_or_insert(Failure { check, key: None, text });
    }

    pub(crate) fn tell(&mut self, text: String) {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let bytes = text.clone().into_bytes();
        self.trace.add(self.now_ns, nowhere, What::Mishap(text), &bytes);
    }

    pub(crate) fn plan_mishap(&mut self, time_ns: u64, mishap: Mishap) {
        self.push(time_ns, Event::Mishap(mishap));
    }

    pub(crate) fn push(&mut self, time_ns: u64, event: Event) {
        self.queue.push(time_ns.max(self.now_ns), event);
    }

    /// Plans a round, if none is planned before.
    pub(crate) fn plan_wake(&mut self, place: usize, time_ns: u64) {
        let machine = &mut self.machines[place];
        let process = &self.processes[machine.process];
        let time_ns = time_ns.max(machine.busy_until_ns).max(process.paused_until_ns);
        if time_ns < machine.wake_ns {
            machine.wake_ns = time_ns;
            self.push(time_ns, Event::Wake(place));
        }
    }

    pub(crate) fn deliver(&mut self, to: SocketAddr, arrived: Arrived) {
        if is_hoarder(to) {
            let Self { hoarders, config, .. } = self;
            if let Some(sent) = hoarders.answer(config, (arrived.from, to), &arrived.bytes) {
                self.send_of_hoarder(&sent);
            }
        }
        let Some(&place) = self.places.get(&to) else { return }; // A hostile sender's.
        if self.machines[place].arrive(arrived) {
            self.plan_wake(place, self.now_ns);
        } else if !self.machines[place].is_over() {
            self.tally.overflowed += 1;
        }
    }

    /// Hands to the network what has left a machine.
    pub(crate) fn send_departed(&mut self, place: usize) {
        let from = self.machines[place].address;
        for Departed { to, bytes, at_ns, is_stuck } in self.machines[place].link.departed() {
            if is_server(from) {
                self.check_answer(from, to, &bytes);
                self.check_rate(from, to, &bytes);
            } else if is_application(from) {
                self.check_carried(&bytes);
            }
            let passes = self.passes(from, to, &bytes);
            if is_stuck || !passes {
                self.note_sent(from, to, &bytes, Fate::default());
            } else {
                self.send_one(from, to, &bytes, at_ns);
            }
        }
    }

    /// One on the path sees a datagram. Returns whether it lets that pass.
    fn passes(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> bool {
        let Self { on_path, config, generators, healed_ns, .. } = self;
        let (passes, sent) = if is_hoarder(to) {
            (true, None)
        } else if is_server(from) {
            let may_forge = generators[0].window_is_open() && healed_ns.is_none();
            on_path.sees_answer((from, to), bytes, may_forge)
        } else {
            (true, on_path.sees_request(config, (from, to), bytes))
        };
        if let Some(Sent { from, to, bytes, delay_ns }) = sent {
            self.note_sent(from, to, &bytes, Fate { good: 1, damaged: 0 });
            let arrived = Arrived { from, bytes, is_damaged: false };
            self.push(self.now_ns + delay_ns, Event::Deliver { to, arrived });
        }
        passes
    }

    /// Hands a datagram to the network, which has it from `at_ns` on.
    fn send_one(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8], at_ns: u64) {
        let Self { network, random, apps, config, now_ns, overheard, .. } = self;
        let to_server = is_server(to);
        let random = if is_application(from) || is_application(to) { apps } else { random };
        if to_server && is_genuine(from) && config.hostile_datagrams > 0 {
            hostile::overhear(random, overheard, bytes);
        }
        let is_hoarders = is_hoarder(from) || is_hoarder(to);
        let (fate, copies) =
            if !is_hoarders && is_genuine(from) && (is_genuine(to) || is_server(from)) {
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
        let is_refusal = bytes.get(7) == Some(&(Kind::Refuse as u8));
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
        let is_full = is_refusal && bytes[24] == Reason::SessionsFull as u8;
        if is_full && !is_hoarder(to) {
            self.fail("hoarding", format!("{from} has no session for {to}, and many for others"));
        }
        if is_accept && let Err(text) = self.on_path.sees_accept(from, bytes) {
            self.fail("closed sessions", text);
        }
    }

    /// A worker sends an address no more cookies and refusals than its rates allow. Where its
    /// clock jumps, it has more time than the world.
    fn check_rate(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        const COOKIE: u8 = Kind::Cookie as u8;
        const REFUSE: u8 = Kind::Refuse as u8;
        let Config { rates, clock_jumps, early_mishaps, .. } = &self.config;
        let (is_cookie, rate) = match bytes.get(7) {
            Some(&COOKIE) => (true, rates.cookies_by_address),
            Some(&REFUSE) => (false, rates.refusals_by_address),
            _ => return,
        };
        if clock_jumps + early_mishaps > 0 {
            return;
        }
        let now_ns = self.now_ns;
        let answers = self.answered.entry((from, to.ip(), is_cookie)).or_insert((0, now_ns));
        answers.0 += 1;
        let (count, since_ns) = *answers;
        // What it sent first it may have had to send later.
        let passed_ns = now_ns - since_ns + QUEUE_NS_MAX;
        let most = rate.burst + passed_ns.saturating_mul(rate.per_s) / 1_000_000_000 + 1;
        if count > most {
            let text = format!("{from} sent {to} {count} cookies or refusals, and not {most}");
            self.fail("limits", text);
        }
    }

    /// A mutation is never sent under another session (invariant 3).
    fn check_carried(&mut self, bytes: &[u8]) {
        if let Err(text) = self.carried.note(bytes, &self.generators[0].plan.values) {
            self.fail("one session", text);
        }
    }

    /// One who hoards sessions opens more.
    pub(crate) fn hoard(&mut self) {
        for sent in self.hoarders.begin(&self.config) {
            self.send_of_hoarder(&sent);
        }
    }

    fn send_of_hoarder(&mut self, hoarder::Sent { from, to, bytes }: &hoarder::Sent) {
        self.send_one(*from, *to, bytes, self.now_ns);
    }

    /// One datagram of a hostile sender.
    pub(crate) fn be_hostile(&mut self) {
        let from = stranger_address(self.random.between(1, 3));
        let at = self.random.below(self.machines.len() as u64) as usize;
        let Machine { address: to, process, .. } = self.machines[at];
        let clock_ns = self.processes[process].clock_ns(self.now_ns);
        let mtu_bytes = self.config.mtu_bytes;
        let bytes = hostile::datagram(&mut self.random, mtu_bytes, clock_ns, &self.overheard);
        self.send_one(from, to, &bytes, self.now_ns);
    }
}
