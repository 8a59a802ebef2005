//! What the protocol costs without a socket: reading datagrams, and a round trip.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use proto::client::{Client, ClientConfig};
use proto::limits::{MTU_BYTES_DEFAULT, gets_per_datagram};
use proto::pack;
use proto::server::{Server, ServerConfig};
use proto::store::{Full, Record, Store};
use proto::transmit::{Flush, Path};
use proto::unpack;
use proto::wire::{HEADER_BYTES, Header, Kind, Op, Status};

const KEY_BYTES: usize = 8;
const VALUE: [u8; 128] = [7; 128];

/// A table that costs next to nothing, so that the protocol is what is measured.
struct Constant;

impl Store for Constant {
    fn get(&mut self, keys: &[&[u8]], mut found: impl FnMut(usize, Option<Record<'_>>)) {
        for index in 0..keys.len() {
            found(index, Some(Record { version: 1, value: &VALUE }));
        }
    }

    fn put(&mut self, _key: &[u8], _value: &[u8]) -> Result<u64, Full> {
        Ok(1)
    }
}

fn request() -> (Vec<u8>, u16) {
    let mut datagram = vec![0; HEADER_BYTES];
    let entries = gets_per_datagram(MTU_BYTES_DEFAULT, KEY_BYTES);
    for key in 0..entries as u64 {
        pack::request_entry(&mut datagram, Op::Get, &key.to_be_bytes(), &[]);
    }
    let mut header = Header::new(Kind::Request, 1, 64);
    header.entries = entries as u16;
    pack::seal(&mut datagram, header);
    (datagram, header.entries)
}

fn reply() -> (Vec<u8>, u16) {
    let mut datagram = vec![0; HEADER_BYTES];
    for index in 0..10 {
        pack::reply_entry(&mut datagram, 0, index, Status::Ok, 1, &VALUE);
    }
    let mut header = Header::new(Kind::Reply, 1, 64);
    header.entries = 10;
    pack::seal(&mut datagram, header);
    (datagram, header.entries)
}

fn unpacking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("unpack");
    let (datagram, entries) = request();
    group.throughput(Throughput::Elements(u64::from(entries)));
    let mut spans = Vec::new();
    group.bench_function("request of GETs", |bencher| {
        bencher.iter(|| {
            let (_, header) = unpack::header(black_box(&datagram)).unwrap();
            unpack::requests(&datagram, header.entries, &mut spans).unwrap();
            spans.len()
        });
    });
    let (datagram, entries) = reply();
    group.throughput(Throughput::Elements(u64::from(entries)));
    group.bench_function("reply of 128-byte values", |bencher| {
        bencher.iter(|| {
            let (_, header) = unpack::header(black_box(&datagram)).unwrap();
            unpack::replies(&datagram, &header).map(|a| a.unwrap().value.len()).sum::<usize>()
        });
    });
}

fn round_trip(criterion: &mut Criterion) {
    let address = "127.0.0.1:1".parse().unwrap();
    let mut server = Server::new(ServerConfig {
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
    let mut client: Client<u32> = Client::new(0, address, [2; 16], config);
    let mut now_ns = 0;
    let mut exchange = |client: &mut Client<u32>| {
        now_ns += 1000;
        while let Some(transmit) = client.poll_transmit(now_ns, Flush::All) {
            for datagram in transmit.datagrams() {
                server.handle_datagram(now_ns, Path::to(address), datagram, &mut Constant);
            }
        }
        let mut answered = 0;
        while let Some(transmit) = server.poll_transmit(Flush::All) {
            for datagram in transmit.datagrams() {
                client.handle_datagram(now_ns, datagram, |_| answered += 1);
            }
        }
        answered
    };
    while client.granted().is_none() {
        exchange(&mut client);
    }
    let entries = gets_per_datagram(MTU_BYTES_DEFAULT, KEY_BYTES) as u64;
    let mut group = criterion.benchmark_group("session round trip");
    group.throughput(Throughput::Elements(entries));
    group.bench_function("one datagram of GETs", |bencher| {
        bencher.iter(|| {
            for key in 0..entries {
                client.get(0, &key.to_be_bytes()).unwrap();
            }
            assert_eq!(exchange(&mut client), entries);
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("one PUT alone", |bencher| {
        bencher.iter(|| {
            client.put(0, b"12345678", &VALUE).unwrap();
            assert_eq!(exchange(&mut client), 1);
        });
    });
}

/// Placement costs every operation a hash.
fn placement(criterion: &mut Criterion) {
    let key = 5u64.to_be_bytes();
    criterion.bench_function("placement of an 8-byte key", |bencher| {
        bencher.iter(|| proto::placement::server_of(black_box(&key), 4));
    });
}

criterion_group!(benches, unpacking, round_trip, placement);
criterion_main!(benches);
