//! What the order modes let pass, seen from the network (invariant 7).
//!
//! A relay between the generator and two servers looks at every datagram. Each thread of
//! the generator has one stream, so that a source address is a stream.
//!
//! Why this gives no false alarm: an operation counts as answered *before* its answer is
//! forwarded. What a generator sends because of an answer therefore passes after that
//! answer was noted, and what it sent before it, to any server, was either answered, and
//! so had passed, or is what the answer had to wait for. In which order the relay reads
//! its sockets does not matter. An operation that is sent again is the same operation: a
//! PUT comes under the same sequence, a GET under another with the same key. Keys are drawn
//! evenly from so many that two operations of a stream on one key are never near each other.
#![forbid(unsafe_code)]

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Instant;

use proto::unpack;
use proto::wire::{Header, Kind, Op};
use testkit::process::{Signal, run};
use testkit::relay::{Direction, Network, Passage, Relay};
use testkit::server::Server;

const GEN: &str = env!("CARGO_BIN_EXE_gen");

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct WireOperation {
    is_put: bool,
    key: Vec<u8>,
}

/// One stream, as far as its datagrams tell.
#[derive(Default)]
struct Stream {
    /// The operations of each request, by server, session and sequence.
    requests: HashMap<(usize, u64, u64), Vec<WireOperation>>,
    /// With the server of each.
    outstanding: HashSet<(usize, WireOperation)>,
}

/// How often an operation passed that a rule would have held back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    gets: u64,
    puts: u64,
    /// Against the rule of `strict`.
    across_servers: u64,
    /// Against the rule of `shard`.
    at_one_server: u64,
    /// PUTs that left while a GET to another server was outstanding.
    puts_beside_gets_elsewhere: u64,
}

#[derive(Default)]
struct Recorder {
    streams: HashMap<SocketAddr, Stream>,
    seen: Seen,
}

impl Network for Recorder {
    fn carry(&mut self, _now: Instant, passage: Passage, leaves: &mut Vec<Passage>) {
        let (kind, header) = unpack::header(&passage.bytes).expect("they speak the protocol");
        let stream = self.streams.entry(passage.client).or_default();
        match (passage.direction, kind) {
            (Direction::ToServer, Kind::Request) => {
                stream.asks(&mut self.seen, passage.server, &header, &passage.bytes);
            }
            (Direction::ToClient, Kind::Reply) => {
                stream.is_told(passage.server, &header, &passage.bytes);
            }
            _ => {}
        }
        leaves.push(passage);
    }
}

impl Stream {
    fn asks(&mut self, seen: &mut Seen, server: usize, header: &Header, datagram: &[u8]) {
        let name = (server, header.session, header.sequence);
        if self.requests.contains_key(&name) {
            return; // The same again.
        }
        let mut spans = Vec::new();
        unpack::requests(datagram, header.entries, &mut spans).expect("it is a request");
        let operations = spans.iter().map(|span| WireOperation {
            is_put: span.op.is_mutation(),
            key: span.key(datagram).to_vec(),
        });
        let operations: Vec<_> = operations.collect();
        for (span, operation) in spans.iter().zip(&operations) {
            let named = (server, operation.clone());
            let is_again = !operation.is_put && self.outstanding.contains(&named);
            if span.op != Op::Stats && !is_again {
                self.passes(seen, server, operation.is_put);
                self.outstanding.insert(named);
            }
        }
        self.requests.insert(name, operations);
    }

    fn passes(&self, seen: &mut Seen, server: usize, is_put: bool) {
        let outstanding = || self.outstanding.iter().map(|(at, other)| (*at, other.is_put));
        let count = |is_so: bool| u64::from(is_so);
        seen.gets += count(!is_put);
        seen.puts += count(is_put);
        seen.across_servers += count(outstanding().any(|(_, put)| is_put || put));
        seen.at_one_server += count(outstanding().any(|(at, put)| at == server && (is_put || put)));
        seen.puts_beside_gets_elsewhere +=
            count(is_put && outstanding().any(|(at, put)| at != server && !put));
    }

    fn is_told(&mut self, server: usize, header: &Header, datagram: &[u8]) {
        for answer in unpack::replies(datagram, header) {
            let answer = answer.expect("it is a reply");
            let operations = &self.requests[&(server, header.session, answer.sequence)];
            let operation = &operations[usize::from(answer.index)];
            self.outstanding.remove(&(server, operation.clone()));
        }
    }
}

/// What passes in an order mode; the run has no load phase, whose PUTs belong to no stream.
#[expect(clippy::print_stdout, reason = "a test shows it where it fails")]
fn seen_in(order: &str, workload: &str) -> Seen {
    let servers = [Server::start(GEN, &[]), Server::start(GEN, &[])];
    let addresses = servers.each_ref().map(|server| server.address);
    let relay = Relay::start(&addresses, Recorder::default());
    let list = relay.list();
    let arguments = [
        ["--servers", &list],
        ["--order", order],
        ["--workload", workload],
        ["--theta", "0"],
        ["--records", "1000000"],
        ["--streams", "4"],
        ["--threads", "4"],
        ["--secs", "1.5"],
        ["--warmup", "0"],
        ["--batch", "32"],
        ["--pin", "none"],
    ];
    let ended = run(GEN.as_ref(), &arguments.concat());
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let Recorder { streams, seen } = relay.stop();
    println!("{order} {workload}: {seen:?}");
    assert_eq!(streams.len(), 4, "each stream has a socket of its own");
    assert!(seen.puts >= 300 && seen.gets >= 300, "{seen:?}");
    let executed = servers.map(|server| server.end(Signal::TERM).of("puts"));
    assert_eq!(executed.iter().sum::<u64>(), seen.puts, "every PUT was seen, and once");
    seen
}

#[test]
fn in_strict_order_a_put_waits_for_everything_and_everything_for_it() {
    for workload in ["ycsb-a", "ycsb-b"] {
        let seen = seen_in("strict", workload);
        assert_eq!((seen.across_servers, seen.at_one_server), (0, 0), "{seen:?}");
    }
}

#[test]
fn in_shard_order_a_put_waits_at_its_server_only() {
    let seen = seen_in("shard", "ycsb-a");
    assert_eq!(seen.at_one_server, 0, "{seen:?}");
    assert!(seen.across_servers > 0, "it is weaker than strict: {seen:?}");
    assert!(seen.puts_beside_gets_elsewhere > 0, "{seen:?}");
}

#[test]
fn in_async_order_nothing_waits() {
    let seen = seen_in("async", "ycsb-a");
    assert!(seen.across_servers > 0 && seen.at_one_server > 0, "{seen:?}");
}
