//! A planted fault does what it says, on the thread where it is planted, and is gone when it
//! is taken back.
#![cfg(feature = "planted-faults")]
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::net::SocketAddr;

use proto::client::{Client, ClientConfig, Finished, Outcome};
use proto::limits::ANSWER_RATES;
use proto::order::{Barrier, Order};
use proto::planted::{Fault, is_due, is_planted, plant};
use proto::server::{Server, ServerConfig};
use proto::store::{Full, Record, Store};
use proto::transmit::{Flush, Path};
use proto::unpack;

const MS: u64 = 1_000_000;

#[derive(Default)]
struct Map(HashMap<Vec<u8>, (u64, Vec<u8>)>);

impl Store for Map {
    fn get(&mut self, keys: &[&[u8]], mut found: impl FnMut(usize, Option<Record<'_>>)) {
        for (index, key) in keys.iter().enumerate() {
            let record = self.0.get(*key);
            found(index, record.map(|(version, value)| Record { version: *version, value }));
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<u64, Full> {
        let (version, stored) = self.0.entry(key.to_vec()).or_default();
        *version += 1;
        *stored = value.to_vec();
        Ok(*version)
    }
}

/// A client and a server, and every datagram between them that arrives.
struct Pair {
    client: Client<u32>,
    server: Server,
    store: Map,
    now_ns: u64,
    /// Datagrams of the client, from the first.
    sent: Vec<Vec<u8>>,
    is_server_heard: bool,
    told: Vec<(u32, String)>,
}

impl Pair {
    fn address() -> SocketAddr {
        "10.0.0.1:4000".parse().unwrap()
    }

    fn client(now_ns: u64, id: u8) -> Client<u32> {
        let config = ClientConfig { answer_timeout_ns: 50 * MS, ..ClientConfig::default() };
        Client::new(now_ns, "10.0.0.2:7400".parse().unwrap(), [id; 16], config)
    }

    /// Plants the fault, and opens a session.
    fn open(fault: Option<Fault>) -> Self {
        plant(fault);
        let config = ServerConfig {
            mtu_bytes: 1472,
            window: 64,
            workers: 1,
            worker: 0,
            receive_buffer_bytes: 1 << 20,
            rooms: proto::session_table::Rooms::default(),
            incarnation: 1,
            secret: [3; 16],
            rates: ANSWER_RATES,
        };
        let mut pair = Self {
            client: Self::client(MS, 1),
            server: Server::new(config),
            store: Map::default(),
            now_ns: MS,
            sent: Vec::new(),
            is_server_heard: true,
            told: Vec::new(),
        };
        pair.run();
        assert!(pair.client.granted().is_some());
        pair
    }

    /// Lets both speak until neither has something to say.
    fn run(&mut self) {
        loop {
            self.now_ns += 1000;
            let Some(transmit) = self.client.poll_transmit(self.now_ns, Flush::All) else { return };
            let datagrams: Vec<_> =
                transmit.bytes.chunks(transmit.segment_bytes).map(<[u8]>::to_vec).collect();
            for datagram in datagrams {
                self.deliver(&datagram);
                self.sent.push(datagram);
            }
        }
    }

    fn deliver(&mut self, datagram: &[u8]) {
        self.server.handle_datagram(
            self.now_ns,
            Path::to(Self::address()),
            datagram,
            &mut self.store,
        );
        while let Some(transmit) = self.server.poll_transmit(Flush::All) {
            for reply in transmit.bytes.chunks(transmit.segment_bytes) {
                if self.is_server_heard {
                    self.client.handle_datagram(
                        self.now_ns,
                        reply,
                        |Finished { token, outcome, .. }| {
                            self.told.push((token, text(outcome)));
                        },
                    );
                }
            }
        }
    }

    fn put(&mut self, value: &str) -> String {
        self.client.put(0, b"key", value.as_bytes()).unwrap();
        self.answer()
    }

    fn get(&mut self) -> String {
        self.client.get(0, b"key").unwrap();
        self.answer()
    }

    fn answer(&mut self) -> String {
        self.run();
        self.told.pop().expect("it is answered").1
    }

    fn stored(&self) -> (u64, &[u8]) {
        let (version, value) = &self.store.0[&b"key"[..]];
        (*version, value)
    }
}

fn text(outcome: Outcome<'_>) -> String {
    match outcome {
        Outcome::Value { version, value } => {
            format!("{} v{version}", String::from_utf8_lossy(value))
        }
        Outcome::Stored { version } => format!("stored v{version}"),
        outcome => format!("{outcome:?}"),
    }
}

#[test]
fn every_fault_has_a_name_of_its_own() {
    for (index, fault) in Fault::ALL.into_iter().enumerate() {
        assert_eq!(Fault::from_name(fault.name()), Some(fault));
        assert_eq!(Fault::ALL.iter().position(|other| *other == fault), Some(index));
    }
    assert_eq!(Fault::from_name("none"), None);
}

#[test]
fn a_fault_is_planted_on_one_thread_until_another_is() {
    plant(Some(Fault::LostUpdate));
    assert!(is_planted(Fault::LostUpdate) && !is_planted(Fault::StaleRead));
    std::thread::spawn(|| assert!(!is_planted(Fault::LostUpdate))).join().unwrap();
    let turns: Vec<_> = (0..4).map(|_| is_due(Fault::LostUpdate, 2)).collect();
    assert_eq!(turns, [false, true, false, true]);
    plant(None);
    assert!(Fault::ALL.into_iter().all(|fault| !is_planted(fault)));
}

#[test]
fn a_duplicate_executes_again() {
    for (fault, versions) in [(None, 1), (Some(Fault::DuplicateExecuted), 2)] {
        let mut pair = Pair::open(fault);
        assert_eq!(pair.put("a"), "stored v1");
        let request = pair.sent.pop().unwrap();
        pair.deliver(&request);
        assert_eq!(pair.stored(), (versions, &b"a"[..]));
    }
}

#[test]
fn an_old_request_executes() {
    for (fault, stored) in [(None, "b"), (Some(Fault::OldRequestExecuted), "a")] {
        let mut pair = Pair::open(fault);
        assert_eq!((pair.put("a"), pair.put("b")), ("stored v1".into(), "stored v2".into()));
        let request = pair.sent[pair.sent.len() - 2].clone();
        pair.deliver(&request);
        assert_eq!(pair.stored().1, stored.as_bytes(), "{fault:?}");
    }
}

#[test]
fn a_put_is_answered_before_it_is_written() {
    let mut pair = Pair::open(Some(Fault::RepliedBeforeWrite));
    assert_eq!((pair.put("a"), pair.get()), ("stored v1".into(), "NotFound".into()));
    assert_eq!((pair.put("b"), pair.get()), ("stored v2".into(), "a v1".into()));
    assert_eq!(pair.get(), "b v2");
}

#[test]
fn a_late_answer_is_taken_for_that_of_the_next_use() {
    for (fault, answer) in [(None, "b v2"), (Some(Fault::SlotReusedEarly), "a v1")] {
        let mut pair = Pair::open(fault);
        assert_eq!((pair.put("a"), pair.get()), ("stored v1".into(), "a v1".into()));
        // The answer to the read comes once more, to the next read of the slot.
        let read = pair.sent.last().unwrap().clone();
        pair.server.handle_datagram(pair.now_ns, Path::to(Pair::address()), &read, &mut pair.store);
        let late = pair.server.poll_transmit(Flush::All).unwrap().bytes.to_vec();
        pair.put("b");
        pair.client.get(7, b"key").unwrap();
        let transmit = pair.client.poll_transmit(pair.now_ns, Flush::All).unwrap();
        let request = transmit.bytes.to_vec();
        pair.client.handle_datagram(pair.now_ns, &late, |Finished { token, outcome, .. }| {
            pair.told.push((token, text(outcome)));
        });
        pair.deliver(&request);
        assert_eq!(pair.told, [(7, answer.to_owned())]);
    }
}

#[test]
fn a_forged_cookie_and_a_changed_datagram_are_taken() {
    use proto::cookie::Cookies;
    let address = Pair::address();
    for fault in [None, Some(Fault::CookieUnchecked), Some(Fault::ChecksumIgnored)] {
        let mut pair = Pair::open(fault);
        let mut cookie = Cookies::new([1; 16]).issue(1, address, [2; 16]);
        cookie.mac[0] ^= 1;
        let believes = Cookies::new([1; 16]).check(1, address, &cookie);
        assert_eq!(believes, fault == Some(Fault::CookieUnchecked));
        pair.put("a");
        let mut changed = pair.sent.pop().unwrap();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(unpack::header(&changed).is_ok(), fault == Some(Fault::ChecksumIgnored));
    }
}

#[test]
fn a_barrier_lets_a_put_pass_what_it_should_wait_for() {
    plant(None);
    let mut barrier = Barrier::default();
    barrier.sent(false);
    assert!(!barrier.admits(Order::Strict, true, 4));
    plant(Some(Fault::BarrierSkipped));
    assert!(barrier.admits(Order::Strict, true, 4) && !barrier.admits(Order::Strict, true, 1));
}

#[test]
fn what_a_lost_session_leaves_is_executed_under_the_next() {
    for (fault, versions) in [(None, 1), (Some(Fault::LostSessionResent), 2)] {
        let mut pair = Pair::open(fault);
        pair.is_server_heard = false;
        pair.client.put(9, b"key", b"a").unwrap();
        pair.run();
        while pair.client.ended().is_none() {
            pair.now_ns += MS;
            pair.client.handle_timeout(pair.now_ns, |Finished { token, outcome, .. }| {
                pair.told.push((token, text(outcome)));
            });
        }
        assert_eq!(pair.told, [(9, "Indeterminate { ended: NoAnswer }".to_owned())]);
        pair.is_server_heard = true;
        pair.client = Pair::client(pair.now_ns, 2);
        pair.run();
        assert_eq!(pair.stored(), (versions, &b"a"[..]));
        assert_eq!(pair.put("b"), format!("stored v{}", versions + 1), "the session goes on");
    }
}

#[test]
fn one_read_in_many_finds_what_was_there_before() {
    let mut pair = Pair::open(Some(Fault::StaleRead));
    pair.put("a");
    pair.put("b");
    let read: Vec<_> = (0..Fault::STALE_READ_ONE_IN).map(|_| pair.get()).collect();
    assert_eq!(read.iter().filter(|value| *value == "a v1").count(), 1);
    assert_eq!(read.last().unwrap(), "a v1");
}
