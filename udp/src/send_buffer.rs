//! Who may use a send buffer, so that no address takes it from the others.
//!
//! The kernel charges a datagram to the buffer until the device has it. That takes no time
//! to speak of, or some microseconds; but datagrams to a neighbour that does not answer ARP
//! stay for seconds. So below half of the buffer everybody sends, and above it an address
//! sends again only when what it sent last has left: when the buffer holds less than just
//! after that. The first datagram that an address sends above half is a test. Where it has
//! left, whole bursts follow; where it stays, the next test comes later each time.
//!
//! How much the buffer holds the kernel tells (`SIOCOUTQ`), for all together. It is asked
//! only when the buffer may be half full.

use std::collections::HashMap;
use std::net::IpAddr;

/// Wait after the first test that failed, and after many.
const TEST_NS_MIN: u64 = 5_000_000;
const TEST_NS_MAX: u64 = 1_000_000_000;
/// Addresses that are told apart while the buffer is more than half full.
const TESTS_MAX: usize = 4096;

/// What an address may send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Whatever it has.
    Burst,
    /// One datagram, as a test.
    Datagram,
    /// Nothing.
    Nothing,
}

/// What is known of an address that has sent while the buffer was more than half full.
#[derive(Clone, Copy, Debug)]
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
    half_bytes: usize,
    /// The buffer holds no more: what it held at the last look, and all that was sent since.
    held_bytes_max: usize,
    tests: HashMap<IpAddr, Test>,
}

impl SendBuffer {
    /// An empty buffer of `bytes`, as the kernel counts them.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { half_bytes: bytes / 2, held_bytes_max: 0, tests: HashMap::new() }
    }

    /// Whether a part of the buffer is free for sure: `1 / share` of it holds all.
    pub(crate) fn holds_less_than_one_in(
        &mut self,
        share: usize,
        look: impl FnOnce() -> usize,
    ) -> bool {
        let bytes = 2 * self.half_bytes / share;
        if self.held_bytes_max > bytes {
            self.held_bytes_max = look();
        }
        self.held_bytes_max <= bytes
    }

    /// What an address may send. `look` tells how many bytes the buffer holds.
    #[inline]
    pub(crate) fn admits(
        &mut self,
        now_ns: u64,
        address: IpAddr,
        look: impl FnOnce() -> usize,
    ) -> Admission {
        if self.held_bytes_max <= self.half_bytes {
            return Admission::Burst;
        }
        self.admits_above_half(now_ns, address, look())
    }

    #[cold]
    fn admits_above_half(&mut self, now_ns: u64, address: IpAddr, held_bytes: usize) -> Admission {
        self.held_bytes_max = held_bytes;
        if held_bytes <= self.half_bytes {
            self.tests.clear();
            return Admission::Burst;
        }
        let is_full = self.tests.len() >= TESTS_MAX;
        match self.tests.get_mut(&address) {
            None if is_full => Admission::Nothing,
            None => Admission::Datagram,
            Some(test) if held_bytes <= test.left_below_bytes => {
                test.wait_ns = 0;
                Admission::Burst
            }
            Some(test) if now_ns >= test.again_ns => Admission::Datagram,
            Some(_) => Admission::Nothing,
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
        if before_bytes > self.half_bytes {
            self.sent_above_half(now_ns, address, before_bytes, look());
        }
    }

    #[cold]
    fn sent_above_half(
        &mut self,
        now_ns: u64,
        address: IpAddr,
        before_bytes: usize,
        held_bytes: usize,
    ) {
        self.held_bytes_max = held_bytes;
        let fresh = Test { left_below_bytes: 0, again_ns: 0, wait_ns: 0 };
        let test = self.tests.entry(address).or_insert(fresh);
        if held_bytes <= before_bytes {
            *test = Test { left_below_bytes: usize::MAX, ..fresh };
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

    const BUFFER_BYTES: usize = 1000;
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

        /// Sends if it is admitted: what goes to `STUCK` stays, the rest has left at once.
        fn send(&mut self, to: IpAddr, bytes: usize) -> Admission {
            let held_bytes = self.held_bytes;
            let admission = self.buffer.admits(self.now_ns, to, || {
                self.looks += 1;
                held_bytes
            });
            let bytes = match admission {
                Admission::Nothing => return admission,
                Admission::Datagram => 10,
                Admission::Burst => bytes,
            };
            self.held_bytes += if to == STUCK { bytes } else { 0 };
            let held_bytes = self.held_bytes;
            self.buffer.sent(self.now_ns, to, bytes, || held_bytes);
            admission
        }
    }

    #[test]
    fn below_half_nobody_is_asked_for() {
        let mut world = World::new();
        for _ in 0..5 {
            assert_eq!(world.send(STUCK, 100), Admission::Burst);
        }
        assert_eq!((world.held_bytes, world.looks), (500, 0));
    }

    #[test]
    fn one_whose_datagrams_stay_does_not_fill_the_buffer_and_others_go_on() {
        let mut world = World::new();
        let mut burst_sent = 0;
        for _ in 0..10_000 {
            world.now_ns += 300_000;
            world.send(STUCK, 100);
            burst_sent += u32::from(world.send(THERE, 100) == Admission::Burst);
        }
        // Three seconds: half of the buffer, the burst that crossed it, and a few tests.
        assert!(world.held_bytes <= BUFFER_BYTES / 2 + 100 + 11 * 10, "{}", world.held_bytes);
        assert!(burst_sent >= 9_990, "{burst_sent}");
    }

    #[test]
    fn one_is_tested_by_one_datagram_and_sends_when_that_has_left() {
        let mut world = World::new();
        while world.send(STUCK, 100) == Admission::Burst {}
        assert!(world.held_bytes > BUFFER_BYTES / 2);
        assert_eq!(world.send(STUCK, 100), Admission::Nothing, "its test has not left");
        assert_eq!(world.send(THERE, 100), Admission::Datagram);
        assert_eq!(world.send(THERE, 100), Admission::Burst, "it has left");
        // The device takes some time, and what the test held is gone then.
        world.held_bytes -= 10;
        assert_eq!(world.send(STUCK, 100), Admission::Burst);
        world.now_ns += TEST_NS_MIN - 1;
        assert_eq!(world.send(STUCK, 100), Admission::Nothing);
        world.now_ns += 1;
        assert_eq!(world.send(STUCK, 100), Admission::Datagram, "it is tested again");
        world.now_ns += TEST_NS_MIN;
        assert_eq!(world.send(STUCK, 100), Admission::Nothing, "later each time");
        world.held_bytes = 0;
        assert_eq!(world.send(STUCK, 100), Admission::Burst, "all is forgiven below half");
    }

    #[test]
    fn no_more_addresses_are_told_apart_than_the_limit() {
        let mut world = World::new();
        while world.send(STUCK, 100) == Admission::Burst {}
        let mut admitted = 0;
        for address in 0..2 * TESTS_MAX as u32 {
            let address = IpAddr::V4(address.into());
            admitted += usize::from(world.send(address, 1) != Admission::Nothing);
        }
        assert_eq!((admitted, world.buffer.tests.len()), (TESTS_MAX - 1, TESTS_MAX));
    }
}
