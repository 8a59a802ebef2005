//! Many random histories over networks of every quality: what must hold always, does.
//!
//! `LOSSY_SEED=N cargo test -p proto --test lossy` runs one of them; a failure says which.

mod common;

use std::collections::BTreeMap;

use common::random::Random;
use common::store::MapStore;
use common::weather::{Network, Side, Weather};
use common::{End, START_NS, Tokens, client_address, server_config, server_sends};
use proto::client::{Blocked, Client, ClientConfig, Ended, Finished};
use proto::counters::ClientCounters;
use proto::limits::{ANSWER_TIMEOUT_NS, value_bytes_max};
use proto::server::{Server, ServerConfig};
use proto::transmit::{Flush, Path};

const SEEDS: std::ops::Range<u64> = 0..200;
const OPERATIONS: u32 = 300;
/// Sessions after which a history ends, however little was done.
const SESSIONS_MAX: u32 = 12;

/// What the application knows of an operation when it asks for it.
#[derive(Clone, Debug)]
enum Asked {
    Get { key: Vec<u8>, version: u64 },
    Put { key: Vec<u8>, version: u64, value: Vec<u8> },
    Stats,
}

struct History {
    random: Random,
    now_ns: u64,
    network: Network,
    config: ClientConfig,
    client: Client<u32>,
    /// How many clients there were before.
    life: u32,
    server: Server,
    store: MapStore,
    tokens: Tokens,
    asked: BTreeMap<u32, Asked>,
    /// Of all sessions that have ended.
    counters: ClientCounters,
    keys: Vec<Vec<u8>>,
    refuses_percent: u64,
    restarts_percent: u64,
}

fn client_of(life: u32, now_ns: u64, config: ClientConfig) -> Client<u32> {
    let mut id = [5; 16];
    id[..4].copy_from_slice(&life.to_le_bytes());
    Client::new(now_ns, "10.0.0.2:7402".parse().unwrap(), id, config)
}

fn server_of(random: &mut Random, mtu_bytes: usize) -> Server {
    let mut secret = [0; 16];
    secret[..8].copy_from_slice(&random.next().to_le_bytes());
    let receive_buffer_bytes = random.one_of(&[0, 1 << 14, 1 << 20]);
    let incarnation = random.next();
    let config =
        ServerConfig { mtu_bytes, secret, incarnation, receive_buffer_bytes, ..server_config() };
    Server::new(config)
}

