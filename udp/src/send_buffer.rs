//! Who may use a send buffer, so that no address takes it from the others.
//!
//! The kernel charges a datagram to the buffer until the device has it. On a busy link that
//! takes its time, for everybody alike. But datagrams to a neighbour that does not answer ARP
//! never get as far as the device, and stay for seconds. So each address may fill a part of
//! the buffer without being looked at, and beyond it a send is *watched*: the sink says
//! whether the datagrams were handed to the device's queue. The first datagram that an
//! address sends there is a test. Where it got through, whole bursts follow; where it stays,
//! the next test comes later each time, and all tests that failed have a part of their own.
//!
//! ```text
//! 0                 FREE            FREE + TESTS                        1
//! | anybody          | failed tests  | addresses that are reached         |
//! ```

use std::collections::HashMap;
use std::net::IpAddr;

use proto::limits::{ADDRESSES_WATCHED_MAX, DATAGRAM_OVERHEAD_BYTES, MTU_BYTES_MAX};

/// Eighths of the buffer that anybody fills, and that failed tests may hold.
const FREE: usize = 3;
const TESTS: usize = 2;
/// Wait after the first test that failed, and after many.
const TEST_NS_MIN: u64 = 5_000_000;
const TEST_NS_MAX: u64 = 1_000_000_000;

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

/// The account of one send buffer.
#[derive(Debug)]
pub(crate) struct SendBuffer {
    bytes: usize,
    /// The buffer holds no more: what it held at the last look, and all that was sent since.
    held_bytes_max: usize,
    /// Whether nothing was sent since the look at that time.
    looked_ns: Option<u64>,
    /// No more of it is of watched sends that did not get through.
    stuck_bytes_max: usize,
    watched: HashMap<IpAddr, Reach>,
}

impl SendBuffer {
    /// An empty buffer of `bytes`, as the kernel counts them.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            bytes,
            held_bytes_max: 0,
            looked_ns: None,
            stuck_bytes_max: 0,
            watched: HashMap::new(),
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

    /// How much an address may send that has `bytes` to send. `look` tells how many bytes the
    /// buffer holds; it is asked only when that may matter.
    #[inline]
    pub(crate) fn admits(
        &mut self,
        now_ns: u64,
        address: IpAddr,
        bytes: usize,
        look: impl FnOnce() -> usize,
    ) -> Admission {
        if self.held_bytes_max + bytes <= self.eighths(FREE) {
            return Admission::Free(bytes);
        }
        if self.looked_ns != Some(now_ns) {
            self.looked_ns = Some(now_ns);
            self.held_bytes_max = look();
        }
        self.admits_after_look(now_ns, address, bytes)
    }

