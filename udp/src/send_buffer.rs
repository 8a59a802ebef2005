//! Who may use a send buffer, so that no address takes it from the others.
//!
//! The kernel charges a datagram to the buffer until the device has it. On a busy link that
//! takes its time, for everybody alike. But datagrams to a neighbour that does not answer ARP
//! never get as far as the device, and stay for seconds. So anybody may fill a part of the
//! buffer without being looked at, and beyond it a send is *watched*: the sink says whether
//! the datagrams were handed to the device's queue. The first datagram that an address sends
//! there is a test. Where it got through, whole bursts follow. Where it stays, the address is
//! remembered: it sends nothing but tests, each later than the one before, until one gets
//! through. Failed tests may hold a part of the buffer, and those of addresses that have
//! failed before a smaller one, so that they leave room for the tests of others.
//!
//! ```text
//! 0                 free            free + first tests                  1
//! | anybody          | failed tests  | addresses that are reached         |
//! ```

use std::collections::HashMap;
use std::net::IpAddr;

use proto::limits::ADDRESSES_WATCHED_MAX;

/// How a buffer is shared out, in eighths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    /// Anybody fills so much.
    free: usize,
    /// Failed tests may hold so much for an address to be tested for the first time.
    first_tests: usize,
    /// And so much for one that has failed to be tested again.
    more_tests: usize,
}

impl Shares {
    /// Those who have sessions send bursts, and few of them are away.
    pub(crate) const SESSIONS: Self = Self { free: 3, first_tests: 4, more_tests: 1 };
    /// Strangers get a short answer each, and any number of them may be made up.
    pub(crate) const STRANGERS: Self = Self { free: 1, first_tests: 6, more_tests: 1 };
}

/// Wait after the first test that failed, and after many.
const TEST_NS_MIN: u64 = 5_000_000;
const TEST_NS_MAX: u64 = 2_000_000_000;
/// An address is forgotten if it sent nothing for so long after it might have.
const FORGET_NS: u64 = 60_000_000_000;
/// How often it is looked for such addresses.
const FORGET_EVERY_NS: u64 = 100_000_000;
/// The kernel gives a neighbour up, and what waits for it, after three seconds: before so many
/// pieces of time are over.
const STUCK_PIECES: usize = 5;
const STUCK_PIECE_NS: u64 = 1_000_000_000;

/// What an address may send now, in bytes as the kernel charges them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// So many, but at least one datagram.
    Free(usize),
    /// The same, if the send is watched.
    Watched(usize),
    /// None.
    Nothing,
}

/// What is known of an address that was watched.
#[derive(Clone, Copy, Debug)]
enum Reach {
    /// Its last datagrams went to the device.
    Reached,
    /// They did not. It is tested again after a wait.
    Unreached { again_ns: u64, wait_ns: u64 },
}

/// Bytes of failed tests, by the time of their sending.
#[derive(Debug, Default)]
struct Stuck {
    /// Those of the latest piece of time first.
    bytes: [usize; STUCK_PIECES],
    piece: u64,
}

impl Stuck {
    fn add(&mut self, bytes: usize) {
        self.bytes[0] += bytes;
    }

    /// No more than this is still held.
    fn bytes_max(&mut self, now_ns: u64) -> usize {
        let piece = now_ns / STUCK_PIECE_NS;
        let passed = usize::try_from(piece.saturating_sub(self.piece)).unwrap_or(usize::MAX);
        if passed > 0 {
            self.bytes.rotate_right(passed.min(STUCK_PIECES) % STUCK_PIECES);
            self.bytes[..passed.min(STUCK_PIECES)].fill(0);
            self.piece = piece;
        }
        self.bytes.iter().sum()
    }
}

