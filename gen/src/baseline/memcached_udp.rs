//! memcached over UDP: requests of a datagram each, and answers of several, put together by
//! the request's number. Nothing is sent again: what is lost is given up after a time.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

use anyhow::{Context as _, Result, anyhow, ensure};
use mio::net::UdpSocket;
use socket2::SockRef;
use udp::clock::now_ns;

use super::LINE_BYTES_MAX;
use super::batch::{Asked, Batch, are_gets};
use super::connection::Scratch;
use super::frame::{Assembly, FRAME_BYTES, Frame};
use super::keys::Records;
use super::memcached::{self, Reader};
use crate::excerpt::excerpt;
use crate::ledger::{Answer, Ledger};

/// What is around the keys of a multi-get: `get` and the line's end.
const AROUND_KEYS_BYTES: usize = 5;
/// What the receive buffer is asked to hold; a batch's answers come at once.
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;
/// How often a store is asked whether it is there.
const HELLO_NS: u64 = 100_000_000;

/// One request of the batch.
#[derive(Debug)]
struct Request {
    /// Its operations.
    batch: Batch,
    /// Its datagram in what is sent.
    datagram: Range<usize>,
    reader: Reader,
    assembly: Assembly,
    /// Messages that its answer came in, so far.
    messages: u32,
}

impl Request {
    fn new() -> Self {
        Self {
            batch: Batch::default(),
            datagram: 0..0,
            reader: Reader::lossy(),
            assembly: Assembly::default(),
            messages: 0,
        }
    }

    fn is_over(&self) -> bool {
        self.reader.is_done(&self.batch)
    }

    /// Takes a whole message.
    fn take(
        &mut self,
        now_ns: u64,
        text: &[u8],
        records: &Records,
        ledger: &mut Ledger,
    ) -> Result<()> {
        self.messages += 1;
        let is_whole = self.messages == 1 && text.ends_with(b"END\r\n");
        let told = |asked: &Asked, answer: Answer<'_>| match answer {
            // Since 1.6 each value is a message of its own, numbered as the only one: which
            // were lost and which were never sent looks the same.
            Answer::NotFound if !is_whole => asked.given_up(ledger),
            _ => asked.answered(now_ns, answer, ledger),
        };
        let used = self.reader.read(text, &mut self.batch, records, told)?;
        ensure!(used == text.len(), "its answer ends in the middle: {}", excerpt(&text[used..]));
        Ok(())
    }

    fn give_up(&mut self, ledger: &mut Ledger) {
        self.batch.outstanding().iter().for_each(|asked| asked.given_up(ledger));
        self.batch.give_up();
        self.reader.begin(&self.batch);
    }
}

/// A socket to one store.
#[derive(Debug)]
pub struct Datagrams {
    /// For the poll to register.
    pub io: UdpSocket,
    mtu_bytes: usize,
    batch: Batch,
    /// Those of the batch are the first `used`; the others keep their memory.
    requests: Vec<Request>,
    used: usize,
    sent: usize,
    over: usize,
    /// Number of the batch's first request.
    first: u16,
    datagrams: Vec<u8>,
    /// The message that was put together last.
    whole: Vec<u8>,
    deadline_ns: u64,
    hello_ns: u64,
}

impl Datagrams {
    /// A socket that talks to `address`.
    pub fn new(address: SocketAddr, mtu_bytes: usize) -> Result<Self> {
        let any: SocketAddr = if address.is_ipv4() {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        };
        let io = UdpSocket::bind(any).context("cannot open a socket")?;
        io.connect(address).context("cannot open a socket")?;
        // A refusal leaves the default.
        let _ = SockRef::from(&io).set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
        Ok(Self {
            io,
            mtu_bytes,
            batch: Batch::default(),
            requests: Vec::new(),
            used: 0,
            sent: 0,
            over: 0,
            first: 0,
            datagrams: Vec::new(),
            whole: Vec::new(),
            deadline_ns: u64::MAX,
            hello_ns: 0,
        })
    }

