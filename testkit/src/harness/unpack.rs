//! Any bytes end in a value or an error, for the readers of datagrams and for both ends,
//! and nothing takes longer than the datagram is long.

use arbitrary::Unstructured;
use proto::client::{Client, ClientConfig};
use proto::limits::{ENTRIES_PER_DATAGRAM_MAX, KEY_BYTES_MAX, KEY_BYTES_MIN, MTU_BYTES_MAX};
use proto::pack;
use proto::transmit::Flush;
use proto::unpack::{self, Malformed};
use proto::wire::{
    Accept, Cookie, HEADER_BYTES, Header, Hello, MAGIC, Op, Open, REPLY_ENTRY_BYTES,
    REQUEST_ENTRY_BYTES, VERSION,
};

use super::ends::{Pair, START_NS, client_address, client_of, server_config, stranger};
use super::forged::forged;

/// Zero, so that bodies of zeros name the right client.
const CLIENT_ID: [u8; 16] = [0; 16];

/// The first byte says whether the others are a datagram, or tell how one is forged. A
/// datagram is read once more with a magic, version and checksum that are right, so that
/// what is behind the checksum is reached.
pub fn run(bytes: &[u8]) {
    let Some((&shape, bytes)) = bytes.split_first() else { return reads(&[]) };
    if shape % 2 == 1 {
        return survives(&forged(&mut Unstructured::new(bytes)));
    }
    reads(bytes);
    if let Some(sealed) = sealed(bytes, None) {
        survives(&sealed);
    }
}

fn survives(datagram: &[u8]) {
    reads(datagram);
    // Larger ones come through no socket.
    if datagram.len() <= MTU_BYTES_MAX {
        server_survives(datagram);
        clients_survive(datagram);
    }
}

/// The datagram with a header that passes, and of a certain session.
fn sealed(bytes: &[u8], session: Option<u64>) -> Option<Vec<u8>> {
    let header = bytes.first_chunk::<HEADER_BYTES>()?;
    let header: Header = bytemuck::pod_read_unaligned(header);
    let session = session.unwrap_or(header.session);
    let mut sealed = bytes.to_vec();
    pack::seal(&mut sealed, Header { magic: MAGIC, version: VERSION, session, ..header });
    Some(sealed)
}

/// Reads the bytes as everything that a datagram can be.
fn reads(datagram: &[u8]) {
    let header = match unpack::header(datagram) {
        Ok((_, header)) => header,
        Err(Malformed::Short) => return assert!(datagram.len() < HEADER_BYTES),
        Err(_) => unpack::unchecked_header(datagram),
    };
    reads_requests(datagram, &header);
    reads_replies(datagram, &header);
    reads_body::<Hello>(datagram);
    reads_body::<Cookie>(datagram);
    reads_body::<Open>(datagram);
    reads_body::<Accept>(datagram);
    assert_eq!(unpack::reason(&header).is_ok(), (1..=5).contains(&header.flags));
}

fn reads_body<T: bytemuck::AnyBitPattern>(datagram: &[u8]) {
    let fits = datagram.len() >= HEADER_BYTES + size_of::<T>();
    assert_eq!(unpack::body::<T>(datagram).is_ok(), fits);
}

/// All operations of a request lie one behind the other in it and in the limits, or there
/// are none.
fn reads_requests(datagram: &[u8], header: &Header) {
    let mut spans = Vec::new();
    if unpack::requests(datagram, header.entries, &mut spans).is_err() {
        assert!(spans.is_empty(), "all operations of a request, or none");
        return;
    }
    assert_eq!(spans.len(), usize::from(header.entries));
    assert!(spans.len() <= ENTRIES_PER_DATAGRAM_MAX);
    let mut at = HEADER_BYTES;
    for span in &spans {
        let (key, value) = (span.key(datagram), span.value(datagram));
        let is_key = (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len());
        match span.op {
            Op::Get => assert!(is_key && value.is_empty()),
            Op::Put => assert!(is_key),
            Op::Stats => assert!(key.is_empty() && value.is_empty()),
        }
        at += REQUEST_ENTRY_BYTES;
        assert_eq!(key, &datagram[at..][..key.len()], "it lies behind its entry");
        at += key.len();
        assert_eq!(value, &datagram[at..][..value.len()], "it lies behind its key");
        at += value.len();
    }
    assert!(at <= datagram.len());
}

