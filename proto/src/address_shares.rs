//! Who has how many of a worker's sessions: its room is shared by the addresses of clients,
//! then by the sessions of each that are active, and a session that gives way to another is of
//! the address that has most.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::host::Host;
use crate::limits::{SESSION_ACTIVE_NS, SESSION_ORDER_NS};

/// An address with the most sessions may share that place with others: of so many, one with
/// an idle session is looked for.
const PLACES_TRIED_MAX: usize = 16;

/// Of one address.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    host: u64,
    sessions: usize,
    active: usize,
}

/// By who gives way first: the place of its address, when it asked last (0: never, so that it
/// is first), when it was opened, and where it is kept.
type Order = (u32, u64, u64, u16);

/// What a session is by its address.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    place: u32,
    index: u16,
    opened_ns: u64,
    asked_ns: u64,
    /// When it asked, as [`AddressShares::order`] has it; 0 before it did.
    ordered_ns: u64,
    reorder_ns: u64,
    is_active: bool,
}

impl Seat {
    const fn order(&self) -> Order {
        (self.place, self.ordered_ns, self.opened_ns, self.index)
    }
}

/// The shares of all addresses.
#[derive(Debug, Default)]
pub struct AddressShares {
    shares: Vec<Share>,
    free: Vec<u32>,
    places: BTreeMap<u64, u32>,
    by_sessions: BTreeSet<(usize, u32)>,
    order: BTreeSet<Order>,
    /// Addresses with an active session.
    active: usize,
}

impl AddressShares {
    /// A session opens, and is kept at `index`.
    pub fn take(&mut self, now_ns: u64, address: IpAddr, index: u16) -> Seat {
        let host = Host::of(address).bits();
        let place = *self.places.entry(host).or_insert_with(|| {
            let place = self.free.pop().unwrap_or(self.shares.len() as u32);
            self.shares.resize(self.shares.len().max(place as usize + 1), Share::default());
            self.shares[place as usize] = Share { host, ..Share::default() };
            place
        });
        self.count(place, 1);
        let seat = Seat {
            place,
            index,
            opened_ns: now_ns,
            asked_ns: now_ns,
            ordered_ns: 0,
            reorder_ns: 0,
            is_active: false,
        };
        assert!(self.order.insert(seat.order()), "each is kept at a place of its own");
        seat
    }

    /// A session has ended.
    pub fn leave(&mut self, mut seat: Seat) {
        self.rest(&mut seat);
        assert!(self.order.remove(&seat.order()), "it was there");
        self.count(seat.place, -1);
        let share = self.shares[seat.place as usize];
        if share.sessions == 0 {
            self.places.remove(&share.host);
            self.free.push(seat.place);
        }
    }

    /// A session asks for something.
    #[inline]
    pub fn asks(&mut self, now_ns: u64, seat: &mut Seat) {
        seat.asked_ns = now_ns;
        if now_ns >= seat.reorder_ns {
            self.reorder(now_ns, seat);
        }
    }

    /// Time goes on: a session that has asked for nothing for long has no share any more.
    pub fn look(&mut self, now_ns: u64, seat: &mut Seat) {
        if now_ns.saturating_sub(seat.asked_ns) > SESSION_ACTIVE_NS {
            self.rest(seat);
        }
    }

    /// The share of an active session in a total, or what it would be if it were active.
    #[inline]
    #[must_use]
    pub fn of(&self, seat: &Seat, total: usize) -> usize {
        let active = self.shares[seat.place as usize].active;
        let addresses = self.active + usize::from(active == 0);
        total / addresses / (active + usize::from(!seat.is_active))
    }

    /// Sessions of an address.
    #[must_use]
    pub fn sessions_of(&self, address: IpAddr) -> usize {
        let place = self.places.get(&Host::of(address).bits());
        place.map_or(0, |&place| self.shares[place as usize].sessions)
    }

