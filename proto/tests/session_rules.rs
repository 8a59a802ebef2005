//! What a slot's sequence promises: at most once, however the datagrams travel.

mod common;

use common::{End, Pair, header_of, only, sent_again, server_config, with_window};
use proto::client::{Blocked, ClientConfig};
use proto::limits::value_bytes_max;
use proto::pack;
use proto::store::Store as _;
use proto::wire::{FLAG_MUTATIONS_ONLY, Header, Kind, Status};

fn opened(window: usize) -> Pair {
    Pair::open(with_window(window), server_config())
}

#[test]
fn a_put_that_comes_again_is_answered_from_the_record() {
    // State: a PUT was executed, and its request comes again.
    let mut pair = opened(4);
    pair.put(1, b"key", b"value");
    let request = pair.request();
    let first = pair.answers_to(&request);
    let again = pair.answers_to(&request);

    // Expect: the same answer, and one execution.
    assert_eq!(first, again);
    assert_eq!((pair.store.writes(), pair.store.version(b"key")), (1, 1));
    assert_eq!(pair.server.counters().mutations_suppressed, 1);
    assert_eq!(pair.server.counters().requests_duplicate, 1);
    assert_eq!(pair.server.counters().puts, 1);
}

#[test]
fn a_get_that_comes_again_is_read_again() {
    // State: a GET was answered, the key was written since, and the request comes again.
    let mut pair = opened(4);
    pair.get(1, b"key");
    let request = pair.request();
    pair.answers_to(&request);
    pair.store.put(b"key", b"since").unwrap();
    for reply in pair.answers_to(&request) {
        pair.hand_to_client(&reply);
    }

    // Expect: the value of now.
    assert_eq!(pair.end(1), Some(&End::Value(1, b"since".to_vec())));
}

#[test]
fn a_request_that_comes_again_reads_again_but_does_not_write_again() {
    // State: a request of one PUT and one GET of the same key comes three times.
    let mut pair = opened(4);
    pair.put(1, b"key", b"value");
    pair.get(2, b"key");
    let request = pair.request();
    for _ in 0..3 {
        for reply in pair.answers_to(&request) {
            pair.hand_to_client(&reply);
        }
    }

    // Expect: the version did not grow.
    assert_eq!(pair.end(1), Some(&End::Stored(1)));
    assert_eq!(pair.end(2), Some(&End::Value(1, b"value".to_vec())));
    assert_eq!(pair.store.writes(), 1);
    let counters = pair.server.counters();
    assert_eq!((counters.gets, counters.gets_repeated), (1, 2));
}

#[test]
fn a_request_older_than_its_slot_is_dropped_and_counted() {
    // State: the only slot has executed a second request; the first one comes again.
    let mut pair = opened(1);
    pair.put(1, b"key", b"first");
    let first = pair.request();
    for reply in pair.answers_to(&first) {
        pair.hand_to_client(&reply);
    }
    pair.put(2, b"key", b"second");
    pair.settle();
    let replies = pair.answers_to(&first);

    // Expect: no answer, no execution.
    assert!(replies.is_empty());
    assert_eq!(pair.store.value_at(b"key", 2), Some(&b"second"[..]));
    assert_eq!(pair.store.writes(), 2);
    assert_eq!(pair.server.counters().requests_old, 1);
}

#[test]
fn a_full_window_blocks_until_an_answer_comes() {
    // State: a window of two, and two datagrams on their way.
    let mut pair = opened(2);
    pair.put(1, b"a", b"1");
    let first = pair.request();
    pair.get(2, b"b");
    pair.request();

    // Expect: no third, but after an answer.
    assert_eq!(pair.try_put(3, b"c", b"3"), Err(Blocked::WindowFull));
    assert_eq!(pair.try_get(3, b"c"), Err(Blocked::WindowFull));
    for reply in pair.answers_to(&first) {
        pair.hand_to_client(&reply);
    }
    assert_eq!(pair.try_put(3, b"c", b"3"), Ok(()));
}

#[test]
fn what_was_not_sent_can_be_taken_back() {
    // State: a PUT on its way, and operations that were not handed out, in two datagrams.
    let mut pair = opened(4);
    pair.put(1, b"a", b"1");
    let first = pair.request();
    pair.put(2, b"b", &[2; 1000]);
    pair.get(3, b"c");
    pair.put(4, b"d", &[4; 1000]);
    let mut withdrawn = Vec::new();
    pair.client.withdraw_unsent(|token, _, key| withdrawn.push((token, key.to_vec())));

    // Expect: they are told in their order, and never leave; the session goes on.
    let expected = [(2, b"b".to_vec()), (3, b"c".to_vec()), (4, b"d".to_vec())];
    assert_eq!(withdrawn, expected);
    assert_eq!(pair.requests(), Vec::<Vec<u8>>::new());
    for reply in pair.answers_to(&first) {
        pair.hand_to_client(&reply);
    }
    assert!(pair.client.is_idle());
    assert_eq!(pair.client.counters().operations_sent, 1);
    pair.put(5, b"e", b"5");
    pair.settle();
    assert_eq!((pair.end(5), pair.store.writes()), (Some(&End::Stored(1)), 2));
}

