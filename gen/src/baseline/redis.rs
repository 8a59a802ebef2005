//! RESP, the protocol of Redis and Valkey: the requests of a batch, and the answers to it.

use std::io::Write as _;

use anyhow::{Result, bail, ensure};

use super::batch::{Asked, Batch, are_gets};
use super::keys::Records;
use super::reply::{foreign, line_length, value_length};
use crate::excerpt::excerpt;
use crate::ledger::Answer;

const PROTOCOL: &str = "Redis's protocol";

/// Appends the requests for these operations: each by itself, or neighbouring GETs as one
/// MGET.
pub fn write(asked: &[Asked], joins_gets: bool, records: &mut Records, out: &mut Vec<u8>) {
    for run in asked.chunk_by(|one, next| joins_gets && are_gets(one, next)) {
        if run[0].is_put {
            out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
            write_key(&run[0], records, out);
            write_length(b'$', records.value_size(), out);
            records.write_value(out);
            out.extend_from_slice(b"\r\n");
        } else {
            if joins_gets {
                write_length(b'*', run.len() + 1, out);
                out.extend_from_slice(b"$4\r\nMGET\r\n");
            } else {
                out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
            }
            for get in run {
                write_key(get, records, out);
            }
        }
    }
}

#[inline]
fn write_key(asked: &Asked, records: &Records, out: &mut Vec<u8>) {
    write_length(b'$', records.key_size(), out);
    records.write_key(&asked.digits, out);
    out.extend_from_slice(b"\r\n");
}

#[inline]
fn write_length(kind: u8, length: usize, out: &mut Vec<u8>) {
    if let Ok(digit @ 0..10) = u8::try_from(length) {
        out.extend_from_slice(&[kind, b'0' + digit, b'\r', b'\n']);
    } else {
        out.push(kind);
        write!(out, "{length}\r\n").expect("memory takes it");
    }
}

/// Matches answers with the operations of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    joins_gets: bool,
    /// Elements of an MGET's answer that are still to come.
    elements: usize,
}

