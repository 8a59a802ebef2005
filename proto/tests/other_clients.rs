//! What a server does with datagrams that our own client never sends, as `docs/WIRE.md`
//! tells it to authors of other clients.

mod common;

use common::{End, Pair, header_of, kind_of, only, server_config, with_window};
use proto::client::ClientConfig;
use proto::limits::{MTU_BYTES_MAX, MTU_BYTES_MIN, SESSION_IDLE_NS, WINDOW_MAX};
use proto::server::ServerConfig;
use proto::wire::{Accept, Cookie, Header, Kind, Op, Open, Reason, Status};
use proto::{pack, unpack};

const WINDOW: u64 = 4;

/// A session of [`WINDOW`] slots, and its id.
fn opened() -> (Pair, u64) {
    let pair = Pair::open(with_window(WINDOW as usize), server_config());
    let session = pair.client.granted().expect("it is open").session;
    (pair, session)
}

/// A REQUEST of one operation, or a keep-alive.
fn request(session: u64, sequence: u64, operation: Option<(Op, &[u8], &[u8])>) -> Vec<u8> {
    let mut datagram = vec![0; 32];
    let mut header = Header::new(Kind::Request, session, sequence);
    if let Some((op, key, value)) = operation {
        pack::request_entry(&mut datagram, op, key, value);
        header.entries = 1;
    }
    pack::seal(&mut datagram, header);
    datagram
}

fn get(session: u64, sequence: u64, key: &[u8]) -> Vec<u8> {
    request(session, sequence, Some((Op::Get, key, b"")))
}

fn put(session: u64, sequence: u64, key: &[u8], value: &[u8]) -> Vec<u8> {
    request(session, sequence, Some((Op::Put, key, value)))
}

/// Sequence, status, version and length of the value of a REPLY's only answer.
fn answer_of(reply: &[u8]) -> (u64, Status, u64, usize) {
    let answer = unpack::replies(reply, &header_of(reply)).next().expect("one").expect("sound");
    (answer.sequence, answer.status, answer.version, answer.value.len())
}

/// A worker that has sent a cookie, and OPENs of 1472 bytes that return it.
fn with_cookie() -> (Pair, impl Fn(usize, u32) -> Vec<u8>) {
    let server = ServerConfig { mtu_bytes: MTU_BYTES_MAX, ..server_config() };
    let mut pair = Pair::connecting(ClientConfig::default(), server);
    let hello = pair.request();
    let Cookie { client_id, issued_at_ns, mac } =
        unpack::body(&only(pair.answers_to(&hello))).expect("a cookie");
    let nonce = header_of(&hello).session;
    let open = move |mtu_bytes: usize, window: u32| {
        let open = Open { client_id, issued_at_ns, mac, mtu_bytes: mtu_bytes as u32, window };
        let mut datagram = Vec::new();
        pack::control(&mut datagram, Header::new(Kind::Open, nonce, 0), &open, 1472);
        datagram
    };
    (pair, open)
}

#[test]
fn an_open_whose_window_is_no_power_of_two_up_to_256_is_malformed() {
    // State: OPENs with a good cookie that ask for windows outside of the limits.
    let (mut pair, open) = with_cookie();
    for (count, window) in (1..).zip([0, 3, 255, 512, u32::MAX]) {
        // Expect: silence, and a count; it is no refusal.
        assert!(pair.answers_to(&open(1472, window)).is_empty(), "{window}");
        assert_eq!((pair.server.sessions(), pair.server.counters().malformed), (0, count));
    }
    // The least and the most open sessions.
    for window in [1, WINDOW_MAX as u32] {
        let (mut pair, open) = with_cookie();
        let accept: Accept = unpack::body(&only(pair.answers_to(&open(1472, window)))).unwrap();
        assert_eq!(accept.window, window);
    }
}

#[test]
fn an_open_whose_mtu_is_below_576_or_above_its_own_length_is_malformed() {
    // State: OPENs of 1472 bytes with a good cookie that claim other sizes.
    let (mut pair, open) = with_cookie();
    for (count, mtu_bytes) in (1..).zip([0, MTU_BYTES_MIN - 1, 1473, MTU_BYTES_MAX]) {
        // Expect: silence, and a count.
        assert!(pair.answers_to(&open(mtu_bytes, 4)).is_empty(), "{mtu_bytes}");
        assert_eq!((pair.server.sessions(), pair.server.counters().malformed), (0, count));
    }
    // An OPEN may be longer than what it asks for; the ACCEPT is as long as that.
    let accept = only(pair.answers_to(&open(MTU_BYTES_MIN, 4)));
    assert_eq!((kind_of(&accept), accept.len()), (Kind::Accept, MTU_BYTES_MIN));
}