    /// Asks whether the store is there; returns whether it has answered.
    pub fn connect(&mut self, now_ns: u64, scratch: &mut Scratch) -> Result<bool> {
        if now_ns >= self.hello_ns {
            self.hello_ns = now_ns + HELLO_NS;
            let hello = [&Frame::request(self.first)[..], b"version\r\n"].concat();
            self.io.send(&hello)?;
        }
        loop {
            match self.io.recv(&mut scratch.input) {
                Ok(length) => {
                    if let Some((_, text)) = Frame::parse(&scratch.input[..length]) {
                        ensure!(
                            text.starts_with(b"VERSION "),
                            "it does not speak memcached's protocol: it sent {}",
                            excerpt(text)
                        );
                        self.first = self.first.wrapping_add(1);
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The batch that the next [`send`](Self::send) sends.
    pub fn batch(&mut self) -> &mut Batch {
        &mut self.batch
    }

    /// Until when what was sent last may be answered.
    #[must_use]
    pub const fn deadline_ns(&self) -> u64 {
        self.deadline_ns
    }

    /// Whether all of its batch was answered, or given up.
    #[must_use]
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.over == self.used
    }

    /// Sends the batch: each PUT in a datagram, GETs in as few as hold them.
    pub fn send(
        &mut self,
        deadline_ns: u64,
        records: &mut Records,
        ledger: &mut Ledger,
    ) -> Result<()> {
        let room = self.mtu_bytes - FRAME_BYTES - AROUND_KEYS_BYTES;
        let gets_max = room / (records.key_size() + 1);
        self.first = self.first.wrapping_add(self.used as u16);
        (self.used, self.sent, self.over) = (0, 0, 0);
        self.datagrams.clear();
        for asked in self.batch.asked().chunk_by(are_gets).flat_map(|run| run.chunks(gets_max)) {
            if self.requests.len() == self.used {
                self.requests.push(Request::new());
            }
            let number = self.first.wrapping_add(self.used as u16);
            let request = &mut self.requests[self.used];
            let datagram = self.datagrams.len();
            self.datagrams.extend_from_slice(&Frame::request(number));
            memcached::write(asked, records, &mut self.datagrams);
            request.batch.set(asked);
            request.reader.begin(&request.batch);
            request.datagram = datagram..self.datagrams.len();
            request.assembly.clear();
            request.messages = 0;
            self.used += 1;
        }
        self.deadline_ns = deadline_ns;
        ledger.report.client.operations_sent += self.batch.asked().len() as u64;
        self.flush(ledger)
    }

    /// Sends what the socket had no room for.
    pub fn flush(&mut self, ledger: &mut Ledger) -> Result<()> {
        while self.sent < self.used {
            let datagram = &self.datagrams[self.requests[self.sent].datagram.clone()];
            match self.io.send(datagram) {
                Ok(_) => {
                    ledger.report.client.datagrams_sent += 1;
                    ledger.report.client.bytes_sent += datagram.len() as u64;
                    self.sent += 1;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(gone(&error)),
            }
        }
        Ok(())
    }

    /// Takes the datagrams that have come.
    #[inline]
    pub fn receive(
        &mut self,
        records: &Records,
        scratch: &mut Scratch,
        ledger: &mut Ledger,
    ) -> Result<()> {
        loop {
            match self.io.recv(&mut scratch.input) {
                Ok(length) => {
                    let now = now_ns();
                    ledger.turn(now);
                    ledger.report.client.datagrams_received += 1;
                    ledger.report.client.bytes_received += length as u64;
                    self.take(now, &scratch.input[..length], records, ledger)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(gone(&error)),
            }
        }
    }

    fn take(
        &mut self,
        now_ns: u64,
        datagram: &[u8],
        records: &Records,
        ledger: &mut Ledger,
    ) -> Result<()> {
        let Some((frame, text)) = Frame::parse(datagram) else {
            ledger.report.client.malformed += 1;
            return Ok(());
        };
        let index = usize::from(frame.request.wrapping_sub(self.first));
        let waiting =
            self.requests[..self.used].get_mut(index).filter(|request| !request.is_over());
        let Some(request) = waiting else {
            ledger.report.client.answers_late += 1;
            return Ok(());
        };
        if frame.parts == 1 {
            request.take(now_ns, text, records, ledger)?;
        } else {
            // No more is kept than the answers to these operations take.
            let answer_bytes = LINE_BYTES_MAX + records.value_size();
            let bytes_max = answer_bytes * (request.batch.asked().len() + 1);
            let bytes = request.assembly.held_bytes() + text.len();
            // A part that holds nothing is told no more often than one of a byte.
            ensure!(
                bytes <= bytes_max && frame.parts <= bytes_max,
                "its answer is longer than what was asked for"
            );
            request.assembly.take(&frame, text);
            if !request.assembly.finish(&mut self.whole) {
                return Ok(());
            }
            request.take(now_ns, &self.whole, records, ledger)?;
        }
        self.over += usize::from(request.is_over());
        Ok(())
    }

    /// Gives up what was not answered by now.
    pub fn handle_timeout(&mut self, now_ns: u64, ledger: &mut Ledger) {
        if !self.is_idle() && now_ns >= self.deadline_ns {
            self.requests[..self.used].iter_mut().for_each(|request| request.give_up(ledger));
            (self.sent, self.over) = (self.used, self.used);
        }
    }

    /// Operations of its batch that were not answered yet.
    pub fn outstanding(&self) -> impl Iterator<Item = &Asked> {
        self.requests[..self.used].iter().flat_map(|request| request.batch.outstanding())
    }
}

#[cold]
fn gone(error: &io::Error) -> anyhow::Error {
    anyhow!("it cannot be reached any more ({error})")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use testkit::random::Random;

    use super::*;
    use crate::baseline::testing::{asked, records};
    use crate::recorder::Recorder;

    fn ledger() -> Ledger {
        Ledger::new(Recorder::new(channel().0), None)
    }

    /// A socket with the requests of a batch on their way, to nobody.
    fn sent(letters: &str, mtu_bytes: usize) -> (Datagrams, Ledger, std::net::UdpSocket) {
        let store = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut datagrams = Datagrams::new(store.local_addr().unwrap(), mtu_bytes).unwrap();
        datagrams.first = u16::MAX;
        letters.bytes().for_each(|letter| datagrams.batch().push(asked(letter)));
        let mut ledger = ledger();
        datagrams.send(1000, &mut records(), &mut ledger).unwrap();
        (datagrams, ledger, store)
    }

    fn datagram(request: u16, part: u16, parts: u16, text: &str) -> Vec<u8> {
        let frame = [request, part, parts, 0].map(u16::to_be_bytes);
        [frame.as_flattened(), text.as_bytes()].concat()
    }

    fn take(socket: &mut Datagrams, ledger: &mut Ledger, bytes: &[u8]) {
        socket.take(0, bytes, &records(), ledger).unwrap();
    }

    #[test]
    fn requests_are_datagrams_of_at_most_the_mtu_with_numbers_that_wrap() {
        let (socket, ledger, store) = sent("abcdeFf", FRAME_BYTES + AROUND_KEYS_BYTES + 2 * 9);
        assert!(!socket.is_idle());
        let mut told = Vec::new();
        let mut buffer = [0; 1000];
        for _ in 0..ledger.report.client.datagrams_sent {
            let length = store.recv(&mut buffer).unwrap();
            let (frame, text) = Frame::parse(&buffer[..length]).unwrap();
            assert_eq!((frame.part, frame.parts), (0, 1));
            told.push((frame.request, String::from_utf8(text.to_vec()).unwrap()));
        }
        let texts = [
            "get aaaaaaaa bbbbbbbb\r\n",
            "get cccccccc dddddddd\r\n",
            "get eeeeeeee\r\n",
            "set ffffffff 0 0 4\r\n\0\0\0\0\r\n",
            "get ffffffff\r\n",
        ];
        let numbers = [u16::MAX, 0, 1, 2, 3];
        let expected: Vec<_> = numbers.into_iter().zip(texts.map(str::to_owned)).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn an_answer_in_parts_is_put_together_in_any_order() {
        let answer = "VALUE aaaaaaaa 0 4\r\n1234\r\nVALUE cccccccc 0 4\r\n1234\r\nEND\r\n";
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let (mut socket, mut ledger, _store) = sent("abc", 1472);
            let parts = [&answer[..20], &answer[20..21], &answer[21..]];
            for (at, part) in order.into_iter().enumerate() {
                assert!(!socket.is_idle(), "{at} parts of 3");
                let bytes = datagram(u16::MAX, part, 3, parts[usize::from(part)]);
                take(&mut socket, &mut ledger, &bytes);
            }
            assert!(socket.is_idle());
            assert_eq!(ledger.report.client.operations_answered, 3);
            assert_eq!(ledger.report.client.unanswered_gets, 0, "b is known not to be there");
        }
    }

    #[test]
    fn of_answers_in_messages_what_is_missing_is_unanswered() {
        let (mut socket, mut ledger, _store) = sent("abc", 1472);
        for text in ["VALUE bbbbbbbb 0 4\r\n1234\r\n", "VALUE aaaaaaaa 0 4\r\n1234\r\n", "END\r\n"]
        {
            take(&mut socket, &mut ledger, &datagram(u16::MAX, 0, 1, text));
        }
        assert!(socket.is_idle());
        assert_eq!(ledger.report.client.operations_answered, 1, "b; a came when it was given up");
        assert_eq!(ledger.report.client.unanswered_gets, 2);
        take(&mut socket, &mut ledger, &datagram(u16::MAX, 0, 1, "END\r\n"));
        assert_eq!(ledger.report.client.answers_late, 1);
    }

    #[test]
    fn what_is_late_is_given_up_and_not_waited_for() {
        let (mut socket, mut ledger, _store) = sent("abCd", 1472);
        take(&mut socket, &mut ledger, &datagram(1, 0, 1, "END\r\n"));
        socket.handle_timeout(999, &mut ledger);
        assert_eq!((socket.is_idle(), socket.outstanding().count()), (false, 3));
        socket.handle_timeout(1000, &mut ledger);
        assert_eq!((socket.is_idle(), socket.outstanding().count()), (true, 0));
        assert_eq!(
            (ledger.report.client.indeterminate, ledger.report.client.unanswered_gets),
            (1, 2)
        );
        take(&mut socket, &mut ledger, &datagram(0, 0, 1, "STORED\r\n"));
        assert_eq!(ledger.report.client.answers_late, 1);
    }

    #[test]
    fn datagrams_that_are_none_are_counted() {
        let (mut socket, mut ledger, _store) = sent("a", 1472);
        for bytes in [&b""[..], b"1234567", &datagram(u16::MAX, 0, 0, ""), &datagram(0, 2, 2, "")] {
            take(&mut socket, &mut ledger, bytes);
        }
        assert_eq!((ledger.report.client.malformed, socket.is_idle()), (4, false));
    }

    #[test]
    fn any_bytes_end_in_a_count_or_an_error() {
        let mut random = Random::for_test("any_bytes_end_in_a_count_or_an_error");
        let (mut socket, mut ledger, _store) = sent("abcDefG", 40);
        for _ in 0..200_000 {
            let texts =
                ["END\r\n", "STORED\r\n", "VALUE eeeeeeee 0 4\r\n1234\r\n", "VALUE ", "\r\n", ""];
            let (request, parts) = (random.below(8) as u16, random.below(4) as u16);
            let part = random.below(4) as u16;
            let text = texts[random.index(texts.len())];
            let mut bytes = datagram(request.wrapping_sub(1), part, parts, text);
            if random.happens(10) {
                let at = random.index(bytes.len());
                bytes[at] = random.number() as u8;
            }
            let _ = socket.take(0, &bytes, &records(), &mut ledger);
            assert!(socket.over <= socket.used);
        }
    }
}
