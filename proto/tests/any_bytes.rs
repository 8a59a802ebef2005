//! Any bytes are input: decoding ends in a value or an error, and both ends survive.

mod common;

use bytemuck::bytes_of;
use common::{
    Pair, client_address, header_of, kind_of, only, other_address, server_config, with_window,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proto::limits::{
    ENTRIES_PER_DATAGRAM_MAX, KEY_BYTES_MAX, KEY_BYTES_MIN, MTU_BYTES_MAX, MTU_BYTES_MIN,
};
use proto::pack;
use proto::unpack::{self, Malformed};
use proto::wire::{HEADER_BYTES, Header, Kind, Op, ReplyEntry, RequestEntry, Status};

fn config() -> ProptestConfig {
    // The input that failed is printed; no file is written beside the tests.
    ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() }
}

/// A sound datagram but for what is in it: random fields, a body, and a checksum that
/// matches, so that what is behind the checksum is reached.
fn sealed(mut header: Header, body: &[u8]) -> Vec<u8> {
    header.checksum = 0;
    let mut datagram = bytes_of(&header).to_vec();
    datagram.extend_from_slice(body);
    let checksum = proto::wire::checksum(&datagram);
    datagram[..4].copy_from_slice(&checksum.to_le_bytes());
    datagram
}

fn reseal(datagram: &mut [u8]) {
    if datagram.len() >= HEADER_BYTES {
        let checksum = proto::wire::checksum(datagram);
        datagram[..4].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// Mostly what is sound, else anything.
fn mostly<T: std::fmt::Debug + Clone + Arbitrary + 'static>(sound: T) -> impl Strategy<Value = T> {
    prop_oneof![9 => Just(sound), 1 => any::<T>()]
}

/// Headers whose fields are near what is valid; the session is one of those given.
fn headers(sessions: Vec<u64>) -> impl Strategy<Value = Header> {
    let session = prop_oneof![9 => proptest::sample::select(sessions), 1 => any::<u64>()];
    let sequence = prop_oneof![4 => 0u64..12, 1 => any::<u64>()];
    let fields = (mostly(1u8), 0u8..10, mostly(0u8), mostly(0u8), mostly(0u16));
    let entries = prop_oneof![9 => 0u16..6, 1 => any::<u16>()];
    (session, sequence, fields, entries, any::<u16>(), 0u8..5).prop_map(
        |(session, sequence, fields, entries, credit, reason)| {
            let (version, kind, flags, attempt, tag_bytes) = fields;
            let flags = if kind == Kind::Refuse as u8 { reason } else { flags };
            let header = Header::new(Kind::Hello, session, sequence);
            Header { version, kind, flags, attempt, tag_bytes, entries, credit, ..header }
        },
    )
}

/// A request's entry whose lengths may lie, or be true and beyond the limits.
fn request_bytes() -> impl Strategy<Value = Vec<u8>> {
    let true_lengths = (0u16..20, 0u32..20).prop_map(|(key, value)| (key, value, None));
    let long_key = (500u16..530).prop_map(|key| (key, 0, None));
    let lies = (prop_oneof![0u16..600, any::<u16>()], prop_oneof![0u32..600, any::<u32>()])
        .prop_flat_map(|(key, value)| (Just(key), Just(value), (0usize..600).prop_map(Some)));
    let lengths = prop_oneof![8 => true_lengths, 1 => long_key, 1 => lies];
    (0u8..5, mostly(0u8), lengths, any::<bool>()).prop_map(
        |(op, extensions, (key_bytes, value_bytes, bytes), as_it_must)| {
            let has_value = op == Op::Put as u8 || !as_it_must;
            let has_key = op != Op::Stats as u8 || !as_it_must;
            let value_bytes = if has_value { value_bytes } else { 0 };
            let key_bytes = if has_key { key_bytes } else { 0 };
            let entry = RequestEntry { op, extensions, key_bytes, value_bytes };
            let mut body = bytes_of(&entry).to_vec();
            let bytes = bytes.unwrap_or(usize::from(key_bytes) + value_bytes as usize);
            body.resize(body.len() + bytes, 7);
            body
        },
    )
}

/// A reply's entry whose length may lie.
fn reply_bytes() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![9 => 0u16..20, 1 => any::<u16>()];
    (-6i16..6, 0u16..5, 0u8..5, mostly(0u8), length, 0u64..5).prop_map(
        |(sequence_delta, index, status, extensions, value_bytes, version)| {
            let entry =
                ReplyEntry { sequence_delta, index, status, extensions, value_bytes, version };
            let mut body = bytes_of(&entry).to_vec();
            body.resize(body.len() + usize::from(value_bytes).min(64), 7);
            body
        },
    )
}