/// No more answers than there is room for, and nothing behind the first that is wrong.
fn reads_replies(datagram: &[u8], header: &Header) {
    let (mut at, mut count, mut has_failed) = (HEADER_BYTES, 0, false);
    for answer in unpack::replies(datagram, header) {
        assert!(!has_failed, "an error is the last");
        let Ok(answer) = answer else {
            has_failed = true;
            continue;
        };
        count += 1;
        at += REPLY_ENTRY_BYTES;
        assert_eq!(answer.value, &datagram[at..][..answer.value.len()]);
        at += answer.value.len();
    }
    assert!(at <= datagram.len());
    assert!(has_failed || count == header.entries);
}

/// A client that has said nothing yet, in a session of few slots.
fn connecting() -> Client<u32> {
    let config = ClientConfig { window: 4, ..ClientConfig::default() };
    client_of(START_NS, CLIENT_ID, config)
}

/// A session with operations that wait for their answers, and others that were not sent.
fn busy() -> Pair {
    let mut pair = Pair::new(connecting(), server_config());
    pair.settle();
    pair.ask(1, |client| client.put(1, b"key", b"value")).expect("there is room");
    pair.ask(2, |client| client.get(2, b"key")).expect("there is room");
    pair.ask(3, |client| client.get(3, b"other")).expect("there is room");
    assert_eq!(pair.requests(Flush::All).len(), 1);
    pair.ask(4, |client| client.stats(4)).expect("there is room");
    pair.ask(5, |client| client.put(5, b"key", b"again")).expect("there is room");
    pair
}

/// Hands the datagram to a worker, from the address of a session and from another: to a
/// stranger it answers no more than was sent, and does nothing.
fn server_survives(datagram: &[u8]) {
    let mut pair = busy();
    let before = (pair.server.sessions(), pair.store.writes().count());
    pair.hand_to_server(stranger(), datagram);
    let replies = pair.replies(Flush::All);
    let bytes: usize = replies.iter().map(|(_, reply)| reply.len()).sum();
    assert!(bytes <= datagram.len(), "an address that proved nothing is not flooded");
    assert!(replies.iter().all(|(to, _)| *to == stranger()));
    assert_eq!((pair.server.sessions(), pair.store.writes().count()), before);

    let session = pair.client.granted().expect("it is open").session;
    let datagram = sealed(datagram, Some(session)).expect("it has a header");
    let entries = usize::from(unpack::unchecked_header(&datagram).entries);
    // A second time it is a repetition.
    for _ in 0..2 {
        pair.hand_to_server(client_address(), &datagram);
        let replies = pair.replies(Flush::All);
        assert!(replies.len() <= entries.max(1), "no more answers than questions");
        assert!(replies.iter().all(|(to, _)| *to == client_address()));
    }
    assert!(pair.store.writes().count() <= entries);
}

/// Hands the datagram to clients in every phase; the pair fails if a token comes back twice.
fn clients_survive(datagram: &[u8]) {
    let mut said_hello = Pair::new(connecting(), server_config());
    let hello = said_hello.requests(Flush::All);
    client_survives(said_hello, datagram, 0);

    let mut has_cookie = Pair::new(connecting(), server_config());
    assert_eq!(has_cookie.requests(Flush::All), hello);
    has_cookie.hand_to_server(client_address(), &hello[0]);
    for (_, cookie) in has_cookie.replies(Flush::All) {
        has_cookie.hand_to_client(&cookie);
    }
    assert_eq!(has_cookie.requests(Flush::All).len(), 1);
    client_survives(has_cookie, datagram, 0);

    let open = busy();
    let session = open.client.granted().expect("it is open").session;
    client_survives(open, datagram, session);
    let mut closing = busy();
    closing.close();
    client_survives(closing, datagram, session);
}

fn client_survives(mut pair: Pair, datagram: &[u8], session: u64) {
    let datagram = sealed(datagram, Some(session)).expect("it has a header");
    for _ in 0..2 {
        pair.hand_to_client(&datagram);
        pair.requests(Flush::All);
        pair.now_ns += 60_000_000;
        pair.run_client_timers();
    }
    pair.close();
    pair.requests(Flush::All);
    assert_eq!(pair.outstanding(), 0, "every token comes back in the end");
    assert_eq!(pair.client.poll_timeout(), None, "and then there is nothing more to do");
}