impl History {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let weather = Weather::draw(&mut random);
        let sizes = [576, 577, 1200, 1472, 8972];
        let config = ClientConfig {
            mtu_bytes: random.one_of(&sizes),
            window: random.one_of(&[1, 2, 4, 16, 64, 256]),
            reply_bytes_max: random.one_of(&[1, 10_000, 128 << 10]),
            ..ClientConfig::default()
        };
        let server_mtu_bytes = random.one_of(&sizes);
        let server = server_of(&mut random, server_mtu_bytes);
        let keys = (0..1 + random.below(6))
            .map(|key| vec![key as u8; random.one_of(&[1, 8, 100, 512])])
            .collect();
        Self {
            client: client_of(0, START_NS, config),
            life: 0,
            network: Network::new(weather),
            now_ns: START_NS,
            config,
            server,
            store: MapStore::default(),
            tokens: Tokens::default(),
            asked: BTreeMap::new(),
            counters: ClientCounters::default(),
            keys,
            refuses_percent: random.one_of(&[0, 0, 20]),
            restarts_percent: random.one_of(&[0, 0, 0, 1]),
            random,
        }
    }

    fn run(&mut self) {
        while (self.asked.len() as u32) < OPERATIONS && self.life < SESSIONS_MAX {
            self.ask_some();
            self.step();
            if self.random.happens(self.restarts_percent) && self.random.happens(20) {
                let mtu_bytes = self.random.one_of(&[576, 1472]);
                self.server = server_of(&mut self.random, mtu_bytes);
            }
            if self.client.ended().is_some() {
                self.open_another();
            }
        }
        self.network.weather = Weather::CALM;
        let until_ns = self.now_ns + 2 * ANSWER_TIMEOUT_NS;
        while self.tokens.outstanding() > 0 {
            assert!(self.now_ns < until_ns, "the network is well, and something is not answered");
            self.step();
        }
        self.end_session();
    }

    /// Asks for some operations, as many as are taken.
    fn ask_some(&mut self) {
        for _ in 0..self.random.below(8) {
            let token = self.asked.len() as u32;
            let at = self.random.index(self.keys.len());
            let key = self.keys[at].clone();
            let version = self.store.version(&key);
            let (asked, taken) = match self.random.below(100) {
                0..=1 => (Asked::Stats, self.client.stats(token)),
                2..=49 => {
                    let taken = self.client.get(token, &key);
                    (Asked::Get { key, version }, taken)
                }
                _ => {
                    let value = self.value(token, &key);
                    let taken = self.client.put(token, &key, &value);
                    (Asked::Put { key, version, value }, taken)
                }
            };
            match taken {
                Ok(()) => {
                    self.tokens.given(token);
                    self.asked.insert(token, asked);
                }
                Err(Blocked::WindowFull | Blocked::NotOpen) => return,
                Err(Blocked::Length) => panic!("{asked:?} is within the limits"),
            }
        }
    }

    /// A value that no other PUT has.
    fn value(&mut self, token: u32, key: &[u8]) -> Vec<u8> {
        let mtu_bytes = self.client.granted().map_or(576, |granted| granted.mtu_bytes);
        let room = value_bytes_max(mtu_bytes, key.len());
        let bytes = self.random.one_of(&[4, 20.min(room), room / 2, room]).max(4);
        let mut value = token.to_le_bytes().to_vec();
        value.resize(bytes, token as u8);
        value
    }

    /// Sends what there is to send, lets time pass until something happens, and lets it.
    fn step(&mut self) {
        let Self { random, network, now_ns, .. } = self;
        while let Some(transmit) = self.client.poll_transmit(*now_ns, Flush::All) {
            for datagram in transmit.datagrams() {
                network.send(random, *now_ns, Side::Server, datagram);
            }
        }
        for (to, datagram) in server_sends(&mut self.server) {
            assert_eq!(to, client_address());
            network.send(random, *now_ns, Side::Client(self.life), &datagram);
        }
        let timers = [self.client.poll_timeout(), self.server.poll_timeout(), network.due_ns()];
        let next_ns = timers.into_iter().flatten().min().unwrap_or(*now_ns);
        self.now_ns = next_ns.max(self.now_ns + 1000);
        self.store.is_full = self.random.happens(self.refuses_percent);
        while let Some((to, datagram)) = self.network.arrived(self.now_ns) {
            match to {
                Side::Server => {
                    let store = &mut self.store;
                    self.server.handle_datagram(
                        self.now_ns,
                        Path::to(client_address()),
                        &datagram,
                        store,
                    );
                }
                Side::Client(life) if life == self.life => self.hand_to_client(&datagram),
                Side::Client(_) => {}
            }
        }
        let Self { client, tokens, .. } = self;
        client.handle_timeout(self.now_ns, |Finished { token, outcome, .. }| {
            tokens.came_back(token, outcome);
        });
        self.server.handle_timeout(self.now_ns);
    }

    fn hand_to_client(&mut self, datagram: &[u8]) {
        let Self { client, tokens, asked, store, .. } = self;
        client.handle_datagram(self.now_ns, datagram, |Finished { token, outcome, .. }| {
            tokens.came_back(token, outcome);
            check(&asked[&token], tokens.end(token).unwrap(), store);
        });
    }

    fn end_session(&mut self) {
        let Self { client, tokens, .. } = self;
        client.close(|Finished { token, outcome, .. }| tokens.came_back(token, outcome));
        let counters = self.client.counters();
        self.counters.add(counters);
    }

    fn open_another(&mut self) {
        assert_eq!(self.tokens.outstanding(), 0, "a session that ended gives back every token");
        let was_restarted = self.restarts_percent > 0;
        let ended = self.client.ended().expect("it has ended");
        let is_excused = was_restarted || !self.network.weather.is_mild();
        assert!(is_excused || matches!(ended, Ended::OtherVersion(_)), "{ended:?}");
        self.end_session();
        self.life += 1;
        self.client = client_of(self.life, self.now_ns, self.config);
    }

    /// What must hold when all is over.
    fn check_all(&self) {
        let writes = self.store.writes_by_value();
        assert!(writes.values().all(|&count| count == 1), "a PUT was executed twice");
        for (token, asked) in &self.asked {
            let end = self.tokens.end(*token).expect("each token comes back");
            let Asked::Put { value, .. } = asked else { continue };
            let executions = writes.get(value.as_slice()).copied().unwrap_or(0);
            match end {
                End::Stored(_) => assert_eq!(executions, 1),
                End::Full => assert_eq!(executions, 0),
                End::Indeterminate => {}
                _ => panic!("{asked:?} ended as {end:?}"),
            }
        }
        assert_eq!(self.tokens.ended().len(), self.asked.len());
        self.check_counters();
    }
}

