//! An address that has not proved itself gets no more bytes than it sent, and no state.

mod common;

use bytemuck::bytes_of;
use common::random::Random;
use common::{
    OTHER_VERSION, Pair, header_of, kind_of, of_version, only, other_address, server_config,
};
use proto::client::ClientConfig;
use proto::limits::{MTU_BYTES_MAX, MTU_BYTES_MIN};
use proto::pack;
use proto::wire::{Header, Hello, Kind, Op, Open};

/// Hands a datagram of an address that has proved nothing to a worker; returns the bytes
/// that come back, all to that address. Time passes, so that it has not had enough answers.
fn bytes_back(pair: &mut Pair, datagram: &[u8]) -> usize {
    let sessions = pair.server.sessions();
    let writes = pair.store.writes();
    pair.now_ns += 1_000_000;
    pair.hand_to_server_from(other_address(), datagram);
    let replies = pair.replies_to_anybody();
    let bytes: usize = replies.iter().map(|(_, reply)| reply.len()).sum();
    assert!(replies.iter().all(|(to, _)| *to == other_address()));
    assert!(bytes <= datagram.len(), "{bytes} bytes for {}", datagram.len());
    assert_eq!(pair.server.sessions(), sessions, "no state");
    assert_eq!(pair.store.writes(), writes, "no execution");
    bytes
}

/// A worker without sessions.
fn alone() -> Pair {
    Pair::connecting(ClientConfig::default(), server_config())
}

fn request(entries: u16, session: u64) -> Vec<u8> {
    let mut datagram = vec![0; 32];
    for _ in 0..entries {
        pack::request_entry(&mut datagram, Op::Stats, b"", b"");
    }
    let mut header = Header::new(Kind::Request, session, 1);
    header.entries = entries;
    pack::seal(&mut datagram, header);
    datagram
}

#[test]
fn a_hello_of_any_length_gets_no_more_than_it_sent() {
    // State: HELLOs padded to every length.
    let mut pair = alone();
    for bytes in 0..=2000 {
        let mut datagram = Vec::new();
        let header = Header::new(Kind::Hello, 1, 0);
        pack::control(&mut datagram, header, &Hello { client_id: [1; 16] }, bytes);

        // Expect: a cookie only for those that are padded as they must be.
        let back = bytes_back(&mut pair, &datagram);
        assert_eq!(back > 0, bytes >= MTU_BYTES_MIN, "{bytes}");
    }
    assert_eq!(pair.server.sessions(), 0);
}

#[test]
fn an_open_without_a_good_cookie_gets_no_more_than_it_sent() {
    // State: OPENs of every length that claim every kind of terms, with a forged cookie.
    let mut pair = alone();
    for bytes in 0..=2000 {
        for mtu_bytes in [0, 575, 576, bytes as u32, 1472, MTU_BYTES_MAX as u32, u32::MAX] {
            for window in [0, 1, 3, 64, u32::MAX] {
                let mut datagram = Vec::new();
                let open = Open {
                    client_id: [1; 16],
                    issued_at_ns: pair.now_ns,
                    mac: [2; 16],
                    mtu_bytes,
                    window,
                };
                pack::control(&mut datagram, Header::new(Kind::Open, 1, 0), &open, bytes);

                // Expect: at most a refusal.
                assert!([0, 32].contains(&bytes_back(&mut pair, &datagram)));
            }
        }
    }
    assert!(pair.server.counters().cookies_refused > 0, "some were refused for their cookie");
}

#[test]
fn an_acceptance_is_no_longer_than_the_open() {
    // State: OPENs with a good cookie, whose sizes and claims differ.
    for mtu_bytes in [MTU_BYTES_MIN, 1472, MTU_BYTES_MAX] {
        let config = ClientConfig { mtu_bytes, ..ClientConfig::default() };
        let server = proto::server::ServerConfig { mtu_bytes: MTU_BYTES_MAX, ..server_config() };
        let mut pair = Pair::connecting(config, server);
        let hello = pair.request();
        let cookie = only(pair.answers_to(&hello));
        pair.hand_to_client(&cookie);
        let open = pair.request();

        // One that claims more than it is long is not taken.
        let short = &open[..MTU_BYTES_MIN - 1];
        let mut short = short.to_vec();
        pack::seal(&mut short, header_of(&open));
        assert!(pair.answers_to(&short).is_empty());
        assert_eq!(pair.server.sessions(), 0);

        // Expect: exactly as long as what was agreed, which has come through.
        let accept = only(pair.answers_to(&open));
        assert_eq!(kind_of(&accept), Kind::Accept);
        assert_eq!((accept.len(), open.len()), (mtu_bytes, mtu_bytes));
    }
}

#[test]
fn what_is_of_no_session_gets_no_more_than_it_sent() {
    // State: a worker with a session of somebody else; requests and CLOSEs of none, and of
    // that one from a wrong address.
    let mut pair = Pair::open(ClientConfig::default(), server_config());
    let known = pair.client.granted().unwrap().session;
    for session in [0, 1, known, known ^ 1, u64::MAX] {
        for entries in [0, 1, 2, 100, 512] {
            // Expect: a header for each request, nothing for a CLOSE.
            assert_eq!(bytes_back(&mut pair, &request(entries, session)), 32);
        }
        let mut close = Vec::new();
        pack::bare(&mut close, Header::new(Kind::Close, session, 0));
        assert_eq!(bytes_back(&mut pair, &close), 0);
    }
}

#[test]
fn what_only_a_server_sends_gets_nothing() {
    // State: every kind that no client sends.
    let mut pair = alone();
    for kind in [Kind::Cookie, Kind::Accept, Kind::Reply, Kind::Refuse] {
        let mut datagram = Vec::new();
        pack::control(&mut datagram, Header::new(kind, 1, 1), &[0u8; 64], 1472);

        // Expect: silence, and a count.
        assert_eq!(bytes_back(&mut pair, &datagram), 0);
    }
    assert_eq!(pair.server.counters().malformed, 4);
}

#[test]
fn another_version_gets_no_more_than_it_sent() {
    // State: datagrams of another version, of every length and kind.
    let mut pair = alone();
    for bytes in 32..=2000 {
        for kind in 0..=20 {
            let mut datagram = vec![0; bytes];
            let mut header = Header::new(Kind::Hello, 1, 1);
            header.kind = kind;
            pack::seal(&mut datagram, header);
            let back = bytes_back(&mut pair, &of_version(OTHER_VERSION, &datagram));

            // Expect: a refusal, but none of a refusal.
            assert_eq!(back, if kind == Kind::Refuse as u8 { 0 } else { 32 });
        }
    }
}

#[test]
fn garbage_of_every_length_gets_no_more_than_it_sent() {
    // State: garbage; some begins like a datagram, some is sealed like one.
    let mut pair = alone();
    let mut random = Random::new(1);
    for bytes in 0..=2000 {
        let mut datagram: Vec<u8> = (0..bytes).map(|_| random.below(256) as u8).collect();
        bytes_back(&mut pair, &datagram);
        for kind in 0..=9 {
            if bytes < 32 {
                // What is left of a header that was cut.
                let header = Header { kind, ..Header::new(Kind::Hello, 1, 1) };
                datagram.copy_from_slice(&bytes_of(&header)[..bytes]);
            } else {
                let header = Header {
                    kind,
                    flags: random.below(3) as u8,
                    entries: random.below(4) as u16,
                    ..Header::new(Kind::Hello, random.next(), random.below(3))
                };
                pack::seal(&mut datagram, header);
            }

            // Expect: never more than came.
            bytes_back(&mut pair, &datagram);
        }
    }
}