/// The account of one send buffer.
#[derive(Debug)]
pub(crate) struct SendBuffer {
    bytes: usize,
    shares: Shares,
    /// The buffer holds no more: what it held at the last look, and all that was sent since.
    held_bytes_max: usize,
    /// When that look was, if nothing was sent since.
    looked_ns: Option<u64>,
    stuck: Stuck,
    watched: HashMap<IpAddr, Reach>,
    /// When some of them are forgotten next.
    forget_at_ns: u64,
}

impl SendBuffer {
    /// An empty buffer of `bytes`, as the kernel counts them.
    pub(crate) fn new(bytes: usize, shares: Shares) -> Self {
        Self {
            bytes,
            shares,
            held_bytes_max: 0,
            looked_ns: None,
            stuck: Stuck::default(),
            watched: HashMap::new(),
            forget_at_ns: 0,
        }
    }

    const fn eighths(&self, count: usize) -> usize {
        self.bytes / 8 * count
    }

    /// Whether it holds less than one part in `share`. `look` tells how many bytes it holds.
    pub(crate) fn holds_less_than_one_in(
        &mut self,
        share: usize,
        look: impl FnOnce() -> usize,
    ) -> bool {
        if self.held_bytes_max >= self.bytes / share {
            self.held_bytes_max = look();
        }
        self.held_bytes_max < self.bytes / share
    }

    /// How much an address may send that has `bytes` to send, the first datagram of which takes
    /// `datagram_bytes`. `look` tells how many bytes the buffer holds; it is asked only when
    /// that may matter.
    #[inline]
    pub(crate) fn admits(
        &mut self,
        now_ns: u64,
        address: IpAddr,
        bytes: usize,
        datagram_bytes: usize,
        look: impl FnOnce() -> usize,
    ) -> Admission {
        let is_free = self.held_bytes_max + bytes <= self.eighths(self.shares.free);
        if is_free && self.watched.is_empty() {
            return Admission::Free(bytes);
        }
        if !is_free && self.looked_ns != Some(now_ns) {
            self.looked_ns = Some(now_ns);
            self.held_bytes_max = look();
        }
        self.admits_after_look(now_ns, address, bytes, datagram_bytes)
    }

    #[cold]
    fn admits_after_look(
        &mut self,
        now_ns: u64,
        address: IpAddr,
        bytes: usize,
        datagram_bytes: usize,
    ) -> Admission {
        let free_bytes = self.eighths(self.shares.free).saturating_sub(self.held_bytes_max);
        if free_bytes > 0 && now_ns >= self.forget_at_ns {
            self.forget(now_ns);
        }
        let test_bytes = self.stuck.bytes_max(now_ns) + datagram_bytes;
        let may_test = |eighths| test_bytes <= self.eighths(eighths).max(datagram_bytes);
        let has_place = self.watched.len() < ADDRESSES_WATCHED_MAX;
        match self.watched.get(&address) {
            Some(Reach::Unreached { again_ns, .. }) => {
                let is_due = now_ns >= *again_ns && may_test(self.shares.more_tests);
                if is_due { Admission::Watched(datagram_bytes) } else { Admission::Nothing }
            }
            _ if free_bytes > 0 => Admission::Free(bytes.min(free_bytes)),
            Some(Reach::Reached) => Admission::Watched(bytes),
            None if may_test(self.shares.first_tests) && has_place => {
                Admission::Watched(datagram_bytes)
            }
            None => Admission::Nothing,
        }
    }

    /// Forgets addresses that have not sent for long, and all if none is left that was not
    /// reached.
    fn forget(&mut self, now_ns: u64) {
        self.forget_at_ns = now_ns + FORGET_EVERY_NS;
        let mut unreached = 0;
        self.watched.retain(|_, reach| match reach {
            Reach::Reached => true,
            Reach::Unreached { again_ns, .. } => {
                let is_kept = now_ns < again_ns.saturating_add(FORGET_NS);
                unreached += usize::from(is_kept);
                is_kept
            }
        });
        if unreached == 0 {
            self.watched.clear();
        }
    }

