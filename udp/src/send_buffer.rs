//! Who may use a send buffer, so that no address takes it from the others.
//!
//! The kernel charges a datagram to the buffer until the device has it. That takes no time
//! to speak of, or some microseconds; but datagrams to a neighbour that does not answer ARP
//! stay for seconds. So everybody fills the first three eighths of the buffer, and above them
//! an address sends again only when what it sent last has left: when the buffer holds less
//! than just after that. The first datagram that an address sends there is a test. Where it
//! has left, whole bursts follow; where it stays, the next test comes later each time.
//!
//! ```text
//! 0                    3/8    1/2    5/8             7/8    1
//! | everybody           | who  | who  | whose last    | the  |
//! |                     | has  | is   | datagrams     | same,|
//! |                     |failed| new  | have left     | less |
//! ```
//!
//! How much the buffer holds the kernel tells (`SIOCOUTQ`), for all together. It is asked
//! only when more than everybody's part may be held.

use std::collections::HashMap;
use std::net::IpAddr;

/// Wait after the first test that failed, and after many.
const TEST_NS_MIN: u64 = 5_000_000;
const TEST_NS_MAX: u64 = 1_000_000_000;
/// Addresses that are told apart above everybody's part.
const TESTS_MAX: usize = 4096;
/// Eighths of the buffer: what everybody fills, and up to where one is tested whose last test
/// failed, one is tested who is new, and one sends whole bursts whose last datagrams have left.
const EVERYBODY: usize = 3;
const FAILED: usize = 4;
const NEW: usize = 5;
const PASSED: usize = 7;
/// What the last may send at once above that: a part of the buffer.
const PASSED_SHARE: usize = 16;

/// What is known of an address that has sent above everybody's part.
#[derive(Clone, Copy, Debug, Default)]
struct Test {
    /// If the buffer holds no more than this, what the address sent last has left.
    left_below_bytes: usize,
    /// When it is tested again, if that does not happen.
    again_ns: u64,
    wait_ns: u64,
}

/// The account of one send buffer.
#[derive(Debug)]
pub(crate) struct SendBuffer {
    bytes: usize,
    /// The buffer holds no more: what it held at the last look, and all that was sent since.
    held_bytes_max: usize,
    tests: HashMap<IpAddr, Test>,
}

