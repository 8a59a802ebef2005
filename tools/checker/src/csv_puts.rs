//! Finds two puts of one key with one value, among more than fit into memory: they are sorted
//! in pieces, into temporary files that are merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek as _, Write as _};

use history::operation::ValueId;

/// A put of a table. Puts are in the order of what they put, and then of where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Put {
    /// The number of its key.
    pub key: u64,
    /// Its value.
    pub value: ValueId,
    /// The number of its table.
    pub table: u64,
    /// Its line there.
    pub line: u64,
}

impl Put {
    const SIZE: usize = 40;

    fn to_bytes(self) -> [u8; Self::SIZE] {
        let Self { key, value, table, line } = self;
        let numbers = [key, value.writer, value.counter, table, line].map(u64::to_le_bytes);
        *numbers.as_flattened().first_chunk().expect("five numbers")
    }

    fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        let (numbers, _) = bytes.as_chunks();
        let number = |place: usize| u64::from_le_bytes(numbers[place]);
        let value = ValueId { writer: number(1), counter: number(2) };
        Self { key: number(0), value, table: number(3), line: number(4) }
    }

    fn puts_the_same_as(&self, other: &Self) -> bool {
        (self.key, self.value) == (other.key, other.value)
    }
}

/// All puts of some tables.
#[derive(Debug, Default)]
pub struct Puts {
    piece: Vec<Put>,
    pieces: Vec<File>,
}

impl Puts {
    /// One more.
    pub fn add(&mut self, put: Put) {
        self.piece.push(put);
    }

    /// Lays down what was added: there is more than is sorted together.
    pub fn write_piece(&mut self) -> io::Result<()> {
        self.piece.sort_unstable();
        let mut out = BufWriter::new(tempfile::tempfile()?);
        for put in self.piece.drain(..) {
            out.write_all(&put.to_bytes())?;
        }
        let mut file = out.into_inner()?;
        file.rewind()?;
        self.pieces.push(file);
        Ok(())
    }

    /// Two puts of one key with one value, if there are any.
    pub fn find_equal(mut self) -> io::Result<Option<[Put; 2]>> {
        self.piece.sort_unstable();
        let mut pieces: Vec<_> = self.pieces.into_iter().map(BufReader::new).collect();
        let places = 0..=pieces.len();
        let mut latest = self.piece.into_iter();
        // The last place is of what was not laid down.
        let mut next = |place: usize| match pieces.get_mut(place) {
            Some(piece) => read(piece),
            None => Ok(latest.next()),
        };
        let mut heads = BinaryHeap::new();
        for place in places {
            heads.extend(next(place)?.map(|put| Reverse((put, place))));
        }
        let mut before: Option<Put> = None;
        while let Some(Reverse((put, place))) = heads.pop() {
            if let Some(before) = before.filter(|before| before.puts_the_same_as(&put)) {
                return Ok(Some([before, put]));
            }
            before = Some(put);
            heads.extend(next(place)?.map(|put| Reverse((put, place))));
        }
        Ok(None)
    }
}

fn read(piece: &mut BufReader<File>) -> io::Result<Option<Put>> {
    let mut bytes = [0; Put::SIZE];
    match piece.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(Put::from_bytes(bytes))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}
