//! Somebody on the path sends in another's session, under a sequence that is not used yet: its
//! owner is never told the end of a request that is not its own.

mod common;

use common::{End, Pair, header_of, kind_of, only, sent_again, server_config, with_window};
use proto::client::Ended;
use proto::pack;
use proto::wire::{HEADER_BYTES, Header, Kind, Op, Reason};

type Entry<'a> = (Op, &'a [u8], &'a [u8]);

fn opened() -> Pair {
    Pair::open(with_window(4), server_config())
}

/// A request with the session and the sequence of another, and entries of its own.
fn forged(like: &[u8], entries: &[Entry<'_>]) -> Vec<u8> {
    let mut datagram = vec![0; HEADER_BYTES];
    for (op, key, value) in entries {
        pack::request_entry(&mut datagram, *op, key, value);
    }
    let of = header_of(like);
    let mut header = Header::new(Kind::Request, of.session, of.sequence);
    header.entries = entries.len() as u16;
    pack::seal(&mut datagram, header);
    datagram
}

/// A PUT and a GET of the client, whose request has been forged before it arrives; what answers
/// the genuine one is handed to the client.
fn overtaken(forged_entries: &[Entry<'_>]) -> (Pair, Vec<u8>) {
    let mut pair = opened();
    pair.put(1, b"key", b"value");
    pair.get(2, b"key");
    let request = pair.request();
    pair.answers_to(&forged(&request, forged_entries));
    let refusal = only(pair.answers_to(&request));
    pair.hand_to_client(&refusal);
    (pair, refusal)
}

fn expect_refused(pair: &Pair, refusal: &[u8]) {
    let header = header_of(refusal);
    assert_eq!((kind_of(refusal), header.flags), (Kind::Refuse, Reason::SequenceTaken as u8));
    assert_eq!(pair.end(1), Some(&End::Indeterminate));
    assert_eq!(pair.end(2), Some(&End::Unanswered));
    assert_eq!(pair.client.ended(), Some(Ended::SequenceTaken));
    let counters = pair.server.counters();
    assert_eq!((counters.sequences_taken, counters.mutations_suppressed), (1, 0));
    assert_eq!(counters.malformed, 0);
    assert_eq!(pair.store.version(b"key"), 0, "it was not executed");
}

#[test]
fn a_put_whose_sequence_was_taken_is_indeterminate_and_not_done() {
    let (pair, refusal) = overtaken(&[(Op::Put, b"other", b"thing"), (Op::Get, b"key", b"")]);
    expect_refused(&pair, &refusal);
}

#[test]
fn entries_that_differ_in_one_byte_are_another_request() {
    for (key, value) in [(b"kex", b"value"), (b"key", b"valuf")] {
        let (pair, refusal) = overtaken(&[(Op::Put, key, value), (Op::Get, b"key", b"")]);
        assert_eq!(header_of(&refusal).flags, Reason::SequenceTaken as u8);
        assert_eq!(pair.end(1), Some(&End::Indeterminate));
        assert_eq!((pair.store.writes(), pair.server.counters().mutations_suppressed), (1, 0));
    }
}

#[test]
fn the_same_bytes_in_other_entries_are_another_request() {
    let (pair, refusal) = overtaken(&[(Op::Put, b"keyv", b"alue"), (Op::Get, b"key", b"")]);
    expect_refused(&pair, &refusal);
}

#[test]
fn another_number_of_mutations_is_another_request() {
    let get: Entry<'_> = (Op::Get, b"key", b"");
    let put: Entry<'_> = (Op::Put, b"other", b"thing");
    for entries in [&[get][..], &[get, get], &[put, put], &[put, put, get]] {
        let (pair, refusal) = overtaken(entries);
        expect_refused(&pair, &refusal);
    }
}

#[test]
fn reads_whose_sequence_a_mutation_has_are_refused_too() {
    // State: GETs alone, whose sequence a forged PUT has taken.
    let mut pair = opened();
    pair.get(1, b"key");
    let request = pair.request();
    pair.answers_to(&forged(&request, &[(Op::Put, b"key", b"value")]));
    let refusal = only(pair.answers_to(&request));

    // Expect: a refusal.
    assert_eq!(header_of(&refusal).flags, Reason::SequenceTaken as u8);
    pair.hand_to_client(&refusal);
    assert_eq!(pair.end(1), Some(&End::Unanswered));
}

#[test]
fn a_session_whose_sequence_was_taken_still_answers_the_request_that_has_it() {
    // State: a PUT was executed, and another claims its sequence.
    let mut pair = opened();
    pair.put(1, b"key", b"value");
    let request = pair.request();
    let first = pair.answers_to(&request);
    let refusal = only(pair.answers_to(&forged(&request, &[(Op::Put, b"key", b"other")])));

    // Expect: the other is refused, and the first is answered again.
    assert_eq!(header_of(&refusal).flags, Reason::SequenceTaken as u8);
    assert_eq!(pair.answers_to(&request), first);
    assert_eq!((pair.store.writes(), pair.server.counters().sequences_taken), (1, 1));
}

#[test]
fn what_is_behind_the_entries_and_in_the_header_makes_no_other_request() {
    // State: a PUT of few bytes, as it comes again: padded, with another attempt and credit.
    let mut pair = opened();
    pair.put(1, b"k", b"");
    let request = pair.request();
    pair.answers_to(&request);
    let mut again = sent_again(&request, 3);
    again.resize(1000, 0);
    let header = Header { attempt: 3, credit: 9, ..header_of(&request) };
    pack::seal(&mut again, header);

    // Expect: it is answered from the record.
    assert_eq!(kind_of(&only(pair.answers_to(&again))), Kind::Reply);
    assert_eq!(pair.server.counters().mutations_suppressed, 1);
}
