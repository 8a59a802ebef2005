//! Who gives way when there are too many connections.

use std::net::IpAddr;

/// The connections that are served, oldest first.
#[derive(Debug)]
pub(super) struct Connections<T> {
    open: Vec<(IpAddr, T)>,
    most: usize,
}

impl<T> Connections<T> {
    pub(super) const fn new(most: usize) -> Self {
        Self { open: Vec::new(), most }
    }

    /// Adds one, and returns who gives way for it if there are too many.
    pub(super) fn add(
        &mut self,
        address: IpAddr,
        new: T,
        is_over: impl Fn(&T) -> bool,
    ) -> Option<T> {
        self.open.retain(|(_, open)| !is_over(open));
        self.open.push((address, new));
        if self.open.len() > self.most { self.give_way() } else { None }
    }

    /// Takes out the oldest of the address that has most, so that an address with many takes
    /// nothing from one with few. An answer takes a moment, and who waits for longer is slow.
    pub(super) fn give_way(&mut self) -> Option<T> {
        let of = |address| self.open.iter().filter(|(other, _)| *other == address).count();
        let most = self.open.iter().map(|(address, _)| of(*address)).max()?;
        let gives_way = self.open.iter().position(|(address, _)| of(*address) == most)?;
        Some(self.open.remove(gives_way).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn the_oldest_of_the_address_with_most_gives_way() {
        let mut connections = Connections::new(3);
        let mut add = |last, number| connections.add(address(last), number, |_| false);
        assert_eq!([add(1, 0), add(2, 1), add(2, 2)], [None; 3]);
        assert_eq!([add(2, 3), add(3, 4), add(1, 5)], [Some(1), Some(2), Some(0)]);
    }

    #[test]
    fn a_flood_of_one_address_leaves_the_others_theirs() {
        let mut connections = Connections::new(4);
        connections.add(address(1), 0, |_| false);
        for number in 1..1000 {
            assert_ne!(connections.add(address(2), number, |_| false), Some(0));
        }
    }

    #[test]
    fn what_is_over_makes_room() {
        let mut connections = Connections::new(2);
        connections.add(address(1), 0, |_| true);
        connections.add(address(1), 1, |_| true);
        assert_eq!(connections.add(address(1), 2, |_| true), None);
        assert_eq!(connections.add(address(1), 3, |_| false), None);
    }
}
