//! Refuses tables whose quotes have no single meaning: the reader of CSV takes the best guess,
//! and a guess proves nothing. And knows where each row begins, whatever ends its lines.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};

/// Where a byte is, for messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct TextPosition {
    /// Its line, from 1.
    pub line: u64,
    /// Bytes before it.
    pub offset: u64,
}

impl fmt::Display for TextPosition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, offset } = self;
        write!(formatter, "line {line}, offset {offset}")
    }
}

#[derive(Clone, Copy, Debug)]
enum QuoteState {
    /// A row begins, or an empty line, which is none.
    Row,
    /// A field begins.
    Field,
    /// In a field without quotes, where a quote is a character like others.
    Plain,
    /// In quotes, which began there.
    Quoted(TextPosition),
    /// Behind a quote in quotes: it is doubled, or the field ends.
    Closed(TextPosition),
}

/// Passes bytes of CSV on up to the first quote that is wrong, and then an error.
#[derive(Debug)]
pub struct StrictQuotes<R> {
    input: R,
    state: QuoteState,
    next: TextPosition,
    follows_return: bool,
    /// Where the rows begin that [`Self::next_row`] did not tell yet.
    rows: VecDeque<TextPosition>,
    /// What is told once all before it was passed on.
    wrong: Option<String>,
}

impl<R: Read> StrictQuotes<R> {
    /// Reads a table.
    pub const fn new(input: R) -> Self {
        let next = TextPosition { line: 1, offset: 0 };
        Self {
            input,
            state: QuoteState::Row,
            next,
            follows_return: false,
            rows: VecDeque::new(),
            wrong: None,
        }
    }

    /// Where the next row begins: to be called for each one.
    pub fn next_row(&mut self) -> TextPosition {
        self.rows.pop_front().unwrap_or_default()
    }

    /// The bytes before the first that is wrong.
    fn look_through(&mut self, bytes: &[u8]) -> usize {
        for (index, &byte) in bytes.iter().enumerate() {
            if matches!(self.state, QuoteState::Row) && !matches!(byte, b'\n' | b'\r') {
                self.rows.push_back(self.next);
            }
            self.state = match (self.state, byte) {
                (QuoteState::Row | QuoteState::Field, b'"') => QuoteState::Quoted(self.next),
                (QuoteState::Quoted(began), b'"') => QuoteState::Closed(began),
                (QuoteState::Closed(began), b'"') => QuoteState::Quoted(began),
                (QuoteState::Quoted(began), _) => QuoteState::Quoted(began),
                (_, b'\n' | b'\r') => QuoteState::Row,
                (_, b',') => QuoteState::Field,
                (QuoteState::Closed(_), _) => {
                    let problem = "text follows a closing quote";
                    self.wrong = Some(format!("{}: {problem}", self.next));
                    return index;
                }
                (QuoteState::Row | QuoteState::Field | QuoteState::Plain, _) => QuoteState::Plain,
            };
            let ends_line = byte == b'\r' || (byte == b'\n' && !self.follows_return);
            self.follows_return = byte == b'\r';
            self.next.line += u64::from(ends_line);
            self.next.offset += 1;
        }
        bytes.len()
    }
}

impl<R: Read> Read for StrictQuotes<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut length = 0;
        if self.wrong.is_none() && !bytes.is_empty() {
            let read = self.input.read(bytes)?;
            if let (0, QuoteState::Quoted(began)) = (read, self.state) {
                let problem = "the quote that begins here is not closed";
                self.wrong = Some(format!("{began}: {problem}"));
            }
            length = self.look_through(&bytes[..read]);
        }
        match &self.wrong {
            Some(wrong) if length == 0 => Err(io::Error::other(wrong.clone())),
            _ => Ok(length),
        }
    }
}
