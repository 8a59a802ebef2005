//! A client and a server under a script that loses, repeats, reorders, delays and damages
//! their datagrams: each PUT takes effect at most once, and exactly once if it is answered;
//! each answer tells of an instant between the question and the answer.

use std::collections::BTreeMap;

use arbitrary::Unstructured;
use proto::client::{Blocked, ClientConfig};
use proto::limits::{ANSWER_TIMEOUT_NS, KEY_BYTES_MAX, value_bytes_max};
use proto::server::{Server, ServerConfig};
use proto::transmit::Flush;
use proto::wire::{HEADER_BYTES, REPLY_ENTRY_BYTES};

use super::ends::{End, Ends, Pair, START_NS, client_address, client_of, server_config, stranger};
use super::{any, below, bytes, one_of};

/// Steps after which a script ends, however long it is.
const STEPS_MAX: usize = 1000;
/// Datagrams under way in one direction; the oldest of more are lost.
const UNDER_WAY_MAX: usize = 128;
const KEYS: usize = 4;
const MTU_BYTES: [usize; 4] = [1472, 576, 577, 8972];

/// The bytes are a script: how both ends are set up, then step by step what happens.
pub fn run(input: &[u8]) {
    let input = &mut Unstructured::new(input);
    let mut script = Script::new(input);
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        script.step(input);
    }
    script.finish();
}

/// What was asked for, and what the store knew then.
#[derive(Clone, Debug)]
enum Asked {
    Get { key: Vec<u8>, version: u64 },
    Put { key: Vec<u8>, version: u64, value: Vec<u8> },
    Stats,
}

/// A direction of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

#[derive(Debug)]
struct Script {
    pair: Pair,
    client: ClientConfig,
    server: ServerConfig,
    /// Clients and servers so far: each has a name, or a secret, of its own.
    lives: u32,
    asked: BTreeMap<u32, Asked>,
    ended: BTreeMap<u32, End>,
    /// Operations that were not taken: they must not happen.
    refused: u32,
    to_client: Vec<Vec<u8>>,
    to_server: Vec<Vec<u8>>,
}

impl Script {
    fn new(input: &mut Unstructured<'_>) -> Self {
        let client = ClientConfig {
            mtu_bytes: one_of(input, &MTU_BYTES),
            window: one_of(input, &[4, 1, 2, 64]),
            reply_bytes_max: one_of(input, &[128 << 10, 1, 4000]),
            ..ClientConfig::default()
        };
        let server = ServerConfig {
            mtu_bytes: one_of(input, &MTU_BYTES),
            receive_buffer_bytes: one_of(input, &[1 << 20, 0, 1 << 14]),
            ..server_config()
        };
        let mut script = Self {
            pair: Pair::new(client_of(START_NS, [0; 16], client), server),
            client,
            server,
            lives: 0,
            asked: BTreeMap::new(),
            ended: BTreeMap::new(),
            refused: 0,
            to_client: Vec::new(),
            to_server: Vec::new(),
        };
        // Most scripts are about what follows the handshake.
        if below(input, 4) > 0 {
            let ends = script.pair.settle();
            script.check(ends);
            assert!(script.pair.client.granted().is_some(), "nothing was lost");
        }
        script
    }

    fn step(&mut self, input: &mut Unstructured<'_>) {
        match below(input, 16) {
            0 | 1 => self.put(input),
            2 | 3 => self.get(input),
            4 => self.send(Side::Client, Flush::All),
            5 => self.send(Side::Server, Flush::All),
            6 | 7 => self.deliver(input, Side::Server),
            8 | 9 => self.deliver(input, Side::Client),
            10 => {
                let side = one_of(input, &[Side::Client, Side::Server]);
                self.mistreat(input, side);
            }
            11 | 12 => self.wait(input),
            13 => self.exchange(),
            14 => self.stats(),
            _ => self.happen(input),
        }
    }