    /// Something was sent that the kernel charges with `bytes`.
    #[inline]
    pub(crate) const fn sent(&mut self, bytes: usize) {
        self.held_bytes_max += bytes;
        self.looked_ns = None;
    }

    /// An address has sent while it was watched.
    pub(crate) fn sent_watched(
        &mut self,
        now_ns: u64,
        address: IpAddr,
        bytes: usize,
        got_through: bool,
    ) {
        self.sent(bytes);
        let before = self.watched.get(&address);
        let after = match before {
            _ if got_through => Reach::Reached,
            Some(Reach::Unreached { wait_ns, .. }) => {
                let wait_ns = (2 * wait_ns).min(TEST_NS_MAX);
                Reach::Unreached { again_ns: now_ns + wait_ns, wait_ns }
            }
            Some(Reach::Reached) | None => {
                Reach::Unreached { again_ns: now_ns + TEST_NS_MIN, wait_ns: TEST_NS_MIN }
            }
        };
        if !got_through {
            self.stuck.add(bytes);
        }
        self.watched.insert(address, after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUFFER_BYTES: usize = 400_000;
    const SHARES: Shares = Shares::SESSIONS;
    const FREE_BYTES: usize = BUFFER_BYTES / 8 * SHARES.free;
    const STUCK_BYTES: usize = BUFFER_BYTES / 8 * (SHARES.free + SHARES.first_tests);
    const BURST_BYTES: usize = 60_000;
    const DATAGRAM_BYTES: usize = 2_000;
    const THERE: IpAddr = address(1);

    const fn address(number: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(number))
    }

    /// A buffer, and what the kernel would say of it.
    struct World {
        buffer: SendBuffer,
        now_ns: u64,
        /// What stays, and until when.
        held: Vec<(u64, usize)>,
        looks: u32,
        /// Whether what gets through has left at once: the link is not busy.
        is_fast: bool,
    }

    impl World {
        fn new() -> Self {
            let buffer = SendBuffer::new(BUFFER_BYTES, SHARES);
            Self { buffer, now_ns: 0, held: Vec::new(), looks: 0, is_fast: true }
        }

        fn held_bytes(&self) -> usize {
            self.held.iter().map(|(_, bytes)| bytes).sum()
        }

        /// Sends what is admitted of `bytes`. Only addresses below ten are there. Returns how
        /// much went.
        fn send(&mut self, to: IpAddr, bytes: usize) -> usize {
            let now_ns = self.now_ns;
            self.held.retain(|&(until_ns, _)| until_ns > now_ns);
            let held_bytes = self.held_bytes();
            let datagram_bytes = DATAGRAM_BYTES.min(bytes);
            let admission = self.buffer.admits(now_ns, to, bytes, datagram_bytes, || {
                self.looks += 1;
                held_bytes
            });
            let got_through = to < address(10);
            let (sent_bytes, is_watched) = match admission {
                Admission::Free(sent_bytes) => (sent_bytes.max(datagram_bytes), false),
                Admission::Watched(sent_bytes) => (sent_bytes.max(datagram_bytes), true),
                Admission::Nothing => return 0,
            };
            if !got_through || !self.is_fast {
                self.held.push((now_ns + 3_000_000_000, sent_bytes));
            }
            if is_watched {
                self.buffer.sent_watched(now_ns, to, sent_bytes, got_through);
            } else {
                self.buffer.sent(sent_bytes);
            }
            sent_bytes
        }

        /// Neighbours that do not answer have filled what anybody may.
        fn filled() -> Self {
            let mut world = Self::new();
            while world.held_bytes() < FREE_BYTES {
                assert!(world.send(address(66), BURST_BYTES) > 0);
            }
            world
        }
    }

    #[test]
    fn in_the_free_part_the_kernel_is_not_asked() {
        let mut world = World::new();
        for _ in 0..2 {
            assert_eq!(world.send(address(66), BURST_BYTES), BURST_BYTES);
        }
        assert_eq!((world.held_bytes(), world.looks), (2 * BURST_BYTES, 0));
        assert_eq!(world.send(address(66), BURST_BYTES), FREE_BYTES - 2 * BURST_BYTES);
    }

    #[test]
    fn those_that_answer_no_arp_never_fill_the_buffer_and_others_go_on() {
        for neighbours in [1, 3, 60, 1000] {
            let mut world = World::new();
            let mut sent = 0;
            for round in 0..60_000_u32 {
                world.now_ns += 300_000;
                world.send(address(100 + round % neighbours), BURST_BYTES);
                sent += usize::from(world.send(THERE, BURST_BYTES) == BURST_BYTES);
                let held_bytes = world.held_bytes();
                assert!(held_bytes <= STUCK_BYTES, "{neighbours} neighbours: {held_bytes}");
            }
            assert!(sent >= 59_900, "{neighbours} neighbours: {sent}");
        }
    }

    #[test]
    fn dozens_that_answer_no_arp_leave_room_for_the_tests_of_others() {
        let mut world = World::new();
        let mut refused = 0;
        for round in 0..20_000_u32 {
            world.now_ns += 3_000_000;
            world.send(address(100 + round % 50), 768);
            // A newcomer every now and then, never seen before.
            if round > 2_000 && round.is_multiple_of(100) {
                refused += usize::from(world.send(address(round / 100 % 9), 768) == 0);
            }
        }
        assert_eq!(refused, 0);
    }

    #[test]
    fn on_a_busy_link_a_newcomer_sends_as_well() {
        let mut world = World::new();
        world.is_fast = false;
        while world.held_bytes() < BUFFER_BYTES {
            world.now_ns += 1;
            assert!(world.send(THERE, BURST_BYTES) > 0);
        }
        assert!(world.send(address(2), BURST_BYTES) > 0, "room is the kernel's to refuse");
        assert_eq!(world.send(address(2), BURST_BYTES), BURST_BYTES, "it is there");
    }

    #[test]
    fn one_is_tested_by_one_datagram_later_each_time_and_remembered() {
        let mut world = World::filled();
        let away = address(67);
        assert_eq!(world.send(away, BURST_BYTES), DATAGRAM_BYTES, "its test");
        let mut wait_ns = TEST_NS_MIN;
        for _ in 0..10 {
            world.now_ns += wait_ns - 1;
            assert_eq!(world.send(away, BURST_BYTES), 0);
            world.now_ns += 1;
            assert_eq!(world.send(away, BURST_BYTES), DATAGRAM_BYTES);
            wait_ns = (2 * wait_ns).min(TEST_NS_MAX);
        }
        world.held.clear();
        assert_eq!(world.send(away, BURST_BYTES), 0, "also when there is room again");
        assert_eq!(world.send(THERE, BURST_BYTES), BURST_BYTES);
        world.now_ns += TEST_NS_MAX + FORGET_NS;
        assert_eq!(world.send(THERE, BURST_BYTES), BURST_BYTES);
        assert!(world.buffer.watched.is_empty(), "after a time it is forgotten");
    }

    #[test]
    fn one_that_was_there_and_answers_no_more_holds_one_burst() {
        let mut world = World::filled();
        let leaves = address(10);
        world.buffer.sent_watched(0, leaves, 0, true);
        assert_eq!(world.send(leaves, BURST_BYTES), BURST_BYTES);
        world.now_ns += TEST_NS_MIN - 1;
        assert_eq!(world.send(leaves, BURST_BYTES), 0);
    }

    #[test]
    fn no_more_addresses_are_watched_than_the_limit() {
        let mut world = World::filled();
        for number in 0..2 * ADDRESSES_WATCHED_MAX as u32 {
            world.send(address(1000 + number), 1);
        }
        assert!(world.buffer.watched.len() <= ADDRESSES_WATCHED_MAX);
        assert!(world.send(THERE, 1) == 0, "an address without a place waits for one");
    }
}
