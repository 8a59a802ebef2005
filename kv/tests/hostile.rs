//! Bytes of any kind from addresses that never proved themselves (invariants 4, 5 and 8).
#![forbid(unsafe_code)]

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use client::{Config, Connection, Version};
use proto::limits::{BURST_BYTES_MAX, MTU_BYTES_DEFAULT};
use proto::pack;
use proto::unpack::{self, Malformed};
use proto::wire::{FLAG_MUTATIONS_ONLY, HEADER_BYTES, Header, Kind, MAGIC, VERSION};
use testkit::DEADLINE;
use testkit::networks::Filter;
use testkit::process::Signal;
use testkit::random::Random;
use testkit::relay::{Direction, Passage, Relay};
use testkit::server::Server;

const KV: &str = env!("CARGO_BIN_EXE_kv");
const DATAGRAMS_OF_A_KIND: usize = 2_000;
/// Datagrams between two questions of a legitimate client, each from an address of its own;
/// few enough for any receive buffer.
const VOLLEY: usize = 40;

/// A source of datagrams that never opens a session.
struct Attacker(UdpSocket);

impl Attacker {
    fn new(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.connect(server).expect("a local address");
        socket.set_nonblocking(true).expect("it can be");
        Self(socket)
    }

    fn send(&self, datagram: &[u8]) {
        self.0.send(datagram).expect("the send buffer has room");
    }

    /// How many bytes have come back.
    fn receive_all(&self) -> usize {
        let mut buffer = [0; 1 << 16];
        let mut received_bytes = 0;
        loop {
            match self.0.recv(&mut buffer) {
                Ok(length) => received_bytes += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return received_bytes,
                Err(error) => panic!("the server is gone: {error}"),
            }
        }
    }
}

/// A connection whose calls wait as long as a test does.
fn connect(server: SocketAddr) -> Connection {
    let config = Config::default().with_connect_timeout(DEADLINE).with_timeout(DEADLINE);
    Connection::connect_with(&[server], &config).expect("it answers")
}

/// Stands before a server, and overhears what is sent to it.
fn overhear(server: SocketAddr) -> (Relay<impl testkit::relay::Network>, Arc<Mutex<Vec<Vec<u8>>>>) {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let overheard = sent.clone();
    let overhear = move |passage: &mut Passage| {
        if passage.direction == Direction::ToServer {
            overheard.lock().expect("nobody panicked").push(passage.bytes.clone());
        }
        true
    };
    (Relay::start(&[server], Filter(overhear)), sent)
}

/// What a server must count, whatever else it finds wrong.
#[derive(Default)]
struct Expected {
    malformed: u64,
    other_version: u64,
}

impl Expected {
    fn note(&mut self, datagram: &[u8]) {
        let is_malformed = match unpack::header(datagram) {
            Err(Malformed::OtherVersion(_)) => {
                self.other_version += 1;
                false
            }
            Err(_) => true,
            Ok((kind, header)) => is_malformed(kind, &header, datagram),
        };
        self.malformed += u64::from(is_malformed);
    }
}

/// Whether a datagram with a good header is malformed for certain.
fn is_malformed(kind: Kind, header: &Header, datagram: &[u8]) -> bool {
    match kind {
        Kind::Cookie | Kind::Accept | Kind::Reply | Kind::Refuse => true,
        Kind::Request => {
            header.sequence == 0
                || header.flags & !FLAG_MUTATIONS_ONLY != 0
                || unpack::requests(datagram, header.entries, &mut Vec::new()).is_err()
        }
        // What else is wrong with these is for the server to find.
        Kind::Hello | Kind::Open | Kind::Close => false,
    }
}

