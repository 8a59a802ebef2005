//! The clients whose sessions were closed, for as long as their cookies are good: an OPEN that
//! comes again after the CLOSE opens nothing.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

use crate::limits::{CLOSED_CLIENTS_MAX, COOKIE_LIFETIME_NS};

/// A client's name and address, as its cookie has them.
type Client = ([u8; 16], SocketAddr);

/// The last that were closed.
#[derive(Debug, Default)]
pub struct ClosedClients {
    /// In the order of their closing, with its time.
    by_age: VecDeque<(u64, Client)>,
    known: BTreeSet<Client>,
    /// Clients with older cookies may have been closed and forgotten for want of room.
    forgotten_ns: Option<u64>,
}

impl ClosedClients {
    /// A session of a client was closed.
    pub fn add(&mut self, now_ns: u64, client: Client) {
        self.forget(now_ns);
        if self.by_age.len() == CLOSED_CLIENTS_MAX
            && let Some((closed_ns, oldest)) = self.by_age.pop_front()
        {
            self.known.remove(&oldest);
            self.forgotten_ns = Some(closed_ns);
        }
        if self.known.insert(client) {
            self.by_age.push_back((now_ns, client));
        }
    }

    /// Whether a client with a cookie of this age was closed, or may have been.
    #[must_use]
    pub fn may_have(&self, client: Client, issued_at_ns: u64) -> bool {
        self.known.contains(&client) || self.forgotten_ns.is_some_and(|ns| issued_at_ns <= ns)
    }

    /// Drops those whose cookies are too old by now.
    fn forget(&mut self, now_ns: u64) {
        while let Some(&(closed_ns, client)) = self.by_age.front()
            && now_ns.saturating_sub(closed_ns) > COOKIE_LIFETIME_NS
        {
            self.by_age.pop_front();
            self.known.remove(&client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u64) -> Client {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        (id, "10.0.0.1:1".parse().unwrap())
    }

    #[test]
    fn a_closed_client_is_known_while_its_cookie_is_good() {
        let mut closed = ClosedClients::default();
        closed.add(5, client(1));
        assert!(closed.may_have(client(1), 4) && !closed.may_have(client(2), 4));
        closed.add(5 + COOKIE_LIFETIME_NS, client(2));
        assert!(closed.may_have(client(1), 4));
        closed.add(6 + COOKIE_LIFETIME_NS, client(3));
        assert!(!closed.may_have(client(1), 4), "no cookie of then is good any more");
    }

    #[test]
    fn when_it_is_full_cookies_before_the_oldest_forgotten_close_are_refused() {
        let mut closed = ClosedClients::default();
        let most = CLOSED_CLIENTS_MAX as u64;
        for number in 0..=most {
            closed.add(100 + number, client(number));
        }
        assert_eq!(closed.by_age.len(), CLOSED_CLIENTS_MAX);
        assert!(closed.may_have(client(0), 100) && closed.may_have(client(most + 1), 99));
        assert!(!closed.may_have(client(most + 1), 101), "a newer cookie is good");
        assert!(closed.may_have(client(1), 1) && closed.may_have(client(most), 500));
    }
}
