//! How sessions end, and that nothing is executed for one that has ended.

mod common;

use common::{End, Pair, header_of, kind_of, only, other_address, server_config, with_window};
use proto::client::{Blocked, ClientConfig, Ended};
use proto::limits::{
    ANSWER_TIMEOUT_NS, KEEPALIVE_NS, RTO_NS_MAX, SESSION_IDLE_NS, SESSION_SCAN_NS, SESSION_STALE_NS,
};
use proto::server::{Server, ServerConfig};
use proto::store::Store as _;
use proto::wire::{Kind, Reason};

const SECOND_NS: u64 = 1_000_000_000;

fn opened() -> Pair {
    Pair::open(with_window(4), server_config())
}

/// Another life of the same worker.
fn restarted() -> Server {
    Server::new(ServerConfig { incarnation: 0x2222, secret: [8; 16], ..server_config() })
}

fn assert_refused(datagram: &[u8], reason: Reason) {
    assert_eq!(kind_of(datagram), Kind::Refuse);
    assert_eq!(header_of(datagram).flags, reason as u8);
}

#[test]
fn a_request_of_an_unknown_session_is_refused_and_never_executed() {
    // State: the worker has started again; a PUT and a GET are outstanding.
    let mut pair = opened();
    pair.put(1, b"key", b"value");
    pair.get(2, b"key");
    let request = pair.request();
    pair.server = restarted();
    let reply = only(pair.answers_to(&request));

    // Expect: refused, nothing executed; nobody knows what became of the PUT.
    assert_refused(&reply, Reason::UnknownSession);
    assert_eq!((pair.server.counters().unknown_session, pair.store.writes()), (1, 0));
    assert_eq!((pair.server.counters().gets, pair.server.sessions()), (0, 0));
    pair.hand_to_client(&reply);
    assert_eq!(pair.client.ended(), Some(Ended::Forgotten));
    assert_eq!(pair.end(1), Some(&End::Indeterminate));
    assert_eq!(pair.end(2), Some(&End::Unanswered));
    let counters = pair.client.counters();
    assert_eq!((counters.indeterminate, counters.unanswered_gets), (1, 1));
    assert_eq!((counters.sessions_lost, counters.refusals), (1, 1));
}

#[test]
fn an_ended_session_takes_and_sends_nothing() {
    // State: a session that the worker forgot with a PUT outstanding.
    let mut pair = opened();
    pair.put(1, b"key", b"value");
    let request = pair.request();
    pair.server = restarted();
    let refusal = only(pair.answers_to(&request));
    pair.hand_to_client(&refusal);

    // Expect: silence, and whatever comes for it is only counted.
    assert_eq!(pair.try_put(2, b"key", b"value"), Err(Blocked::NotOpen));
    assert_eq!(pair.try_get(2, b"key"), Err(Blocked::NotOpen));
    assert_eq!(pair.client.poll_timeout(), None);
    pair.wait(SECOND_NS);
    pair.hand_to_client(&refusal);
    assert!(pair.requests().is_empty());
    assert_eq!(pair.client.counters().misdirected, 1);
}

#[test]
fn a_worker_that_started_again_knows_no_session_of_its_earlier_life() {
    // State: two lives of a worker, each with a session of the same client.
    let mut pair = opened();
    let before = *pair.client.granted().unwrap();
    pair.put(1, b"key", b"value");
    let request = pair.request();
    let mut after = Pair::open(
        with_window(4),
        ServerConfig { incarnation: 0x2222, secret: [8; 16], ..server_config() },
    );
    let now = *after.client.granted().unwrap();

    // Expect: other incarnation, other id; the old request is refused in the new life.
    assert_ne!((before.session, before.incarnation), (now.session, now.incarnation));
    assert_ne!(before.session, now.session);
    let reply = only(after.answers_to(&request));
    assert_refused(&reply, Reason::UnknownSession);
    assert_eq!(after.store.writes(), 0);
    // The refusal names the earlier session, so it doesn't end the new one.
    after.hand_to_client(&reply);
    assert_eq!(after.client.ended(), None);
}

