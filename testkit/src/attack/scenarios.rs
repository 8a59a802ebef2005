//! What attackers send.

use std::io;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proto::limits::{KEEPALIVE_NS, MTU_BYTES_DEFAULT, MTU_BYTES_MIN};
use proto::pack;
use proto::transmit::{Account, Path, Transmit};
use proto::unpack;
use proto::wire::{HEADER_BYTES, Header, Hello, Kind, Op, client_nonce};
use udp::socket::Socket;
use udp::transport::Transport as _;

use super::limits::SESSIONS_MAX;
use super::pace::at_rate;
use super::session::{RawSession, client_id};
use super::{Attack, Tally};
use crate::random::{Random, entropy};

/// Who attacks, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// A stranger: requests of sessions that nobody opened.
    Unknown,
    /// A stranger: HELLOs, each of another client.
    Hello,
    /// A client: requests that each ask for the counters 180 times.
    Stats,
    /// A client that does not read: requests that each ask 160 times for a value of 1,424 bytes.
    Greedy,
    /// The same client: one such request that was answered, over and over.
    Repeats,
    /// A client that opens as many sessions as a worker has, keeps them, and asks nothing.
    Hoard,
    /// A client that opens a session, closes it, and sends its OPEN again. Each session that
    /// this opens is a success.
    Replay,
    /// As `greedy`, after a pause: in which somebody else may have taken over its address.
    Spoofed,
}

/// The key and the value that greedy clients ask for.
const KEY: &[u8] = b"g";
const VALUE_BYTES: usize = 1424;
/// Different datagrams of a flood.
const DIFFERENT: usize = 256;
/// How long a replayed datagram is waited for.
const REPLAY_WAIT: Duration = Duration::from_millis(50);

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Unknown,
        Self::Hello,
        Self::Stats,
        Self::Greedy,
        Self::Repeats,
        Self::Hoard,
        Self::Replay,
        Self::Spoofed,
    ];

    /// Datagrams a second, unless told otherwise.
    #[must_use]
    pub const fn rate(self) -> u32 {
        match self {
            Self::Unknown => 1_000_000,
            Self::Hello => 300_000,
            Self::Stats => 2_000,
            Self::Greedy | Self::Repeats | Self::Spoofed => 600,
            // It opens sessions one after the other.
            Self::Hoard => 1,
            Self::Replay => 100,
        }
    }
}

/// Attacks. Whoever calls this has checked the target and the bounds.
pub(super) fn run(attack: &Attack, ends: &AtomicBool) -> io::Result<Tally> {
    match attack.scenario {
        Scenario::Unknown => flood(attack, ends, &unknown_requests()),
        Scenario::Hello => flood(attack, ends, &hellos()),
        Scenario::Stats => {
            ask(attack, ends, |request, header| fill(request, header, Op::Stats, &[]))
        }
        Scenario::Greedy | Scenario::Spoofed => {
            ask(attack, ends, |request, header| fill(request, header, Op::Get, KEY))
        }
        Scenario::Repeats => repeat(attack, ends),
        Scenario::Hoard => hoard(attack, ends),
        Scenario::Replay => replay(attack, ends),
    }
}

/// Requests of one GET, of sessions that nobody opened.
fn unknown_requests() -> Vec<Vec<u8>> {
    let mut random = Random::new(entropy());
    let request = |_| {
        let mut request = vec![0; HEADER_BYTES];
        pack::request_entry(&mut request, Op::Get, KEY, &[]);
        let mut header = Header::new(Kind::Request, random.number(), 1 + random.below(1 << 40));
        header.entries = 1;
        pack::seal(&mut request, header);
        request
    };
    (0..DIFFERENT).map(request).collect()
}

fn hellos() -> Vec<Vec<u8>> {
    let hello = |_| {
        let client_id = client_id();
        let mut hello = Vec::new();
        let header = Header::new(Kind::Hello, client_nonce(&client_id), 0);
        pack::control(&mut hello, header, &Hello { client_id }, MTU_BYTES_MIN);
        hello
    };
    (0..DIFFERENT).map(hello).collect()
}

/// Fills a request with one operation.
fn fill(request: &mut Vec<u8>, header: &mut Header, op: Op, key: &[u8]) {
    let entry_bytes = proto::wire::REQUEST_ENTRY_BYTES + key.len();
    while request.len() + entry_bytes <= MTU_BYTES_DEFAULT {
        pack::request_entry(request, op, key, &[]);
        header.entries += 1;
    }
}

/// Sends datagrams of one length in turn, as many in a burst as may be.
fn flood(attack: &Attack, ends: &AtomicBool, datagrams: &[Vec<u8>]) -> io::Result<Tally> {
    let length = datagrams[0].len();
    let bytes = datagrams.concat();
    let bursts: Vec<&[u8]> = bytes.chunks(length * attack.burst).collect();
    let mut socket = Socket::bind(attack.local())?;
    let path = Path::to(attack.target.address());
    let mut tally = Tally::default();
    let mut turns = bursts.iter().cycle();
    tally.took = at_rate(attack.rate, attack.time, ends, || {
        let bytes = turns.next().expect("they go round");
        let now_ns = socket.now_ns();
        let account = Account::Session;
        socket.flush(now_ns);
        socket.send(now_ns, Transmit { path, account, bytes, segment_bytes: length });
        tally.sent_bytes += bytes.len() as u64;
        tally.sent += (bytes.len() / length) as u64;
        (bytes.len() / length) as u64
    });
    Ok(tally)
}

