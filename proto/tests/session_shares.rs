//! Who hoards sessions keeps nobody out, and takes nothing from who works.

mod common;

use std::net::SocketAddr;

use common::store::MapStore;
use common::{START_NS, server_config, server_sends, with_window};
use proto::client::{Client, ClientConfig, Ended};
use proto::limits::{
    CREDIT_LIFETIME_NS, CREDIT_MIN, DATAGRAM_OVERHEAD_BYTES, SESSION_ACTIVE_NS, SESSION_SCAN_NS,
    SESSIONS_PER_WORKER_MAX,
};
use proto::server::{Server, ServerConfig};
use proto::session_table::Rooms;
use proto::transmit::{Flush, Path};

/// Datagrams that the worker's receive buffer has room for.
const ROOM: usize = 200;

/// A worker and its clients, with nothing between them.
struct World {
    server: Server,
    clients: Vec<(SocketAddr, Client<u32>)>,
    store: MapStore,
    now_ns: u64,
    answered: usize,
}

impl World {
    fn new(rooms: Rooms) -> Self {
        let config = server_config();
        let receive_buffer_bytes = ROOM * (config.mtu_bytes + DATAGRAM_OVERHEAD_BYTES);
        let server = Server::new(ServerConfig { rooms, receive_buffer_bytes, ..config });
        let (clients, store) = (Vec::new(), MapStore::default());
        Self { server, clients, store, now_ns: START_NS, answered: 0 }
    }

    /// Another client of an address begins to open a session, and all is exchanged.
    fn open(&mut self, address: [u8; 4]) -> usize {
        let number = self.clients.len();
        let at = SocketAddr::from((address, 1000 + (number % 60_000) as u16));
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(number as u64 + 1).to_le_bytes());
        let config = ClientConfig { reply_bytes_max: 1 << 24, ..with_window(64) };
        let server = common::client_address();
        self.clients.push((at, Client::new(self.now_ns, server, id, config)));
        self.exchange(&[number]);
        number
    }

    fn open_all(&mut self, count: usize, address: [u8; 4]) -> Vec<usize> {
        (0..count).map(|_| self.open(address)).collect()
    }

    /// Until these clients have nothing to send.
    fn exchange(&mut self, clients: &[usize]) {
        loop {
            let mut is_quiet = true;
            for &client in clients {
                is_quiet &= self.send(client) == 0;
            }
            self.deliver();
            if is_quiet {
                return;
            }
        }
    }

    /// A client sends all that it may; returns how many datagrams.
    fn send(&mut self, client: usize) -> usize {
        let Self { server, clients, store, now_ns, .. } = self;
        let (at, client) = &mut clients[client];
        let mut sent = 0;
        client.handle_timeout(*now_ns, |_| {});
        while let Some(burst) = client.poll_transmit(*now_ns, Flush::All) {
            for datagram in burst.datagrams() {
                server.handle_datagram(*now_ns, Path::to(*at), datagram, store);
                sent += 1;
            }
        }
        sent
    }

    fn deliver(&mut self) {
        for (to, datagram) in server_sends(&mut self.server) {
            if let Some((_, client)) = self.clients.iter_mut().find(|(at, _)| *at == to) {
                client.handle_datagram(self.now_ns, &datagram, |_| self.answered += 1);
            }
        }
    }

    fn wait(&mut self, time_ns: u64) {
        self.now_ns += time_ns;
        self.server.handle_timeout(self.now_ns);
    }

    fn get(&mut self, client: usize) {
        self.clients[client].1.get(0, b"key").expect("there is room");
    }

    /// A client has a request answered.
    fn ask(&mut self, client: usize) {
        let before = self.answered;
        self.get(client);
        self.exchange(&[client]);
        assert_eq!(self.answered, before + 1);
    }

    /// Requests that a client has outstanding if it has much to ask.
    fn burst(&mut self, client: usize) -> usize {
        let long = [7; 500];
        for token in 0.. {
            if self.clients[client].1.get(token, &long).is_err() {
                break;
            }
        }
        let sent = self.send(client);
        self.deliver();
        self.exchange(&[client]);
        sent
    }

    fn ended(&self, client: usize) -> Option<Ended> {
        self.clients[client].1.ended()
    }

    fn is_open(&self, client: usize) -> bool {
        self.clients[client].1.granted().is_some()
    }
}

const HOARDER: [u8; 4] = [10, 0, 0, 1];
const OTHER: [u8; 4] = [10, 0, 0, 2];

fn rooms(all: usize, per_address: usize) -> Rooms {
    Rooms { all, per_address }
}

#[test]
fn a_thousand_idle_sessions_take_no_credit() {
    // State: one works; a thousand sessions of its own address and another's are opened, and do
    // nothing but show that they are there.
    let mut world = World::new(Rooms::default());
    let worker = world.open(OTHER);
    world.ask(worker);
    let alone = world.burst(worker);
    let mut idle = world.open_all(500, HOARDER);
    idle.extend(world.open_all(500, OTHER));
    for _ in 0..3 {
        world.wait(20 * SESSION_SCAN_NS);
        idle.iter().for_each(|&client| assert_eq!(world.send(client), 1, "a keep-alive"));
        world.ask(worker);
    }

    // Expect: all of the credit, as before.
    assert_eq!(world.server.sessions(), 1001);
    assert_eq!((world.burst(worker), alone), (64, 64));
    let newcomer = world.open([10, 0, 0, 3]);
    world.ask(newcomer);
}