#[test]
fn a_session_that_was_silent_for_too_long_is_refused_and_forgotten() {
    // State: a client whose every datagram is lost, for longer than a session may be idle.
    let mut pair = opened();
    pair.now_ns += SESSION_IDLE_NS + 1;
    pair.put(1, b"key", b"value");
    let request = pair.request();
    let reply = only(pair.answers_to(&request));

    // Expect: refused even before the worker looks for such sessions.
    assert_refused(&reply, Reason::UnknownSession);
    assert_eq!(pair.store.writes(), 0);
    pair.server.handle_timeout(pair.now_ns);
    assert_eq!((pair.server.sessions(), pair.server.counters().sessions_expired), (0, 1));
    pair.hand_to_client(&reply);
    assert_eq!(pair.client.ended(), Some(Ended::Forgotten));
    assert_eq!(pair.end(1), Some(&End::Indeterminate));
}

#[test]
fn a_session_is_good_until_its_idle_time_is_over() {
    // State: silence for exactly as long as is allowed.
    let mut pair = opened();
    pair.now_ns += SESSION_IDLE_NS;
    pair.server.handle_timeout(pair.now_ns);
    pair.put(1, b"key", b"value");
    pair.settle();

    // Expect: the session lives.
    assert_eq!(pair.end(1), Some(&End::Stored(1)));
}

#[test]
fn a_session_that_nobody_ran_ends_before_its_server_forgets_it() {
    // State: a client that nobody ran for almost as long as a session may be silent; once
    // nothing is outstanding, once a PUT is.
    let mut pair = opened();
    pair.wait(SESSION_STALE_NS - 1);
    assert_eq!(pair.client.ended(), None, "there is time yet");
    pair.put(1, b"key", b"value");
    pair.request();
    pair.wait(2);
    assert_eq!(pair.client.ended(), None, "a PUT is outstanding");
    let mut idle = opened();
    idle.wait(SESSION_STALE_NS);

    // Expect: it ends by itself, and nothing of its application's is in doubt.
    assert_eq!(idle.client.ended(), Some(Ended::Stale));
    assert_eq!(idle.client.counters().indeterminate, 0);
}

#[test]
fn keep_alives_keep_an_idle_session() {
    // State: ten minutes without an operation; the worker looks for silent sessions.
    let mut pair = opened();
    let until_ns = pair.now_ns + 10 * SESSION_IDLE_NS;
    while pair.now_ns < until_ns {
        pair.wait(SESSION_SCAN_NS);
        pair.settle();
    }

    // Expect: a datagram each KEEPALIVE_NS that is not answered, and a session that lives.
    let expected = 2 + 10 * SESSION_IDLE_NS / KEEPALIVE_NS;
    assert_eq!(pair.client.counters().datagrams_sent, expected);
    assert_eq!(pair.server.counters().datagrams_sent, 2, "those of the handshake");
    pair.put(1, b"key", b"value");
    pair.settle();
    assert_eq!(pair.end(1), Some(&End::Stored(1)));
}

#[test]
fn a_request_from_another_address_is_refused() {
    // State: somebody else sends what a client would.
    let mut pair = opened();
    pair.put(1, b"key", b"value");
    let request = pair.request();
    pair.hand_to_server_from(other_address(), &request);

    // Expect: refused there, not executed; the session is unharmed.
    let replies = pair.replies_to_anybody();
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].0, other_address());
    assert_refused(&replies[0].1, Reason::UnknownSession);
    assert_eq!(pair.store.writes(), 0);
    for reply in pair.answers_to(&request) {
        pair.hand_to_client(&reply);
    }
    assert_eq!(pair.end(1), Some(&End::Stored(1)));
}

/// A session ends for want of an answer not before its time, nor a retransmission and a
/// scan later than that.
fn assert_in_time(began_ns: u64, ended_ns: u64, timeout_ns: u64) {
    let took_ns = ended_ns - began_ns;
    assert!(took_ns > timeout_ns, "too early: {took_ns}");
    assert!(took_ns < timeout_ns + 2 * RTO_NS_MAX, "too late: {took_ns}");
}

#[test]
fn a_silent_server_ends_the_session_after_the_stated_time() {
    // State: a PUT that nobody answers.
    let mut pair = opened();
    let began_ns = pair.now_ns;
    pair.put(1, b"key", b"value");
    let ended_ns = pair.wait_in_silence();

    // Expect: the PUT is indeterminate.
    assert_in_time(began_ns, ended_ns, ANSWER_TIMEOUT_NS);
    assert_eq!(pair.client.ended(), Some(Ended::NoAnswer));
    assert_eq!(pair.end(1), Some(&End::Indeterminate));
    assert!(pair.client.counters().retransmits >= 10, "it was tried");
}

