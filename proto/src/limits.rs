//! Every bound of the protocol, and the assertions that hold them together.

use std::net::IpAddr;

use crate::token_bucket::Rate;
use crate::wire::{Accept, Cookie, HEADER_BYTES, REPLY_ENTRY_BYTES, REQUEST_ENTRY_BYTES};

/// Shortest key.
pub const KEY_BYTES_MIN: usize = 1;
/// Longest key.
pub const KEY_BYTES_MAX: usize = 512;

/// Smallest `--mtu`: a PUT of the longest key still fits.
pub const MTU_BYTES_MIN: usize = 576;
/// Largest `--mtu`: a jumbo frame of 9000 bytes less the IPv4 and UDP headers.
pub const MTU_BYTES_MAX: usize = 8972;
/// Default `--mtu`: an Ethernet frame less the IPv4 and UDP headers.
pub const MTU_BYTES_DEFAULT: usize = 1472;
/// Default `--mtu` over IPv6, whose header is longer.
pub const MTU_BYTES_DEFAULT_V6: usize = 1452;

/// Sizes that a handshake tries when datagrams of the client's own size are not answered: a path
/// may carry less than its ends do. Links of 4080, 1500, 1400, 1400 (IPv6) and 1280 (IPv6).
pub const MTU_STEPS: [usize; 6] = [4052, 1472, 1372, 1352, 1232, MTU_BYTES_MIN];
/// A handshake sends only datagrams of the client's own size so many times: one that is lost
/// tells nothing about what the path carries.
pub const HELLOS_OF_FULL_SIZE: u32 = 3;
/// OPENs of one size that are sent before a smaller one is tried.
pub const OPENS_OF_A_SIZE: u32 = 5;
/// Operations in one request datagram; bounds the replies that one datagram can cause.
pub const ENTRIES_PER_DATAGRAM_MAX: usize = 512;
/// Keys handed to the table together, so that it can overlap their cache misses: as many as a
/// datagram of the default size carries of 8-byte keys, and some.
pub const LOOKUP_GROUP_MAX: usize = 96;

/// Request datagrams of one session that may be outstanding (a power of two).
pub const WINDOW_MAX: usize = 256;
/// Window that a client asks for unless told otherwise.
pub const WINDOW_DEFAULT: usize = 128;

/// Mutations may hold at most 3 of 4 slots of a session's window: one that is never answered
/// keeps its slot for as long as the session lives, and leaves room for reads. The default
/// window is so large that this binds no session whose server answers.
pub const MUTATION_WINDOW_SHARE: (usize, usize) = (3, 4);

/// Sessions of one worker.
pub const SESSIONS_PER_WORKER_MAX: usize = 1024;
/// A session that was silent for so long is expired.
pub const SESSION_IDLE_NS: u64 = 60_000_000_000;
/// A client with nothing to ask shows after so long that it is still there.
pub const KEEPALIVE_NS: u64 = 15_000_000_000;
/// A client that could not show it for so long takes its session for expired, as long as it
/// awaits nothing there.
pub const SESSION_STALE_NS: u64 = SESSION_IDLE_NS - KEEPALIVE_NS;

/// A session that has asked for something within so long is active, and has a share of the
/// credit. Keep-alives ask for nothing.
pub const SESSION_ACTIVE_NS: u64 = 1_000_000_000;
/// Who was idle longest is known to so much.
pub const SESSION_ORDER_NS: u64 = 500_000_000;
/// A client that heard of its credit so long ago keeps to [`CREDIT_MIN`] until it hears again.
pub const CREDIT_LIFETIME_NS: u64 = 500_000_000;

/// Closed sessions whose clients a worker remembers, so that no repeated OPEN opens them again.
pub const CLOSED_CLIENTS_MAX: usize = 4096;
/// A cookie older than this is refused.
pub const COOKIE_LIFETIME_NS: u64 = 10_000_000_000;
/// How often a worker answers those who have not proved to be worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerRates {
    /// COOKIEs to all addresses: at most 5 % of a core.
    pub cookies: Rate,
    /// COOKIEs to one address: as many as a worker has sessions at once, and sent again.
    pub cookies_by_address: Rate,
    /// REFUSEs to all addresses.
    pub refusals: Rate,
    /// REFUSEs to one address.
    pub refusals_by_address: Rate,
    /// Requests of one session that came again and are answered again. A new request gives one
    /// token. A client has at most a window of them outstanding, and waits longer each time.
    pub repeats: Rate,
}

