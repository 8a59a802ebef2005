//! What strangers and greedy clients may cost a worker: who has had enough answers gets no more,
//! and nobody else is answered less.

mod common;

use std::net::SocketAddr;

use common::{End, Pair, kind_of, other_address, server_config};
use proto::client::ClientConfig;
use proto::limits::{ANSWER_RATES, SESSIONS_PER_WORKER_MAX, STATS_TEXT_NS};
use proto::pack;
use proto::wire::{Header, Hello, Kind, Op};

const SECOND_NS: u64 = 1_000_000_000;

fn opened() -> (Pair, u64) {
    let pair = Pair::open(ClientConfig::default(), server_config());
    let session = pair.client.granted().expect("it is open").session;
    (pair, session)
}

fn hello() -> Vec<u8> {
    let mut datagram = Vec::new();
    let header = Header::new(Kind::Hello, 1, 0);
    pack::control(&mut datagram, header, &Hello { client_id: [1; 16] }, 576);
    datagram
}

fn request(session: u64, sequence: u64, entries: u16, op: Op, key: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0; 32];
    for _ in 0..entries {
        pack::request_entry(&mut datagram, op, key, b"");
    }
    let mut header = Header::new(Kind::Request, session, sequence);
    header.entries = entries;
    pack::seal(&mut datagram, header);
    datagram
}

/// An address of its own for each number.
fn address(number: u64) -> SocketAddr {
    SocketAddr::new(std::net::Ipv4Addr::from_bits(0x0b00_0000 + number as u32).into(), 4000)
}

/// How many datagrams come back for so many of an address.
fn answers(pair: &mut Pair, from: SocketAddr, datagram: &[u8], times: u64) -> u64 {
    (0..times)
        .map(|_| {
            pair.hand_to_server_from(from, datagram);
            pair.replies_to_anybody().len() as u64
        })
        .sum()
}

#[test]
fn one_address_gets_cookies_and_refusals_up_to_its_rate() {
    for (datagram, rate) in [
        (hello(), ANSWER_RATES.cookies_by_address),
        (request(1 << 40, 1, 1, Op::Get, b"k"), ANSWER_RATES.refusals_by_address),
    ] {
        // State: an address asks more often than it may.
        let (mut pair, _) = opened();
        let asked = 2 * rate.burst;
        let at_once = answers(&mut pair, other_address(), &datagram, asked);
        let limited = pair.server.counters().answers_limited;
        pair.now_ns += SECOND_NS / 10;
        let later = answers(&mut pair, other_address(), &datagram, asked);

        // Expect: a burst, then its rate; the others are counted, and another is answered.
        assert_eq!((at_once, limited), (rate.burst, asked - rate.burst));
        assert_eq!(later, rate.per_s / 10);
        assert_eq!(answers(&mut pair, address(1), &datagram, 1), 1);
    }
}

#[test]
fn all_addresses_together_get_cookies_and_refusals_up_to_their_rate() {
    for (datagram, rate) in [
        (hello(), ANSWER_RATES.cookies),
        (request(1 << 40, 1, 1, Op::Get, b"k"), ANSWER_RATES.refusals),
    ] {
        // State: as many addresses as there are datagrams.
        let (mut pair, session) = opened();
        pair.now_ns += SECOND_NS; // Its own cookie is paid for.
        let all = |pair: &mut Pair| -> u64 {
            (0..2 * rate.burst).map(|number| answers(pair, address(number), &datagram, 1)).sum()
        };
        let at_once = all(&mut pair);
        pair.now_ns += SECOND_NS / 10;
        let later = all(&mut pair);

        // Expect: a burst, then the rate; a session is answered as ever.
        assert_eq!((at_once, later), (rate.burst, rate.per_s / 10));
        pair.hand_to_server(&request(session, 1000, 1, Op::Get, b"k"));
        assert_eq!(kind_of(&pair.reply()), Kind::Reply);
    }
}

#[test]
fn as_many_sessions_as_a_worker_has_open_at_once_from_one_address() {
    let mut pair = Pair::connecting(ClientConfig::default(), server_config());
    // State: each client has sent its HELLO three times, because the worker was slow.
    let answered =
        answers(&mut pair, other_address(), &hello(), 3 * SESSIONS_PER_WORKER_MAX as u64);

    // Expect: all are answered.
    assert_eq!(answered, 3 * SESSIONS_PER_WORKER_MAX as u64);
}