#[test]
fn a_get_that_is_sent_again_and_again_ends_in_time_too() {
    // State: a single GET that nobody answers.
    let mut pair = opened();
    let began_ns = pair.now_ns;
    pair.get(1, b"key");
    let ended_ns = pair.wait_in_silence();

    // Expect: the time counts from the first.
    assert_in_time(began_ns, ended_ns, ANSWER_TIMEOUT_NS);
    assert_eq!(pair.client.ended(), Some(Ended::NoAnswer));
    assert_eq!(pair.end(1), Some(&End::Unanswered));
}

#[test]
fn an_idle_time_before_does_not_count_as_silence() {
    // State: an operation, an hour of keep-alives that nobody answers, as is right; then a
    // server that doesn't answer.
    for is_put in [true, false] {
        let mut pair = opened();
        pair.put(0, b"key", b"value");
        pair.settle();
        let until_ns = pair.now_ns + 3600 * SECOND_NS;
        while pair.now_ns < until_ns {
            pair.wait_for_client();
            pair.settle();
        }
        let began_ns = pair.now_ns;
        if is_put {
            pair.put(1, b"key", b"value");
        } else {
            pair.get(1, b"key");
        }
        let ended_ns = pair.wait_in_silence();

        // Expect: the time counts from the first datagram.
        assert_in_time(began_ns, ended_ns, ANSWER_TIMEOUT_NS);
    }
}

#[test]
fn the_answer_time_is_the_applications_to_set() {
    // State: an application that waits no longer than two seconds.
    let config = ClientConfig { answer_timeout_ns: 2 * SECOND_NS, ..ClientConfig::default() };
    let mut pair = Pair::open(config, server_config());
    let began_ns = pair.now_ns;
    pair.put(1, b"key", b"value");
    pair.get(2, b"key");
    let ended_ns = pair.wait_in_silence();

    // Expect: it waits no longer.
    assert_in_time(began_ns, ended_ns, 2 * SECOND_NS);
    assert_eq!(pair.tokens.outstanding(), 0);
}

#[test]
fn one_put_that_is_never_answered_ends_a_session_that_is_otherwise_answered() {
    // State: every datagram that carries the PUT is lost, GETs are answered all the time.
    let mut pair = Pair::open(with_window(64), server_config());
    let began_ns = pair.now_ns;
    pair.put(0, b"key", b"value");
    let lost = header_of(&pair.request()).sequence;
    for token in 1.. {
        if pair.client.ended().is_some() {
            break;
        }
        pair.get(token, b"other");
        for request in pair.requests() {
            if header_of(&request).sequence != lost {
                pair.hand_to_server(&request);
            }
        }
        for reply in pair.replies() {
            pair.hand_to_client(&reply);
        }
        pair.wait(SECOND_NS / 100);
    }

    // Expect: it isn't waited for longer than the answer time.
    assert_in_time(began_ns, pair.now_ns, ANSWER_TIMEOUT_NS);
    assert_eq!(pair.client.ended(), Some(Ended::NoAnswer));
    assert_eq!(pair.end(0), Some(&End::Indeterminate));
    assert_eq!(pair.store.writes(), 0);
}

#[test]
fn one_get_that_is_never_answered_ends_a_session_that_is_otherwise_answered() {
    // State: a path that has begun to lose long replies; a GET of a long value is asked again
    // and again, PUTs are answered all the time.
    let mut pair = Pair::open(with_window(64), server_config());
    pair.store.put(b"long", &[1; 1400]).unwrap();
    let began_ns = pair.now_ns;
    pair.get(0, b"long");
    for token in 1.. {
        for request in pair.requests() {
            pair.hand_to_server(&request);
        }
        for reply in pair.replies() {
            if reply.len() < 1400 {
                pair.hand_to_client(&reply);
            }
        }
        if pair.client.ended().is_some() || pair.now_ns > began_ns + 2 * ANSWER_TIMEOUT_NS {
            break;
        }
        let _ = pair.try_put(token, b"key", b"value");
        for request in pair.requests() {
            pair.hand_to_server(&request);
        }
        pair.wait(SECOND_NS / 100);
    }

    // Expect: it isn't waited for longer than the answer time.
    assert_eq!(pair.end(0), Some(&End::Unanswered));
    assert_in_time(began_ns, pair.now_ns, ANSWER_TIMEOUT_NS);
}

