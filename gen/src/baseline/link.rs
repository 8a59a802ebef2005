//! A way to a store, whatever carries it.

use std::net::SocketAddr;

use anyhow::Result;
use mio::{Interest, Registry, Token};

use super::batch::{Asked, Batch};
use super::connection::{Connection, Scratch};
use super::keys::Records;
use super::memcached_udp::Datagrams;
use super::target::Protocol;
use crate::ledger::Ledger;

/// A connection, or a socket for datagrams.
#[derive(Debug)]
pub enum Link {
    /// Over TCP.
    Connection(Connection),
    /// Over UDP.
    Datagrams(Datagrams),
}

impl Link {
    /// Begins to connect.
    pub fn new(protocol: Protocol, address: SocketAddr, mtu_bytes: usize) -> Result<Self> {
        Ok(match protocol {
            Protocol::MemcachedUdp => Self::Datagrams(Datagrams::new(address, mtu_bytes)?),
            _ => Self::Connection(Connection::new(protocol, address)?),
        })
    }

    /// Has a poll tell of it.
    pub fn register(&mut self, registry: &Registry, token: Token) -> std::io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Connection(connection) => registry.register(&mut connection.io, token, both),
            Self::Datagrams(datagrams) => registry.register(&mut datagrams.io, token, both),
        }
    }

    /// Goes on to connect; returns whether it is.
    pub fn connect(&mut self, now_ns: u64, scratch: &mut Scratch) -> Result<bool> {
        match self {
            Self::Connection(connection) => connection.connect(),
            Self::Datagrams(datagrams) => datagrams.connect(now_ns, scratch),
        }
    }

    /// The batch that the next [`send`](Self::send) sends.
    #[inline]
    pub fn batch(&mut self) -> &mut Batch {
        match self {
            Self::Connection(connection) => connection.batch(),
            Self::Datagrams(datagrams) => datagrams.batch(),
        }
    }

    /// Whether nothing is outstanding.
    #[must_use]
    #[inline]
    pub fn is_idle(&self) -> bool {
        match self {
            Self::Connection(connection) => connection.is_idle(),
            Self::Datagrams(datagrams) => datagrams.is_idle(),
        }
    }

    /// Until when what is outstanding may be answered; none if nothing is.
    #[must_use]
    pub fn deadline_ns(&self) -> Option<u64> {
        let deadline_ns = match self {
            Self::Connection(connection) => connection.deadline_ns(),
            Self::Datagrams(datagrams) => datagrams.deadline_ns(),
        };
        (!self.is_idle()).then_some(deadline_ns)
    }

    /// Sends its batch, whose answers have time until `deadline_ns`.
    #[inline]
    pub fn send(
        &mut self,
        deadline_ns: u64,
        records: &mut Records,
        scratch: &mut Scratch,
        ledger: &mut Ledger,
    ) -> Result<()> {
        match self {
            Self::Connection(connection) => connection.send(deadline_ns, records, scratch, ledger),
            Self::Datagrams(datagrams) => datagrams.send(deadline_ns, records, ledger),
        }
    }

    /// Sends what its socket had no room for.
    pub fn flush(&mut self, ledger: &mut Ledger) -> Result<()> {
        match self {
            Self::Connection(connection) => connection.flush(),
            Self::Datagrams(datagrams) => datagrams.flush(ledger),
        }
    }

    /// Takes what has come, and finds out how a connection ended that `is_closing`.
    #[inline]
    pub fn receive(
        &mut self,
        is_closing: bool,
        records: &Records,
        scratch: &mut Scratch,
        ledger: &mut Ledger,
    ) -> Result<()> {
        match self {
            Self::Connection(connection) => {
                connection.receive(is_closing, records, scratch, ledger)
            }
            Self::Datagrams(datagrams) => datagrams.receive(records, scratch, ledger),
        }
    }

    /// Gives up what is late, or says that it cannot go on.
    pub fn handle_timeout(&mut self, now_ns: u64, ledger: &mut Ledger) -> Result<()> {
        match self {
            Self::Connection(connection) => connection.handle_timeout(now_ns),
            Self::Datagrams(datagrams) => {
                datagrams.handle_timeout(now_ns, ledger);
                Ok(())
            }
        }
    }

    /// Tells of each operation that was not answered yet.
    pub fn each_outstanding(&self, told: impl FnMut(&Asked)) {
        match self {
            Self::Connection(connection) => connection.outstanding().iter().for_each(told),
            Self::Datagrams(datagrams) => datagrams.outstanding().for_each(told),
        }
    }
}