#[test]
fn a_lost_reply_makes_the_put_go_again_under_its_sequence() {
    // State: a PUT was executed, its reply lost, its time is over.
    let mut pair = opened(4);
    pair.put(1, b"key", b"value");
    let request = pair.request();
    pair.answers_to(&request);
    let again = only(pair.wait_for_requests());

    // Expect: the same datagram, answered, executed once.
    assert_eq!(again, sent_again(&request, 1));
    for reply in pair.answers_to(&again) {
        pair.hand_to_client(&reply);
    }
    assert_eq!(pair.end(1), Some(&End::Stored(1)));
    assert_eq!((pair.store.writes(), pair.client.counters().retransmits), (1, 1));
}

#[test]
fn a_lost_request_goes_again_and_is_executed_once() {
    // State: a PUT was lost on its way, twice.
    let mut pair = opened(4);
    pair.put(1, b"key", b"value");
    pair.request();
    pair.wait_for_requests();
    let third = pair.wait_for_requests();

    // Expect: the third arrives.
    pair.hand_to_server(&third[0]);
    let reply = pair.reply();
    pair.hand_to_client(&reply);
    assert_eq!(pair.end(1), Some(&End::Stored(1)));
    assert_eq!((pair.store.writes(), pair.client.counters().retransmits), (1, 2));
}

#[test]
fn a_request_of_which_nothing_was_answered_goes_again_as_it_was() {
    // State: the answers to a PUT and a GET are only late; slots are free.
    let mut pair = opened(4);
    pair.put(1, b"a", b"1");
    pair.get(2, b"a");
    let request = pair.request();
    let late = pair.answers_to(&request);
    let again = only(pair.wait_for_requests());

    // Expect: the same datagram, and the late answers count.
    assert_eq!(again, sent_again(&request, 1));
    pair.hand_to_client(&late[0]);
    assert_eq!(pair.tokens.outstanding(), 0);
    assert_eq!(pair.store.writes(), 1);
}

#[test]
fn lost_gets_are_asked_again_alone_while_puts_stay_in_their_slot() {
    // State: of the two replies to a PUT and two GETs, the one with the PUT was lost; slots
    // are free.
    let mut pair = opened(4);
    pair.store.put(b"b", &[1; 1000]).unwrap();
    pair.put(1, b"a", b"1");
    pair.get(2, b"b");
    pair.get(3, b"b");
    let request = pair.request();
    let replies = pair.answers_to(&request);
    assert_eq!(replies.len(), 2);
    pair.hand_to_client(&replies[1]);
    let lost = header_of(&request);
    let requests = pair.wait_for_requests();

    // Expect: the PUT again under its sequence, told to be the only one to execute; the
    // GET in a new datagram under a new sequence.
    let headers: Vec<_> = requests.iter().map(|request| header_of(request)).collect();
    let of_put = headers.iter().find(|h| h.sequence == lost.sequence).expect("it goes again");
    let of_get = headers.iter().find(|h| h.sequence != lost.sequence).expect("it is asked");
    assert_eq!(headers.len(), 2);
    assert_eq!((lost.flags, lost.entries), (0, 3));
    assert_eq!((of_put.flags, of_put.entries), (FLAG_MUTATIONS_ONLY, 3));
    assert_eq!((of_get.flags, of_get.entries), (0, 1));
    assert_eq!(pair.client.counters().gets_asked_again, 1);

    for request in &requests {
        for reply in pair.answers_to(request) {
            pair.hand_to_client(&reply);
        }
    }
    assert_eq!(pair.end(1), Some(&End::Stored(1)));
    assert_eq!(pair.end(2), Some(&End::Value(1, vec![1; 1000])));
    assert_eq!((pair.server.counters().gets, pair.store.writes()), (3, 2));
}

