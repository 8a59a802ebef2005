//! Bursts that wait for room: a queue for each address (over IPv6 for each network of 64 bits,
//! whose addresses may all be of one host), each within its bound, and the addresses in turn, each with as many bytes as the others (deficit round robin; Shreedhar
//! and Varghese, 1995).

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use proto::host::Host;
use proto::limits::{
    QUEUE_BYTES_MAX, QUEUE_BYTES_PER_ADDRESS_MAX, QUEUE_NS_MAX, QUEUE_TURN_BYTES,
    QUEUE_TURNS_PER_ROUND_MAX,
};
use proto::transmit::{Account, Path, Transmit};

/// A burst of which something is still to be sent.
#[derive(Debug)]
struct Waiting {
    path: Path,
    account: Account,
    bytes: Vec<u8>,
    sent_bytes: usize,
    segment_bytes: usize,
    since_ns: u64,
}

/// What a burst takes of the bounds: its bytes, and what keeps them.
const fn weight_bytes(bytes: usize) -> usize {
    bytes + size_of::<Waiting>()
}

#[derive(Debug, Default)]
struct Queue {
    bursts: VecDeque<Waiting>,
    weight_bytes: usize,
    /// What it may still send in its turn; below zero if a datagram was longer than what was
    /// left of the turn.
    credit_bytes: isize,
    /// Whether it is in the middle of its turn, because there was no room.
    is_in_turn: bool,
}

/// Whether the sender goes on to the next address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// There may be room for others.
    Left,
    /// There is none for anybody.
    None,
}

/// Bursts that wait.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queues: HashMap<Host, Queue>,
    /// Each address that has a queue, once.
    turns: VecDeque<Host>,
    weight_bytes: usize,
}

/// How many datagrams were dropped.
pub(crate) type Dropped = u64;

impl Outbox {
    /// Whether nothing waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Whether something waits for this address: nothing may overtake it.
    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        self.queues.contains_key(&Host::of(address))
    }

    /// Datagrams that wait.
    pub(crate) fn datagrams(&self) -> u64 {
        let bursts = self.queues.values().flat_map(|queue| &queue.bursts);
        bursts.map(|burst| burst.rest().segments() as u64).sum()
    }

    /// Keeps a burst, or drops it if its queue would be too long, or longer than what all queues
    /// together leave free: so one that comes later finds room beside any number of long queues.
    pub(crate) fn push(&mut self, now_ns: u64, burst: Transmit<'_>) -> Dropped {
        let address = Host::of(burst.path.remote.ip());
        let weight = weight_bytes(burst.bytes.len());
        let queued_bytes = self.queues.get(&address).map_or(0, |queue| queue.weight_bytes);
        let free_bytes = QUEUE_BYTES_MAX - self.weight_bytes;
        if queued_bytes + weight > QUEUE_BYTES_PER_ADDRESS_MAX.min(free_bytes) {
            return burst.segments() as Dropped;
        }
        let queue = self.queues.entry(address).or_insert_with(|| {
            self.turns.push_back(address);
            Queue::default()
        });
        queue.weight_bytes += weight;
        self.weight_bytes += weight;
        queue.bursts.push_back(Waiting {
            path: burst.path,
            account: burst.account,
            bytes: burst.bytes.to_vec(),
            sent_bytes: 0,
            segment_bytes: burst.segment_bytes,
            since_ns: now_ns,
        });
        0
    }

    /// Offers what waits to `send`, some bytes of each address in turn. `send` returns what it
    /// left of a burst, which goes on waiting. Bursts that have waited for too long are dropped.
    /// Returns of how many something was sent, how many datagrams were dropped, and whether
    /// there was room to the end: who found none goes on with its turn.
    pub(crate) fn flush(
        &mut self,
        now_ns: u64,
        mut send: impl for<'a> FnMut(Transmit<'a>) -> (Option<Transmit<'a>>, Room),
    ) -> (usize, Dropped, Room) {
        let (mut sent, mut dropped) = (0, 0);
        for _ in 0..self.turns.len().min(QUEUE_TURNS_PER_ROUND_MAX) {
            let Some(address) = self.turns.pop_front() else { break };
            let queue = self.queues.get_mut(&address).expect("each turn is of a queue");
            let before_bytes = queue.weight_bytes;
            dropped += queue.drop_late(now_ns);
            let room = queue.take_turn(&mut sent, &mut send);
            self.weight_bytes -= before_bytes - queue.weight_bytes;
            if room == Room::None {
                self.turns.push_front(address);
                return (sent, dropped, Room::None);
            }
            if queue.bursts.is_empty() {
                self.queues.remove(&address);
            } else {
                self.turns.push_back(address);
            }
        }
        (sent, dropped, Room::Left)
    }
}