#[test]
fn who_works_in_a_thousand_sessions_takes_half_of_the_credit_from_who_works_in_one() {
    let mut world = World::new(Rooms::default());
    let worker = world.open(OTHER);
    let many = world.open_all(1000, HOARDER);
    many.iter().for_each(|&client| world.ask(client));
    world.ask(worker);
    assert_eq!(world.burst(worker), 64.min(ROOM / 2));
    world.ask(many[0]);
    assert_eq!(world.burst(many[0]), CREDIT_MIN);
}

#[test]
fn a_thousand_that_were_idle_wake_together_with_the_least_each() {
    // State: sessions that have all heard of the whole credit, and were idle since.
    let mut world = World::new(Rooms::default());
    let many = world.open_all(1000, HOARDER);
    for &client in &many {
        world.wait(2 * SESSION_ACTIVE_NS / 100);
        world.ask(client);
    }
    world.wait(CREDIT_LIFETIME_NS);

    // Expect: each sends the least before it hears again; also if nobody told it the time.
    let long = [7; 500];
    for &client in &many {
        while world.clients[client].1.get(1, &long).is_ok() {}
    }
    let sent: usize = many.iter().map(|&client| world.send(client)).sum();
    assert_eq!(sent, 1000 * CREDIT_MIN);
    world.deliver();
    assert!(world.send(many[0]) > 0, "it has heard");
}

#[test]
fn a_new_address_gets_in_at_once_where_another_has_all() {
    // State: an address has all the sessions that there are, and works in all of them.
    let mut world = World::new(Rooms::default());
    let many = world.open_all(SESSIONS_PER_WORKER_MAX, HOARDER);
    many.iter().for_each(|&client| world.ask(client));
    let newcomer = world.open(OTHER);

    // Expect: the one that asked first gave way, and was told; what comes is counted.
    world.ask(newcomer);
    let counters = world.server.counters();
    assert_eq!((counters.sessions_displaced, counters.sessions_refused), (1, 0));
    assert_eq!(world.ended(many[0]), Some(Ended::Forgotten));
    assert!(many[1..].iter().all(|&client| world.is_open(client)));
    assert_eq!(world.server.sessions(), SESSIONS_PER_WORKER_MAX);
}

#[test]
fn a_session_that_gave_way_is_not_opened_by_its_own_open_again() {
    // State: a session that gave way, and its OPEN comes again.
    let mut world = World::new(rooms(2, 2));
    let at = SocketAddr::from((HOARDER, 9));
    let config = with_window(64);
    let mut client: Client<u32> = Client::new(world.now_ns, at, [1; 16], config);
    let mut open = Vec::new();
    while client.granted().is_none() {
        open = client.poll_transmit(world.now_ns, Flush::All).unwrap().bytes.to_vec();
        world.server.handle_datagram(world.now_ns, Path::to(at), &open, &mut world.store);
        for (_, answer) in server_sends(&mut world.server) {
            client.handle_datagram(world.now_ns, &answer, |_| {});
        }
    }
    world.open(HOARDER);
    world.open(OTHER);
    world.server.handle_datagram(world.now_ns, Path::to(at), &open, &mut world.store);

    // Expect: it is refused.
    let counters = world.server.counters();
    assert_eq!((counters.sessions_displaced, counters.opens_late), (1, 1));
}

#[test]
fn one_address_has_no_more_than_its_share_and_its_idle_sessions_give_way_to_its_own() {
    // State: an address has the sessions that one may have, and works in all of them.
    let mut world = World::new(rooms(16, 4));
    let many = world.open_all(4, HOARDER);
    many.iter().for_each(|&client| world.ask(client));
    let refused = world.open(HOARDER);
    assert!(!world.is_open(refused));
    assert_eq!(world.server.counters().sessions_refused, 1);
    assert!(many.iter().all(|&client| world.is_open(client)));

    // Expect: another address is let in, and the first once its sessions are idle.
    let other = world.open(OTHER);
    world.ask(other);
    world.wait(2 * SESSION_ACTIVE_NS);
    world.ask(many[3]);
    let late = world.open(HOARDER);
    world.ask(late);
    assert_eq!(world.ended(many[0]), Some(Ended::Forgotten));
    assert_eq!((world.server.sessions(), world.server.counters().sessions_displaced), (5, 1));
}

#[test]
fn sixty_four_generators_of_sixteen_threads_open_their_sessions_from_one_address() {
    let mut world = World::new(Rooms::default());
    let many = world.open_all(64 * 16, HOARDER);
    many.iter().for_each(|&client| world.ask(client));
    assert!(many.iter().all(|&client| world.is_open(client)));
    let counters = world.server.counters();
    assert_eq!((counters.sessions_displaced, counters.sessions_refused), (0, 0));
}

#[test]
fn hoarders_of_many_addresses_do_not_take_the_last_session_of_another() {
    // State: two addresses fill a worker, and open more, again and again.
    let mut world = World::new(rooms(8, 8));
    let honest = world.open(OTHER);
    world.ask(honest);
    for _ in 0..50 {
        world.open(HOARDER);
        world.open([10, 0, 0, 9]);
        world.wait(SESSION_ACTIVE_NS / 10);
    }

    // Expect: who has one session keeps it, idle as it is.
    assert!(world.is_open(honest));
    world.ask(honest);
}
