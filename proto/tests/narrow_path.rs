//! A path that carries smaller datagrams than its ends send.

mod common;

use common::{End, Pair, server_config};
use proto::client::{ClientConfig, Ended};
use proto::limits::{ANSWER_TIMEOUT_NS, MTU_BYTES_MIN, MTU_STEPS};

const MTU_BYTES: usize = 1472;
const MS: u64 = 1_000_000;

/// The largest datagrams that pass, each way.
#[derive(Clone, Copy)]
struct Narrow {
    to_server: usize,
    to_client: usize,
}

/// Lets time pass, and delivers what is small enough, until the session has opened or ended.
fn connect(pair: &mut Pair, path: Narrow) {
    while pair.client.granted().is_none() && pair.client.ended().is_none() {
        let requests = pair.requests();
        if requests.is_empty() {
            pair.wait_for_client();
        }
        deliver(pair, path, requests);
    }
}

fn deliver(pair: &mut Pair, path: Narrow, requests: Vec<Vec<u8>>) {
    for request in requests.iter().filter(|request| request.len() <= path.to_server) {
        pair.hand_to_server(request);
    }
    for reply in pair.replies().iter().filter(|reply| reply.len() <= path.to_client) {
        pair.hand_to_client(reply);
    }
}

fn connecting() -> Pair {
    let config = ClientConfig { mtu_bytes: MTU_BYTES, ..ClientConfig::default() };
    Pair::connecting(config, server_config())
}

fn mtu_bytes(pair: &Pair) -> Option<usize> {
    pair.client.granted().map(|granted| granted.mtu_bytes)
}

#[test]
fn a_session_opens_with_the_largest_step_that_the_path_carries() {
    for carried in [MTU_BYTES, 1471, 1372, 1371, 1300, 1232, 700, MTU_BYTES_MIN] {
        let expected = MTU_STEPS.into_iter().filter(|&step| step <= carried).max();
        for path in [
            Narrow { to_server: carried, to_client: carried },
            Narrow { to_server: carried, to_client: MTU_BYTES },
        ] {
            let mut pair = connecting();
            let began_ns = pair.now_ns;
            connect(&mut pair, path);
            assert_eq!(mtu_bytes(&pair), expected, "{carried}");
            let took_ms = (pair.now_ns - began_ns) / MS;
            assert!(took_ms <= 1200, "{carried}: {took_ms} ms");
            // It carries what it promises.
            pair.put(1, b"key", &vec![7; mtu_bytes(&pair).unwrap() - 48]);
            let requests = pair.requests();
            deliver(&mut pair, path, requests);
            assert_eq!(pair.end(1), Some(&End::Stored(1)));
        }
    }
}

#[test]
fn a_path_that_is_narrow_only_to_the_client_is_found_too() {
    for carried in [1372, 1232, MTU_BYTES_MIN] {
        let mut pair = connecting();
        connect(&mut pair, Narrow { to_server: MTU_BYTES, to_client: carried });
        assert_eq!(mtu_bytes(&pair), Some(carried));
    }
}

#[test]
fn a_client_settles_for_no_less_than_it_was_told() {
    let config = ClientConfig { mtu_bytes_min: 1400, ..ClientConfig::default() };
    let mut pair = Pair::connecting(config, server_config());
    connect(&mut pair, Narrow { to_server: 1372, to_client: 1372 });
    assert_eq!(pair.client.ended(), Some(Ended::NoAnswer));
}

#[test]
fn a_server_that_answers_late_gets_a_session_of_full_size() {
    // State: nobody answers for some seconds, then all that is sent arrives.
    let mut pair = connecting();
    let began_ns = pair.now_ns;
    while pair.now_ns < began_ns + 4000 * MS {
        pair.requests();
        pair.wait_for_client();
    }
    connect(&mut pair, Narrow { to_server: MTU_BYTES, to_client: MTU_BYTES });

    // Expect: the largest of those that arrived together is taken.
    assert_eq!(mtu_bytes(&pair), Some(MTU_BYTES));
}

#[test]
fn a_session_whose_path_narrows_ends_with_that_reason() {
    // State: a session of full size, whose path carries less from now on.
    let path = Narrow { to_server: 1372, to_client: 1372 };
    let mut pair = connecting();
    connect(&mut pair, Narrow { to_server: MTU_BYTES, to_client: MTU_BYTES });
    pair.put(1, b"large", &[7; 1400]);
    let requests = pair.requests();
    deliver(&mut pair, path, requests);
    let began_ns = pair.now_ns;
    let mut token = 2;
    while pair.client.ended().is_none() {
        // Small requests are answered meanwhile.
        if pair.try_get(token, b"small").is_ok() {
            token += 1;
        }
        let requests = pair.requests();
        deliver(&mut pair, path, requests);
        pair.wait(50 * MS);
    }

    // Expect: it ends in time, and what was not answered is indeterminate.
    assert_eq!(pair.client.ended(), Some(Ended::PathNarrowed));
    assert!(pair.now_ns - began_ns < ANSWER_TIMEOUT_NS + 1000 * MS);
    assert_eq!(pair.end(1), Some(&End::Indeterminate));
    assert_eq!(pair.end(2), Some(&End::NotFound));
}