/// Bodies of every kind, some of the right client, and anything else.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let handshake = (mostly([3u8; 16]), vec(mostly(0u32), 0..16), 0usize..1500).prop_map(
        |(client_id, words, padding)| {
            let mut body = client_id.to_vec();
            words.iter().for_each(|word| body.extend_from_slice(&word.to_le_bytes()));
            body.resize(body.len() + padding, 0);
            body
        },
    );
    prop_oneof![
        vec(request_bytes(), 0..6).prop_map(|entries| entries.concat()),
        vec(reply_bytes(), 0..6).prop_map(|entries| entries.concat()),
        handshake,
        vec(any::<u8>(), 0..200),
    ]
}

fn is_key(key: &[u8]) -> bool {
    (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len())
}

fn reads(datagram: &[u8]) {
    let mut spans = Vec::new();
    let header = match unpack::header(datagram) {
        Ok((_, header)) => header,
        Err(Malformed::Short) => return assert!(datagram.len() < HEADER_BYTES),
        Err(_) => unpack::unchecked_header(datagram),
    };
    if unpack::requests(datagram, header.entries, &mut spans).is_ok() {
        assert_eq!(spans.len(), usize::from(header.entries));
        for span in &spans {
            let (key, value) = (span.key(datagram), span.value(datagram));
            match span.op {
                Op::Get => assert!(is_key(key) && value.is_empty()),
                Op::Put => assert!(is_key(key)),
                Op::Stats => assert!(key.is_empty() && value.is_empty()),
            }
        }
    } else {
        assert!(spans.is_empty(), "all operations of a request, or none");
    }
    let answers = unpack::replies(datagram, &header).count();
    assert!(answers <= datagram.len() / 16 + 1, "as many as there are, and one error");
}

/// Everything that the worker has to send is sound, and to those who asked.
fn check_replies(pair: &mut Pair, from: std::net::SocketAddr, bytes_max: Option<usize>) {
    let replies = pair.replies_to_anybody();
    let bytes: usize = replies.iter().map(|(_, reply)| reply.len()).sum();
    assert!(bytes_max.is_none_or(|bytes_max| bytes <= bytes_max));
    for (to, reply) in &replies {
        assert_eq!(*to, from);
        assert!(reply.len() <= 1472);
        let (kind, header) = unpack::header(reply).expect("what is sent is sound");
        if kind == Kind::Reply {
            assert!(unpack::replies(reply, &header).all(|answer| answer.is_ok()));
        }
    }
}

/// Hands a datagram to the worker from an address with a session and from one without.
fn server_survives(pair: &mut Pair, datagram: &[u8]) {
    pair.hand_to_server(datagram);
    check_replies(pair, client_address(), None);
    let (sessions, writes) = (pair.server.sessions(), pair.store.writes());
    pair.hand_to_server_from(other_address(), datagram);
    check_replies(pair, other_address(), Some(datagram.len()));
    assert_eq!((pair.server.sessions(), pair.store.writes()), (sessions, writes));
}

/// Hands datagrams to a client; the harness fails if a token comes back twice.
fn client_survives(mut pair: Pair, datagrams: &[Vec<u8>]) {
    for datagram in datagrams {
        pair.hand_to_client(datagram);
        pair.requests();
        pair.wait(1_000_000);
    }
    while pair.client.ended().is_none() && pair.client.granted().is_none() {
        pair.requests();
        pair.wait_for_client();
    }
    pair.close();
    pair.requests();
    assert_eq!(pair.tokens.outstanding(), 0, "every token comes back in the end");
}

