//! Workers, threads and servers in other numbers than one, IPv6, and a memory that is full.
#![forbid(unsafe_code)]

use std::net::{SocketAddr, UdpSocket};

use client::{Config, Connection, Error, Refusal, Version};
use testkit::DEADLINE;
use testkit::process::{Ended, Signal, run};
use testkit::server::Server;

const GEN: &str = env!("CARGO_BIN_EXE_gen");

/// A connection whose calls wait as long as a test does.
fn connect(server: SocketAddr) -> Connection {
    let config = Config::default().with_connect_timeout(DEADLINE).with_timeout(DEADLINE);
    Connection::connect_with(&[server], &config).expect("it answers")
}

/// A short run that finds all that it wrote.
fn short_run(servers: &str, arguments: &[&str]) {
    let ended =
        generate(servers, &[&["--secs", "0.5", "--workload", "ycsb-a"][..], arguments].concat());
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.throughput() > 0.0, "{ended:?}");
    assert!(ended.stdout.iter().any(|line| line.ends_with(" not-found 0 refused 0")), "{ended:?}");
}

fn generate(servers: &str, arguments: &[&str]) -> Ended {
    let always = ["--servers", servers, "--load", "--records", "1000", "--warmup", "0"];
    run(GEN.as_ref(), &[&always[..], &["--pin", "none"], arguments].concat())
}

#[test]
fn any_number_of_threads_shares_two_workers() {
    for threads in ["1", "2", "3"] {
        let server = Server::start(GEN, &["--cores", "2"]);
        short_run(&server.address.to_string(), &["--threads", threads, "--streams", "30"]);
        let keys: Vec<_> = (0..1000_u64).map(u64::to_be_bytes).collect();
        let read = connect(server.address).get_many(&keys);
        let records = read.into_iter().map(|read| read.expect("it is answered"));
        let versions: u64 =
            records.map(|record| record.expect("it is there").version.number()).sum();
        let totals = server.end(Signal::TERM);
        assert_eq!(totals.of("puts"), versions, "{threads} threads");
        assert_eq!((totals.of("records"), totals.of("malformed")), (1000, 0));
    }
}

#[test]
fn three_servers_hold_a_share_each() {
    let servers = [(); 3].map(|()| Server::start(GEN, &[]));
    let list = servers.each_ref().map(|server| server.address.to_string()).join(",");
    short_run(&list, &["--threads", "2"]);
    let records = servers.map(|server| server.end(Signal::INT).of("records"));
    assert_eq!(records.iter().sum::<u64>(), 1000, "each record is at one server: {records:?}");
    // Five standard deviations of a binomial with n = 1000 and p = 1/3.
    assert!(records.iter().all(|&count| count.abs_diff(333) < 75), "{records:?}");
}

#[test]
fn servers_answer_on_ipv6() {
    if let Err(reason) = UdpSocket::bind("[::1]:0") {
        println!("skipped: this machine has no IPv6 loopback ({reason})");
        return;
    }
    let server = Server::start(GEN, &["--bind", "::1", "--cores", "2"]);
    assert!(server.address.is_ipv6());
    short_run(&server.address.to_string(), &[]);
    assert_eq!(server.end(Signal::TERM).of("records"), 1000);
}

#[test]
fn at_its_memory_cap_a_server_refuses_and_keeps_what_it_has() {
    const MINE: u8 = 50;
    let server = Server::start(GEN, &["--memory", "64k"]);
    let mut client = connect(server.address);
    for key in 0..MINE {
        assert_eq!(client.put(&[key], &[key; 100]).map(Version::number), Ok(1));
    }
    let ended = generate(&server.address.to_string(), &["--secs", "0"]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let errors: Vec<_> = ended.stderr.iter().filter(|line| line.contains("error")).collect();
    assert_eq!(errors.len(), 1, "{ended:?}");
    assert!(errors[0].contains("records were refused: the servers' memory is full"), "{errors:?}");

    let full = Err(Error::Refused(Refusal::MemoryFull));
    assert_eq!(client.put(b"one more", &[7; 100]), full);
    assert_eq!(client.get(b"one more"), Ok(None));
    for key in 0..MINE {
        let record = client.get(&[key]).expect("it is answered").expect("it is there");
        assert_eq!((record.version.number(), &record.value[..]), (1, &[key; 100][..]));
    }
    let written = client.put(&[0], &[9; 100]);
    assert_eq!(written.map(Version::number), Ok(2), "what does not grow is allowed");
    let totals = server.end(Signal::TERM);
    // Each record that was loaded counts 216 bytes, each of the client's 181.
    let loaded = (64 * 1024 - 181 * u64::from(MINE)) / 216;
    assert_eq!(totals.of("records"), loaded + u64::from(MINE));
    assert_eq!(totals.of("puts_refused"), 1000 - loaded + 1);
    assert!(errors[0].contains(&format!(" {} records", 1000 - loaded)), "{errors:?}");
}
