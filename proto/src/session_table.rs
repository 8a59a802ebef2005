//! All sessions of a worker, in a table of fixed size.
//!
//! The low 16 bits of a session's id are its index in the table, the others are a keyed
//! hash of a count, so that nobody guesses the id of another's session.

use std::collections::BTreeMap;
use std::hash::Hasher as _;

use siphasher::sip::SipHasher24;

use crate::address_shares::AddressShares;
use crate::limits::{MTU_BYTES_MIN, SESSIONS_PER_WORKER_MAX, WINDOW_MAX};
use crate::planted::{Fault, is_planted};
use crate::session::Session;
use crate::transmit::Path;
use crate::unpack::Malformed;
use crate::wire::Open;

/// The sessions of one worker.
#[derive(Debug)]
pub struct SessionTable {
    entries: Vec<Option<Session>>,
    free: Vec<u16>,
    by_client: BTreeMap<([u8; 16], Path), u16>,
    shares: AddressShares,
    rooms: Rooms,
    id_key: [u8; 16],
    opened: u64,
    expired: u64,
}

/// How many sessions there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rooms {
    /// Of all addresses.
    pub all: usize,
    /// Of one.
    pub per_address: usize,
}

impl Default for Rooms {
    fn default() -> Self {
        Self { all: SESSIONS_PER_WORKER_MAX, per_address: SESSIONS_PER_WORKER_MAX }
    }
}

/// A session that is open now.
#[derive(Debug)]
pub struct Opened<'a> {
    /// It.
    pub session: &'a Session,
    /// The shares of all.
    pub shares: &'a AddressShares,
    /// Whether it was not open before.
    pub is_new: bool,
    /// The session that gave way to it.
    pub displaced: Option<Session>,
}

/// No entry is free, and none of those that are taken gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionsFull;

/// Agreed between client and server when a session opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Largest datagram, both ways.
    pub mtu_bytes: usize,
    /// Slots, a power of two.
    pub window: usize,
}

impl Terms {
    /// What both ends can do. An `Open` is padded to the client's MTU, so a session never
    /// gets larger datagrams than what has already come through.
    pub fn negotiate(self, open: &Open, datagram_bytes: usize) -> Result<Self, Malformed> {
        let mtu_bytes = open.mtu_bytes as usize;
        let window = open.window as usize;
        if mtu_bytes < MTU_BYTES_MIN || mtu_bytes > datagram_bytes {
            return Err(Malformed::Field);
        }
        if !window.is_power_of_two() || window > WINDOW_MAX {
            return Err(Malformed::Field);
        }
        Ok(Self { mtu_bytes: mtu_bytes.min(self.mtu_bytes), window: window.min(self.window) })
    }
}