    /// Where the session is kept that gives way to another of its own address: one that is idle.
    #[must_use]
    pub fn idle_of(&self, now_ns: u64, address: IpAddr) -> Option<u16> {
        self.idle_at(now_ns, *self.places.get(&Host::of(address).bits())?)
    }

    /// Where the session is kept that gives way to one of `address` when no room is left: the
    /// longest idle of the address that has most. One that is active gives way only to an
    /// address that has fewer.
    #[must_use]
    pub fn gives_way_to(&self, now_ns: u64, address: IpAddr) -> Option<u16> {
        let own = self.sessions_of(address);
        let (most, place) = *self.by_sessions.last()?;
        if most > own + 1 {
            return self.of_place(place).next().map(|&(.., index)| index);
        }
        // Not always from the same one: those that are active may lie side by side.
        let start = (now_ns / 1000 % self.shares.len() as u64) as u32;
        let from_start = self.by_sessions.range((most, start)..);
        let with_most = from_start.chain(self.by_sessions.range((most, 0)..(most, start)));
        with_most.take(PLACES_TRIED_MAX).find_map(|&(_, place)| self.idle_at(now_ns, place))
    }

    /// The first that gives way of those at a place that have asked for nothing for long.
    fn idle_at(&self, now_ns: u64, place: u32) -> Option<u16> {
        let never_used = self.of_place(place).next().filter(|(_, asked_ns, ..)| *asked_ns == 0);
        let used = self.order.range((place, 1, 0, 0)..).next().filter(|order| order.0 == place);
        let is_idle = |order: &&Order| {
            let (_, asked_ns, opened_ns, _) = **order;
            // It may have asked since.
            let latest_ns = if asked_ns == 0 { opened_ns } else { asked_ns + SESSION_ORDER_NS };
            now_ns.saturating_sub(latest_ns) > SESSION_ACTIVE_NS
        };
        never_used.into_iter().chain(used).find(is_idle).map(|&(.., index)| index)
    }

    fn of_place(&self, place: u32) -> impl Iterator<Item = &Order> {
        self.order.range((place, 0, 0, 0)..=(place, u64::MAX, u64::MAX, u16::MAX))
    }

    #[cold]
    fn reorder(&mut self, now_ns: u64, seat: &mut Seat) {
        self.order.remove(&seat.order());
        seat.ordered_ns = now_ns.max(1);
        seat.reorder_ns = now_ns + SESSION_ORDER_NS;
        self.order.insert(seat.order());
        if !seat.is_active {
            seat.is_active = true;
            let share = &mut self.shares[seat.place as usize];
            share.active += 1;
            self.active += usize::from(share.active == 1);
        }
    }

    fn rest(&mut self, seat: &mut Seat) {
        if seat.is_active {
            seat.is_active = false;
            let share = &mut self.shares[seat.place as usize];
            share.active -= 1;
            self.active -= usize::from(share.active == 0);
        }
    }