#[test]
fn a_hello_below_576_bytes_is_malformed() {
    // State: the HELLO of a client whose MTU is one byte too small.
    let mut pair = Pair::connecting(ClientConfig::default(), server_config());
    let mut hello = pair.request();
    let header = header_of(&hello);
    hello.truncate(MTU_BYTES_MIN - 1);
    pack::seal(&mut hello, header);

    // Expect: silence, and a count.
    assert!(pair.answers_to(&hello).is_empty());
    assert_eq!(pair.server.counters().malformed, 1);
}

#[test]
fn a_request_with_sequence_0_is_malformed_even_as_a_keep_alive() {
    // State: sequence 0 with a PUT, with nothing, and for a session that is not there.
    let (mut pair, session) = opened();
    let of_nobody = request(session ^ 1, 0, None);
    for datagram in [put(session, 0, b"key", b"value"), of_nobody, request(session, 0, None)] {
        assert!(pair.answers_to(&datagram).is_empty());
    }

    // Expect: nothing is executed or refused, and the session's idle time goes on.
    assert_eq!((pair.store.writes(), pair.server.counters().malformed), (0, 3));
    pair.now_ns += SESSION_IDLE_NS;
    assert!(pair.answers_to(&request(session, 0, None)).is_empty());
    pair.now_ns += 1;
    let refusal = only(pair.answers_to(&request(session, 1, None)));
    assert_eq!(header_of(&refusal).flags, Reason::UnknownSession as u8);
}

#[test]
fn a_keep_alive_uses_no_slot() {
    // State: a keep-alive with a sequence far ahead.
    let (mut pair, session) = opened();
    assert!(pair.answers_to(&request(session, 9 * WINDOW, None)).is_empty());

    // Expect: the first request of that slot is executed.
    let reply = only(pair.answers_to(&put(session, WINDOW, b"key", b"value")));
    assert_eq!(answer_of(&reply), (WINDOW, Status::Ok, 1, 0));
}

#[test]
fn a_slot_whose_get_was_given_up_can_be_used_again_at_once() {
    // State: a GET is on its way; the client gives it up and uses its slot for a PUT.
    let (mut pair, session) = opened();
    let given_up = get(session, WINDOW, b"key");
    let next = put(session, 2 * WINDOW, b"key", b"value");
    let reply = only(pair.answers_to(&next));
    assert_eq!(answer_of(&reply), (2 * WINDOW, Status::Ok, 1, 0));

    // Expect: the GET, late, is dropped without an answer; the PUT's record is as it was.
    assert!(pair.answers_to(&given_up).is_empty());
    assert_eq!((pair.server.counters().requests_old, pair.server.counters().gets), (1, 0));
    assert_eq!(pair.answers_to(&next), [reply]);
    assert_eq!(pair.store.writes(), 1);
}

#[test]
fn an_answer_to_a_get_that_was_given_up_names_the_sequence_of_that_get() {
    // State: a GET that was given up arrives before the next request of its slot.
    let (mut pair, session) = opened();
    let stale = only(pair.answers_to(&get(session, WINDOW, b"key")));
    pair.answers_to(&put(session, 2 * WINDOW, b"key", b"value"));
    let fresh = only(pair.answers_to(&get(session, 3 * WINDOW, b"key")));

    // Expect: whoever looks at the sequence never takes one answer for the other.
    assert_eq!(answer_of(&stale), (WINDOW, Status::NotFound, 0, 0));
    assert_eq!(answer_of(&fresh), (3 * WINDOW, Status::Ok, 1, 5));
}

#[test]
fn our_client_ignores_a_late_answer_to_a_get_that_it_asked_again() {
    // State: of the two replies to two GETs the second is late; the GET is asked again, and
    // the key was written in between.
    let mut pair = Pair::open(with_window(1), server_config());
    pair.put(1, b"key", &[1; 1000]);
    pair.settle();
    pair.get(2, b"key");
    pair.get(3, b"key");
    let request = pair.request();
    let replies = pair.answers_to(&request);
    pair.hand_to_client(&replies[0]);
    let again = only(pair.wait_for_requests());
    assert_ne!(header_of(&again).sequence, header_of(&request).sequence);
    pair.hand_to_client(&replies[1]);

    // Expect: the late answer is counted, and the GET waits for the answer to its second asking.
    assert_eq!((pair.end(3), pair.client.counters().answers_late), (None, 1));
    for reply in pair.answers_to(&again) {
        pair.hand_to_client(&reply);
    }
    assert_eq!(pair.end(3), Some(&End::Value(1, vec![1; 1000])));
}

