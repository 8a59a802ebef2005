//! What bounds the datagrams and bytes that are outstanding, and how a client adapts.

mod common;

use common::{End, Pair, header_of, only, sent_again, server_config, with_window};
use proto::client::{Blocked, ClientConfig};
use proto::limits::{
    BURST_BYTES_MAX, CREDIT_MIN, DATAGRAM_OVERHEAD_BYTES, ENTRIES_PER_DATAGRAM_MAX,
    MTU_BYTES_DEFAULT, REORDER_MAX, RTO_INITIAL_NS, RTO_NS_MIN,
};
use proto::server::ServerConfig;
use proto::store::Store as _;

/// A worker whose receive buffer holds so many datagrams.
fn with_room_for(datagrams: usize) -> ServerConfig {
    let receive_buffer_bytes = datagrams * (1472 + DATAGRAM_OVERHEAD_BYTES);
    ServerConfig { receive_buffer_bytes, ..server_config() }
}

/// Sends PUTs and then GETs, each in a datagram of its own, until no more are taken; returns
/// them.
fn fill(pair: &mut Pair, first_token: u32) -> Vec<Vec<u8>> {
    let mut requests = Vec::new();
    let full = Err(Blocked::WindowFull);
    for token in first_token.. {
        let put = pair.try_put(token, b"key", b"value");
        if put == full && pair.try_get(token, b"key") == full {
            break;
        }
        requests.push(pair.request());
    }
    requests
}

#[test]
fn mutations_leave_a_quarter_of_the_window_to_reads() {
    for (window, mutations) in [(64, 48), (4, 3), (2, 1), (1, 1)] {
        // State: PUTs, each in a datagram of its own, as many as are taken.
        let config = ClientConfig { reply_bytes_max: 1 << 24, ..with_window(window) };
        let mut pair = Pair::open(config, with_room_for(100));
        let mut requests = Vec::new();
        while pair.try_put(requests.len() as u32, b"key", b"value").is_ok() {
            requests.push(pair.request());
        }

        // Expect: three quarters of the window, or one; the rest is for reads.
        assert_eq!(requests.len(), mutations, "window {window}");
        for token in mutations..window {
            assert_eq!(pair.try_get(100 + token as u32, b"key"), Ok(()));
            pair.request();
        }
        assert_eq!(pair.try_get(300, b"key"), Err(Blocked::WindowFull));

        // Expect: the answer to a PUT makes room for one, in a datagram with others for more.
        for reply in pair.answers_to(&requests[0]) {
            pair.hand_to_client(&reply);
        }
        assert_eq!(pair.try_put(301, b"key", b"value"), Ok(()));
        assert_eq!(pair.try_put(302, b"key", b"value"), Ok(()), "the same datagram");
        pair.request();
        assert_eq!(pair.try_put(303, b"key", b"value"), Err(Blocked::WindowFull));
    }
}

#[test]
fn mutations_that_fill_their_datagrams_leave_as_much_to_reads() {
    // State: PUTs that need a datagram each, handed in together.
    let config = ClientConfig { reply_bytes_max: 1 << 24, ..with_window(64) };
    let mut pair = Pair::open(config, with_room_for(100));
    let mut taken = 0;
    while pair.try_put(taken, b"key", &[0; 1000]).is_ok() {
        taken += 1;
    }

    // Expect: the datagram that is filling makes no way for another.
    assert_eq!(taken, 48);
    assert_eq!(pair.requests().len(), 48);
}

#[test]
fn mutations_that_are_never_answered_leave_room_for_a_read_however_small_the_window() {
    // State: PUTs that are lost until the window is at its smallest.
    let mut pair = Pair::open(with_window(8), with_room_for(100));
    for token in 0..6 {
        pair.put(token, b"key", b"value");
        pair.request();
    }
    assert_eq!(pair.try_put(6, b"key", b"value"), Err(Blocked::WindowFull));
    for _ in 0..20 {
        pair.wait_for_requests();
    }

    // Expect: a datagram of reads is taken after the other, and no two until answers come.
    for token in 10..20 {
        pair.get(token, b"key");
        let request = pair.request();
        assert!(token > 10 || pair.try_get(100, b"key") == Err(Blocked::WindowFull));
        for reply in pair.answers_to(&request) {
            pair.hand_to_client(&reply);
        }
        assert_eq!(pair.end(token), Some(&End::NotFound));
    }
}

