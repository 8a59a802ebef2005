//! How a session opens, or doesn't.

mod common;

use common::{
    End, OTHER_VERSION, Pair, START_NS, header_of, kind_of, of_version, only, other_address,
    server_config, with_window,
};
use proto::client::{Blocked, ClientConfig, Ended};
use proto::limits::{
    COOKIE_LIFETIME_NS, HANDSHAKE_RETRY_NS, HANDSHAKE_RETRY_NS_MAX, HANDSHAKE_TIMEOUT_NS,
    SESSION_IDLE_NS, SESSIONS_PER_WORKER_MAX, WINDOW_DEFAULT,
};
use proto::pack;
use proto::server::{Server, ServerConfig};
use proto::wire::{Accept, Header, Kind, Reason};

fn connecting() -> Pair {
    Pair::connecting(ClientConfig::default(), server_config())
}

/// A client that has its cookie, and the OPEN that it sends.
fn with_cookie() -> (Pair, Vec<u8>) {
    let mut pair = connecting();
    let hello = pair.request();
    let cookie = only(pair.answers_to(&hello));
    pair.hand_to_client(&cookie);
    let open = pair.request();
    (pair, open)
}

#[test]
fn a_session_opens_in_two_round_trips() {
    // State: nothing is lost.
    let mut pair = connecting();
    let hello = pair.request();
    let cookie = only(pair.answers_to(&hello));
    assert_eq!(pair.server.sessions(), 0, "a cookie costs no state");
    pair.hand_to_client(&cookie);
    let open = pair.request();
    let accept = only(pair.answers_to(&open));
    pair.hand_to_client(&accept);

    // Expect: HELLO, COOKIE, OPEN, ACCEPT, and what both ends can do.
    let kinds = [&hello, &cookie, &open, &accept].map(|datagram| kind_of(datagram));
    assert_eq!(kinds, [Kind::Hello, Kind::Cookie, Kind::Open, Kind::Accept]);
    let granted = pair.client.granted().unwrap();
    assert_eq!((granted.workers, granted.worker, granted.incarnation), (4, 2, 0x1ca4));
    assert_eq!((granted.mtu_bytes, granted.window), (1472, WINDOW_DEFAULT));
    assert_eq!(pair.server.sessions(), 1);
}

#[test]
fn a_session_is_of_the_smaller_mtu_and_window() {
    // State: ends that differ in what they can do.
    for (client, server) in [((576, 2), (8972, 256)), ((8972, 256), (576, 2))] {
        let config = ClientConfig { mtu_bytes: client.0, window: client.1, ..Default::default() };
        let server = ServerConfig { mtu_bytes: server.0, window: server.1, ..server_config() };
        let pair = Pair::open(config, server);

        // Expect: the less of both.
        let granted = pair.client.granted().unwrap();
        assert_eq!((granted.mtu_bytes, granted.window), (576, 2));
    }
}

#[test]
fn nothing_is_taken_before_the_session_is_open() {
    // State: a handshake under way.
    let (mut pair, _) = with_cookie();

    // Expect: operations wait.
    assert_eq!(pair.try_put(1, b"key", b"value"), Err(Blocked::NotOpen));
    assert_eq!(pair.client.granted(), None);
}

#[test]
fn a_cookie_from_another_address_is_refused() {
    // State: somebody else has the cookie of a client.
    let (mut pair, open) = with_cookie();
    pair.hand_to_server_from(other_address(), &open);

    // Expect: refused, no session.
    let (to, refusal) = pair.replies_to_anybody().remove(0);
    assert_eq!((to, kind_of(&refusal)), (other_address(), Kind::Refuse));
    assert_eq!(header_of(&refusal).flags, Reason::Cookie as u8);
    assert_eq!((pair.server.sessions(), pair.server.counters().cookies_refused), (0, 1));
}