#[test]
fn a_session_closed_twice_sends_its_close() {
    // State: the application closes again before the CLOSE went out.
    let mut pair = opened();
    pair.close();
    pair.close();

    // Expect: the server hears of it.
    assert_eq!(kind_of(&pair.request()), Kind::Close);
    assert_eq!(pair.client.ended(), Some(Ended::Closed));
}

#[test]
fn a_closed_session_is_gone_at_both_ends() {
    // State: a session is closed; a copy of its PUT arrives late.
    let mut pair = opened();
    pair.put(1, b"key", b"value");
    let request = pair.request();
    for reply in pair.answers_to(&request) {
        pair.hand_to_client(&reply);
    }
    pair.close();
    let close = pair.request();
    assert!(pair.answers_to(&close).is_empty(), "CLOSE is not answered");

    // Expect: the copy is refused; closing again does nothing.
    assert_eq!(pair.client.ended(), Some(Ended::Closed));
    assert_eq!((pair.server.sessions(), pair.server.counters().sessions_closed), (0, 1));
    assert_refused(&only(pair.answers_to(&request)), Reason::UnknownSession);
    assert_eq!(pair.store.writes(), 1);
    assert!(pair.answers_to(&close).is_empty());
    assert_eq!(pair.server.counters().sessions_closed, 1);
    assert_eq!(pair.client.counters().sessions_lost, 0);
}

#[test]
fn an_open_that_comes_again_after_the_close_opens_nothing() {
    // State: a session was opened and closed, and its OPEN comes again.
    let mut pair = Pair::connecting(with_window(4), server_config());
    let hello = pair.request();
    let cookie = only(pair.answers_to(&hello));
    pair.hand_to_client(&cookie);
    let open = pair.request();
    let accept = only(pair.answers_to(&open));
    pair.hand_to_client(&accept);
    pair.close();
    pair.settle();
    assert_eq!(pair.server.sessions(), 0);
    let reply = only(pair.answers_to(&open));

    // Expect: a refusal, and no session.
    assert_refused(&reply, Reason::Cookie);
    let counters = pair.server.counters();
    assert_eq!((pair.server.sessions(), counters.opens_late, counters.sessions_opened), (0, 1, 1));
}

#[test]
fn what_is_outstanding_when_a_session_is_closed_is_given_up() {
    // State: a PUT on its way, a GET not yet sent.
    let mut pair = opened();
    pair.put(1, b"key", b"value");
    pair.request();
    pair.get(2, b"key");
    pair.close();

    // Expect: both end, and nothing is sent but the CLOSE.
    assert_eq!(pair.end(1), Some(&End::Indeterminate));
    assert_eq!(pair.end(2), Some(&End::Unanswered));
    assert_eq!(pair.try_get(3, b"key"), Err(Blocked::NotOpen));
    assert_eq!(kind_of(&pair.request()), Kind::Close);
    assert!(pair.client.is_idle());
}

#[test]
fn a_close_from_another_address_closes_nothing() {
    // State: somebody else sends the CLOSE of a session.
    let mut pair = opened();
    let session = pair.client.granted().unwrap().session;
    let mut close = Vec::new();
    proto::pack::bare(&mut close, proto::wire::Header::new(Kind::Close, session, 0));
    pair.hand_to_server_from(other_address(), &close);

    // Expect: no answer, no effect, a count.
    assert!(pair.replies_to_anybody().is_empty());
    assert_eq!((pair.server.sessions(), pair.server.counters().unknown_session), (1, 1));
}

#[test]
fn a_session_closed_before_it_opened_ends_at_once() {
    // State: the application closes while the handshake is under way.
    let mut pair = Pair::connecting(ClientConfig::default(), server_config());
    pair.request();
    pair.close();

    // Expect: the end, and nothing more to send.
    assert_eq!(pair.client.ended(), Some(Ended::Closed));
    assert!(pair.requests().is_empty());
}
