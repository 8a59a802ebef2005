//! Questions over HTTP, as plain as they can be, so that the test sees every byte.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use testkit::DEADLINE;

/// An answer over HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut values = lines.filter(|(header, _)| header.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim())
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, DEADLINE).expect("somebody listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("it can be");
    stream.set_write_timeout(Some(DEADLINE)).expect("it can be");
    stream
}

/// Sends these bytes, and reads until the other end closes.
pub(crate) fn exchange(address: SocketAddr, question: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    // Who closes early does not read all.
    let _ = stream.write_all(question);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

pub(crate) fn get(address: SocketAddr, path: &str, accept: &str) -> Answer {
    let question = format!("GET {path} HTTP/1.1\r\nHost: kv\r\nAccept: {accept}\r\n\r\n");
    answer(&exchange(address, question.as_bytes()))
}

pub(crate) fn answer(bytes: &[u8]) -> Answer {
    let text = std::str::from_utf8(bytes).expect("all of it is text");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("no status: {head}")),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