#[test]
fn a_client_whose_cookie_grew_too_old_asks_for_another() {
    // State: an OPEN arrives after the cookie's lifetime, while the client still tries.
    let config = ClientConfig { handshake_timeout_ns: 60_000_000_000, ..Default::default() };
    let mut pair = Pair::connecting(config, server_config());
    let hello = pair.request();
    let cookie = only(pair.answers_to(&hello));
    pair.hand_to_client(&cookie);
    let open = pair.request();
    pair.now_ns += COOKIE_LIFETIME_NS + 1;
    let refusal = only(pair.answers_to(&open));
    assert_eq!(header_of(&refusal).flags, Reason::Cookie as u8);
    pair.hand_to_client(&refusal);

    // Expect: HELLO again at once, and then a session.
    let hello = pair.request();
    assert_eq!(kind_of(&hello), Kind::Hello);
    let cookie = only(pair.answers_to(&hello));
    pair.hand_to_client(&cookie);
    pair.settle();
    assert!(pair.client.granted().is_some());
}

#[test]
fn a_cookie_of_an_earlier_life_is_refused_and_another_asked_for() {
    // State: the worker starts again between COOKIE and OPEN.
    let (mut pair, open) = with_cookie();
    pair.server = Server::new(ServerConfig { secret: [8; 16], ..server_config() });
    let refusal = only(pair.answers_to(&open));
    pair.hand_to_client(&refusal);
    pair.settle();

    // Expect: a session with the new life.
    assert_eq!(pair.server.counters().cookies_refused, 1);
    assert!(pair.client.granted().is_some());
}

#[test]
fn an_open_that_comes_twice_opens_one_session() {
    // State: the ACCEPT was lost, so the client sends OPEN again.
    let (mut pair, open) = with_cookie();
    let lost = only(pair.answers_to(&open));
    let again = only(pair.wait_for_requests());
    assert_eq!(kind_of(&again), Kind::Open);
    let accept = only(pair.answers_to(&again));

    // Expect: the same session, which works; a late copy of the ACCEPT does nothing.
    assert_eq!(header_of(&lost).sequence, header_of(&accept).sequence);
    assert_eq!((pair.server.sessions(), pair.server.counters().sessions_opened), (1, 1));
    pair.hand_to_client(&accept);
    pair.put(1, b"key", b"value");
    pair.hand_to_client(&lost);
    pair.settle();
    assert_eq!(pair.end(1), Some(&End::Stored(1)));
    assert_eq!(pair.client.counters().misdirected, 1);
    assert_eq!(pair.client.counters().sessions_opened, 1);
}

#[test]
fn an_open_that_comes_late_opens_no_way_into_the_first_session() {
    // State: a session was closed; then a copy of its OPEN arrives, and one of its PUT.
    let (mut pair, open) = with_cookie();
    let accept = only(pair.answers_to(&open));
    pair.hand_to_client(&accept);
    pair.put(1, b"key", b"value");
    let request = pair.request();
    for reply in pair.answers_to(&request) {
        pair.hand_to_client(&reply);
    }
    pair.close();
    pair.settle();
    let ghost = only(pair.answers_to(&open));

    // Expect: no other session, and the PUT is good for none.
    assert_eq!(kind_of(&ghost), Kind::Refuse);
    assert_eq!(header_of(&ghost).flags, Reason::Cookie as u8);
    let refusal = only(pair.answers_to(&request));
    assert_eq!(kind_of(&refusal), Kind::Refuse);
    assert_eq!(pair.store.writes(), 1);
}

#[test]
fn a_worker_with_all_the_sessions_it_can_hold_says_so() {
    // State: a full table of sessions.
    let (mut pair, open) = with_cookie();
    for number in 0..SESSIONS_PER_WORKER_MAX as u64 {
        open_another(&mut pair, number);
    }
    assert_eq!(pair.server.sessions(), SESSIONS_PER_WORKER_MAX);
    let refusal = only(pair.answers_to(&open));
    pair.hand_to_client(&refusal);

    // Expect: the client is told; those who are in stay in.
    assert_eq!(pair.client.ended(), Some(Ended::Refused(Reason::SessionsFull)));
    assert_eq!(pair.server.sessions(), SESSIONS_PER_WORKER_MAX);
    assert_eq!(pair.server.counters().sessions_refused, 1);
    // When they have expired, there is room again.
    pair.now_ns += SESSION_IDLE_NS + 1;
    open_another(&mut pair, u64::MAX);
    assert_eq!(pair.server.sessions(), 1);
    assert_eq!(pair.server.counters().sessions_expired, SESSIONS_PER_WORKER_MAX as u64);
}