    fn count(&mut self, place: u32, by: isize) {
        let sessions = &mut self.shares[place as usize].sessions;
        self.by_sessions.remove(&(*sessions, place));
        *sessions = sessions.checked_add_signed(by).expect("it was counted before");
        if *sessions > 0 {
            self.by_sessions.insert((*sessions, place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_total_is_shared_by_addresses_and_then_by_their_active_sessions() {
        let mut shares = AddressShares::default();
        let [a, b] = ["10.0.0.1", "10.0.0.2"].map(address);
        let mut seats: Vec<_> = (0..4).map(|index| shares.take(0, a, index)).collect();
        let mut other = shares.take(0, b, 9);
        assert_eq!(shares.of(&other, 120), 120, "nobody is active");
        for seat in &mut seats[..3] {
            shares.asks(5, seat);
        }
        assert_eq!((shares.of(&seats[0], 120), shares.of(&seats[3], 120)), (40, 30));
        assert_eq!(shares.of(&other, 120), 60, "it would be");
        shares.asks(5, &mut other);
        assert_eq!((shares.of(&seats[0], 120), shares.of(&other, 120)), (20, 60));
        shares.leave(seats.remove(0));
        assert_eq!(shares.of(&seats[0], 120), 30);
    }

    #[test]
    fn who_asks_for_nothing_for_long_has_no_share() {
        let mut shares = AddressShares::default();
        let mut seats: Vec<_> =
            (0..2).map(|index| shares.take(0, address("10.0.0.1"), index)).collect();
        seats.iter_mut().for_each(|seat| shares.asks(1, seat));
        shares.asks(SECOND, &mut seats[0]);
        for (now_ns, share) in [(1 + SESSION_ACTIVE_NS, 50), (2 + SESSION_ACTIVE_NS, 100)] {
            seats.iter_mut().for_each(|seat| shares.look(now_ns, seat));
            assert_eq!(shares.of(&seats[0], 100), share);
        }
        shares.asks(3 * SECOND, &mut seats[1]);
        assert_eq!(shares.of(&seats[0], 100), 50, "it is back");
    }

    #[test]
    fn an_idle_session_is_found_beside_many_hosts_that_are_active() {
        const HOSTS: u8 = 200;
        let mut shares = AddressShares::default();
        let mut seats: Vec<_> = (0..HOSTS)
            .map(|last| shares.take(0, IpAddr::from([10, 0, 0, last]), u16::from(last)))
            .collect();
        seats[..PLACES_TRIED_MAX].iter_mut().for_each(|seat| shares.asks(9 * SECOND, seat));
        let found = (0..HOSTS).filter(|&tries| {
            let now_ns = 9 * SECOND + 1000 * u64::from(tries);
            shares.gives_way_to(now_ns, address("10.9.0.0")).is_some()
        });
        assert!(found.count() > usize::from(HOSTS) - 2, "of the first, all are active");
    }

    #[test]
    fn of_the_address_with_most_the_never_used_gives_way_and_then_the_longest_idle() {
        let mut shares = AddressShares::default();
        let [a, b, new] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(address);
        let mut seats: Vec<_> = (0..4).map(|index| shares.take(0, a, index)).collect();
        shares.take(0, b, 9);
        for (at, index) in [(10, 0), (SECOND, 2), (2 * SECOND, 0), (3 * SECOND, 1)] {
            shares.asks(at, &mut seats[index]);
        }
        let mut order = Vec::new();
        while let Some(index) = shares.gives_way_to(3 * SECOND, new).filter(|_| order.len() < 3) {
            order.push(index);
            let at = seats.iter().position(|seat| seat.index == index).unwrap();
            shares.leave(seats.remove(at));
        }
        assert_eq!(order, [3, 2, 0], "until it has no more than another");
        assert_eq!(
            shares.gives_way_to(3 * SECOND, new),
            Some(9),
            "it is idle, and the last is not"
        );
    }

    #[test]
    fn an_active_session_gives_way_only_to_an_address_with_fewer() {
        let mut shares = AddressShares::default();
        let [a, b] = ["10.0.0.1", "10.0.0.2"].map(address);
        let mut seats: Vec<_> = (0..2).map(|index| shares.take(0, a, index)).collect();
        seats.iter_mut().for_each(|seat| shares.asks(SECOND, seat));
        assert_eq!(shares.idle_of(SECOND, a), None);
        assert_eq!(shares.gives_way_to(SECOND, a), None);
        assert_eq!(shares.gives_way_to(SECOND, b), Some(0));
        let later_ns = SECOND + SESSION_ORDER_NS + SESSION_ACTIVE_NS + 1;
        assert_eq!((shares.idle_of(later_ns, a), shares.idle_of(later_ns, b)), (Some(0), None));
    }

    #[test]
    fn nothing_is_left_of_addresses_without_sessions() {
        let mut shares = AddressShares::default();
        for round in 0..1000_u32 {
            let seat = shares.take(u64::from(round), IpAddr::from(round.to_be_bytes()), 7);
            shares.leave(seat);
        }
        assert_eq!((shares.shares.len(), shares.places.len(), shares.order.len()), (1, 0, 0));
        assert!(shares.by_sessions.is_empty());
    }
}
