//! Kernel sockets as a transport: what a server on them answers from, and to whom.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use proto::transmit::{Account, Path, Transmit};
use udp::socket::Socket;
use udp::transport::{Inbox as _, Transport};

const DEADLINE: Duration = Duration::from_secs(20);

fn socket(address: &str) -> Socket {
    Socket::bind(address.parse().unwrap()).unwrap()
}

fn client(address: &str) -> UdpSocket {
    let client = UdpSocket::bind(address).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client
}

/// The next datagram and its path.
fn receive(socket: &mut Socket) -> (Path, Vec<u8>) {
    let mut inbox = socket.inbox();
    let deadline = Instant::now() + DEADLINE;
    loop {
        if socket.receive(&mut inbox).unwrap().messages > 0 {
            let (path, mut datagrams) = inbox.message(0);
            return (path, datagrams.next().unwrap().to_vec());
        }
        assert!(Instant::now() < deadline, "nothing came");
        socket.wait(Duration::from_millis(20)).unwrap();
    }
}

fn answer(socket: &mut Socket, path: Path, account: Account, bytes: &[u8]) {
    socket.send(0, Transmit { path, account, bytes, segment_bytes: bytes.len() });
}

fn source_of_next(client: &UdpSocket) -> SocketAddr {
    client.recv_from(&mut [0; 64]).unwrap().1
}

#[test]
fn on_a_wildcard_address_an_answer_leaves_from_where_it_was_asked_at() {
    let mut server = socket("0.0.0.0:0");
    server.part_strangers();
    for asked in ["127.0.0.1", "127.0.0.2", "127.9.8.7"] {
        let asked = SocketAddr::new(asked.parse().unwrap(), server.address().port());
        let client = client("127.0.0.1:0");
        client.send_to(b"ask", asked).unwrap();
        let (path, _) = receive(&mut server);
        assert_eq!(path, Path { remote: client.local_addr().unwrap(), local: Some(asked.ip()) });
        for account in [Account::Session, Account::Stranger] {
            answer(&mut server, path, account, b"answer");
            assert_eq!(source_of_next(&client), asked, "{account:?}");
        }
    }
}

#[test]
fn on_an_ipv6_wildcard_it_does_so_for_both_families() {
    let Ok(mut server) = Socket::bind("[::]:0".parse().unwrap()) else {
        eprintln!("not tested: this host has no IPv6");
        return;
    };
    server.part_strangers();
    let port = server.address().port();
    for (asked, from) in
        [("[::1]", "[::1]:0"), ("127.0.0.1", "127.0.0.1:0"), ("127.0.0.3", "127.0.0.1:0")]
    {
        let asked: SocketAddr = format!("{asked}:{port}").parse().unwrap();
        let client = client(from);
        client.send_to(b"ask", asked).unwrap();
        let (path, _) = receive(&mut server);
        for account in [Account::Session, Account::Stranger] {
            answer(&mut server, path, account, b"answer");
            assert_eq!(source_of_next(&client), asked, "{account:?}");
        }
    }
}

#[test]
fn a_socket_of_one_address_is_not_told_which() {
    let mut server = socket("127.0.0.1:0");
    let client = client("127.0.0.1:0");
    client.send_to(b"ask", server.address()).unwrap();
    assert_eq!(receive(&mut server).0, Path::to(client.local_addr().unwrap()));
}

#[test]
fn with_strangers_apart_all_datagrams_still_come_to_the_one_socket() {
    let mut server = socket("127.0.0.1:0");
    assert!(server.part_strangers());
    for number in 0..200_u8 {
        let client = client("127.0.0.1:0");
        client.send_to(&[number], server.address()).unwrap();
        let (path, datagram) = receive(&mut server);
        assert_eq!((path.remote, datagram), (client.local_addr().unwrap(), vec![number]));
        answer(&mut server, path, Account::Stranger, b"answer");
        assert_eq!(source_of_next(&client), server.address());
    }
}

#[test]
fn with_strangers_apart_the_port_is_still_in_use_for_others() {
    let mut server = socket("127.0.0.1:0");
    assert!(server.part_strangers());
    let error = Socket::bind(server.address()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    let mut other = socket("127.0.0.1:0");
    assert!(other.part_strangers(), "a second server has its own");
}

#[test]
fn a_waker_ends_a_wait_from_another_thread() {
    let mut socket = socket("127.0.0.1:0");
    let waker = socket.waker().unwrap();
    let began = Instant::now();
    std::thread::spawn(move || waker.wake());
    socket.wait(DEADLINE).unwrap();
    assert!(began.elapsed() < DEADLINE);
    socket.waker().unwrap().wake_by_ref();
    socket.wait(DEADLINE).unwrap();
    assert!(began.elapsed() < DEADLINE, "the same wakes again");
}