#[test]
fn who_has_had_enough_is_dropped_before_his_checksum_is_looked_at() {
    let (mut pair, session) = opened();
    let mut stranger = request(1 << 40, 1, 1, Op::Get, b"k");
    answers(&mut pair, other_address(), &stranger, 2 * ANSWER_RATES.refusals_by_address.burst);
    let before = *pair.server.counters();

    // State: damaged datagrams, of an address that has had enough and of a session.
    stranger[40] ^= 1;
    let mut known = request(session, 1000, 1, Op::Get, b"k");
    known[40] ^= 1;
    assert_eq!(answers(&mut pair, other_address(), &stranger, 1), 0);
    pair.hand_to_server(&known);

    // Expect: only that of the session is known to be damaged.
    let after = pair.server.counters();
    assert_eq!(after.answers_limited, before.answers_limited + 1);
    assert_eq!(after.malformed, before.malformed + 1);
}

#[test]
fn a_request_that_comes_again_is_answered_again_up_to_a_limit() {
    // State: somebody repeats a request that was answered.
    let (mut pair, session) = opened();
    let repeated = request(session, 1000, 3, Op::Get, b"k");
    let times = 2 * ANSWER_RATES.repeats.burst;
    let from = common::client_address();
    let at_once = answers(&mut pair, from, &repeated, times);
    assert_eq!(at_once, ANSWER_RATES.repeats.burst + 1, "the first is no repetition");
    assert_eq!(pair.server.counters().repeats_limited, times - at_once);

    // Expect: new requests are answered, and each pays for a repetition; so does time.
    assert_eq!(answers(&mut pair, from, &request(session, 1001, 1, Op::Get, b"k"), 1), 1);
    assert_eq!(answers(&mut pair, from, &repeated, 10), 1);
    pair.now_ns += SECOND_NS / 100;
    assert_eq!(answers(&mut pair, from, &repeated, 20), ANSWER_RATES.repeats.per_s / 100);
}

#[test]
fn a_limit_of_repetitions_executes_nothing_twice() {
    let (mut pair, session) = opened();
    let mut put = vec![0; 32];
    pack::request_entry(&mut put, Op::Put, b"k", b"value");
    let mut header = Header::new(Kind::Request, session, 1000);
    header.entries = 1;
    pack::seal(&mut put, header);
    answers(&mut pair, common::client_address(), &put, 2 * ANSWER_RATES.repeats.burst);
    assert_eq!(pair.store.writes(), 1);
}

#[test]
fn one_question_for_the_counters_is_answered_of_a_request() {
    // State: a request full of them.
    let (mut pair, session) = opened();
    let asked = request(session, 1000, 180, Op::Stats, b"");
    let answered = answers(&mut pair, common::client_address(), &asked, 1);

    // Expect: one answer; the others are counted.
    assert_eq!((answered, pair.server.counters().stats_dropped), (1, 179));
}

#[test]
fn our_client_asks_for_the_counters_once_in_a_request() {
    let (mut pair, _) = opened();
    for token in 0..10 {
        pair.get(2 * token, b"k");
        pair.stats(2 * token + 1);
    }
    pair.settle();
    for token in 0..10 {
        assert!(matches!(pair.end(2 * token + 1), Some(End::Value(0, _))), "{token}");
    }
    assert_eq!(pair.server.counters().stats_dropped, 0);
}

#[test]
fn the_counters_are_those_of_a_short_time_ago() {
    let (mut pair, _) = opened();
    let puts_told = |token: u32, pair: &mut Pair| {
        pair.put(2 * token, b"key", b"value");
        pair.settle();
        pair.stats(2 * token + 1);
        pair.settle();
        let Some(End::Value(0, text)) = pair.end(2 * token + 1) else { panic!("no text") };
        let text = std::str::from_utf8(text).expect("ASCII").to_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("puts ")).map(str::to_owned);
        line.expect("it is not zero")
    };
    assert_eq!(puts_told(1, &mut pair), "1");
    pair.now_ns += STATS_TEXT_NS;
    assert_eq!(puts_told(2, &mut pair), "1");
    pair.now_ns += 1;
    assert_eq!(puts_told(3, &mut pair), "3");
}