    fn token(&self) -> u32 {
        self.asked.len() as u32 + self.refused
    }

    fn ask(&mut self, asked: Asked) {
        let token = self.token();
        let taken = self.pair.ask(token, |client| match &asked {
            Asked::Get { key, .. } => client.get(token, key),
            Asked::Put { key, value, .. } => client.put(token, key, value),
            Asked::Stats => client.stats(token),
        });
        match taken {
            Ok(()) => assert!(self.asked.insert(token, asked).is_none()),
            Err(Blocked::WindowFull | Blocked::NotOpen) => self.refused += 1,
            Err(Blocked::Length) => panic!("{asked:?} is within the limits"),
        }
    }

    fn get(&mut self, input: &mut Unstructured<'_>) {
        let key = key(below(input, KEYS));
        let version = self.pair.store.version(&key);
        self.ask(Asked::Get { key, version });
    }

    fn put(&mut self, input: &mut Unstructured<'_>) {
        let key = key(below(input, KEYS));
        let version = self.pair.store.version(&key);
        let mtu_bytes = self.pair.client.granted().map_or(MTU_BYTES[1], |terms| terms.mtu_bytes);
        let room = value_bytes_max(mtu_bytes, key.len());
        let bytes = one_of(input, &[0, 100, room / 2, room]);
        // It begins with its token, so no two PUTs have the same.
        let mut value = self.token().to_le_bytes().to_vec();
        value.resize(bytes.clamp(4, room.max(4)), 1);
        self.ask(Asked::Put { key, version, value });
    }

    fn stats(&mut self) {
        self.ask(Asked::Stats);
    }

    /// Puts under way what one end has to send.
    fn send(&mut self, from: Side, flush: Flush) {
        let under_way = match from {
            Side::Client => {
                let requests = self.pair.requests(flush);
                self.to_server.extend(requests);
                &mut self.to_server
            }
            Side::Server => {
                // What goes to strangers is of no concern to the client.
                let replies = self.pair.replies(flush);
                let replies = replies.into_iter().filter(|(to, _)| *to == client_address());
                self.to_client.extend(replies.map(|(_, datagram)| datagram));
                &mut self.to_client
            }
        };
        let lost = under_way.len().saturating_sub(UNDER_WAY_MAX);
        under_way.drain(..lost);
    }

    fn under_way(&mut self, to: Side) -> &mut Vec<Vec<u8>> {
        match to {
            Side::Client => &mut self.to_client,
            Side::Server => &mut self.to_server,
        }
    }

    fn hand_to(&mut self, to: Side, datagram: &[u8]) {
        match to {
            Side::Client => {
                let ends = self.pair.hand_to_client(datagram);
                self.check(ends);
            }
            Side::Server => self.pair.hand_to_server(client_address(), datagram),
        }
    }

    /// Delivers one of the datagrams under way: any but the first is reordered.
    fn deliver(&mut self, input: &mut Unstructured<'_>, to: Side) {
        if let Some(index) = self.pick(input, to) {
            let datagram = self.under_way(to).remove(index);
            self.hand_to(to, &datagram);
        }
    }

    fn pick(&mut self, input: &mut Unstructured<'_>, to: Side) -> Option<usize> {
        let count = self.under_way(to).len();
        (count > 0).then(|| below(input, count))
    }

    /// Loses, repeats, damages or cuts one of the datagrams under way.
    fn mistreat(&mut self, input: &mut Unstructured<'_>, to: Side) {
        let Some(index) = self.pick(input, to) else { return };
        let mut datagram = self.under_way(to)[index].clone();
        match below(input, 4) {
            0 => {
                self.under_way(to).remove(index);
            }
            1 => self.hand_to(to, &datagram),
            2 => {
                // No change of at most 32 bits in a row has the same checksum.
                let at = below(input, datagram.len());
                let change: [u8; 4] = any(input);
                for (byte, change) in datagram[at..].iter_mut().zip(change) {
                    *byte ^= change;
                }
                self.hand_to(to, &datagram);
            }
            _ => {
                datagram.truncate(below(input, datagram.len()));
                self.hand_to(to, &datagram);
            }
        }
    }