impl History {
    /// The counters of all sessions tell what became of the operations.
    fn check_counters(&self) {
        let count = |is: &dyn Fn(&Asked, &End) -> bool| {
            let ends = self.tokens.ended().iter();
            ends.filter(|(token, end)| is(&self.asked[token], end)).count() as u64
        };
        let indeterminate = count(&|_, end| *end == End::Indeterminate);
        let unanswered = count(&|_, end| *end == End::Unanswered);
        let of_gets =
            count(&|asked, end| matches!((asked, end), (Asked::Get { .. }, End::Unanswered)));
        let counters = &self.counters;
        assert_eq!(counters.operations_sent, self.asked.len() as u64);
        assert_eq!((counters.indeterminate, counters.unanswered_gets), (indeterminate, of_gets));
        let answered = counters.operations_sent - indeterminate - unanswered;
        assert_eq!(counters.operations_answered, answered);
    }
}

/// An answer is right if it tells of an instant between the call and now (invariant 2): the
/// store knows every version of every key.
fn check(asked: &Asked, end: &End, store: &MapStore) {
    match (asked, end) {
        (Asked::Get { key, version }, End::Value(read, value)) => {
            assert!((*version..=store.version(key)).contains(read), "{asked:?} read {read}");
            assert_eq!(store.value_at(key, *read), Some(value.as_slice()));
        }
        (Asked::Get { version, .. }, End::NotFound) => assert_eq!(*version, 0, "{asked:?}"),
        // A session of larger datagrams has written what one of smaller cannot read.
        (Asked::Get { version, .. }, End::TooLarge) => assert!(*version > 0 || store.writes() > 0),
        (Asked::Put { key, version, value }, End::Stored(written)) => {
            assert!(written > version, "{asked:?} wrote {written}");
            assert_eq!(store.value_at(key, *written), Some(value.as_slice()));
        }
        (Asked::Put { .. }, End::Full)
        | (Asked::Put { .. }, End::Indeterminate)
        | (Asked::Get { .. } | Asked::Stats, End::Unanswered)
        | (Asked::Stats, End::Value(0, _)) => {}
        _ => panic!("{asked:?} ended as {end:?}"),
    }
}

/// Says which seed it was that failed.
struct Tell(u64);

impl Drop for Tell {
    #[expect(clippy::print_stderr, reason = "a test shows it where it fails")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("run it again with LOSSY_SEED={}", self.0);
        }
    }
}

fn run(seed: u64) -> ClientCounters {
    let _tell = Tell(seed);
    let mut history = History::new(seed);
    history.run();
    history.check_all();
    history.counters
}

#[test]
fn whatever_the_network_does_each_put_happens_once_and_each_answer_is_right() {
    if let Ok(seed) = std::env::var("LOSSY_SEED") {
        let counters = run(seed.parse().expect("LOSSY_SEED is a number"));
        println!("{counters:?}");
        return;
    }
    let mut sum = ClientCounters::default();
    for seed in SEEDS {
        sum.add(&run(seed));
    }
    // The weather was bad enough to be worth it, and good enough to get something done.
    println!("{sum:?}");
    for (name, count) in sum.named() {
        assert!(count > 0, "nothing of {name} happened in all the histories");
    }
    assert!(sum.operations_answered * 10 > sum.operations_sent * 9);
}