/// What the kernel charges a receive buffer for a datagram.
const DATAGRAM_BYTES: usize = MTU_BYTES_DEFAULT + DATAGRAM_OVERHEAD_BYTES;

#[test]
fn the_budget_of_reply_bytes_bounds_the_gets_outstanding() {
    // State: a budget of ten full datagrams; nothing is known of how long the values are.
    let config = ClientConfig { reply_bytes_max: 10 * DATAGRAM_BYTES, ..ClientConfig::default() };
    let mut pair = Pair::open(config, server_config());
    let mut token = 0;
    while pair.try_get(token, b"key").is_ok() {
        token += 1;
    }

    // Expect: as many as the budget holds at full size, and more when that was too careful.
    assert_eq!(token, 10);
    assert_eq!(pair.try_get(token, b"key"), Err(Blocked::WindowFull));
    pair.settle();
    for _ in 0..200 {
        pair.get(token, b"key");
        pair.settle();
        token += 1;
    }
    let first = token;
    while pair.try_get(token, b"key").is_ok() {
        token += 1;
    }
    assert!(token - first > 100, "answers without a value are short: {}", token - first);
}

#[test]
fn answers_that_leave_half_a_datagram_empty_count_as_whole_datagrams() {
    // State: values of which one fits into a datagram, and two do not.
    let config = ClientConfig { reply_bytes_max: 10 * DATAGRAM_BYTES, ..ClientConfig::default() };
    let mut pair = Pair::open(config, server_config());
    pair.store.put(b"key", &[1; 720]).unwrap();
    for token in 0..500 {
        pair.get(token, b"key");
        pair.settle();
    }

    // Expect: as many outstanding as there are datagrams in the budget.
    let outstanding = (500..).take_while(|&token| pair.try_get(token, b"key").is_ok()).count();
    assert_eq!(outstanding, 10);
}

#[test]
fn the_budget_holds_when_values_grow() {
    // State: a client that has seen only short answers asks for one that is long.
    let config = ClientConfig { reply_bytes_max: 10 * DATAGRAM_BYTES, ..ClientConfig::default() };
    let mut pair = Pair::open(config, server_config());
    for token in 0..500 {
        pair.get(token, b"key");
        pair.settle();
    }
    pair.store.put(b"key", &[1; 1400]).unwrap();
    pair.get(500, b"key");
    pair.settle();

    // Expect: from then on it expects long ones.
    let mut token = 501;
    while pair.try_get(token, b"key").is_ok() {
        token += 1;
    }
    assert!(token - 501 <= 10, "{}", token - 501);
}

#[test]
fn the_smallest_budget_lets_one_operation_through() {
    // State: a budget of one byte.
    let config = ClientConfig { reply_bytes_max: 1, ..ClientConfig::default() };
    let mut pair = Pair::open(config, server_config());

    // Expect: one at a time.
    for token in 0..3 {
        pair.get(token, b"key");
        assert_eq!(pair.try_get(99, b"key"), Err(Blocked::WindowFull));
        pair.settle();
    }
    assert_eq!(pair.tokens.ended().len(), 3);
}

#[test]
fn the_servers_credit_bounds_the_datagrams_outstanding() {
    // State: a worker whose buffer holds five datagrams, a client that asks for 64.
    let mut pair = Pair::open(with_window(64), with_room_for(5));

    // Expect: five, although the session has more slots.
    assert_eq!(pair.client.granted().unwrap().window, 64);
    assert_eq!(fill(&mut pair, 0).len(), 5 + 1, "one of reads goes beside mutations");
}