    /// Lets time pass, and looks at the timers of one end, of both or of none.
    fn wait(&mut self, input: &mut Unstructured<'_>) {
        let times_ns = [0, 1_000, 1_000_000, 20_000_000, 60_000_000, 300_000_000];
        let long_ns = [1_000_000_000, 5_000_000_000, 11_000_000_000, 61_000_000_000];
        self.pair.now_ns += match below(input, 8) {
            at @ 0..=5 => times_ns[at],
            6 => one_of(input, &long_ns),
            _ => {
                let due_ns = self.pair.client.poll_timeout().unwrap_or(0);
                due_ns.saturating_sub(self.pair.now_ns)
            }
        };
        let whose = below(input, 4);
        if whose != 1 {
            let ends = self.pair.run_client_timers();
            self.check(ends);
        }
        if whose < 2 {
            self.pair.server.handle_timeout(self.pair.now_ns);
        }
    }

    /// Everything under way arrives in its order, and all answers to it.
    fn exchange(&mut self) {
        self.send(Side::Client, Flush::All);
        for datagram in std::mem::take(&mut self.to_server) {
            self.hand_to(Side::Server, &datagram);
        }
        self.send(Side::Server, Flush::All);
        for datagram in std::mem::take(&mut self.to_client) {
            self.hand_to(Side::Client, &datagram);
        }
    }

    /// What happens rarely.
    fn happen(&mut self, input: &mut Unstructured<'_>) {
        match below(input, 8) {
            0 => {
                let ends = self.pair.close();
                self.check(ends);
            }
            1 => self.open_another(input),
            2 => self.restart(input),
            3 => self.pair.store.is_full ^= true,
            4 => self.send(Side::Client, Flush::Full),
            5 => self.send(Side::Server, Flush::Full),
            6 => self.pair.client.set_reply_bytes_max(one_of(input, &[128 << 10, 1, 4000])),
            _ => self.stranger_speaks(input),
        }
    }

    /// The application gives the session up and begins another; what is under way for the
    /// earlier one still arrives.
    fn open_another(&mut self, input: &mut Unstructured<'_>) {
        if self.pair.client.ended().is_none() {
            let ends = self.pair.close();
            self.check(ends);
            self.send(Side::Client, Flush::All);
        }
        self.client.mtu_bytes = one_of(input, &MTU_BYTES);
        self.lives += 1;
        let mut id = [0; 16];
        id[..4].copy_from_slice(&self.lives.to_le_bytes());
        self.pair.client = client_of(self.pair.now_ns, id, self.client);
    }

    /// The worker forgets its sessions. It would forget its records too, but so it is seen
    /// that no request of an earlier life executes in a later one.
    fn restart(&mut self, input: &mut Unstructured<'_>) {
        self.lives += 1;
        self.server.mtu_bytes = one_of(input, &MTU_BYTES);
        self.server.incarnation += 1;
        self.server.secret[..4].copy_from_slice(&self.lives.to_le_bytes());
        self.pair.server = Server::new(self.server);
    }

    /// Somebody else repeats a datagram of the client, or says anything.
    fn stranger_speaks(&mut self, input: &mut Unstructured<'_>) {
        let writes = self.pair.store.writes().count();
        let datagram = match self.pick(input, Side::Server) {
            Some(index) => self.to_server[index].clone(),
            None => bytes(input, 64).to_vec(),
        };
        self.pair.hand_to_server(stranger(), &datagram);
        assert_eq!(self.pair.store.writes().count(), writes, "a session is of one address");
    }