/// Opens a session for a client of its own.
fn open_another(pair: &mut Pair, number: u64) {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&number.to_le_bytes());
    let mut other = Pair::connecting(with_window(1), server_config());
    other.now_ns = pair.now_ns;
    other.client =
        proto::client::Client::new(pair.now_ns, other.client.server(), id, with_window(1));
    std::mem::swap(&mut pair.server, &mut other.server);
    other.settle();
    assert!(other.client.granted().is_some());
    std::mem::swap(&mut pair.server, &mut other.server);
}

#[test]
fn a_client_that_opens_again_after_it_expired_has_one_session() {
    // State: a client's session is expired, but the worker hasn't looked; the client opens
    // again under the same id.
    let (mut pair, open) = with_cookie();
    pair.answers_to(&open);
    pair.now_ns += SESSION_IDLE_NS + 1;
    let mut again = Pair::connecting(ClientConfig::default(), server_config());
    again.now_ns = pair.now_ns;
    let hello = again.request();
    let cookie = only(pair.answers_to(&hello));
    again.hand_to_client(&cookie);
    let open = again.request();
    pair.answers_to(&open);
    pair.server.handle_timeout(pair.now_ns);

    // Expect: the old one is gone and the new one is known, also to a second OPEN.
    assert_eq!(pair.server.sessions(), 1);
    assert_eq!(pair.server.counters().sessions_expired, 1);
    pair.answers_to(&open);
    assert_eq!((pair.server.sessions(), pair.server.counters().sessions_opened), (1, 2));
}

#[test]
fn a_server_of_another_version_ends_the_handshake() {
    // State: the server speaks version 2.
    let mut pair = connecting();
    pair.request();
    let mut refusal = Vec::new();
    let mut header = Header::new(Kind::Refuse, 0, 0);
    header.flags = Reason::Version as u8;
    pack::bare(&mut refusal, header);
    pair.hand_to_client(&of_version(OTHER_VERSION, &refusal));

    // Expect: the client says which.
    assert_eq!(pair.client.ended(), Some(Ended::OtherVersion(OTHER_VERSION)));
    assert_eq!(pair.client.counters().other_version, 1);
}

#[test]
fn a_session_that_is_open_survives_a_datagram_of_another_version() {
    // State: a session with a PUT outstanding; then a datagram of version 2 comes.
    let mut pair = Pair::open(with_window(4), server_config());
    pair.put(1, b"key", b"value");
    let request = pair.request();
    for reply in pair.answers_to(&request) {
        pair.hand_to_client(&of_version(OTHER_VERSION, &reply));
        assert_eq!(pair.end(1), None);
        pair.hand_to_client(&reply);
    }

    // Expect: it is counted, and the session goes on.
    assert_eq!(pair.end(1), Some(&End::Stored(1)));
    assert_eq!(pair.client.counters().other_version, 1);
}

#[test]
fn a_client_of_another_version_is_refused() {
    // State: a HELLO of version 2.
    let mut pair = connecting();
    let hello = pair.request();
    let refusal = only(pair.answers_to(&of_version(OTHER_VERSION, &hello)));

    // Expect: the refusal is of this version, and names what it refuses.
    assert_eq!(kind_of(&refusal), Kind::Refuse);
    assert_eq!(header_of(&refusal).flags, Reason::Version as u8);
    assert_eq!(header_of(&refusal).session, header_of(&hello).session);
    assert_eq!(pair.server.counters().other_version, 1);
}

#[test]
fn a_hello_whose_version_was_damaged_on_the_way_does_not_end_the_handshake() {
    // State: a HELLO arrives as if it were of version 2, and the refusal comes back.
    let mut pair = connecting();
    let hello = pair.request();
    let refusal = only(pair.answers_to(&of_version(OTHER_VERSION, &hello)));
    pair.hand_to_client(&refusal);

    // Expect: who refuses in our own version speaks it; the refusal is counted, no more.
    assert_eq!(pair.client.ended(), None);
    assert_eq!(pair.client.counters().refusals, 1);
}