    #[cold]
    fn admits_after_look(&mut self, now_ns: u64, address: IpAddr, bytes: usize) -> Admission {
        const DATAGRAM_BYTES_MAX: usize = MTU_BYTES_MAX + DATAGRAM_OVERHEAD_BYTES;
        const ONE_DATAGRAM: Admission = Admission::Watched(1);
        let held_bytes = self.held_bytes_max;
        if held_bytes < self.eighths(FREE) {
            self.stuck_bytes_max = 0;
            self.watched.clear();
            return Admission::Free(bytes.min(self.eighths(FREE) - held_bytes));
        }
        self.stuck_bytes_max = self.stuck_bytes_max.min(held_bytes);
        let may_test = self.stuck_bytes_max == 0
            || self.stuck_bytes_max + DATAGRAM_BYTES_MAX <= self.eighths(TESTS);
        let has_place = self.watched.len() < ADDRESSES_WATCHED_MAX;
        match self.watched.get(&address) {
            Some(Reach::Reached) => Admission::Watched(bytes),
            Some(Reach::Unreached { again_ns, .. }) if may_test && now_ns >= *again_ns => {
                ONE_DATAGRAM
            }
            None if may_test && has_place => ONE_DATAGRAM,
            Some(Reach::Unreached { .. }) | None => Admission::Nothing,
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
        self.stuck_bytes_max += if got_through { 0 } else { bytes };
        self.watched.insert(address, after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUFFER_BYTES: usize = 400_000;
    const FREE_BYTES: usize = BUFFER_BYTES / 8 * FREE;
    const TESTS_BYTES: usize = BUFFER_BYTES / 8 * TESTS;
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
        held_bytes: usize,
        looks: u32,
        /// Whether what gets through has left at once: the link is not busy.
        is_fast: bool,
    }

    impl World {
        fn new() -> Self {
            let buffer = SendBuffer::new(BUFFER_BYTES);
            Self { buffer, now_ns: 0, held_bytes: 0, looks: 0, is_fast: true }
        }

        /// Sends what is admitted of a burst. Only addresses below ten are there. Returns how
        /// much went.
        fn send(&mut self, to: IpAddr) -> usize {
            let held_bytes = self.held_bytes;
            let admission = self.buffer.admits(self.now_ns, to, BURST_BYTES, || {
                self.looks += 1;
                held_bytes
            });
            let got_through = to < address(10);
            let (bytes, is_watched) = match admission {
                Admission::Free(bytes) => (bytes.max(DATAGRAM_BYTES), false),
                Admission::Watched(bytes) => (bytes.max(DATAGRAM_BYTES), true),
                Admission::Nothing => return 0,
            };
            self.held_bytes += if got_through && self.is_fast { 0 } else { bytes };
            if is_watched {
                self.buffer.sent_watched(self.now_ns, to, bytes, got_through);
            } else {
                self.buffer.sent(bytes);
            }
            bytes
        }

        /// Neighbours that do not answer have filled what anybody may.
        fn filled() -> Self {
            let mut world = Self::new();
            while world.held_bytes < FREE_BYTES {
                assert!(world.send(address(66)) > 0);
            }
            world
        }
    }

    #[test]
    fn in_the_free_part_the_kernel_is_not_asked() {
        let mut world = World::new();
        assert_eq!((world.send(address(66)), world.send(address(66))), (BURST_BYTES, BURST_BYTES));
        assert_eq!((world.held_bytes, world.looks), (2 * BURST_BYTES, 0));
        assert_eq!(world.send(address(66)), FREE_BYTES - 2 * BURST_BYTES, "a part of the burst");
    }

    #[test]
    fn those_that_answer_no_arp_never_fill_the_buffer_and_others_go_on() {
        for neighbours in [1, 3, 60, 1000] {
            let mut world = World::new();
            let mut sent = 0;
            for round in 0..10_000_u32 {
                world.now_ns += 300_000;
                world.send(address(100 + round % neighbours));
                sent += world.send(THERE);
            }
            assert!(world.held_bytes <= FREE_BYTES + TESTS_BYTES, "{}", world.held_bytes);
            assert!(sent >= 9_990 * BURST_BYTES, "{neighbours} neighbours: {sent}");
        }
    }

    #[test]
    fn on_a_busy_link_a_newcomer_sends_as_well() {
        let mut world = World::new();
        world.is_fast = false;
        while world.held_bytes < BUFFER_BYTES {
            world.now_ns += 1;
            assert!(world.send(THERE) > 0);
        }
        assert!(world.send(address(2)) > 0, "room is the kernel's to refuse");
        assert_eq!(world.send(address(2)), BURST_BYTES, "it is there");
    }

    #[test]
    fn one_is_tested_by_one_datagram_later_each_time() {
        let mut world = World::filled();
        assert_eq!(world.send(address(67)), DATAGRAM_BYTES, "its test");
        let mut wait_ns = TEST_NS_MIN;
        for _ in 0..10 {
            world.now_ns += wait_ns - 1;
            assert_eq!(world.send(address(67)), 0);
            world.now_ns += 1;
            assert_eq!(world.send(address(67)), DATAGRAM_BYTES);
            wait_ns = (2 * wait_ns).min(TEST_NS_MAX);
        }
        assert_eq!((world.send(THERE), world.send(THERE)), (DATAGRAM_BYTES, BURST_BYTES));
        world.held_bytes = 0;
        assert_eq!(world.send(address(67)), BURST_BYTES, "forgiven when all has left");
    }

    #[test]
    fn one_that_was_there_and_answers_no_more_holds_one_burst() {
        let mut world = World::filled();
        let leaves = address(10);
        let bytes = BURST_BYTES;
        world.buffer.sent_watched(0, leaves, 0, true);
        assert_eq!(world.send(leaves), bytes);
        world.now_ns += TEST_NS_MIN;
        assert_eq!(world.send(leaves), DATAGRAM_BYTES);
    }

    #[test]
    fn no_more_addresses_are_watched_than_the_limit() {
        let mut world = World::filled();
        for number in 0..2 * ADDRESSES_WATCHED_MAX as u32 {
            world.send(address(number % 10 + (number << 8)));
            world.buffer.stuck_bytes_max = 0;
        }
        assert_eq!(world.buffer.watched.len(), ADDRESSES_WATCHED_MAX);
        assert!(world.send(THERE) == 0, "an address without a place waits for one");
    }
}
