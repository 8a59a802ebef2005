//! memcached's text protocol: the requests of a batch, and the answers to it.

use std::io::Write as _;

use anyhow::{Result, bail};

use super::batch::{Asked, Batch, are_gets};
use super::keys::Records;
use super::reply::{foreign, line_length, value_length};
use crate::excerpt::excerpt;
use crate::ledger::Answer;

const PROTOCOL: &str = "memcached's text protocol";

/// Appends the requests for these operations: neighbouring GETs as one multi-get.
pub fn write(asked: &[Asked], records: &mut Records, out: &mut Vec<u8>) {
    for run in asked.chunk_by(are_gets) {
        if run[0].is_put {
            out.extend_from_slice(b"set ");
            records.write_key(&run[0].digits, out);
            write!(out, " 0 0 {}\r\n", records.value_size()).expect("memory takes it");
            records.write_value(out);
        } else {
            out.extend_from_slice(b"get");
            for get in run {
                out.push(b' ');
                records.write_key(&get.digits, out);
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Bytes of text of a `set` with a value and a key of these sizes.
#[must_use]
pub fn set_bytes(key_size: usize, value_size: usize) -> usize {
    "set  0 0 \r\n\r\n".len() + key_size + value_size.to_string().len() + value_size
}

/// Matches answers with the operations of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reader {
    /// A multi-get's END is still to come.
    is_in_gets: bool,
    /// Answers may be lost or come in another order: a value that is not waited for any more
    /// is passed over.
    is_lossy: bool,
}

impl Reader {
    /// For answers in datagrams.
    #[must_use]
    pub const fn lossy() -> Self {
        Self { is_in_gets: false, is_lossy: true }
    }

    /// Begins with a batch.
    pub fn begin(&mut self, batch: &Batch) {
        self.is_in_gets = batch.gets() > 0;
    }

    /// Whether everything has come.
    #[must_use]
    #[inline]
    pub fn is_done(&self, batch: &Batch) -> bool {
        !self.is_in_gets && batch.outstanding().is_empty()
    }

    /// Reads the answers that `input` holds whole; returns how many bytes they were.
    #[inline]
    pub fn read(
        &mut self,
        input: &[u8],
        batch: &mut Batch,
        records: &Records,
        mut told: impl FnMut(&Asked, Answer<'_>),
    ) -> Result<usize> {
        let mut at = 0;
        while let Some((reply, length)) = next(&input[at..], records.value_size())? {
            match reply {
                // A miss shows only in that a later one's value has come.
                Reply::Value(key) if self.is_in_gets => match batch.place_of(key, records) {
                    Some(misses) => {
                        for _ in 0..misses {
                            batch.next_get().inspect(|get| told(get, Answer::NotFound));
                        }
                        batch.next_get().inspect(|get| told(get, Answer::Found));
                    }
                    None if self.is_lossy => {}
                    None => {
                        bail!("it sent a value that was not asked for, of key {}", excerpt(key));
                    }
                },
                Reply::End if self.is_in_gets => self.end_gets(batch, Answer::NotFound, &mut told),
                Reply::Refused(reason) if self.is_in_gets => {
                    self.end_gets(batch, Answer::Refused(Some(reason)), &mut told);
                }
                Reply::Stored | Reply::Refused(_) if !self.is_in_gets => {
                    let Some(put) = batch.next_put() else {
                        bail!("it sent an answer to nothing: {}", excerpt(&input[at..at + length]));
                    };
                    self.begin(batch);
                    told(
                        &put,
                        if let Reply::Refused(reason) = reply {
                            Answer::Refused(Some(reason))
                        } else {
                            Answer::Stored
                        },
                    );
                }
                _ => bail!("it sent {} out of place", excerpt(&input[at..at + length])),
            }
            at += length;
        }
        Ok(at)
    }

    fn end_gets(
        &mut self,
        batch: &mut Batch,
        answer: Answer<'_>,
        told: &mut impl FnMut(&Asked, Answer<'_>),
    ) {
        while let Some(get) = batch.next_get() {
            told(&get, answer);
        }
        self.is_in_gets = false;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply<'a> {
    /// The value of this key.
    Value(&'a [u8]),
    End,
    Stored,
    Refused(&'a [u8]),
}

/// The reply that `input` begins with, and its length; none if it is not whole yet.
#[inline]
fn next(input: &[u8], value_size: usize) -> Result<Option<(Reply<'_>, usize)>> {
    let Some(end) = line_length(input, PROTOCOL)? else { return Ok(None) };
    let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
    let length = end + 1;
    if let Some(head) = line.strip_prefix(b"VALUE ") {
        let (key, size) = parse_head(head).ok_or_else(|| foreign(PROTOCOL, line))?;
        let whole = value_length(input, length, size, value_size)?;
        return Ok(whole.map(|whole| (Reply::Value(key), whole)));
    }
    let reply = match line {
        b"END" => Reply::End,
        b"STORED" => Reply::Stored,
        b"NOT_STORED" => Reply::Refused(line),
        _ if line.starts_with(b"SERVER_ERROR") => Reply::Refused(line),
        _ if line == b"ERROR" || line.starts_with(b"CLIENT_ERROR") => {
            bail!("it did not understand a request: it sent {}", excerpt(line))
        }
        _ => return Err(foreign(PROTOCOL, line)),
    };
    Ok(Some((reply, length)))
}

/// Reads `<key> <flags> <bytes>`, and a version behind it that nobody asked for.
#[inline]
fn parse_head(head: &[u8]) -> Option<(&[u8], usize)> {
    let mut words = head.split(|&byte| byte == b' ');
    let (key, _flags, size) = (words.next()?, words.next()?, words.next()?);
    Some((key, super::redis::parse_number(size)?))
}

#[cfg(test)]
mod tests {
    use testkit::random::Random;

    use super::*;
    use crate::baseline::LINE_BYTES_MAX;
    use crate::baseline::testing::{Told, almost_answer, batch, feed, records};

    /// What is told of a batch that is answered by these pieces.
    fn told(letters: &str, pieces: &[&[u8]]) -> Result<Told> {
        let (records, mut batch, mut reader) = (records(), batch(letters), Reader::default());
        reader.begin(&batch);
        let told = feed(pieces, &mut batch, |input, batch, told| {
            reader.read(input, batch, &records, told)
        })?;
        assert!(!reader.is_done(&batch) || batch.outstanding().is_empty());
        Ok(if reader.is_done(&batch) { told } else { told + "…" })
    }

    /// Cut anywhere, in two and into single bytes, it is told as if it came whole.
    fn assert_told(letters: &str, answer: &str, expected: &str) {
        let whole = told(letters, &[answer.as_bytes()]).unwrap();
        assert_eq!(whole, expected, "{letters} {answer}");
        for cut in 0..=answer.len() {
            let (front, back) = answer.as_bytes().split_at(cut);
            assert_eq!(told(letters, &[front, back]).unwrap(), expected, "cut at {cut}");
        }
        let single: Vec<_> = answer.as_bytes().chunks(1).collect();
        assert_eq!(told(letters, &single).unwrap(), expected, "byte by byte");
    }

    fn assert_refused(letters: &str, answer: &str, reason: &str) {
        let error = told(letters, &[answer.as_bytes()]).unwrap_err().to_string();
        assert!(error.contains(reason), "'{reason}' is not in '{error}'");
    }

    #[test]
    fn neighbouring_gets_share_a_request() {
        let (mut out, mut records) = (Vec::new(), records());
        write(batch("abCDe").asked(), &mut records, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "get aaaaaaaa bbbbbbbb\r\nset cccccccc 0 0 4\r\n\0\0\0\0\r\n\
             set dddddddd 0 0 4\r\n\u{1}\0\0\0\r\nget eeeeeeee\r\n"
        );
    }

    #[test]
    fn a_set_is_as_long_as_it_is_said_to_be() {
        let mut out = Vec::new();
        write(batch("A").asked(), &mut records(), &mut out);
        assert_eq!(out.len(), set_bytes(8, 4));
    }

    #[test]
    fn answers_are_told_in_order_wherever_they_are_cut() {
        let (a, b) = ("VALUE aaaaaaaa 0 4\r\n1\r\n4\r\n", "VALUE bbbbbbbb 9 4 77\r\nEND\n\r\n");
        assert_told("ab", &format!("{a}{b}END\r\n"), "a+b+");
        assert_told("abA", &format!("{a}END\r\nSTORED\r\n"), "a+b-a=");
        assert_told("cabAa", &format!("{b}END\r\nSTORED\r\n{a}END\r\n"), "c-a-b+a=a+");
        assert_told("aaa", &format!("{a}{a}{a}END\r\n"), "a+a+a+");
        assert_told("Aab", "STORED\r\nEND\r\n", "a=a-b-");
        assert_told("ab", &format!("{a}{b}"), "a+b+…");
        assert_told("AB", "STORED\r\n", "a=…");
    }

    #[test]
    fn errors_of_the_server_refuse_what_they_answer() {
        let full = "SERVER_ERROR out of memory storing object\r\n";
        assert_told("ABc", &format!("{full}STORED\r\nEND\r\n"), "a!b=c-");
        let a = "VALUE aaaaaaaa 0 4\r\n1234\r\n";
        assert_told("abcD", &format!("{a}{full}STORED\r\n"), "a+b!c!d=");
        assert_told("A", "NOT_STORED\r\n", "a!");
    }

    #[test]
    fn what_is_not_the_answer_is_an_error() {
        let a = "VALUE aaaaaaaa 0 4\r\n1234\r\n";
        assert_refused("a", "HTTP/1.1 400 Bad Request\r\n", "does not speak memcached's");
        assert_refused("a", &"x".repeat(LINE_BYTES_MAX), "does not speak memcached's");
        assert_refused("a", "VALUE aaaaaaaa 0\r\n", "does not speak memcached's");
        assert_refused("a", "VALUE aaaaaaaa 0 -4\r\n", "does not speak memcached's");
        assert_refused("a", "VALUE aaaaaaaa 0 99999999999999999999\r\n", "does not speak");
        assert_refused("a", "ERROR\r\n", "did not understand");
        assert_refused("A", "CLIENT_ERROR bad data chunk\r\n", "did not understand");
        assert_refused("a", "VALUE aaaaaaaa 0 5\r\n", "a value of 5 bytes where 4 are expected");
        assert_refused("a", "VALUE aaaaaaaa 0 4\r\n123456", "longer than it said");
        assert_refused("b", a, "not asked for");
        assert_refused("aBb", &format!("{a}{a}"), "not asked for");
        assert_refused("A", a, "out of place");
        assert_refused("A", "END\r\n", "out of place");
        assert_refused("a", "STORED\r\n", "out of place");
        assert_refused("a", "END\r\nSTORED\r\n", "an answer to nothing");
    }

    #[test]
    fn any_bytes_end_in_answers_or_in_an_error() {
        let mut random = Random::for_test("any_bytes_end_in_answers_or_in_an_error");
        let words = ["VALUE ", "aaaaaaaa", " 0 4", "\r\n", "1234", "END", "STORED", "SERVER_ERROR"];
        for _ in 0..100_000 {
            let answer = almost_answer(&mut random, &words);
            let (front, back) = answer.split_at(random.index(answer.len() + 1));
            let _ = told("abAaBBa", &[front, back]);
        }
    }
}