#[test]
fn without_a_free_slot_gets_go_again_in_theirs() {
    // State: the only slot holds a PUT and a GET, and its replies are lost.
    let mut pair = opened(1);
    pair.put(1, b"a", b"1");
    pair.get(2, b"a");
    let request = pair.request();
    pair.answers_to(&request);
    let again = only(pair.wait_for_requests());

    // Expect: the whole datagram again, its PUT executed once.
    assert_eq!(again, sent_again(&request, 1));
    for reply in pair.answers_to(&request) {
        pair.hand_to_client(&reply);
    }
    assert_eq!(pair.end(1), Some(&End::Stored(1)));
    assert_eq!(pair.end(2), Some(&End::Value(1, b"1".to_vec())));
    assert_eq!(pair.store.writes(), 1);
}

#[test]
fn gets_whose_put_is_answered_leave_the_slot_even_if_it_is_the_only_one() {
    // State: of the only slot's PUT and GETs, the reply that holds the last GET was lost.
    let mut pair = opened(1);
    pair.store.put(b"key", &[1; 1000]).unwrap();
    pair.put(1, b"a", b"1");
    pair.get(2, b"key");
    pair.get(3, b"key");
    let request = pair.request();
    let replies = pair.answers_to(&request);
    assert_eq!(replies.len(), 2, "each holds one GET");
    pair.hand_to_client(&replies[0]);
    let again = only(pair.wait_for_requests());

    // Expect: the GET alone in a new use of the slot.
    assert_eq!(header_of(&again).sequence, header_of(&request).sequence + 1);
    assert_eq!(header_of(&again).entries, 1);
    for reply in pair.answers_to(&again) {
        pair.hand_to_client(&reply);
    }
    assert_eq!((pair.tokens.outstanding(), pair.store.writes()), (0, 2));
}

#[test]
fn an_answer_that_comes_again_is_counted_and_its_token_is_not_given_back_again() {
    // State: the replies to a PUT and GETs span two datagrams; each comes twice.
    let mut pair = opened(4);
    pair.store.put(b"key", &[1; 1000]).unwrap();
    pair.put(1, b"a", b"1");
    pair.get(2, b"key");
    pair.get(3, b"key");
    let request = pair.request();
    let replies = pair.answers_to(&request);
    for reply in &replies {
        pair.hand_to_client(reply);
        pair.hand_to_client(reply);
    }

    // Expect: those of the first are duplicates, those of the last come too late: the slot
    // is free by then. (The harness fails if a token comes back twice.)
    assert_eq!(pair.tokens.ended().len(), 3);
    assert_eq!(pair.client.counters().answers_duplicate, 2);
    assert_eq!(pair.client.counters().answers_late, 1);
    assert_eq!(pair.client.counters().operations_answered, 3);
}

#[test]
fn a_put_acknowledged_twice_ends_once() {
    // State: a PUT went out twice, and both were answered.
    let mut pair = opened(4);
    pair.put(1, b"key", b"value");
    let first = pair.request();
    let second = only(pair.wait_for_requests());
    let mut replies = pair.answers_to(&first);
    replies.extend(pair.answers_to(&second));
    for reply in &replies {
        pair.hand_to_client(reply);
    }

    // Expect: one end, one late answer.
    assert_eq!(pair.end(1), Some(&End::Stored(1)));
    assert_eq!(pair.client.counters().operations_answered, 1);
    assert_eq!(pair.client.counters().answers_late, 1);
}

#[test]
fn an_answer_to_an_earlier_use_of_a_slot_is_not_taken_for_the_later() {
    // State: the only slot is used for the second time; the first reply comes again.
    let mut pair = opened(1);
    pair.put(1, b"key", b"first");
    let request = pair.request();
    let reply = pair.answers_to(&request);
    pair.hand_to_client(&reply[0]);
    pair.put(2, b"key", b"second");
    pair.request();
    pair.hand_to_client(&reply[0]);

    // Expect: the second PUT is still waited for.
    assert_eq!(pair.end(2), None);
    assert_eq!(pair.client.counters().answers_late, 1);
}

#[test]
fn a_refused_put_stays_refused_when_its_request_comes_again() {
    // State: a PUT was refused for lack of memory; then there is room, and it comes again.
    let mut pair = opened(4);
    pair.store.is_full = true;
    pair.put(1, b"key", b"value");
    let request = pair.request();
    let refused = pair.answers_to(&request);
    pair.store.is_full = false;
    let again = pair.answers_to(&request);

    // Expect: refused again, not executed; a new PUT is executed.
    assert_eq!(refused, again);
    pair.hand_to_client(&again[0]);
    assert_eq!((pair.end(1), pair.store.writes()), (Some(&End::Full), 0));
    assert_eq!(pair.server.counters().puts_refused, 1);
    pair.put(2, b"key", b"value");
    pair.settle();
    assert_eq!(pair.end(2), Some(&End::Stored(1)));
}

