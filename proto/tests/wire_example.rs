//! The example of `docs/WIRE.md` is what a client and a server really send.

mod common;

use common::{End, Pair, server_config, with_window};
use proto::limits;
use proto::store::Store as _;

const DOCUMENT: &str = include_str!("../../docs/WIRE.md");

/// The bytes of a fenced block of hex: what is between `|` and the end of a line is prose.
fn block(name: &str) -> Vec<u8> {
    let start = format!("```hex {name}\n");
    let after = DOCUMENT.split_once(&start).expect("the document has the block").1;
    let lines = after.split_once("```").expect("the block ends").0.lines();
    let digits = lines.flat_map(|line| line.split('|').next().unwrap_or("").split_whitespace());
    digits.map(|digits| u8::from_str_radix(digits, 16).expect("two digits of hex")).collect()
}

#[test]
fn the_example_is_what_is_sent() {
    // State: a session; a record "alice" that was written three times, "red" last.
    let mut pair = Pair::open(with_window(64), server_config());
    for value in [&b"blue"[..], b"green", b"red"] {
        pair.store.put(b"alice", value).unwrap();
    }
    pair.get(1, b"alice");
    pair.put(2, b"bob", b"hello");
    let request = pair.request();
    let reply = pair.answers_to(&request).remove(0);

    // Expect: the very bytes of the document.
    assert_eq!(hex(&request), hex(&block("request")));
    assert_eq!(hex(&reply), hex(&block("reply")));
    pair.hand_to_client(&reply);
    assert_eq!(pair.end(1), Some(&End::Value(3, b"red".to_vec())));
    assert_eq!(pair.end(2), Some(&End::Stored(1)));
}

/// Bytes as the document shows them, so that a difference is seen at once.
fn hex(bytes: &[u8]) -> String {
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.chunks(8).map(|line| line.join(" ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_limits_are_those_of_the_code() {
    // State: the rows "| `NAME` | number | …" of the document.
    let rows: Vec<(&str, String)> = (DOCUMENT.lines())
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .filter_map(|(name, rest)| Some((name, rest.split(" |").next()?.replace(',', ""))))
        .collect();

    // Expect: every limit, with its number.
    macro_rules! expected {
        ($($name:ident,)+) => { [$((stringify!($name), limits::$name.to_string()),)+] };
    }
    let expected = expected![
        KEY_BYTES_MIN,
        KEY_BYTES_MAX,
        MTU_BYTES_MIN,
        MTU_BYTES_DEFAULT,
        MTU_BYTES_MAX,
        ENTRIES_PER_DATAGRAM_MAX,
        WINDOW_DEFAULT,
        WINDOW_MAX,
        CREDIT_MIN,
        SEGMENTS_PER_BURST_MAX,
        BURST_BYTES_MAX,
        SESSIONS_PER_WORKER_MAX,
        SESSION_ACTIVE_NS,
        CREDIT_LIFETIME_NS,
        SESSION_IDLE_NS,
        KEEPALIVE_NS,
        SESSION_STALE_NS,
        COOKIE_LIFETIME_NS,
        HANDSHAKE_RETRY_NS,
        HANDSHAKE_RETRY_NS_MAX,
        HANDSHAKE_TIMEOUT_NS,
        RTO_INITIAL_NS,
        RTO_NS_MIN,
        RTO_NS_MAX,
        BACKOFF_SHIFT_MAX,
        REORDER_MAX,
        ANSWER_TIMEOUT_NS,
    ];
    assert_eq!(rows, expected);
}

#[test]
fn the_placements_are_those_of_the_code() {
    // State: the rows "| key | hash | of 3 | of 4 |" of the document.
    let after = DOCUMENT.split_once("## Placement").expect("the document has it").1;
    let table = after.split_once("## Limits").expect("and what follows it").0;
    let rows: Vec<Vec<&str>> = (table.lines().filter(|line| line.starts_with('|')).skip(2))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();

    // Expect: each key where the document says.
    assert_eq!(rows.len(), 3);
    for row in rows {
        let [key, hash, of_three, of_four] = row[..] else { panic!("{row:?}") };
        let hash = u64::from_str_radix(hash, 16).unwrap();
        for (servers, index) in [(3u8, of_three), (4, of_four)] {
            let index: usize = index.parse().unwrap();
            assert_eq!(proto::placement::server_of(key.as_bytes(), servers.into()), index);
            assert_eq!(((u128::from(hash) * u128::from(servers)) >> 64) as usize, index);
        }
    }
}