/// A session with one PUT and two GETs outstanding, and others waiting to be sent.
fn busy() -> Pair {
    let mut pair = Pair::open(with_window(4), server_config());
    pair.put(1, b"key", b"value");
    pair.get(2, b"key");
    pair.get(3, b"other");
    pair.requests();
    pair.stats(4);
    pair.put(5, b"key", b"again");
    pair
}

/// Clients in every phase.
fn phases() -> Vec<Pair> {
    let connecting = || {
        let mut pair = Pair::connecting(with_window(4), server_config());
        let hello = pair.request();
        (pair, hello)
    };
    let (said_hello, _) = connecting();
    let (mut has_cookie, hello) = connecting();
    let cookie = only(has_cookie.answers_to(&hello));
    has_cookie.hand_to_client(&cookie);
    has_cookie.requests();
    let mut closing = busy();
    closing.close();
    vec![said_hello, has_cookie, busy(), closing]
}

/// The sessions that forged datagrams claim: that of a client, and its nonce.
fn sessions() -> Vec<u64> {
    vec![busy().client.granted().unwrap().session, u64::from_le_bytes([3; 8])]
}

/// Every datagram of a handshake and an exchange.
fn valid() -> Vec<Vec<u8>> {
    let mut pair = Pair::connecting(with_window(4), server_config());
    let mut datagrams = Vec::new();
    for _ in 0..2 {
        let request = pair.request();
        let reply = only(pair.answers_to(&request));
        pair.hand_to_client(&reply);
        datagrams.extend([request, reply]);
    }
    pair.put(1, b"key", b"value");
    pair.get(2, b"key");
    let request = pair.request();
    let reply = only(pair.answers_to(&request));
    datagrams.extend([request, reply]);
    pair.close();
    let close = pair.request();
    assert!(pair.answers_to(&close).is_empty());
    let refusal = only(pair.answers_to(&datagrams[4]));
    datagrams.extend([close, refusal]);
    let kinds: Vec<_> = datagrams.iter().map(|datagram| kind_of(datagram) as u8).collect();
    assert_eq!(kinds, [1, 2, 3, 4, 5, 6, 8, 7], "every kind is there");
    datagrams
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn arbitrary_bytes_are_read_to_a_value_or_an_error(bytes in vec(any::<u8>(), 0..2000)) {
        reads(&bytes);
        let mut pair = busy();
        server_survives(&mut pair, &bytes);
        client_survives(pair, &[bytes]);
    }

    #[test]
    fn sealed_fields_and_bodies_are_read_to_a_value_or_an_error(
        header in headers(vec![1]),
        body in bodies(),
    ) {
        reads(&sealed(header, &body));
    }

    #[test]
    fn sealed_operations_are_read_to_what_is_within_the_limits_or_an_error(
        entries in vec(request_bytes(), 0..6),
    ) {
        let mut header = Header::new(Kind::Request, 1, 1);
        header.entries = entries.len() as u16;
        reads(&sealed(header, &entries.concat()));
    }

    #[test]
    fn a_server_survives_whatever_is_sealed(
        forged in vec((headers(sessions()), bodies()), 1..12),
    ) {
        let mut pair = busy();
        for (header, body) in &forged {
            server_survives(&mut pair, &sealed(*header, body));
        }
    }

    #[test]
    fn a_client_survives_whatever_is_sealed(
        forged in vec((headers(sessions()), bodies()), 1..12),
    ) {
        let datagrams: Vec<_> = forged.iter().map(|(header, body)| sealed(*header, body)).collect();
        for pair in phases() {
            client_survives(pair, &datagrams);
        }
    }

    #[test]
    fn both_ends_survive_valid_datagrams_that_were_changed(
        which in 0usize..8,
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        is_resealed in any::<bool>(),
    ) {
        let mut datagram = valid().swap_remove(which);
        for (at, byte) in changes {
            // Most changes are to be where there is something.
            let at = at.index(datagram.len().min(128));
            datagram[at] ^= byte;
        }
        if let Some(cut) = cut {
            datagram.truncate(cut.index(datagram.len()));
        }
        if is_resealed {
            reseal(&mut datagram);
        }
        reads(&datagram);
        let mut pair = busy();
        server_survives(&mut pair, &datagram);
        for pair in phases() {
            client_survives(pair, std::slice::from_ref(&datagram));
        }
    }

    #[test]
    fn a_change_of_one_byte_never_passes(
        which in 0usize..8,
        at in any::<prop::sample::Index>(),
        change in 1u8..=255,
    ) {
        let mut datagram = valid().swap_remove(which);
        let at = at.index(datagram.len());
        datagram[at] ^= change;
        prop_assert!(unpack::header(&datagram).is_err());
    }

    #[test]
    fn operations_are_read_as_they_were_written(
        operations in vec((1u8..=3, vec(any::<u8>(), 1..40), vec(any::<u8>(), 0..40)), 0..60),
        padding in 0usize..100,
    ) {
        let mut datagram = vec![0; HEADER_BYTES];
        let mut written = Vec::new();
        for (code, key, value) in operations {
            let op = Op::from_code(code).unwrap();
            let (key, value) = match op {
                Op::Get => (key, Vec::new()),
                Op::Put => (key, value),
                Op::Stats => (Vec::new(), Vec::new()),
            };
            pack::request_entry(&mut datagram, op, &key, &value);
            written.push((op, key, value));
        }
        datagram.resize(datagram.len() + padding, 0);
        let mut header = Header::new(Kind::Request, 1, 2);
        header.entries = written.len() as u16;
        pack::seal(&mut datagram, header);

        let mut spans = Vec::new();
        let (kind, read) = unpack::header(&datagram).unwrap();
        prop_assert_eq!((kind, read.entries, read.sequence), (Kind::Request, header.entries, 2));
        unpack::requests(&datagram, read.entries, &mut spans).unwrap();
        let read: Vec<_> = (spans.iter())
            .map(|span| (span.op, span.key(&datagram).to_vec(), span.value(&datagram).to_vec()))
            .collect();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn answers_are_read_as_they_were_written(
        base in any::<u64>(),
        answers in vec(
            (any::<i16>(), any::<u16>(), 0u8..=3, any::<u64>(), vec(any::<u8>(), 0..40)),
            0..40,
        ),
    ) {
        let mut datagram = vec![0; HEADER_BYTES];
        for (delta, index, status, version, value) in &answers {
            let status = Status::from_code(*status).unwrap();
            pack::reply_entry(&mut datagram, *delta, *index, status, *version, value);
        }
        let mut header = Header::new(Kind::Reply, 1, base);
        header.entries = answers.len() as u16;
        pack::seal(&mut datagram, header);

        let (_, header) = unpack::header(&datagram).unwrap();
        let read: Vec<_> = unpack::replies(&datagram, &header).map(Result::unwrap).collect();
        prop_assert_eq!(read.len(), answers.len());
        for (answer, (delta, index, status, version, value)) in read.iter().zip(&answers) {
            prop_assert_eq!(answer.sequence, base.wrapping_add_signed(i64::from(*delta)));
            prop_assert_eq!((answer.index, answer.status as u8), (*index, *status));
            prop_assert_eq!((answer.version, answer.value), (*version, value.as_slice()));
        }
    }
}

#[test]
fn a_claim_of_too_many_entries_is_refused_before_any_is_read() {
    // State: a datagram that has room for more entries than one may have.
    let mut datagram = vec![0; HEADER_BYTES];
    for _ in 0..=ENTRIES_PER_DATAGRAM_MAX {
        pack::request_entry(&mut datagram, Op::Stats, b"", b"");
    }
    assert!(datagram.len() <= MTU_BYTES_MAX && datagram.len() >= MTU_BYTES_MIN);

    // Expect: an error for one too many, none for the most.
    let mut spans = Vec::new();
    let too_many = ENTRIES_PER_DATAGRAM_MAX as u16 + 1;
    assert_eq!(unpack::requests(&datagram, too_many, &mut spans), Err(Malformed::Entry));
    assert_eq!(unpack::requests(&datagram, too_many - 1, &mut spans), Ok(()));
    assert_eq!(header_of(&sealed(Header::new(Kind::Request, 1, 1), &[])).entries, 0);
}