/// How often a worker answers unless a test tells it otherwise.
pub const ANSWER_RATES: AnswerRates = AnswerRates {
    cookies: Rate::new(20_000, 8192),
    cookies_by_address: Rate::new(5_000, 4096),
    refusals: Rate::new(10_000, 4096),
    refusals_by_address: Rate::new(2_500, 2048),
    repeats: Rate::new(1_000, 2 * WINDOW_MAX as u64),
};
/// After an answer was refused, a datagram of somebody without a session is dropped before anything
/// else is done for it, for so long.
pub const FLOOD_NS: u64 = 10_000_000;
/// Buckets that addresses without a session share, for each kind of answer.
pub const ADDRESS_BUCKETS: usize = 1024;
/// Hosts of the list of those that were limited most.
pub const HOSTS_LISTED: usize = 8;
/// STATS are answered from a text that is at most so old.
pub const STATS_TEXT_NS: u64 = 2_000_000;
/// First wait for an answer of the handshake; doubles with each attempt.
pub const HANDSHAKE_RETRY_NS: u64 = 20_000_000;
/// Longest wait between two attempts of the handshake.
pub const HANDSHAKE_RETRY_NS_MAX: u64 = 500_000_000;
/// A handshake that took longer has failed, unless told otherwise.
pub const HANDSHAKE_TIMEOUT_NS: u64 = 5_000_000_000;

/// Retransmission time before the first measurement.
pub const RTO_INITIAL_NS: u64 = 50_000_000;
/// Floor of the retransmission time: above the time slices of a scheduler, because a
/// process that waits for its core has lost nothing. Real losses show sooner, by
/// [`REORDER_MAX`].
pub const RTO_NS_MIN: u64 = 20_000_000;
/// A request is lost when one that was sent so many requests later is answered and it is
/// not (the packet threshold of RFC 9002, 6.1.1).
pub const REORDER_MAX: u64 = 3;
/// If less than 1 / this of a round's operations were lost, the window stays as it is.
pub const LOSS_TOLERATED: u64 = 16;
/// Ceiling of the retransmission time, backoff included.
pub const RTO_NS_MAX: u64 = 250_000_000;
/// Doublings of the retransmission time.
pub const BACKOFF_SHIFT_MAX: u32 = 10;
/// A request unanswered for so long ends the session: its mutations are indeterminate.
pub const ANSWER_TIMEOUT_NS: u64 = 10_000_000_000;

/// Datagrams that ride one GSO send (`UDP_MAX_SEGMENTS` of Linux).
pub const SEGMENTS_PER_BURST_MAX: usize = 64;
/// Bytes of one GSO send: the largest UDP payload over IPv4.
pub const BURST_BYTES_MAX: usize = 65_507;
/// What one address may have waiting for room in a send buffer: more than the replies that
/// ten sockets with ordinary receive buffers have outstanding.
pub const QUEUE_BYTES_PER_ADDRESS_MAX: usize = 2 << 20;
/// What all addresses together may have waiting there.
pub const QUEUE_BYTES_MAX: usize = 8 << 20;
/// A burst that has waited there for so long is dropped: it will be asked for again.
pub const QUEUE_NS_MAX: u64 = 200_000_000;
/// Addresses that have their turn to send what waits, in one round of the core loop.
pub const QUEUE_TURNS_PER_ROUND_MAX: usize = 32;
/// Bytes that an address sends of what waits before the next has its turn.
pub const QUEUE_TURN_BYTES: usize = 16 << 10;
/// Addresses that are told apart while a send buffer is short of room.
pub const ADDRESSES_WATCHED_MAX: usize = 4096;
/// One part in so many of a send buffer is for answers to addresses without a session.
pub const STRANGERS_SHARE: usize = 4;
/// Buffers of sent bursts that are kept for use again.
pub const SPARE_BUFFERS_MAX: usize = 16;
/// A server grants each session at least so many outstanding request datagrams.
pub const CREDIT_MIN: usize = 2;
/// What the kernel charges a receive buffer for a datagram beyond its payload.
pub const DATAGRAM_OVERHEAD_BYTES: usize = 832;
/// How often a server looks for expired sessions.
pub const SESSION_SCAN_NS: u64 = 1_000_000_000;

/// Default `--mtu` of a socket with, or of the way to, this address.
#[must_use]
pub const fn mtu_bytes_default(address: IpAddr) -> usize {
    match address {
        IpAddr::V4(_) => MTU_BYTES_DEFAULT,
        IpAddr::V6(_) => MTU_BYTES_DEFAULT_V6,
    }
}

