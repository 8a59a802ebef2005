//! Reading datagrams, and what both ends of a session do for a round trip.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};

use kv::table::NullTable;
use proto::client::{Client, ClientConfig};
use proto::limits::{MTU_BYTES_DEFAULT, gets_per_datagram};
use proto::pack;
use proto::server::{Server, ServerConfig};
use proto::transmit::{Flush, Path};
use proto::unpack;
use proto::wire::{HEADER_BYTES, Header, Kind, Op, Status};

use super::count;

/// As many as a datagram takes.
const GETS: u64 = 90;
const VALUES: u16 = 10;
const VALUE: [u8; 128] = [7; 128];

const _: () = assert!(gets_per_datagram(MTU_BYTES_DEFAULT, size_of::<u64>()) == GETS as usize);

fn sealed(kind: Kind, entries: u16, pack: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut datagram = vec![0; HEADER_BYTES];
    pack(&mut datagram);
    let mut header = Header::new(kind, 1, 64);
    header.entries = entries;
    pack::seal(&mut datagram, header);
    datagram
}

pub(super) fn unpack_request() {
    let datagram = sealed(Kind::Request, GETS as u16, |datagram| {
        for key in 0..GETS {
            pack::request_entry(datagram, Op::Get, &key.to_be_bytes(), &[]);
        }
    });
    let mut spans = Vec::new();
    count(100, |_| {
        let (_, header) = unpack::header(black_box(&datagram)).expect("it is sealed");
        unpack::requests(&datagram, header.entries, &mut spans).expect("it is whole");
        black_box(&spans);
    });
    assert_eq!(spans.len() as u64, GETS);
}

pub(super) fn unpack_reply() {
    let datagram = sealed(Kind::Reply, VALUES, |datagram| {
        for index in 0..VALUES {
            pack::reply_entry(datagram, 0, index, Status::Ok, 1, &VALUE);
        }
    });
    count(100, |_| {
        let (_, header) = unpack::header(black_box(&datagram)).expect("it is sealed");
        for answer in unpack::replies(&datagram, &header) {
            black_box(answer.expect("it is whole"));
        }
    });
}

/// Both ends of an open session, with nothing between them.
struct ConnectedEnds {
    client: Client<u32>,
    server: Server,
    address: SocketAddr,
    table: NullTable,
    now_ns: u64,
}

impl ConnectedEnds {
    fn open() -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let server = Server::new(ServerConfig {
            mtu_bytes: MTU_BYTES_DEFAULT,
            window: 64,
            workers: 1,
            worker: 0,
            receive_buffer_bytes: 4 << 20,
            rooms: proto::session_table::Rooms::default(),
            incarnation: 1,
            secret: [1; 16],
            rates: proto::limits::ANSWER_RATES,
        });
        let config = ClientConfig { reply_bytes_max: 4 << 20, ..ClientConfig::default() };
        let client = Client::new(0, address, [2; 16], config);
        let mut ends = Self { client, server, address, table: NullTable::new(), now_ns: 0 };
        while ends.client.granted().is_none() {
            ends.exchange();
        }
        ends
    }

    /// Delivers everything, and returns how many operations were answered.
    fn exchange(&mut self) -> u64 {
        let Self { client, server, address, table, now_ns } = self;
        *now_ns += 1000;
        while let Some(transmit) = client.poll_transmit(*now_ns, Flush::All) {
            for datagram in transmit.datagrams() {
                server.handle_datagram(*now_ns, Path::to(*address), datagram, &mut &*table);
            }
        }
        let mut answered = 0;
        while let Some(transmit) = server.poll_transmit(Flush::All) {
            for datagram in transmit.datagrams() {
                client.handle_datagram(*now_ns, datagram, |_| answered += 1);
            }
        }
        answered
    }
}

pub(super) fn round_trip_of_gets() {
    let mut ends = ConnectedEnds::open();
    count(10, |_| {
        for key in 0..GETS {
            ends.client.get(0, &key.to_be_bytes()).expect("there is room");
        }
        assert_eq!(ends.exchange(), GETS);
    });
}

pub(super) fn round_trip_of_a_put() {
    let mut ends = ConnectedEnds::open();
    count(100, |_| {
        ends.client.put(0, b"12345678", &VALUE).expect("there is room");
        assert_eq!(ends.exchange(), 1);
    });
}