/// Sends new requests in one session, and reads no answer.
fn ask(
    attack: &Attack,
    ends: &AtomicBool,
    write: impl Fn(&mut Vec<u8>, &mut Header),
) -> io::Result<Tally> {
    let session = greedy_session(attack)?;
    let mut request = Vec::new();
    let mut tally = Tally::default();
    let mut sequence = 1000;
    tally.took = at_rate(attack.rate, attack.time, ends, || {
        sequence += 1;
        seal_request(&mut request, session.id, sequence, &write);
        // What has no room is lost, as on any network.
        let _ = session.socket.send(&request);
        tally.sent_bytes += request.len() as u64;
        tally.sent += 1;
        1
    });
    Ok(tally)
}

fn repeat(attack: &Attack, ends: &AtomicBool) -> io::Result<Tally> {
    let session = greedy_session(attack)?;
    let mut request = Vec::new();
    seal_request(&mut request, session.id, 1001, &|request, header| {
        fill(request, header, Op::Get, KEY);
    });
    let mut tally = Tally::default();
    tally.took = at_rate(attack.rate, attack.time, ends, || {
        let _ = session.socket.send(&request);
        tally.sent_bytes += request.len() as u64;
        tally.sent += 1;
        1
    });
    Ok(tally)
}

fn seal_request(
    request: &mut Vec<u8>,
    session: u64,
    sequence: u64,
    write: &impl Fn(&mut Vec<u8>, &mut Header),
) {
    let mut header = Header::new(Kind::Request, session, sequence);
    request.clear();
    request.resize(HEADER_BYTES, 0);
    write(request, &mut header);
    pack::seal(request, header);
}

/// A session, in which the value was written that greedy clients ask for.
fn greedy_session(attack: &Attack) -> io::Result<RawSession> {
    let session = RawSession::open(attack.local(), attack.target.address())?;
    let mut put = Vec::new();
    seal_request(&mut put, session.id, 1000, &|request, header| {
        pack::request_entry(request, Op::Put, KEY, &[7; VALUE_BYTES]);
        header.entries = 1;
    });
    session.socket.send(&put)?;
    let mut reply = [0; 2048];
    session.socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    session.socket.recv(&mut reply)?;
    thread::sleep(attack.pause);
    Ok(session)
}

fn hoard(attack: &Attack, ends: &AtomicBool) -> io::Result<Tally> {
    let server = attack.target.address();
    let socket = UdpSocket::bind(attack.local())?;
    socket.connect(server)?;
    let mut sessions = Vec::new();
    let mut tally = Tally::default();
    let began = Instant::now();
    // A refusal, or no answer, ends the opening of sessions.
    while sessions.len() < SESSIONS_MAX
        && began.elapsed() < attack.time
        && !ends.load(Ordering::Relaxed)
        && let Ok(own) = socket.try_clone()
        && let Ok(session) = RawSession::open_on(own, server)
    {
        sessions.push(session.id);
    }
    tally.successes = sessions.len() as u64;
    // They are kept for as long as the attack lasts: one keep-alive each in each span.
    let per_s = sessions.len() as f64 / (KEEPALIVE_NS as f64 / 1e9);
    let left = attack.time.saturating_sub(began.elapsed());
    let mut turns = sessions.iter().cycle();
    let mut keep_alive = Vec::new();
    at_rate((per_s.ceil() as u32).max(1), left, ends, || {
        if let Some(&id) = turns.next() {
            pack::bare(&mut keep_alive, Header::new(Kind::Request, id, 1));
            let _ = socket.send(&keep_alive);
            tally.sent += 1;
            tally.sent_bytes += keep_alive.len() as u64;
        }
        1
    });
    tally.took = began.elapsed();
    Ok(tally)
}

fn replay(attack: &Attack, ends: &AtomicBool) -> io::Result<Tally> {
    let server = attack.target.address();
    let socket = UdpSocket::bind(attack.local())?;
    socket.connect(server)?;
    let mut tally = Tally::default();
    let mut buffer = [0; 2048];
    let mut close = Vec::new();
    let mut error = None;
    tally.took = at_rate(attack.rate, attack.time, ends, || {
        let opened = socket.try_clone().and_then(|own| RawSession::open_on(own, server));
        let session = match opened {
            Ok(session) => session,
            Err(failed) => {
                error = Some(failed);
                return 1;
            }
        };
        pack::bare(&mut close, Header::new(Kind::Close, session.id, 0));
        let _ = socket.send(&close);
        let _ = socket.send(&session.open);
        tally.sent += 2;
        tally.sent_bytes += (close.len() + session.open.len()) as u64;
        let _ = socket.set_read_timeout(Some(REPLAY_WAIT));
        while let Ok(length) = socket.recv(&mut buffer) {
            let Ok((Kind::Accept, header)) = unpack::header(&buffer[..length]) else { continue };
            if header.sequence != session.id {
                tally.successes += 1;
                break;
            }
        }
        1
    });
    match error {
        Some(error) if tally.sent == 0 => Err(error),
        _ => Ok(tally),
    }
}