#[test]
fn sessions_share_the_servers_credit_and_each_gets_the_least() {
    // State: beside a session that is active a second one opens; it asks for something, and then
    // the first gets a reply.
    let mut pair = Pair::open(with_window(64), with_room_for(5));
    pair.put(100, b"key", b"value");
    pair.settle();
    let mut second = Pair::connecting(with_window(64), server_config());
    second.client =
        proto::client::Client::new(second.now_ns, pair.client.server(), [9; 16], with_window(64));
    std::mem::swap(&mut pair.server, &mut second.server);
    second.settle();
    second.get(0, b"key");
    second.settle();
    std::mem::swap(&mut pair.server, &mut second.server);
    assert_eq!(second.client.granted().map(|granted| granted.credit), Some(2));
    pair.put(0, b"key", b"value");
    pair.settle();

    // Expect: it keeps to its share, which is never less than the least.
    assert_eq!(fill(&mut pair, 1).len(), 5 / 2 + 1, "one of reads goes beside mutations");
    assert_eq!(5 / 2, CREDIT_MIN);
}

#[test]
fn a_datagram_holds_as_many_operations_as_fit() {
    // State: GETs of the shortest keys in datagrams of the largest size.
    let config = ClientConfig { mtu_bytes: 8972, reply_bytes_max: 1 << 24, ..Default::default() };
    let mut pair = Pair::open(config, ServerConfig { mtu_bytes: 8972, ..server_config() });
    for token in 0..ENTRIES_PER_DATAGRAM_MAX as u32 + 1 {
        pair.get(token, b"k");
    }
    let requests = pair.requests();

    // Expect: no more than the most that a datagram may hold, and all are answered.
    let entries: Vec<_> = requests.iter().map(|request| header_of(request).entries).collect();
    assert_eq!(entries, [ENTRIES_PER_DATAGRAM_MAX as u16, 1]);
    assert_eq!(requests[0].len(), 8972, "padded, as another follows");
    for request in &requests {
        pair.hand_to_server(request);
    }
    for reply in pair.replies() {
        pair.hand_to_client(&reply);
    }
    assert_eq!(pair.tokens.outstanding(), 0);
}

#[test]
fn a_burst_is_of_equal_datagrams_and_no_longer_than_one_send_takes() {
    // State: more requests than one burst holds.
    let mut pair = Pair::open(with_window(256), server_config());
    for token in 0..100 {
        pair.put(token, b"key", &[1; 1000]);
    }
    let now_ns = pair.now_ns;
    let flush = proto::transmit::Flush::All;
    let burst = pair.client.poll_transmit(now_ns, flush).expect("there is something to send");

    // Expect: all but the last of one size.
    assert_eq!(burst.segment_bytes, 1472);
    assert_eq!(burst.segments(), BURST_BYTES_MAX / 1472);
    let sizes: Vec<_> = burst.datagrams().map(<[u8]>::len).collect();
    let (last, others) = sizes.split_last().unwrap();
    assert!(others.iter().all(|&bytes| bytes == 1472) && *last <= 1472);
    for datagram in burst.datagrams() {
        header_of(datagram);
    }
}

#[test]
fn a_loss_shrinks_the_window_once_for_all_that_was_outstanding() {
    // State: sixteen datagrams that went out together are lost, and once more.
    let mut pair = Pair::open(with_window(16), with_room_for(100));
    assert_eq!(fill(&mut pair, 0).len(), 16);
    pair.wait_for_requests();
    let soon = pair.wait_for_requests();

    // Expect: one reduction for all of them; no more go at once than the smaller window holds.
    assert_eq!(pair.client.counters().window_reductions, 1);
    assert_eq!(soon.len(), 16 - 11, "16 times 0.7 went before");
    let again = pair.wait_for_requests();
    assert_eq!(pair.client.counters().window_reductions, 2, "lost once more");
    assert_eq!(again.len(), 7, "11 times 0.7");
    for request in &again {
        pair.hand_to_server(request);
    }
    for reply in pair.replies() {
        pair.hand_to_client(&reply);
    }
    // The others follow, and nothing is left.
    while pair.tokens.outstanding() > 0 {
        for request in &pair.wait_for_requests() {
            pair.hand_to_server(request);
        }
        for reply in pair.replies() {
            pair.hand_to_client(&reply);
        }
    }
    assert_eq!(pair.client.counters().window_reductions, 2);
    assert_eq!(pair.store.writes(), 12, "and four reads");
    // From then on less is outstanding, until answers widen the window again.
    assert!((7..16).contains(&fill(&mut pair, 100).len()));
}