/// Most bytes that a value may have so that one PUT and one GET's answer fit in a datagram.
#[must_use]
pub const fn value_bytes_max(mtu_bytes: usize, key_bytes: usize) -> usize {
    let put = mtu_bytes.saturating_sub(HEADER_BYTES + REQUEST_ENTRY_BYTES + key_bytes);
    let answer = mtu_bytes.saturating_sub(HEADER_BYTES + REPLY_ENTRY_BYTES);
    if put < answer { put } else { answer }
}

/// GETs of keys of `key_bytes` that fit in a request datagram of `mtu_bytes`.
#[must_use]
pub const fn gets_per_datagram(mtu_bytes: usize, key_bytes: usize) -> usize {
    let gets = mtu_bytes.saturating_sub(HEADER_BYTES) / (REQUEST_ENTRY_BYTES + key_bytes);
    if gets < ENTRIES_PER_DATAGRAM_MAX { gets } else { ENTRIES_PER_DATAGRAM_MAX }
}

const _: () = {
    assert!(HEADER_BYTES + REQUEST_ENTRY_BYTES + KEY_BYTES_MAX <= MTU_BYTES_MIN);
    // A cookie and an acceptance are never longer than what asked for them.
    assert!(HEADER_BYTES + size_of::<Cookie>() <= MTU_BYTES_MIN);
    assert!(HEADER_BYTES + size_of::<Accept>() <= MTU_BYTES_MIN);
    assert!(MTU_BYTES_MIN <= MTU_BYTES_DEFAULT_V6 && MTU_BYTES_DEFAULT_V6 < MTU_BYTES_DEFAULT);
    assert!(MTU_BYTES_DEFAULT <= MTU_BYTES_MAX);
    assert!(MTU_BYTES_MAX <= BURST_BYTES_MAX && BURST_BYTES_MAX <= u16::MAX as usize);
    assert!(WINDOW_MAX.is_power_of_two() && WINDOW_DEFAULT.is_power_of_two());
    assert!(WINDOW_DEFAULT <= WINDOW_MAX && WINDOW_MAX <= u16::MAX as usize);
    assert!(ENTRIES_PER_DATAGRAM_MAX <= u16::MAX as usize);
    assert!(SESSIONS_PER_WORKER_MAX <= 1 << 16);
    // One address may open all sessions of a worker at once, and is told at once that it has none.
    assert!(SESSIONS_PER_WORKER_MAX as u64 <= ANSWER_RATES.cookies_by_address.burst);
    assert!(SESSIONS_PER_WORKER_MAX as u64 <= ANSWER_RATES.refusals_by_address.burst);
    assert!(
        ANSWER_RATES.cookies_by_address.burst < ANSWER_RATES.cookies.burst
            && ADDRESS_BUCKETS <= 1 << 16
    );
    assert!(WINDOW_MAX as u64 <= ANSWER_RATES.repeats.burst);
    assert!(KEEPALIVE_NS * 2 < SESSION_IDLE_NS);
    assert!(KEEPALIVE_NS < SESSION_STALE_NS && SESSION_STALE_NS < SESSION_IDLE_NS);
    assert!(MUTATION_WINDOW_SHARE.0 < MUTATION_WINDOW_SHARE.1);
    // A client gives up before its server forgets: what it still waits for was never
    // refused for having expired.
    assert!(ANSWER_TIMEOUT_NS < SESSION_IDLE_NS);
    assert!(RTO_NS_MIN < RTO_INITIAL_NS && RTO_INITIAL_NS < RTO_NS_MAX);
    assert!(RTO_NS_MAX < ANSWER_TIMEOUT_NS);
    assert!(CREDIT_MIN <= WINDOW_DEFAULT);
    // A client has given its credit up before its server shares that out to others.
    assert!(CREDIT_LIFETIME_NS < SESSION_ACTIVE_NS && SESSION_ORDER_NS < SESSION_ACTIVE_NS);
    assert!(2 * BURST_BYTES_MAX <= QUEUE_BYTES_PER_ADDRESS_MAX);
    assert!(MTU_BYTES_MAX < QUEUE_TURN_BYTES && QUEUE_TURN_BYTES < BURST_BYTES_MAX);
    assert!(QUEUE_BYTES_PER_ADDRESS_MAX < QUEUE_BYTES_MAX && QUEUE_NS_MAX < RTO_NS_MAX);
};