    /// Each answer is right at the time when it comes.
    fn check(&mut self, ends: Ends) {
        for (token, end) in ends {
            self.check_one(token, &end);
            assert!(self.ended.insert(token, end).is_none(), "token {token} ended twice");
        }
    }

    fn check_one(&self, token: u32, end: &End) {
        let store = &self.pair.store;
        let asked = &self.asked[&token];
        match (asked, end) {
            (Asked::Get { key, version }, End::Value(read, value)) => {
                assert!((*version..=store.version(key)).contains(read), "{asked:?} read {read}");
                assert_eq!(store.value_at(key, *read), Some(value.as_slice()), "{asked:?}");
            }
            (Asked::Get { version, .. }, End::NotFound) => assert_eq!(*version, 0, "{asked:?}"),
            (Asked::Get { key, version }, End::TooLarge) => {
                // A session of larger datagrams wrote what this one cannot carry.
                let granted = self.pair.client.granted().expect("it is open");
                let room = granted.mtu_bytes - HEADER_BYTES - REPLY_ENTRY_BYTES;
                let mut held = (*version..=store.version(key)).map(|at| store.value_at(key, at));
                assert!(held.any(|value| value.is_some_and(|value| value.len() > room)));
            }
            (Asked::Put { key, version, value }, End::Stored(written)) => {
                assert!(written > version, "{asked:?} wrote {written}");
                assert_eq!(store.value_at(key, *written), Some(value.as_slice()), "{asked:?}");
            }
            (Asked::Put { .. }, End::Full | End::Indeterminate)
            | (Asked::Get { .. } | Asked::Stats, End::Unanswered)
            | (Asked::Stats, End::Value(0, _)) => {}
            _ => panic!("{asked:?} ended as {end:?}"),
        }
    }

    /// The network is well from now on: all that is outstanding ends, and then everything
    /// that was ever under way arrives once more.
    fn finish(mut self) {
        let stale = (self.to_server.clone(), self.to_client.clone());
        let until_ns = self.pair.now_ns + 2 * ANSWER_TIMEOUT_NS;
        while self.pair.outstanding() > 0 {
            self.exchange();
            assert!(self.pair.now_ns < until_ns, "the network is well, and nobody answers");
            let due_ns = self.pair.client.poll_timeout().unwrap_or(0);
            self.pair.now_ns = due_ns.max(self.pair.now_ns + 1_000);
            let ends = self.pair.run_client_timers();
            self.check(ends);
            self.pair.server.handle_timeout(self.pair.now_ns);
        }
        for datagram in stale.0 {
            self.hand_to(Side::Server, &datagram);
        }
        for datagram in stale.1 {
            self.hand_to(Side::Client, &datagram);
        }
        let ends = self.pair.close();
        self.check(ends);
        self.exchange();
        self.check_all();
    }

    /// What must hold when all is over: each write is of a PUT that was asked for, and of
    /// no PUT are there two.
    fn check_all(&self) {
        assert_eq!(self.ended.len(), self.asked.len(), "each token comes back");
        let mut executed = BTreeMap::new();
        for (key, value) in self.pair.store.writes() {
            let token = u32::from_le_bytes(*value.first_chunk().expect("it begins with its token"));
            let Some(Asked::Put { key: of, value: asked, .. }) = self.asked.get(&token) else {
                panic!("nobody asked to write {token}");
            };
            assert_eq!((key, value), (&of[..], &asked[..]));
            assert!(executed.insert(token, ()).is_none(), "PUT {token} was executed twice");
        }
        for (token, end) in &self.ended {
            match end {
                End::Stored(_) => assert!(executed.contains_key(token), "{token} is not there"),
                End::Full => assert!(!executed.contains_key(token), "{token} was refused"),
                _ => {}
            }
        }
    }
}

/// One of few keys, short and long.
fn key(number: usize) -> Vec<u8> {
    vec![number as u8; [1, 8, 100, KEY_BYTES_MAX][number]]
}