#[test]
fn hostile_datagrams_are_counted_and_neither_stop_nor_amplify() {
    let mut random = Random::for_test("hostile");
    let server = Server::start(KV, &[]);
    let (relay, sent) = overhear(server.address);
    let mut client = connect(relay.fronts[0]);
    assert_eq!(client.put(b"key", b"value").map(Version::number), Ok(1));
    let valid = sent.lock().expect("nobody panicked").clone();
    assert_eq!(kinds(&valid), [Kind::Hello, Kind::Open, Kind::Request]);

    let random_ones: Vec<_> = (0..DATAGRAMS_OF_A_KIND).map(|_| any_bytes(&mut random)).collect();
    let mutated = (0..DATAGRAMS_OF_A_KIND).map(|_| {
        let original = &valid[random.index(valid.len())];
        mutate(original.clone(), &mut random)
    });
    let datagrams: Vec<_> = mutated.chain(random_ones).collect();

    let attackers: Vec<_> = (0..VOLLEY).map(|_| Attacker::new(server.address)).collect();
    let mut answers_bytes = 0;
    let mut expected = Expected::default();
    for (volley, datagrams) in datagrams.chunks(VOLLEY).enumerate() {
        for (attacker, datagram) in attackers.iter().zip(datagrams) {
            expected.note(datagram);
            attacker.send(datagram);
        }
        // The server reads in the order of arrival and answers in the order of reading: with
        // this answer, all before it were read, and what they cause has arrived.
        let record = client.get(b"key").expect("it is answered").expect("it is there");
        assert_eq!(
            (record.version.number(), &record.value[..]),
            (1, &b"value"[..]),
            "volley {volley}"
        );
        for (attacker, datagram) in attackers.iter().zip(datagrams) {
            let (sent, received) = (datagram.len(), attacker.receive_all());
            assert!(received <= sent, "{received} bytes for {sent}: {datagram:?}");
            answers_bytes += received;
        }
    }
    assert!(answers_bytes > 0, "some were answered, or this shows nothing");

    let totals = server.end(Signal::TERM);
    let (malformed, other_version) = (totals.of("malformed"), totals.of("other_version"));
    println!(
        "malformed {malformed}, at least {}; answers {answers_bytes} bytes",
        expected.malformed
    );
    assert_eq!(totals.ended.status, Some(0));
    assert_eq!((totals.of("kernel_drops"), client_puts(&totals)), (0, (1, 1, 1)), "{totals:?}");
    assert!(expected.malformed > DATAGRAMS_OF_A_KIND as u64, "or this shows nothing");
    assert!(malformed >= expected.malformed, "{totals:?}");
    assert!(expected.other_version > 0, "or this shows nothing");
    assert_eq!(other_version, expected.other_version, "{totals:?}");
    assert!(totals.of("cookies_refused") > 0, "a cookie is good for its address only: {totals:?}");
    assert!(totals.of("unknown_session") > 0, "so is a session: {totals:?}");
}

#[test]
fn the_shortest_and_the_longest_datagram_are_counted() {
    let server = Server::start(KV, &[]);
    let attacker = Attacker::new(server.address);
    attacker.send(&[]);
    attacker.send(&[0; BURST_BYTES_MAX]);
    assert_eq!(connect(server.address).get(b"key"), Ok(None));
    assert_eq!(attacker.receive_all(), 0);
    assert_eq!(server.end(Signal::TERM).of("malformed"), 2);
}

/// PUTs, records and sessions: those of the client and no others.
fn client_puts(totals: &testkit::server::Totals) -> (u64, u64, u64) {
    (totals.of("puts"), totals.of("records"), totals.of("sessions_opened"))
}

fn kinds(datagrams: &[Vec<u8>]) -> Vec<Kind> {
    let kinds = datagrams.iter().map(|datagram| unpack::header(datagram).expect("it is valid").0);
    let mut kinds: Vec<_> = kinds.collect();
    kinds.dedup(); // On a busy machine one is sent twice.
    kinds
}

/// Bytes of any kind and length; every other is ours in its first look.
fn any_bytes(random: &mut Random) -> Vec<u8> {
    let length = random.index(MTU_BYTES_DEFAULT + 1);
    let mut bytes = random.bytes(length);
    if bytes.len() >= HEADER_BYTES && random.happens(50) {
        bytes[4..6].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[6] = VERSION + u8::from(random.happens(10));
        bytes[7] = 1 + random.index(9) as u8;
        reseal(&mut bytes, random);
    }
    bytes
}

/// A datagram that was valid, with bytes changed, cut off or added.
fn mutate(mut datagram: Vec<u8>, random: &mut Random) -> Vec<u8> {
    match random.index(4) {
        0 => {}
        1 => datagram.truncate(random.index(datagram.len() + 1)),
        2 => {
            let more = 1 + random.index(100);
            datagram.extend(random.bytes(more));
        }
        // Most of what means something is at the front.
        _ => {
            for _ in 0..=random.index(4) {
                let length = datagram.len().min(if random.happens(80) { 100 } else { usize::MAX });
                datagram[random.index(length)] ^= 1 << random.index(8);
            }
        }
    }
    reseal(&mut datagram, random);
    datagram
}

/// Gives a datagram a good checksum most of the time: the checks behind it have to hold too.
fn reseal(datagram: &mut [u8], random: &mut Random) {
    if datagram.len() >= HEADER_BYTES && random.happens(70) {
        let header = unpack::unchecked_header(datagram);
        pack::seal(datagram, header);
    }
}