#[test]
fn a_put_whose_slot_was_used_again_is_never_executed_twice_and_never_answered() {
    // State: the answer to a PUT was lost; another PUT has not arrived; both slots are used
    // again by a client that should have waited.
    let (mut pair, session) = opened();
    let executed = put(session, WINDOW, b"executed", b"value");
    let on_its_way = put(session, WINDOW + 1, b"on its way", b"value");
    pair.answers_to(&executed);
    pair.answers_to(&get(session, 2 * WINDOW, b"key"));
    pair.answers_to(&get(session, 2 * WINDOW + 1, b"key"));

    // Expect: no answer to either from now on, and no execution: nobody can learn what happened.
    for lost in [&executed, &on_its_way, &executed, &on_its_way] {
        assert!(pair.answers_to(lost).is_empty());
    }
    assert_eq!(pair.server.counters().requests_old, 4);
    assert_eq!((pair.store.version(b"executed"), pair.store.version(b"on its way")), (1, 0));
}

#[test]
fn a_put_can_store_a_value_that_no_answer_of_its_session_holds() {
    // State: a key of one byte and a value that fills the PUT's datagram.
    let server = ServerConfig { mtu_bytes: MTU_BYTES_MAX, ..server_config() };
    let mut pair = Pair::open(with_window(WINDOW as usize), server);
    let session = pair.client.granted().unwrap().session;
    let value = vec![7; 1472 - 32 - 8 - 1];
    let stored = put(session, WINDOW, b"k", &value);
    assert_eq!(stored.len(), 1472);
    assert_eq!(answer_of(&only(pair.answers_to(&stored))), (WINDOW, Status::Ok, 1, 0));

    // Expect: a GET of this session tells the version alone; one with a larger MTU has the
    // value; a shorter value makes the record readable for all.
    let sequence = 2 * WINDOW;
    let reply = only(pair.answers_to(&get(session, sequence, b"k")));
    assert_eq!(answer_of(&reply), (sequence, Status::TooLarge, 1, 0));
    assert_eq!(pair.server.counters().gets_too_large, 1);
    let jumbo = ClientConfig { mtu_bytes: MTU_BYTES_MAX, ..ClientConfig::default() };
    let mut other = Pair::open(jumbo, server);
    std::mem::swap(&mut pair.store, &mut other.store);
    other.get(1, b"k");
    other.settle();
    assert_eq!(other.end(1), Some(&End::Value(1, value)));
    std::mem::swap(&mut pair.store, &mut other.store);
    pair.answers_to(&put(session, 3 * WINDOW, b"k", b"short"));
    let reply = only(pair.answers_to(&get(session, 4 * WINDOW, b"k")));
    assert_eq!(answer_of(&reply), (4 * WINDOW, Status::Ok, 2, 5));
}

#[test]
fn stats_leave_out_the_lines_that_do_not_fit_in_one_datagram() {
    // State: a session of the smallest MTU, and a table with many figures.
    let config = ClientConfig { mtu_bytes: MTU_BYTES_MIN, ..ClientConfig::default() };
    let mut pair = Pair::open(config, server_config());
    pair.store.more_gauges = vec![("a_figure_of_the_table", 123_456_789); 100];
    pair.put(1, b"key", b"value");
    pair.settle();
    pair.stats(2);
    pair.settle();

    // Expect: whole lines of a name, a space and a decimal number, the table's first; what does
    // not fit is absent.
    let Some(End::Value(0, text)) = pair.end(2) else { panic!("{:?}", pair.end(2)) };
    assert!(text.len() <= MTU_BYTES_MIN - 32 - 16 && text.ends_with(b"\n"));
    let text = std::str::from_utf8(text).unwrap();
    assert!(text.starts_with("records 1\na_figure_of_the_table 123456789\n"), "{text}");
    let lines: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap()).collect();
    assert!(lines.iter().all(|(_, count)| count.parse::<u64>().unwrap() > 0));
    assert!((10..100).contains(&lines.len()), "{} lines", lines.len());
}