#[test]
fn a_value_that_no_datagram_of_the_session_holds_is_too_large() {
    // State: two values, the longest that an answer carries, and one byte more.
    let mut pair = opened(4);
    let room = 1472 - 32 - 16;
    pair.store.put(b"fits", &vec![1; room]).unwrap();
    pair.store.put(b"large", &vec![1; room + 1]).unwrap();
    pair.get(1, b"fits");
    pair.get(2, b"large");
    pair.settle();

    // Expect: each its own answer, and a count.
    assert_eq!(pair.end(1), Some(&End::Value(1, vec![1; room])));
    assert_eq!(pair.end(2), Some(&End::TooLarge));
    assert_eq!(pair.server.counters().gets_too_large, 1);
}

#[test]
fn what_fits_in_no_datagram_is_not_taken() {
    // State: a session of 1472 bytes, keys and values at the limits and beyond.
    let mut pair = opened(4);
    let value_max = value_bytes_max(1472, 8);

    // Expect: only what is within the limits is taken; it comes back whole.
    assert_eq!(pair.try_get(1, b""), Err(Blocked::Length));
    assert_eq!(pair.try_get(1, &[1; 513]), Err(Blocked::Length));
    assert_eq!(pair.try_put(1, b"", b"v"), Err(Blocked::Length));
    assert_eq!(pair.try_put(1, &[1; 513], b"v"), Err(Blocked::Length));
    assert_eq!(pair.try_put(1, &[1; 8], &vec![1; value_max + 1]), Err(Blocked::Length));
    assert_eq!(pair.client.counters().operations_sent, 0);
    pair.put(1, &[1; 8], &vec![9; value_max]);
    pair.put(2, &[2; 512], &vec![8; value_bytes_max(1472, 512)]);
    pair.settle();
    pair.get(3, &[1; 8]);
    pair.get(4, &[2; 512]);
    pair.settle();
    assert_eq!(pair.end(3), Some(&End::Value(1, vec![9; value_max])));
    assert_eq!(pair.end(4), Some(&End::Value(1, vec![8; value_bytes_max(1472, 512)])));
}

#[test]
fn a_status_that_the_operation_cannot_have_is_malformed() {
    // State: a PUT and a GET are outstanding; answers come that cannot be theirs.
    let mut pair = opened(4);
    pair.put(1, b"key", b"value");
    pair.get(2, b"key");
    let request = header_of(&pair.request());
    let impossible = [(0, Status::NotFound), (0, Status::TooLarge), (1, Status::Full)];
    for (index, status) in impossible {
        let mut datagram = vec![0; 32];
        pack::reply_entry(&mut datagram, 0, index, status, 0, b"");
        let mut header = Header::new(Kind::Reply, request.session, request.sequence);
        header.entries = 1;
        pack::seal(&mut datagram, header);
        pair.hand_to_client(&datagram);
    }

    // Expect: both are still waited for.
    assert_eq!((pair.tokens.outstanding(), pair.client.counters().malformed), (2, 3));
}

#[test]
fn an_empty_value_is_a_value() {
    // State: a key written with nothing, another never.
    let mut pair = opened(4);
    pair.put(1, b"empty", b"");
    pair.settle();
    pair.get(2, b"empty");
    pair.get(3, b"absent");
    pair.settle();

    // Expect: they differ.
    assert_eq!(pair.end(2), Some(&End::Value(1, Vec::new())));
    assert_eq!(pair.end(3), Some(&End::NotFound));
}

#[test]
fn stats_answer_with_the_counters_that_are_not_zero() {
    // State: a worker that has executed a PUT.
    let mut pair = opened(4);
    pair.put(1, b"key", b"value");
    pair.settle();
    pair.stats(2);
    pair.settle();

    // Expect: lines of name and value, gauges of the store among them.
    let Some(End::Value(0, text)) = pair.end(2) else { panic!("{:?}", pair.end(2)) };
    let lines: Vec<_> = std::str::from_utf8(text).unwrap().lines().collect();
    for line in ["records 1", "puts 1", "sessions_opened 1"] {
        assert!(lines.contains(&line), "{line} in {lines:?}");
    }
    assert!(!lines.iter().any(|line| line.ends_with(" 0")), "{lines:?}");
}

#[test]
fn stats_that_were_lost_are_asked_again() {
    // State: the reply to STATS was lost.
    let mut pair = Pair::open(ClientConfig::default(), server_config());
    pair.stats(1);
    pair.request();
    let again = only(pair.wait_for_requests());

    // Expect: asked again, answered once.
    for reply in pair.answers_to(&again) {
        pair.hand_to_client(&reply);
    }
    assert!(matches!(pair.end(1), Some(End::Value(0, _))));
}
