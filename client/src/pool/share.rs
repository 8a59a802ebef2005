//! Pools that divide the workers of each server among them.

use std::net::SocketAddr;

use proto::handshake::Granted;

use crate::error::Error;

/// Which of the workers of each server a pool talks to: its share, if `of` pools with the
/// numbers from 0 on divide them. Where there are more pools than workers, several talk to
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The number of this pool.
    pub index: usize,
    /// How many there are.
    pub of: usize,
}

impl Share {
    /// All workers.
    pub const ALL: Self = Self { index: 0, of: 1 };

    fn has(self, worker: usize, workers: usize) -> bool {
        if self.of >= workers {
            worker == self.index % workers
        } else {
            worker % self.of == self.index
        }
    }

    /// The addresses of its workers of a server, of which the one at `address` granted this.
    pub(super) fn addresses(
        self,
        address: SocketAddr,
        granted: &Granted,
    ) -> Result<Vec<SocketAddr>, Error> {
        let base = base_address(address, granted.worker)?;
        let workers = usize::from(granted.workers);
        let mine = (0..workers).filter(|&worker| self.has(worker, workers));
        mine.map(|worker| worker_address(base, worker)).collect()
    }
}

/// Where worker 0 is, if `worker` is at `address`.
fn base_address(address: SocketAddr, worker: u16) -> Result<SocketAddr, Error> {
    match address.port().checked_sub(worker) {
        Some(port) => Ok(SocketAddr::new(address.ip(), port)),
        None => {
            Err(Error::InvalidServer { server: address, claims: "workers before the first port" })
        }
    }
}

fn worker_address(base: SocketAddr, worker: usize) -> Result<SocketAddr, Error> {
    match u16::try_from(usize::from(base.port()) + worker) {
        Ok(port) => Ok(SocketAddr::new(base.ip(), port)),
        Err(_) => {
            Err(Error::InvalidServer { server: base, claims: "workers beyond the last port" })
        }
    }
}
