//! The store that commands use. It connects when the first command needs it.

use std::net::SocketAddr;

use client::{Config, Connection, Error, Ping, Record, Version, WorkerStats};
use proto::limits::{mtu_bytes_default, value_bytes_max};

use crate::failure::Failure;
use crate::flags::ConnectionFlags;
use crate::servers;
use crate::status::Status;

/// A store, and the connection to it if there is one.
pub struct Store {
    servers: Vec<SocketAddr>,
    config: Config,
    connection: Option<Connection>,
}

impl Store {
    /// The store that the flags name. Nothing is sent yet.
    pub fn new(flags: &ConnectionFlags) -> Result<Self, Failure> {
        let servers = servers::find(flags.servers.as_deref()).map_err(Failure::new)?;
        let mut config = Config::default()
            .with_timeout(flags.timeout)
            .with_connect_timeout(flags.connect_timeout);
        config.mtu_bytes = flags.mtu.map(usize::from);
        Ok(Self { servers, config, connection: None })
    }

    /// Its servers.
    #[must_use]
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// Longest value that a datagram carries beside a key of `key_bytes`.
    #[must_use]
    pub fn value_bytes_max(&self, key_bytes: usize) -> usize {
        let mtu_bytes = self.config.mtu_bytes;
        let mtu_bytes = mtu_bytes.unwrap_or_else(|| mtu_bytes_default(self.servers[0].ip()));
        value_bytes_max(mtu_bytes, key_bytes)
    }

    /// Reads keys; the answers are in their order.
    pub fn get_many(
        &mut self,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Result<Option<Record>, Failure>>, Failure> {
        let answers = self.connection()?.get_many(keys);
        Ok(answers.into_iter().map(|answer| answer.map_err(told)).collect())
    }

    /// Writes records; the answers are in their order. No key may be there twice: nothing
    /// says which of the two writes is executed first.
    pub fn put_many(
        &mut self,
        records: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<Vec<Result<Version, Failure>>, Failure> {
        let answers = self.connection()?.put_many(records);
        Ok(answers.into_iter().map(|answer| answer.map_err(told)).collect())
    }

    /// Asks each worker for its counters; one that does not answer has an error.
    pub fn stats(&mut self) -> Result<Vec<WorkerStats>, Failure> {
        self.connection()?.stats().map_err(told)
    }

    /// Measures a round trip to each worker; one that does not answer has an error.
    pub fn ping(&mut self) -> Result<Vec<Ping>, Failure> {
        self.connection()?.ping().map_err(told)
    }

    fn connection(&mut self) -> Result<&mut Connection, Failure> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::connect_with(&self.servers, &self.config).map_err(told)?,
        };
        Ok(self.connection.insert(connection))
    }
}

/// The failure of a command whose call failed.
pub(crate) fn told(error: Error) -> Failure {
    let status = if error.is_indeterminate() { Status::Indeterminate } else { Status::Failed };
    Failure::Told(status, error.to_string())
}
