//! Stores of a few lines that speak as memcached and Redis do, and misbehave when told to.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

/// Bytes of text in a datagram: few, so that answers take several.
const PART_BYTES: usize = 500;

/// What a store does about a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Executes it.
    Answer,
    /// Says that it will not.
    Refuse,
    /// Says something else.
    Babble,
    /// Closes the connection.
    Close,
    /// Says nothing.
    Silence,
}

/// An operation that a store was asked for: its key, and whether it was a write.
pub(crate) type Heard = (String, bool);

/// What the connections of a store share.
pub(crate) struct State {
    /// What it holds.
    pub(crate) records: HashMap<String, Vec<u8>>,
    /// What it was asked for, in its order.
    pub(crate) heard: Vec<Heard>,
    act: Box<dyn Fn(usize) -> Act + Send>,
    commands: usize,
}

/// A store that answers.
pub(crate) struct FakeStore {
    /// `HOST:PORT`.
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// How a store is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Text over TCP.
    Memcached,
    /// Text over UDP.
    MemcachedUdp,
    /// RESP over TCP.
    Redis,
}

impl FakeStore {
    /// Answers everything.
    pub(crate) fn start(dialect: Dialect) -> Self {
        Self::acting(dialect, |_| Act::Answer)
    }

    /// Does what `act` says about the command of each number.
    pub(crate) fn acting(dialect: Dialect, act: impl Fn(usize) -> Act + Send + 'static) -> Self {
        let records = HashMap::new();
        let state = State { records, heard: Vec::new(), act: Box::new(act), commands: 0 };
        let state = Arc::new(Mutex::new(state));
        let address = match dialect {
            Dialect::MemcachedUdp => listen_udp(state.clone()),
            Dialect::Memcached => listen(state.clone(), memcached),
            Dialect::Redis => listen(state.clone(), redis),
        };
        Self { address, state }
    }

    /// What it knows now.
    pub(crate) fn state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().expect("no connection panicked"))
    }
}

type Serve = fn(&mut BufReader<TcpStream>, &mut Vec<u8>, &Mutex<State>) -> io::Result<Act>;

fn listen(state: Arc<Mutex<State>>, serve: Serve) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let state = state.clone();
            thread::spawn(move || {
                let mut writer = BufWriter::new(connection.try_clone()?);
                let mut reader = BufReader::new(connection);
                let mut answer = Vec::new();
                loop {
                    answer.clear();
                    match serve(&mut reader, &mut answer, &state)? {
                        Act::Close => return writer.flush(),
                        Act::Babble => writer.write_all(b"What do you mean?\r\n")?,
                        Act::Silence => {}
                        Act::Answer | Act::Refuse => writer.write_all(&answer)?,
                    }
                    if reader.buffer().is_empty() {
                        writer.flush()?;
                    }
                }
            });
        }
    });
    address
}

fn listen_udp(state: Arc<Mutex<State>>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("it is bound");
    thread::spawn(move || {
        let mut buffer = [0; 1 << 16];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let (frame, text) = buffer[..length].split_at(8);
            let mut answer = Vec::new();
            let act = memcached(&mut &text[..], &mut answer, &state).unwrap_or(Act::Silence);
            if act != Act::Answer {
                continue;
            }
            let parts = answer.len().div_ceil(PART_BYTES) as u16;
            for (part, text) in answer.chunks(PART_BYTES).enumerate() {
                let numbers = [part as u16, parts, 0].map(u16::to_be_bytes);
                let datagram = [&frame[..2], numbers.as_flattened(), text].concat();
                let _ = socket.send_to(&datagram, from);
            }
        }
    });
    address
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

/// A value and the line's end behind it.
fn value(reader: &mut impl BufRead, length: &str) -> io::Result<Vec<u8>> {
    let length: usize = length.parse().expect("a length");
    let mut value = vec![0; length + 2];
    reader.read_exact(&mut value)?;
    assert_eq!(value.split_off(length), b"\r\n");
    Ok(value)
}

fn act(state: &mut State) -> Act {
    state.commands += 1;
    (state.act)(state.commands)
}

/// Serves one command of memcached's text protocol.
fn memcached(
    reader: &mut impl BufRead,
    answer: &mut Vec<u8>,
    state: &Mutex<State>,
) -> io::Result<Act> {
    let line = line(reader)?;
    let words: Vec<_> = line.split(' ').collect();
    let mut state = state.lock().expect("no connection panicked");
    let state = &mut *state;
    match &words[..] {
        ["version"] => {
            answer.extend_from_slice(b"VERSION 0.0.0\r\n");
            return Ok(Act::Answer);
        }
        ["get", keys @ ..] => {
            for &key in keys {
                state.heard.push((key.to_owned(), false));
                if let Some(value) = state.records.get(key) {
                    write!(answer, "VALUE {key} 0 {}\r\n", value.len())?;
                    answer.extend_from_slice(value);
                    answer.extend_from_slice(b"\r\n");
                }
            }
            answer.extend_from_slice(b"END\r\n");
        }
        ["set", key, "0", "0", length] => {
            let value = value(reader, length)?;
            state.heard.push((key.to_string(), true));
            if (state.act)(state.commands + 1) == Act::Answer {
                state.records.insert(key.to_string(), value);
            }
            answer.extend_from_slice(b"STORED\r\n");
        }
        _ => answer.extend_from_slice(b"ERROR\r\n"),
    }
    let act = act(state);
    if act == Act::Refuse {
        answer.clear();
        answer.extend_from_slice(b"SERVER_ERROR out of memory storing object\r\n");
    }
    Ok(act)
}

/// Serves one command of RESP.
fn redis(
    reader: &mut BufReader<TcpStream>,
    answer: &mut Vec<u8>,
    state: &Mutex<State>,
) -> io::Result<Act> {
    let count = line(reader)?;
    let mut words = Vec::new();
    for _ in 0..count.trim_start_matches('*').parse().expect("a count") {
        let length = line(reader)?;
        words.push(value(reader, length.trim_start_matches('$'))?);
    }
    let text = |word: &[u8]| String::from_utf8(word.to_vec()).expect("keys are text");
    let mut state = state.lock().expect("no connection panicked");
    let state = &mut *state;
    match &words[0][..] {
        name @ (b"GET" | b"MGET") => {
            if name == b"MGET" {
                write!(answer, "*{}\r\n", words.len() - 1)?;
            }
            for key in &words[1..] {
                state.heard.push((text(key), false));
                match state.records.get(&text(key)) {
                    None => answer.extend_from_slice(b"$-1\r\n"),
                    Some(value) => {
                        write!(answer, "${}\r\n", value.len())?;
                        answer.extend_from_slice(value);
                        answer.extend_from_slice(b"\r\n");
                    }
                }
            }
        }
        b"SET" => {
            state.heard.push((text(&words[1]), true));
            if (state.act)(state.commands + 1) == Act::Answer {
                state.records.insert(text(&words[1]), words.remove(2));
            }
            answer.extend_from_slice(b"+OK\r\n");
        }
        _ => answer.extend_from_slice(b"-ERR unknown command\r\n"),
    }
    let act = act(state);
    if act == Act::Refuse {
        answer.clear();
        answer.extend_from_slice(b"-OOM command not allowed\r\n");
    }
    Ok(act)
}
