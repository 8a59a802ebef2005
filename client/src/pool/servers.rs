//! The servers of a cluster: the sessions that carry the keys of each.

use proto::placement::KeyHash;

/// What is known of a server.
#[derive(Debug, Default)]
pub(super) struct KnownServer {
    /// Places of the sessions that carry its keys; until it was met, of the one that meets it.
    pub(super) sessions: Vec<usize>,
    /// Its workers, and the life that was met last.
    pub(super) workers: Option<u16>,
    pub(super) incarnation: u64,
}

/// All servers, in the order of the cluster's list.
#[derive(Debug)]
pub(super) struct Servers(Vec<KnownServer>);

impl Servers {
    /// So many, of which nothing is known.
    pub(super) fn new(count: usize) -> Self {
        Self(std::iter::repeat_with(KnownServer::default).take(count).collect())
    }

    /// Whether the workers of each are known.
    pub(super) fn are_met(&self) -> bool {
        self.0.iter().all(|server| server.workers.is_some())
    }

    #[inline]
    pub(super) fn get(&self, server: usize) -> &KnownServer {
        &self.0[server]
    }

    pub(super) fn get_mut(&mut self, server: usize) -> &mut KnownServer {
        &mut self.0[server]
    }

    /// The server that holds a key, and the place of the session that carries operations on it.
    #[inline]
    pub(super) fn carrier(&self, key: &[u8]) -> (usize, usize) {
        if let [KnownServer { sessions, .. }] = self.0.as_slice()
            && let [place] = sessions.as_slice()
        {
            return (0, *place);
        }
        let hash = KeyHash::of(key);
        let server = hash.server_of(self.0.len());
        let sessions = &self.0[server].sessions;
        (server, sessions[hash.session_of(sessions.len())])
    }
}