#[test]
fn a_window_that_loss_has_closed_to_one_opens_again() {
    // State: a PUT is lost time and again.
    let mut pair = Pair::open(with_window(16), with_room_for(100));
    pair.put(0, b"key", b"value");
    pair.request();
    for _ in 0..10 {
        pair.wait_for_requests();
    }
    assert_eq!(pair.client.counters().window_reductions, 10);
    assert_eq!(pair.try_put(1, b"key", b"value"), Err(Blocked::WindowFull));

    // Expect: the whole window after enough answers.
    let again = pair.wait_for_requests();
    for reply in pair.answers_to(&again[0]) {
        pair.hand_to_client(&reply);
    }
    for token in 1000..1300 {
        pair.put(token, b"key", b"value");
        pair.settle();
    }
    assert_eq!(fill(&mut pair, 2000).len(), 16);
}

#[test]
fn retransmissions_follow_the_measured_round_trip_and_back_off() {
    // State: a round trip well above the floor, measured often; then silence.
    let round_trip_ns = 2 * RTO_NS_MIN;
    let mut pair = Pair::open(with_window(4), server_config());
    for token in 0..100 {
        answer_after(&mut pair, token, round_trip_ns);
    }
    assert_eq!(pair.client.round_trip_ns(), round_trip_ns);
    pair.put(200, b"key", b"value");
    pair.request();
    let mut sent_ns = vec![pair.now_ns];
    for _ in 0..3 {
        pair.wait_for_requests();
        sent_ns.push(pair.now_ns);
    }

    // Expect: waits that begin near the round trip and double.
    let waits: Vec<_> = sent_ns.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((round_trip_ns..round_trip_ns * 6 / 5).contains(&waits[0]), "{waits:?}");
    assert_eq!((waits[1], waits[2]), (2 * waits[0], 4 * waits[0]));
}

#[test]
fn a_datagram_that_went_twice_tells_which_sending_was_answered() {
    // State: a PUT went out again just before the answer to the first came.
    let mut pair = Pair::open(with_window(4), server_config());
    pair.put(1, b"key", b"value");
    let request = pair.request();
    let replies = pair.answers_to(&request);
    pair.wait_for_requests();
    pair.now_ns += 1000;
    pair.hand_to_client(&replies[0]);

    // Expect: the round trip is that of the first sending, although it went again since.
    assert_eq!(pair.end(1), Some(&End::Stored(1)));
    assert_eq!(pair.client.round_trip_ns(), RTO_INITIAL_NS + 1000);
}

#[test]
fn a_request_that_later_ones_overtake_goes_again_at_once() {
    // State: of many requests the first is lost; the others are answered in turn.
    let mut pair = Pair::open(with_window(16), server_config());
    let requests = fill(&mut pair, 0);
    let mut answered = 0;
    while pair.client.counters().retransmits == 0 {
        answered += 1;
        for reply in pair.answers_to(&requests[answered]) {
            pair.hand_to_client(&reply);
        }
        pair.wait(0);
        let again = pair.requests();

        // Expect: it goes again when enough that were sent later are answered, without any
        // time having passed; one that is only overtaken by few does not.
        assert_eq!(again.is_empty(), (answered as u64) < REORDER_MAX, "after {answered}");
        assert!(again.iter().all(|again| *again == sent_again(&requests[0], 1)));
    }
    assert_eq!(pair.client.counters().retransmits, 1);
}

#[test]
fn an_answer_to_the_first_sending_overtakes_nothing() {
    // State: requests go out; the first of them goes out once more because its answer is a
    // little late, then the answers to all come, in turn.
    let mut pair = Pair::open(with_window(16), server_config());
    pair.put(0, b"key", b"value");
    let first = pair.request();
    pair.wait(RTO_INITIAL_NS - 1);
    let requests = fill(&mut pair, 1);
    assert_eq!(only(pair.wait_for_requests()), sent_again(&first, 1));
    for reply in pair.answers_to(&first) {
        pair.hand_to_client(&reply);
    }
    pair.wait(0);

    // Expect: nobody takes the others for lost: the answer may be to the first sending.
    assert!(pair.requests().is_empty());
    assert_eq!(pair.client.counters().retransmits, 1);
    for request in &requests {
        for reply in pair.answers_to(request) {
            pair.hand_to_client(&reply);
        }
    }
    assert_eq!(pair.tokens.outstanding(), 0);
}