impl SendBuffer {
    /// An empty buffer of `bytes`, as the kernel counts them.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { bytes, held_bytes_max: 0, tests: HashMap::new() }
    }

    /// So many eighths of the buffer.
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

    /// How much an address that has `bytes` to send may send: all of it, a part (at least one
    /// datagram, however long), or nothing. `look` tells how many bytes the buffer holds.
    #[inline]
    pub(crate) fn admits(
        &mut self,
        now_ns: u64,
        address: IpAddr,
        bytes: usize,
        look: impl FnOnce() -> usize,
    ) -> usize {
        if self.held_bytes_max + bytes <= self.eighths(EVERYBODY) {
            return bytes;
        }
        self.admits_after_look(now_ns, address, bytes, look())
    }

    #[cold]
    fn admits_after_look(
        &mut self,
        now_ns: u64,
        address: IpAddr,
        bytes: usize,
        held_bytes: usize,
    ) -> usize {
        const ONE_DATAGRAM: usize = 1;
        self.held_bytes_max = held_bytes;
        if held_bytes < self.eighths(EVERYBODY) {
            self.tests.clear();
            return bytes.min(self.eighths(EVERYBODY) - held_bytes);
        }
        let is_full = self.tests.len() >= TESTS_MAX;
        let [failed_bytes, new_bytes, passed_bytes] =
            [FAILED, NEW, PASSED].map(|n| self.eighths(n));
        match self.tests.get_mut(&address) {
            None if is_full || held_bytes > new_bytes => 0,
            None => ONE_DATAGRAM,
            Some(test) if held_bytes <= test.left_below_bytes => {
                test.wait_ns = 0;
                let free_bytes = passed_bytes.saturating_sub(held_bytes);
                bytes.min(free_bytes.max(self.bytes / PASSED_SHARE))
            }
            Some(test) if now_ns >= test.again_ns && held_bytes <= failed_bytes => ONE_DATAGRAM,
            Some(_) => 0,
        }
    }

    /// An address has sent what the kernel charges with `bytes`.
    #[inline]
    pub(crate) fn sent(
        &mut self,
        now_ns: u64,
        address: IpAddr,
        bytes: usize,
        look: impl FnOnce() -> usize,
    ) {
        let before_bytes = self.held_bytes_max;
        self.held_bytes_max += bytes;
        if before_bytes >= self.eighths(EVERYBODY) {
            self.sent_above(now_ns, address, before_bytes, look());
        }
    }

    #[cold]
    fn sent_above(&mut self, now_ns: u64, address: IpAddr, before_bytes: usize, held_bytes: usize) {
        self.held_bytes_max = held_bytes;
        let test = self.tests.entry(address).or_default();
        if held_bytes <= before_bytes {
            *test = Test { left_below_bytes: usize::MAX, ..Test::default() };
        } else {
            test.left_below_bytes = before_bytes + (held_bytes - before_bytes) / 2;
            test.wait_ns = (2 * test.wait_ns).clamp(TEST_NS_MIN, TEST_NS_MAX);
            test.again_ns = now_ns + test.wait_ns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUFFER_BYTES: usize = 1600;
    const BURST_BYTES: usize = 150;
    const DATAGRAM_BYTES: usize = 10;
    const EVERYBODYS_BYTES: usize = BUFFER_BYTES / 8 * EVERYBODY;
    const STUCK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 66));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    /// A buffer, what the kernel would say of it, and how often it was asked.
    struct World {
        buffer: SendBuffer,
        now_ns: u64,
        held_bytes: usize,
        looks: u32,
    }

    impl World {
        fn new() -> Self {
            Self { buffer: SendBuffer::new(BUFFER_BYTES), now_ns: 0, held_bytes: 0, looks: 0 }
        }

        /// Sends what is admitted of a burst, in whole datagrams: what goes to `THERE` has left
        /// at once, the rest stays. Returns how much went.
        fn send(&mut self, to: IpAddr) -> usize {
            let held_bytes = self.held_bytes;
            let admitted = self.buffer.admits(self.now_ns, to, BURST_BYTES, || {
                self.looks += 1;
                held_bytes
            });
            let bytes = admitted.div_ceil(DATAGRAM_BYTES) * DATAGRAM_BYTES;
            if bytes > 0 {
                self.held_bytes += if to == THERE { 0 } else { bytes };
                let held_bytes = self.held_bytes;
                self.buffer.sent(self.now_ns, to, bytes, || held_bytes);
            }
            bytes
        }

        /// One whose datagrams stay fills everybody's part.
        fn filled() -> Self {
            let mut world = Self::new();
            while world.held_bytes < EVERYBODYS_BYTES {
                assert!(world.send(STUCK) > 0);
            }
            world
        }
    }

    #[test]
    fn in_everybodys_part_the_kernel_is_not_asked() {
        let mut world = World::new();
        for _ in 0..3 {
            assert_eq!(world.send(STUCK), BURST_BYTES);
        }
        assert_eq!((world.held_bytes, world.looks), (450, 0));
        assert_eq!(world.send(STUCK), 150);
        assert_eq!(world.send(STUCK), DATAGRAM_BYTES, "a burst does not cross its end");
    }

    #[test]
    fn those_whose_datagrams_stay_do_not_fill_the_buffer_and_others_go_on() {
        let mut world = World::new();
        let mut rounds_sent = 0;
        for round in 0..10_000_u32 {
            world.now_ns += 300_000;
            world.send(IpAddr::V4((round % 20).into()));
            rounds_sent += u32::from(world.send(THERE) > 0);
        }
        assert!(world.held_bytes <= BUFFER_BYTES / 8 * 5 + DATAGRAM_BYTES, "{}", world.held_bytes);
        assert_eq!(rounds_sent, 10_000);
    }

    #[test]
    fn one_is_tested_by_one_datagram_and_sends_when_that_has_left() {
        let mut world = World::filled();
        assert_eq!(world.send(STUCK), DATAGRAM_BYTES, "its test");
        assert_eq!(world.send(STUCK), 0, "which has not left");
        assert_eq!(world.send(THERE), DATAGRAM_BYTES);
        assert_eq!(world.send(THERE), BURST_BYTES, "it has left");
        // The device takes some time, and what the test held is gone then.
        world.held_bytes -= DATAGRAM_BYTES;
        world.held_bytes += 1;
        assert_eq!(world.send(STUCK), BURST_BYTES);
        world.now_ns += TEST_NS_MIN - 1;
        assert_eq!(world.send(STUCK), 0);
        world.now_ns += 1;
        assert_eq!(world.send(STUCK), DATAGRAM_BYTES, "it is tested again");
        world.now_ns += TEST_NS_MIN;
        assert_eq!(world.send(STUCK), 0, "later each time");
        world.held_bytes = 0;
        assert_eq!(world.send(STUCK), BURST_BYTES, "all is forgiven in everybody's part");
    }

    #[test]
    fn who_is_known_to_be_there_has_the_last_part_alone() {
        let mut world = World::filled();
        world.send(THERE);
        let mut others = 0;
        while world.send(IpAddr::V4(others.into())) > 0 {
            others += 1;
        }
        assert!((BUFFER_BYTES / 8 * 5..BUFFER_BYTES / 8 * 6).contains(&world.held_bytes));
        assert_eq!(world.send(THERE), BURST_BYTES);
        world.held_bytes = BUFFER_BYTES - 1;
        assert_eq!(world.send(THERE), BUFFER_BYTES / PASSED_SHARE, "never more than a part");
    }

    #[test]
    fn no_more_addresses_are_told_apart_than_the_limit() {
        let mut world = World::filled();
        for address in 0..2 * TESTS_MAX as u32 {
            world.held_bytes = EVERYBODYS_BYTES;
            world.send(IpAddr::V4(address.into()));
        }
        assert_eq!(world.buffer.tests.len(), TESTS_MAX);
    }
}