impl Queue {
    /// Sends the bytes of a turn. One that may not send now has had it.
    fn take_turn(
        &mut self,
        sent: &mut usize,
        send: &mut impl for<'a> FnMut(Transmit<'a>) -> (Option<Transmit<'a>>, Room),
    ) -> Room {
        if !self.is_in_turn {
            self.credit_bytes += QUEUE_TURN_BYTES as isize;
        }
        self.is_in_turn = false;
        while self.credit_bytes > 0
            && let Some(first) = self.bursts.front_mut()
        {
            let (now, _) = first.rest().split_at(self.credit_bytes as usize);
            let (rest, room) = send(now);
            let sent_bytes = now.bytes.len() - rest.map_or(0, |rest| rest.bytes.len());
            let is_refused = rest.is_some();
            first.sent_bytes += sent_bytes;
            *sent += usize::from(sent_bytes > 0);
            self.credit_bytes -= sent_bytes as isize;
            if first.sent_bytes == first.bytes.len() {
                self.pop();
            }
            if room == Room::None {
                self.is_in_turn = true;
                return Room::None;
            }
            if is_refused {
                self.credit_bytes = self.credit_bytes.min(0);
            }
        }
        Room::Left
    }

    fn pop(&mut self) -> Option<Waiting> {
        let burst = self.bursts.pop_front()?;
        self.weight_bytes -= weight_bytes(burst.bytes.len());
        Some(burst)
    }

    fn drop_late(&mut self, now_ns: u64) -> Dropped {
        let mut dropped = 0;
        while let Some(first) = self.bursts.front()
            && now_ns.saturating_sub(first.since_ns) > QUEUE_NS_MAX
        {
            dropped += first.rest().segments() as Dropped;
            self.pop();
        }
        dropped
    }
}

impl Waiting {
    fn rest(&self) -> Transmit<'_> {
        Transmit {
            path: self.path,
            account: self.account,
            bytes: &self.bytes[self.sent_bytes..],
            segment_bytes: self.segment_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burst(last: u8, bytes: &[u8]) -> Transmit<'_> {
        let path = Path::to(([10, 0, 0, last], 1).into());
        Transmit { path, account: Account::Session, bytes, segment_bytes: 100 }
    }

    /// Sends everything; what was sent, by the last byte of its address.
    fn drain(outbox: &mut Outbox) -> Vec<(u8, usize)> {
        let mut sent = Vec::new();
        while !outbox.is_empty() {
            outbox.flush(0, |burst| {
                let IpAddr::V4(ip) = burst.path.remote.ip() else { unreachable!() };
                sent.push((ip.octets()[3], burst.bytes.len()));
                (None, Room::Left)
            });
        }
        sent
    }

    #[test]
    fn a_host_with_many_addresses_of_version_6_has_one_queue() {
        let mut outbox = Outbox::default();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let path = Path::to((address("fd77::1:0:0:0:1"), 1).into());
        let bytes = &[7; 100];
        let burst = Transmit { path, account: Account::Session, bytes, segment_bytes: 100 };
        assert_eq!(outbox.push(0, burst), 0);
        assert!(outbox.holds(address("fd77::1:0:0:0:2")));
        assert!(!outbox.holds(address("fd77::2:0:0:0:1")));
    }

    #[test]
    fn addresses_have_their_turns_and_each_keeps_its_order() {
        const TURN: usize = QUEUE_TURN_BYTES;
        let mut outbox = Outbox::default();
        for (last, number) in [(1, 10), (1, 11), (1, 12), (2, 20), (2, 21)] {
            assert_eq!(outbox.push(0, burst(last, &[number; TURN])), 0);
        }
        assert!(outbox.holds([10, 0, 0, 2].into()) && !outbox.holds([10, 0, 0, 3].into()));
        let mut sent: Vec<(u8, usize)> = Vec::new();
        while !outbox.is_empty() {
            outbox.flush(0, |burst| {
                match sent.last_mut() {
                    Some((number, bytes)) if *number == burst.bytes[0] => {
                        *bytes += burst.bytes.len();
                    }
                    _ => sent.push((burst.bytes[0], burst.bytes.len())),
                }
                (None, Room::Left)
            });
        }
        assert_eq!(sent, [10, 20, 11, 21, 12].map(|number| (number, TURN)));
        assert!(outbox.queues.is_empty());
        assert_eq!(outbox.weight_bytes, 0);
    }

