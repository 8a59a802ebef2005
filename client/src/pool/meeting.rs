//! Meets the workers of servers: a session that opens tells which workers its server has, and
//! whether it lives another life.

use std::net::SocketAddr;

use proto::client::Finished;
use proto::planted::{Fault, is_planted};

use crate::error::Error;
use crate::limits::WORKERS_MAX;
use crate::observe;
use crate::pool::session::{PooledSession, RemoteWorker};
use crate::pool::sessions::Sessions;
use crate::pool::share::Share;

/// What is still to be met, and what came of it.
#[derive(Debug)]
pub(super) struct Meeting {
    share: Share,
    /// Places of sessions that have opened, and whose server was not looked at since.
    opened: Vec<usize>,
    /// A server that claimed what none should, when it was met last.
    invalid: Option<(usize, Error)>,
}

impl Meeting {
    /// Of the workers of this share.
    pub(super) const fn of(share: Share) -> Self {
        Self { share, opened: Vec::new(), invalid: None }
    }

    /// A session has opened.
    pub(super) fn opened(&mut self, place: usize) {
        self.opened.push(place);
    }

    /// Whether each server claimed what it may, when it was met last.
    pub(super) fn check(&self) -> Result<(), Error> {
        match &self.invalid {
            Some((_, error)) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// What a server claims that none should.
    pub(super) fn invalid_claim(&self, server: usize) -> Option<&Error> {
        self.invalid.as_ref().filter(|(invalid, _)| *invalid == server).map(|(_, error)| error)
    }

    /// Learns from sessions that have opened which workers their servers have, and whether
    /// they live another life.
    #[inline]
    pub(super) fn go_on<T: Copy>(
        &mut self,
        now_ns: u64,
        sessions: &mut Sessions<T>,
        finished: &mut impl FnMut(&RemoteWorker, &Finished<'_, T>),
    ) -> Result<(), Error> {
        while let Some(place) = self.opened.pop() {
            let server = sessions.all[place].server;
            match self.meet(now_ns, sessions, place, finished) {
                Err(error @ Error::InvalidServer { .. }) => self.invalid = Some((server, error)),
                met => {
                    met?;
                    self.invalid.take_if(|(invalid, _)| *invalid == server);
                }
            }
        }
        Ok(())
    }

    #[cold]
    fn meet<T: Copy>(
        &self,
        now_ns: u64,
        sessions: &mut Sessions<T>,
        place: usize,
        finished: &mut impl FnMut(&RemoteWorker, &Finished<'_, T>),
    ) -> Result<(), Error> {
        let session = &sessions.all[place];
        let Some(&granted) = session.client.granted() else { return Ok(()) };
        let (index, address) = (session.server, session.client.server());
        observe::session_opened(address, granted.incarnation);
        let server = sessions.servers.get_mut(index);
        if let (Some(_), true, Some(cache)) =
            (server.workers, server.incarnation != granted.incarnation, &sessions.cache)
            && !is_planted(Fault::CacheOutlivesLife)
        {
            cache.clear();
        }
        server.incarnation = granted.incarnation;
        if granted.workers > WORKERS_MAX {
            let claims = "more workers than a server has";
            return Err(Error::InvalidServer { server: address, claims });
        }
        if server.workers != Some(granted.workers) {
            let mine = self.share.addresses(address, &granted)?;
            share_workers(now_ns, sessions, index, &mine, finished)?;
            sessions.servers.get_mut(index).workers = Some(granted.workers);
            sessions.share_receive_buffer();
        }
        Ok(())
    }
}

/// Opens sessions with the workers of a server that are at `mine`, and closes the others with
/// this server: the first stays only if it is one of them.
fn share_workers<T: Copy>(
    now_ns: u64,
    sessions: &mut Sessions<T>,
    server: usize,
    mine: &[SocketAddr],
    finished: &mut impl FnMut(&RemoteWorker, &Finished<'_, T>),
) -> Result<(), Error> {
    let is_of_both = |session: &&PooledSession<T>| {
        session.server != server && mine.contains(&session.client.server())
    };
    if let Some(session) = sessions.carrying().find(is_of_both) {
        let claims = "to be a worker of two servers of the list";
        return Err(Error::InvalidServer { server: session.client.server(), claims });
    }
    let places = std::mem::take(&mut sessions.servers.get_mut(server).sessions);
    let (stay, leave): (Vec<_>, Vec<_>) =
        places.into_iter().partition(|&place| mine.contains(&sessions.all[place].client.server()));
    for place in leave {
        sessions.all[place].is_retired = true;
        sessions.close(now_ns, place, finished);
    }
    let known: Vec<_> = stay.iter().map(|&place| sessions.all[place].client.server()).collect();
    sessions.servers.get_mut(server).sessions = stay;
    for &address in mine.iter().filter(|address| !known.contains(address)) {
        sessions.add(now_ns, server, address)?;
    }
    let Sessions { servers, all, .. } = sessions;
    let places = &mut servers.get_mut(server).sessions;
    places.sort_by_key(|&place| all[place].client.server().port());
    Ok(())
}