#[test]
fn two_servers_of_different_versions_do_not_refuse_each_other_for_ever() {
    // State: a refusal of this server reaches a server of version 2, and that one's this.
    let mut pair = connecting();
    let hello = pair.request();
    let refusal = only(pair.answers_to(&of_version(OTHER_VERSION, &hello)));

    // Expect: silence, and a count, whichever version the refusal is of.
    assert!(pair.answers_to(&of_version(OTHER_VERSION, &refusal)).is_empty());
    assert!(pair.answers_to(&refusal).is_empty());
    assert_eq!(pair.server.counters().other_version, 2);
    assert_eq!(pair.server.counters().malformed, 1);
}

#[test]
fn a_handshake_that_nobody_answers_is_tried_ever_more_slowly_and_then_given_up() {
    // State: a server that isn't there.
    let mut pair = connecting();
    let mut sent_ns = Vec::new();
    while pair.client.ended().is_none() {
        if !pair.requests().is_empty() {
            sent_ns.push(pair.now_ns - START_NS);
        }
        pair.wait_for_client();
    }

    // Expect: doubled waits up to the longest, and the end in time.
    assert_eq!(sent_ns[0], 0);
    assert_eq!(sent_ns[1], HANDSHAKE_RETRY_NS);
    assert_eq!(sent_ns[2], 3 * HANDSHAKE_RETRY_NS);
    let waits: Vec<_> = sent_ns.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.iter().all(|&wait_ns| wait_ns <= HANDSHAKE_RETRY_NS_MAX));
    assert_eq!(pair.client.ended(), Some(Ended::NoAnswer));
    assert_eq!(pair.now_ns - START_NS, HANDSHAKE_TIMEOUT_NS);
    assert_eq!(pair.client.counters().sessions_lost, 1);
}

#[test]
fn an_answer_to_somebody_else_does_not_move_the_handshake() {
    // State: a COOKIE and an ACCEPT for another client, and a refusal of nothing of ours.
    let mut pair = connecting();
    pair.request();
    let mut other = connecting();
    other.client =
        proto::client::Client::new(START_NS, other.client.server(), [9; 16], with_window(1));
    let hello = other.request();
    let cookie = only(other.answers_to(&hello));
    other.hand_to_client(&cookie);
    let open = other.request();
    let accept = only(other.answers_to(&open));
    let mut refusal = Vec::new();
    let mut header = Header::new(Kind::Refuse, 1, 0);
    header.flags = Reason::SessionsFull as u8;
    pack::bare(&mut refusal, header);
    for datagram in [&cookie, &accept, &refusal] {
        pair.hand_to_client(datagram);
    }

    // Expect: nothing but the HELLO again.
    assert_eq!((pair.client.granted(), pair.client.ended()), (None, None));
    let again = only(pair.wait_for_requests());
    assert_eq!(kind_of(&again), Kind::Hello);
}

#[test]
fn an_acceptance_of_terms_that_were_not_asked_for_is_malformed() {
    // State: a client that asked for 1472 bytes and a window of 4; ACCEPTs that differ.
    let good = Accept {
        client_id: [3; 16],
        incarnation: 1,
        mtu_bytes: 1472,
        window: 4,
        workers: 4,
        worker: 3,
        reserved: 0,
    };
    let bad = [
        Accept { mtu_bytes: 1473, ..good },
        Accept { mtu_bytes: 575, ..good },
        Accept { mtu_bytes: 0, ..good },
        Accept { window: 8, ..good },
        Accept { window: 3, ..good },
        Accept { window: 0, ..good },
        Accept { worker: 4, ..good },
        Accept { workers: 0, worker: 0, ..good },
    ];
    let mut pair = Pair::connecting(with_window(4), server_config());
    let hello = pair.request();
    let cookie = only(pair.answers_to(&hello));
    pair.hand_to_client(&cookie);
    pair.request();
    let mut datagram = Vec::new();
    let header = Header::new(Kind::Accept, u64::from_le_bytes([3; 8]), 7);

    // Expect: each is counted and dropped; the one that is sound opens the session.
    for (count, accept) in (1..).zip(&bad) {
        pack::control(&mut datagram, header, accept, 1472);
        pair.hand_to_client(&datagram);
        assert_eq!((pair.client.granted(), pair.client.counters().malformed), (None, count));
    }
    pack::control(&mut datagram, header, &good, 1472);
    pair.hand_to_client(&datagram);
    assert_eq!(pair.client.granted().map(|granted| granted.session), Some(7));
}
