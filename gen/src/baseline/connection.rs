//! A TCP connection, and the batch that is outstanding on it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use mio::net::TcpStream;
use udp::clock::now_ns;

use super::batch::{Asked, Batch};
use super::keys::Records;
use super::target::Protocol;
use super::{LINE_BYTES_MAX, memcached, redis};
use crate::ledger::{Answer, Ledger};

/// Bytes that are read at once, beside the longest answer.
const READ_BYTES: usize = 256 << 10;

/// What one thread's connections share: each is done with it before the next one begins.
#[derive(Debug)]
pub struct Scratch {
    /// Requests on their way out.
    pub out: Vec<u8>,
    /// Answers on their way in; longer than the longest.
    pub input: Vec<u8>,
}

impl Scratch {
    /// For values of `value_size` bytes.
    #[must_use]
    pub fn new(value_size: usize) -> Self {
        Self { out: Vec::new(), input: vec![0; READ_BYTES + value_size + 2 * LINE_BYTES_MAX] }
    }
}

#[derive(Debug)]
enum Reader {
    Memcached(memcached::Reader),
    Redis(redis::Reader),
}

/// A connection to one store.
#[derive(Debug)]
pub struct Connection {
    /// For the poll to register.
    pub io: TcpStream,
    protocol: Protocol,
    reader: Reader,
    batch: Batch,
    /// What the socket had no room for.
    unsent: Vec<u8>,
    /// The beginning of an answer whose end has not come.
    partial: Vec<u8>,
    deadline_ns: u64,
}

impl Connection {
    /// Begins to connect.
    pub fn new(protocol: Protocol, address: SocketAddr) -> Result<Self> {
        let io = TcpStream::connect(address).context("cannot open a socket")?;
        let reader = match protocol {
            Protocol::Redis => Reader::Redis(redis::Reader::new(false)),
            Protocol::RedisMget => Reader::Redis(redis::Reader::new(true)),
            Protocol::Memcached | Protocol::MemcachedUdp => Reader::Memcached(Default::default()),
        };
        Ok(Self {
            io,
            protocol,
            reader,
            batch: Batch::default(),
            unsent: Vec::new(),
            partial: Vec::new(),
            deadline_ns: u64::MAX,
        })
    }

    /// Whether the connection is there; an error if it was refused.
    pub fn connect(&mut self) -> Result<bool> {
        if let Some(error) = self.io.take_error()? {
            return Err(error.into());
        }
        match self.io.peer_addr() {
            Ok(_) => {
                self.io.set_nodelay(true)?;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The batch that the next [`send`](Self::send) sends.
    pub fn batch(&mut self) -> &mut Batch {
        &mut self.batch
    }

    /// Its operations that were not answered yet.
    #[must_use]
    pub fn outstanding(&self) -> &[Asked] {
        self.batch.outstanding()
    }

    /// Until when what was sent last may be answered.
    #[must_use]
    pub const fn deadline_ns(&self) -> u64 {
        self.deadline_ns
    }

    /// Whether all of its batch was answered.
    #[must_use]
    #[inline]
    pub fn is_idle(&self) -> bool {
        match &self.reader {
            Reader::Memcached(reader) => reader.is_done(&self.batch),
            Reader::Redis(_) => self.batch.outstanding().is_empty(),
        }
    }

    /// Sends the batch, in one write if the socket has room.
    pub fn send(
        &mut self,
        deadline_ns: u64,
        records: &mut Records,
        scratch: &mut Scratch,
        ledger: &mut Ledger,
    ) -> Result<()> {
        let (asked, out) = (self.batch.asked(), &mut scratch.out);
        out.clear();
        match &mut self.reader {
            Reader::Memcached(reader) => {
                reader.begin(&self.batch);
                memcached::write(asked, records, out);
            }
            Reader::Redis(_) => {
                redis::write(asked, self.protocol == Protocol::RedisMget, records, out);
            }
        }
        self.deadline_ns = deadline_ns;
        ledger.report.client.operations_sent += asked.len() as u64;
        ledger.report.client.bytes_sent += out.len() as u64;
        let sent = write(&mut self.io, out)?;
        self.unsent.extend_from_slice(&out[sent..]);
        Ok(())
    }

    /// Sends what the socket had no room for.
    pub fn flush(&mut self) -> Result<()> {
        if !self.unsent.is_empty() {
            let sent = write(&mut self.io, &self.unsent)?;
            self.unsent.drain(..sent);
        }
        Ok(())
    }

    /// Takes the answers that have come. `is_closing`: the other end closed the connection, or
    /// lost it, and behind the answers stands which.
    #[inline]
    pub fn receive(
        &mut self,
        is_closing: bool,
        records: &Records,
        scratch: &mut Scratch,
        ledger: &mut Ledger,
    ) -> Result<()> {
        let input = &mut scratch.input[..];
        loop {
            let held = self.partial.len();
            input[..held].copy_from_slice(&self.partial);
            let length = match self.io.read(&mut input[held..]) {
                Ok(0) => bail!("it closed the connection"),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => bail!("the connection was lost ({error})"),
            };
            // Read after the answers came: none is dated before its arrival.
            let now = now_ns();
            ledger.turn(now);
            ledger.report.client.bytes_received += length as u64;
            let end = held + length;
            let told = |asked: &Asked, answer: Answer<'_>| asked.answered(now, answer, ledger);
            let used = match &mut self.reader {
                Reader::Memcached(reader) => {
                    reader.read(&input[..end], &mut self.batch, records, told)?
                }
                Reader::Redis(reader) => {
                    reader.read(&input[..end], &mut self.batch, records, told)?
                }
            };
            self.partial.clear();
            self.partial.extend_from_slice(&input[used..end]);
            // A read that was not filled has emptied the socket, and what comes later is
            // told of again.
            if end < input.len() && !is_closing {
                return Ok(());
            }
        }
    }

    /// An error if the answers are late: what comes behind them in order never comes.
    pub fn handle_timeout(&self, now_ns: u64) -> Result<()> {
        ensure!(self.is_idle() || now_ns < self.deadline_ns, "it did not answer in time");
        Ok(())
    }
}

/// Writes what there is room for; returns how much that was.
fn write(io: &mut TcpStream, bytes: &[u8]) -> Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match io.write(&bytes[sent..]) {
            Ok(0) => bail!("the connection was lost"),
            Ok(length) => sent += length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => bail!("the connection was lost ({error})"),
        }
    }
    Ok(sent)
}
