//! Which hosts something happens to most, in bounded memory.
//!
//! Space-Saving (Metwally, Agrawal and El Abbadi, 2005): who is not in the list takes the place of
//! who has least, and its count. So a host with more than a share of 1 / [`HOSTS_LISTED`] of all
//! is always there, and a count is too high by no more than the least count in the list.

use crate::host::Host;
use crate::limits::HOSTS_LISTED;

/// The hosts that something happened to most, and how often at most.
#[derive(Clone, Copy, Debug, Default)]
pub struct TopList([Entry; HOSTS_LISTED]);

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    host: Host,
    count: u64,
}

impl TopList {
    /// It happened to a host.
    #[inline]
    pub(crate) fn note(&mut self, host: Host) {
        let known = self.0.iter().position(|entry| entry.count > 0 && entry.host == host);
        let entry = match known {
            Some(place) => &mut self.0[place],
            None => self.0.iter_mut().min_by_key(|entry| entry.count).expect("it has places"),
        };
        *entry = Entry { host, count: entry.count + 1 };
    }

    /// The hosts and their counts, in no order.
    pub fn hosts(&self) -> impl Iterator<Item = (Host, u64)> + '_ {
        self.0.iter().filter(|entry| entry.count > 0).map(|entry| (entry.host, entry.count))
    }

    /// All that it is made of, for those who copy it word by word.
    pub fn words_mut(&mut self) -> impl Iterator<Item = &mut u64> {
        self.0.iter_mut().flat_map(|Entry { host, count }| [host.bits_mut(), count])
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn host(number: u32) -> Host {
        Host::of(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    #[test]
    fn hosts_that_have_a_place_are_counted_exactly() {
        let mut list = TopList::default();
        for number in 1..=HOSTS_LISTED as u32 {
            (0..number).for_each(|_| list.note(host(number)));
        }
        let mut counts: Vec<_> = list.hosts().map(|(_, count)| count).collect();
        counts.sort_unstable();
        assert_eq!(counts, (1..=HOSTS_LISTED as u64).collect::<Vec<_>>());
    }

    #[test]
    fn a_host_that_has_more_than_its_share_is_listed_whatever_others_do() {
        let mut list = TopList::default();
        let mut counted = 0;
        for number in 0..10_000u32 {
            list.note(host(1_000_000 + number));
            if number % (HOSTS_LISTED as u32 - 2) == 0 {
                list.note(host(1));
                counted += 1;
            }
        }
        let (_, count) = list.hosts().find(|(listed, _)| *listed == host(1)).expect("it is listed");
        let least = list.hosts().map(|(_, count)| count).min().unwrap();
        assert!((counted..=counted + least).contains(&count), "{count} of {counted}");
    }

    #[test]
    fn the_host_of_no_address_is_counted_as_any_other() {
        let mut list = TopList::default();
        assert_eq!(list.hosts().count(), 0);
        list.note(host(0));
        list.note(host(0));
        assert_eq!(list.hosts().map(|(_, count)| count).collect::<Vec<_>>(), [2]);
    }
}