impl SessionTable {
    /// An empty table; `id_key` is random.
    #[must_use]
    pub fn new(id_key: [u8; 16], rooms: Rooms) -> Self {
        assert!(rooms.all <= SESSIONS_PER_WORKER_MAX && rooms.per_address > 0);
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            by_client: BTreeMap::new(),
            shares: AddressShares::default(),
            rooms,
            id_key,
            opened: 0,
            expired: 0,
        }
    }

    /// Sessions open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_client.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_client.is_empty()
    }

    /// The session of an id, if `path` is its own and it is not expired; and the shares of all.
    #[inline]
    pub fn get_mut(
        &mut self,
        now_ns: u64,
        id: u64,
        path: Path,
    ) -> Option<(&mut Session, &mut AddressShares)> {
        let index = (id & 0xffff) as usize;
        let session = self.entries.get_mut(index)?.as_mut()?;
        let is_it = session.id == id && session.path == path && !session.is_expired(now_ns);
        is_it.then_some((session, &mut self.shares))
    }

    /// Opens the session of a client, or finds it if this client has opened it before:
    /// an `Open` that comes twice opens once. Says whether it is new.
    pub fn open(
        &mut self,
        now_ns: u64,
        path: Path,
        client_id: [u8; 16],
        terms: Terms,
    ) -> Result<Opened<'_>, SessionsFull> {
        let client = (client_id, path);
        let before =
            self.by_client.get(&client).and_then(|&p| self.entries[usize::from(p)].as_ref());
        if before.is_some_and(|session| session.is_expired(now_ns)) {
            self.expire(now_ns); // If it ended later, the new one would lose its name.
        }
        let known = self.by_client.get(&client).copied();
        let (index, displaced) = match known {
            Some(index) => (index, None),
            None => {
                let displaced = self.make_room(now_ns, path)?;
                (self.insert(now_ns, path, client_id, terms), displaced)
            }
        };
        let session = self.entries[usize::from(index)].as_ref().expect("just found or made");
        Ok(Opened { session, shares: &self.shares, is_new: known.is_none(), displaced })
    }

    /// Ends a session.
    pub fn close(&mut self, id: u64) {
        let index = (id & 0xffff) as u16;
        let entry = self.entries.get(usize::from(index)).and_then(Option::as_ref);
        if entry.is_some_and(|session| session.id == id) {
            self.remove(index);
        }
    }

    /// Sessions that ended so far because they were silent for too long.
    #[must_use]
    pub const fn expired(&self) -> u64 {
        self.expired
    }

    /// Ends all sessions that were silent for too long, and shares out again what those had that
    /// are not active any more.
    pub fn expire(&mut self, now_ns: u64) {
        for session in self.entries.iter_mut().flatten() {
            self.shares.look(now_ns, &mut session.seat);
        }
        let expired: Vec<u64> = (self.entries.iter().flatten())
            .filter(|session| session.is_expired(now_ns))
            .map(|session| session.id)
            .collect();
        for &id in &expired {
            self.close(id);
        }
        self.expired += expired.len() as u64;
    }

    /// Makes room for one more session of a client, by ending another if need be.
    fn make_room(&mut self, now_ns: u64, path: Path) -> Result<Option<Session>, SessionsFull> {
        let address = path.remote.ip();
        let lacks = |table: &Self| {
            let is_full = table.len() >= table.rooms.all;
            (is_full, table.shares.sessions_of(address) >= table.rooms.per_address)
        };
        if lacks(self) != (false, false) {
            self.expire(now_ns);
        }
        let index = match lacks(self) {
            (false, false) => return Ok(None),
            _ if is_planted(Fault::HoarderKeepsOut) => None,
            (_, true) => self.shares.idle_of(now_ns, address),
            (true, false) => self.shares.gives_way_to(now_ns, address),
        };
        Ok(Some(self.remove(index.ok_or(SessionsFull)?)))
    }

    fn remove(&mut self, index: u16) -> Session {
        let session = self.entries[usize::from(index)].take().expect("it is there");
        self.by_client.remove(&(session.client_id, session.path));
        self.shares.leave(session.seat);
        self.free.push(index);
        session
    }

    /// There is room.
    fn insert(&mut self, now_ns: u64, path: Path, client_id: [u8; 16], terms: Terms) -> u16 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            (self.entries.len() - 1) as u16
        });
        self.opened += 1;
        let mut hasher = SipHasher24::new_with_key(&self.id_key);
        hasher.write_u64(self.opened);
        let id = (hasher.finish() << 16) | u64::from(index);
        let seat = self.shares.take(now_ns, path.remote.ip(), index);
        let Terms { mtu_bytes, window } = terms;
        let session = Session::new(id, path, client_id, mtu_bytes, window, seat, now_ns);
        assert!(self.entries[usize::from(index)].replace(session).is_none());
        self.by_client.insert((client_id, path), index);
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SESSION_IDLE_NS;

    const TERMS: Terms = Terms { mtu_bytes: 1472, window: 4 };

    fn path() -> Path {
        Path::to("127.0.0.1:1".parse().unwrap())
    }

    fn client(number: u64) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        id
    }

    #[test]
    fn an_open_that_comes_twice_opens_once() {
        let mut sessions = SessionTable::new([1; 16], Rooms::default());
        let first = sessions.open(0, path(), client(1), TERMS).unwrap();
        let id = first.session.id;
        assert!(first.is_new);
        let again = sessions.open(0, path(), client(1), TERMS).unwrap();
        assert_eq!((again.session.id, again.is_new), (id, false));
        assert_eq!(sessions.len(), 1);
    }

    #[test]
    fn a_session_is_good_for_its_path_only() {
        let mut sessions = SessionTable::new([1; 16], Rooms::default());
        let id = sessions.open(0, path(), client(1), TERMS).unwrap().session.id;
        assert!(sessions.get_mut(0, id, path()).is_some());
        let other_remote = Path::to("127.0.0.1:2".parse().unwrap());
        assert!(sessions.get_mut(0, id, other_remote).is_none());
        let other_local = Path { local: Some([127, 0, 0, 9].into()), ..path() };
        assert!(
            sessions.get_mut(0, id, other_local).is_none(),
            "it asked another of our addresses"
        );
        assert!(sessions.get_mut(0, id ^ (1 << 40), path()).is_none());
        assert!(sessions.get_mut(0, id ^ 1, path()).is_none());
    }

    #[test]
    fn a_full_table_refuses_until_a_session_expires_or_closes() {
        let mut sessions = SessionTable::new([1; 16], Rooms::default());
        let mut ids = Vec::new();
        for number in 0..SESSIONS_PER_WORKER_MAX as u64 {
            ids.push(sessions.open(0, path(), client(number), TERMS).unwrap().session.id);
        }
        let one_more = client(u64::MAX);
        assert!(sessions.open(1, path(), one_more, TERMS).is_err());
        sessions.close(ids[3]);
        assert!(sessions.get_mut(1, ids[3], path()).is_none());
        assert!(sessions.open(1, path(), one_more, TERMS).is_ok());
        let later = SESSION_IDLE_NS + 1;
        assert!(sessions.get_mut(later, ids[5], path()).is_none(), "it is expired");
        assert!(sessions.open(later, path(), client(u64::MAX - 1), TERMS).is_ok());
        assert_eq!(sessions.len(), 2, "what had expired made room");
    }

    #[test]
    fn an_id_is_never_given_twice() {
        let mut sessions = SessionTable::new([1; 16], Rooms::default());
        let mut seen = std::collections::HashSet::new();
        for number in 0..1000 {
            let id = sessions.open(0, path(), client(number), TERMS).unwrap().session.id;
            assert!(seen.insert(id));
            sessions.close(id);
        }
    }
}