impl Reader {
    /// For requests that were written with the same `joins_gets`.
    #[must_use]
    pub const fn new(joins_gets: bool) -> Self {
        Self { joins_gets, elements: 0 }
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
            let is_inside = self.elements > 0;
            match reply {
                Reply::Value | Reply::Nil if is_inside == self.joins_gets => {
                    let Some(get) = batch.next_get() else {
                        bail!("it sent a value that was not asked for");
                    };
                    self.elements = self.elements.saturating_sub(1);
                    let is_found = reply == Reply::Value;
                    told(&get, if is_found { Answer::Found } else { Answer::NotFound });
                }
                Reply::Array(elements) if self.joins_gets && !is_inside => {
                    let gets = batch.gets();
                    ensure!(
                        elements == gets && gets > 0,
                        "it sent an array of {elements} where {gets} values were asked for"
                    );
                    self.elements = elements;
                }
                Reply::Ok if !is_inside => {
                    let Some(put) = batch.next_put() else {
                        bail!("it sent +OK to no SET");
                    };
                    told(&put, Answer::Stored);
                }
                Reply::Refused(reason) if !is_inside => {
                    if let Some(put) = batch.next_put() {
                        told(&put, Answer::Refused(Some(reason)));
                    } else {
                        let gets = if self.joins_gets { batch.gets() } else { 1 };
                        for _ in 0..gets.max(1) {
                            let Some(get) = batch.next_get() else {
                                bail!("it sent an error unasked: {}", excerpt(reason));
                            };
                            told(&get, Answer::Refused(Some(reason)));
                        }
                    }
                }
                _ => bail!("it sent {} out of place", excerpt(&input[at..at + length])),
            }
            at += length;
        }
        Ok(at)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply<'a> {
    Value,
    Nil,
    Ok,
    Array(usize),
    Refused(&'a [u8]),
}

/// The reply that `input` begins with, and its length; none if it is not whole yet.
#[inline]
fn next(input: &[u8], value_size: usize) -> Result<Option<(Reply<'_>, usize)>> {
    let Some(end) = line_length(input, PROTOCOL)? else { return Ok(None) };
    let Some((&kind, rest)) = input[..end].strip_suffix(b"\r").and_then(<[u8]>::split_first) else {
        return Err(foreign(PROTOCOL, &input[..end]));
    };
    let length = end + 1;
    let reply = match (kind, rest, parse_number(rest)) {
        (b'$', b"-1", _) => Reply::Nil,
        (b'+', b"OK", _) => Reply::Ok,
        (b'-', reason, _) => Reply::Refused(reason),
        (b'*', _, Some(elements)) => Reply::Array(elements),
        (b'$', _, Some(size)) => {
            let whole = value_length(input, length, size, value_size)?;
            return Ok(whole.map(|whole| (Reply::Value, whole)));
        }
        _ => return Err(foreign(PROTOCOL, &input[..end])),
    };
    Ok(Some((reply, length)))
}

/// A number in decimal digits, and nothing else; none if it is longer than any that is sent.
#[must_use]
#[inline]
pub fn parse_number(digits: &[u8]) -> Option<usize> {
    if !(1..=9).contains(&digits.len()) {
        return None;
    }
    digits.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| 10 * number + usize::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use testkit::random::Random;

    use super::*;
    use crate::baseline::LINE_BYTES_MAX;
    use crate::baseline::testing::{Told, almost_answer, batch, feed, records};

    /// What is told of a batch that is answered by these pieces.
    fn told(joins_gets: bool, letters: &str, pieces: &[&[u8]]) -> Result<Told> {
        let (records, mut batch) = (records(), batch(letters));
        let mut reader = Reader::new(joins_gets);
        let told = feed(pieces, &mut batch, |input, batch, told| {
            reader.read(input, batch, &records, told)
        })?;
        Ok(if batch.outstanding().is_empty() { told } else { told + "…" })
    }

    /// Cut anywhere, in two and into single bytes, it is told as if it came whole.
    fn assert_told(joins_gets: bool, letters: &str, answer: &str, expected: &str) {
        let whole = told(joins_gets, letters, &[answer.as_bytes()]).unwrap();
        assert_eq!(whole, expected, "{letters} {answer}");
        for cut in 0..=answer.len() {
            let (front, back) = answer.as_bytes().split_at(cut);
            assert_eq!(
                told(joins_gets, letters, &[front, back]).unwrap(),
                expected,
                "cut at {cut}"
            );
        }
        let single: Vec<_> = answer.as_bytes().chunks(1).collect();
        assert_eq!(told(joins_gets, letters, &single).unwrap(), expected, "byte by byte");
    }

    fn assert_refused(joins_gets: bool, letters: &str, answer: &str, reason: &str) {
        let error = told(joins_gets, letters, &[answer.as_bytes()]).unwrap_err().to_string();
        assert!(error.contains(reason), "'{reason}' is not in '{error}'");
    }

    fn requests(joins_gets: bool, letters: &str) -> String {
        let (mut out, mut records) = (Vec::new(), records());
        write(batch(letters).asked(), joins_gets, &mut records, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn gets_are_pipelined_or_neighbours_joined() {
        let set = "*3\r\n$3\r\nSET\r\n$8\r\ncccccccc\r\n$4\r\n\0\0\0\0\r\n";
        let get = "*2\r\n$3\r\nGET\r\n$8\r\naaaaaaaa\r\n";
        assert_eq!(requests(false, "aaCa"), format!("{get}{get}{set}{get}"));
        let (mget, key) = ("$4\r\nMGET\r\n", "$8\r\naaaaaaaa\r\n");
        assert_eq!(requests(true, "aaCa"), format!("*3\r\n{mget}{key}{key}{set}*2\r\n{mget}{key}"));
        assert!(requests(true, &"a".repeat(99)).starts_with("*100\r\n$4\r\nMGET\r\n"));
    }

    #[test]
    fn answers_are_told_in_order_wherever_they_are_cut() {
        let (value, nil, ok) = ("$4\r\n$\r\n4\r\n", "$-1\r\n", "+OK\r\n");
        assert_told(false, "abAc", &format!("{value}{nil}{ok}{value}"), "a+b-a=c+");
        assert_told(false, "ab", value, "a+…");
        let two = format!("*2\r\n{value}{nil}");
        assert_told(true, "abABcd", &format!("{two}{ok}{ok}{two}"), "a+b-a=b=c+d-");
        assert_told(true, "A", ok, "a=");
        assert_told(true, "ab", &format!("*2\r\n{nil}"), "a-…");
    }

    #[test]
    fn errors_of_the_server_refuse_what_they_answer() {
        let full = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
        assert_told(false, "aAb", &format!("{full}{full}$-1\r\n"), "a!a!b-");
        assert_told(true, "abAc", &format!("{full}-ERR\r\n*1\r\n$-1\r\n"), "a!b!a!c-");
    }

    #[test]
    fn what_is_not_the_answer_is_an_error() {
        for joins_gets in [false, true] {
            for letters in ["a", "A"] {
                let garbage = "HTTP/1.1 400 Bad Request\r\n";
                assert_refused(joins_gets, letters, garbage, "does not speak Redis's");
                assert_refused(joins_gets, letters, "\r\n", "does not speak Redis's");
                assert_refused(joins_gets, letters, "\n", "does not speak Redis's");
                assert_refused(joins_gets, letters, "+PONG\r\n", "does not speak Redis's");
                assert_refused(joins_gets, letters, "$-2\r\n", "does not speak Redis's");
                let endless = "+".repeat(LINE_BYTES_MAX);
                assert_refused(joins_gets, letters, &endless, "does not speak Redis's");
            }
            assert_refused(joins_gets, "a", "$5\r\n", "a value of 5 bytes where 4 are expected");
            assert_refused(joins_gets, "a", "$4\r\n123456", "longer than it said");
            assert_refused(joins_gets, "a", "+OK\r\n", "to no SET");
            assert_refused(joins_gets, "", "-ERR\r\n", "an error unasked");
        }
        assert_refused(false, "A", "$-1\r\n", "not asked for");
        assert_refused(false, "a", "*1\r\n", "out of place");
        assert_refused(true, "a", "$-1\r\n", "out of place");
        assert_refused(true, "A", "*0\r\n", "an array of 0 where 0");
        assert_refused(true, "ab", "*3\r\n", "an array of 3 where 2");
        assert_refused(true, "ab", "*2\r\n$-1\r\n-ERR\r\n", "out of place");
        assert_refused(true, "ab", "*2\r\n*2\r\n", "out of place");
    }

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(parse_number(b"0"), Some(0));
        assert_eq!(parse_number(b"999999999"), Some(999_999_999));
        for wrong in [&b""[..], b"-1", b"+1", b" 1", b"1x", b"1234567890"] {
            assert_eq!(parse_number(wrong), None);
        }
    }

    #[test]
    fn any_bytes_end_in_answers_or_in_an_error() {
        let mut random = Random::for_test("any_bytes_end_in_answers_or_in_an_error");
        let words = ["$4\r\n", "1234", "\r\n", "$-1\r\n", "+OK\r\n", "-ERR", "*2\r\n", "*1"];
        for round in 0..100_000 {
            let answer = almost_answer(&mut random, &words);
            let (front, back) = answer.split_at(random.index(answer.len() + 1));
            let _ = told(round % 2 == 0, "abAaBBa", &[front, back]);
        }
    }
}