/// Sends a PUT whose answer takes so long.
fn answer_after(pair: &mut Pair, token: u32, round_trip_ns: u64) {
    pair.put(token, b"key", b"value");
    let request = pair.request();
    let replies = pair.answers_to(&request);
    pair.now_ns += round_trip_ns;
    for reply in replies {
        pair.hand_to_client(&reply);
    }
}

/// Lets datagrams take `delay_ns` each way until nothing is outstanding, but no longer than
/// `time_ns`.
fn run_slowly(pair: &mut Pair, delay_ns: u64, time_ns: u64) {
    let until_ns = pair.now_ns + time_ns;
    let mut to_server: std::collections::VecDeque<(u64, Vec<u8>)> = Default::default();
    let mut to_client = to_server.clone();
    while pair.tokens.outstanding() > 0 && pair.now_ns < until_ns {
        let now_ns = pair.now_ns;
        while to_server.front().is_some_and(|(due_ns, _)| *due_ns <= now_ns) {
            let (_, datagram) = to_server.pop_front().unwrap();
            pair.hand_to_server(&datagram);
        }
        while to_client.front().is_some_and(|(due_ns, _)| *due_ns <= now_ns) {
            let (_, datagram) = to_client.pop_front().unwrap();
            pair.hand_to_client(&datagram);
        }
        to_client.extend(pair.replies().into_iter().map(|reply| (now_ns + delay_ns, reply)));
        to_server.extend(pair.requests().into_iter().map(|request| (now_ns + delay_ns, request)));
        pair.wait(1_000_000);
    }
}

#[test]
fn a_round_trip_that_grows_beyond_the_retransmission_time_is_learnt() {
    // State: a path of 0.2 ms, measured often, that takes ten times the floor from now on.
    let (delay_ns, patience_ns) = (5 * RTO_NS_MIN, 5_000_000_000);
    let mut pair = Pair::open(with_window(4), server_config());
    for token in 0..100 {
        answer_after(&mut pair, token, 200_000);
    }
    pair.get(100, b"key");
    run_slowly(&mut pair, delay_ns, patience_ns);

    // Expect: the GET is answered although it was asked again before an answer could come.
    assert!(matches!(pair.end(100), Some(End::Value(..))), "{:?}", pair.client.counters());
    // And the client has learnt: soon nothing goes out twice.
    for token in 101..110 {
        pair.put(token, b"key", b"value");
        run_slowly(&mut pair, delay_ns, patience_ns);
    }
    let counters = *pair.client.counters();
    for token in 110..120 {
        pair.get(token, b"key");
        run_slowly(&mut pair, delay_ns, patience_ns);
        pair.put(token + 1000, b"key", b"value");
        run_slowly(&mut pair, delay_ns, patience_ns);
    }
    assert_eq!(pair.client.counters().retransmits, counters.retransmits);
    assert_eq!(pair.client.counters().gets_asked_again, counters.gets_asked_again);
    assert_eq!(pair.tokens.outstanding(), 0);
}

#[test]
fn what_was_lost_after_a_pause_is_sent_again_before_what_waits_for_credit() {
    // State: after a pause two PUTs are sent and lost, and a GET waits for an answer to them.
    let mut pair = Pair::open(with_window(64), server_config());
    pair.wait(2_000_000_000);
    pair.put(0, b"key", b"value");
    pair.request();
    pair.put(1, b"key", b"value");
    pair.request();
    pair.get(2, b"other");
    assert_eq!(pair.requests(), [[0; 0]; 0]);

    // Expect: the PUTs are sent again, and then all is answered.
    for _ in 0..100 {
        for request in pair.requests() {
            pair.hand_to_server(&request);
        }
        for reply in pair.replies() {
            pair.hand_to_client(&reply);
        }
        pair.wait(RTO_NS_MIN);
    }
    let is_stored = |token| matches!(pair.end(token), Some(End::Stored(1 | 2)));
    assert!(is_stored(0) && is_stored(1));
    assert_eq!(pair.end(2), Some(&End::NotFound));
}
