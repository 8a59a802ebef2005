//! A network that lies: some reads are answered with what their key held long before.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use proto::pack;
use proto::unpack;
use proto::wire::{HEADER_BYTES, Header, Kind, Op, REPLY_ENTRY_BYTES, Status};
use testkit::relay::{Direction, Network, Passage};

/// Of the reads that it could lie to, it lies to one in so many.
const LIES_ONE_IN: u64 = 40;
/// So many PUTs later a value is surely of the past.
const VERSIONS_BEHIND_MIN: u64 = 20;
/// Where the version of an answer lies in its entry.
const VERSION_AT: usize = 8;

/// An operation, as its answer names it.
type Asked = (SocketAddr, u64, u64, u16);

/// It changes answers so that no checksum shows it.
#[derive(Debug, Default)]
pub(crate) struct Liar {
    keys: HashMap<Asked, Vec<u8>>,
    /// Version and value that each key was first seen with.
    first: HashMap<Vec<u8>, (u64, Vec<u8>)>,
    chances: u64,
    pub(crate) lies: u64,
}

impl Liar {
    fn listen(&mut self, client: SocketAddr, header: &Header, datagram: &[u8]) {
        let mut spans = Vec::new();
        unpack::requests(datagram, header.entries, &mut spans).expect("it is a request");
        for (index, span) in (0..).zip(&spans).filter(|(_, span)| span.op == Op::Get) {
            let asked = (client, header.session, header.sequence, index);
            self.keys.insert(asked, span.key(datagram).to_vec());
        }
    }

    fn distort(&mut self, client: SocketAddr, header: Header, datagram: &mut [u8]) {
        let truth = datagram.to_vec();
        let mut at = HEADER_BYTES;
        for answer in unpack::replies(&truth, &header) {
            let answer = answer.expect("it is a reply");
            let entry = at;
            at += REPLY_ENTRY_BYTES + answer.value.len();
            let asked = (client, header.session, answer.sequence, answer.index);
            let Some(key) = self.keys.get(&asked).filter(|_| answer.status == Status::Ok) else {
                continue;
            };
            let now = || (answer.version, answer.value.to_vec());
            let (version, value) = self.first.entry(key.clone()).or_insert_with(now);
            if *version + VERSIONS_BEHIND_MIN > answer.version {
                continue;
            }
            self.chances += 1;
            if self.chances.is_multiple_of(LIES_ONE_IN) {
                let version_at = entry + VERSION_AT;
                datagram[version_at..version_at + 8].copy_from_slice(&version.to_le_bytes());
                datagram[entry + REPLY_ENTRY_BYTES..at].copy_from_slice(value);
                self.lies += 1;
            }
        }
        pack::seal(datagram, header);
    }
}

impl Network for Liar {
    fn carry(&mut self, _now: Instant, mut passage: Passage, leaves: &mut Vec<Passage>) {
        let client = passage.client;
        let (kind, header) = unpack::header(&passage.bytes).expect("they speak the protocol");
        match (passage.direction, kind) {
            (Direction::ToServer, Kind::Request) => self.listen(client, &header, &passage.bytes),
            (Direction::ToClient, Kind::Reply) => {
                self.distort(client, header, &mut passage.bytes);
            }
            _ => {}
        }
        leaves.push(passage);
    }
}