    #[test]
    fn long_bursts_send_no_more_bytes_than_short_ones() {
        // One address has bursts of 60 kB, one of 3 kB, one single datagrams; a device takes
        // 8 kB at a time.
        const LENGTHS: [usize; 3] = [60_000, 3_000, 100];
        let mut outbox = Outbox::default();
        let mut sent_bytes = [0; 3];
        for round in 0..4_000 {
            for (last, length) in LENGTHS.into_iter().enumerate() {
                for _ in 0..20_000 / length + 1 {
                    outbox.push(round, burst(last as u8, &vec![0; length]));
                }
            }
            let mut left_bytes = 8_000;
            outbox.flush(round, |burst| {
                if left_bytes == 0 {
                    return (Some(burst), Room::None);
                }
                let (first, rest) = burst.split_at(left_bytes);
                left_bytes -= first.bytes.len();
                let IpAddr::V4(ip) = burst.path.remote.ip() else { unreachable!() };
                sent_bytes[usize::from(ip.octets()[3])] += first.bytes.len();
                (rest, if rest.is_some() { Room::None } else { Room::Left })
            });
        }
        let (least, most) = (sent_bytes.iter().min().unwrap(), sent_bytes.iter().max().unwrap());
        assert!(most - least <= 2 * QUEUE_TURN_BYTES, "{sent_bytes:?}");
        assert_eq!(sent_bytes.iter().sum::<usize>(), 32_000_000);
    }

    #[test]
    fn long_queues_leave_room_for_one_that_comes_later() {
        let mut outbox = Outbox::default();
        let bytes = vec![0; 50_000];
        for _ in 0..1_000 {
            for last in 1..=20 {
                outbox.push(0, burst(last, &bytes));
            }
        }
        for _ in 0..3 {
            assert_eq!(outbox.push(0, burst(99, &bytes)), 0);
        }
        assert!(outbox.weight_bytes <= QUEUE_BYTES_MAX);
    }

    #[test]
    fn what_is_sent_in_part_goes_on_where_it_stopped() {
        let mut outbox = Outbox::default();
        outbox.push(0, burst(1, &[7; 250]));
        let mut lengths = Vec::new();
        while !outbox.is_empty() {
            let (sent, dropped, _) = outbox.flush(0, |burst| {
                let (first, rest) = burst.split_at(0);
                lengths.push(first.bytes.len());
                (rest, Room::Left)
            });
            assert_eq!((sent, dropped), (1, 0));
        }
        assert_eq!(lengths, [100, 100, 50]);
    }

    #[test]
    fn an_address_has_a_bound_of_its_own_and_all_have_one_together() {
        const BURST_BYTES: usize = 50_000;
        let mut outbox = Outbox::default();
        let bytes = vec![0; BURST_BYTES];
        let mut kept = 0;
        while outbox.push(0, burst(1, &bytes)) == 0 {
            kept += 1;
        }
        assert_eq!(kept, QUEUE_BYTES_PER_ADDRESS_MAX / weight_bytes(BURST_BYTES));
        assert_eq!(outbox.push(0, burst(1, &bytes)), 500, "each datagram is told");
        assert_eq!(outbox.push(0, burst(2, &bytes)), 0, "others have theirs");
        for last in 2..=255 {
            while outbox.push(0, burst(last, &bytes)) == 0 {}
        }
        assert!(outbox.weight_bytes <= QUEUE_BYTES_MAX);
        assert!(outbox.weight_bytes + weight_bytes(BURST_BYTES) > QUEUE_BYTES_MAX);
        // The smallest burst weighs something, too.
        while outbox.push(0, burst(9, &[0])) == 0 {}
        assert!(outbox.weight_bytes <= QUEUE_BYTES_MAX);
    }

    #[test]
    fn nobody_waits_for_ever() {
        let mut outbox = Outbox::default();
        outbox.push(0, burst(1, &[0; 250]));
        outbox.push(QUEUE_NS_MAX, burst(1, &[0; 50]));
        fn blocked(burst: Transmit<'_>) -> (Option<Transmit<'_>>, Room) {
            (Some(burst), Room::Left)
        }
        assert_eq!(outbox.flush(QUEUE_NS_MAX, blocked), (0, 0, Room::Left));
        assert_eq!(outbox.flush(QUEUE_NS_MAX + 1, blocked), (0, 3, Room::Left));
        assert_eq!(drain(&mut outbox), [(1, 50)]);
    }

    #[test]
    fn without_any_room_nobody_else_is_asked_and_the_turn_is_kept() {
        let mut outbox = Outbox::default();
        for (last, length) in [(1, 10), (2, 20), (3, 30)] {
            outbox.push(0, burst(last, &vec![0; length]));
        }
        let mut asked = 0;
        let (_, _, room) = outbox.flush(0, |burst| {
            asked += 1;
            (Some(burst), Room::None)
        });
        assert_eq!((asked, room), (1, Room::None));
        assert_eq!(drain(&mut outbox), [(1, 10), (2, 20), (3, 30)]);
    }
}
