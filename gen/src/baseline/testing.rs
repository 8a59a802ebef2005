//! What the tests of the protocols share: small batches, and answers that come in pieces.

use anyhow::Result;
use testkit::random::Random;

use super::batch::{Asked, Batch};
use super::keys::Records;
use crate::ledger::Answer;
use crate::record::ValueFormat;

/// Keys of 8 bytes, values of 4.
pub(crate) fn records() -> Records {
    Records::new(8, ValueFormat::new(4), 0)
}

/// A GET of eight times a letter; a PUT if it is a capital.
pub(crate) fn asked(letter: u8) -> Asked {
    Asked {
        digits: [letter.to_ascii_lowercase(); 8],
        is_put: letter.is_ascii_uppercase(),
        started_ns: 0,
    }
}

/// An operation for each letter.
pub(crate) fn batch(letters: &str) -> Batch {
    let mut batch = Batch::default();
    letters.bytes().for_each(|letter| batch.push(asked(letter)));
    batch
}

/// What was told of each operation: its letter and `+` found, `-` not found, `=` stored or
/// `!` refused.
pub(crate) type Told = String;

/// Hands `pieces` to a reader as they would come, each with what was left of those before.
pub(crate) fn feed(
    pieces: &[&[u8]],
    batch: &mut Batch,
    mut read: impl FnMut(&[u8], &mut Batch, &mut dyn FnMut(&Asked, Answer<'_>)) -> Result<usize>,
) -> Result<Told> {
    let mut told = Told::new();
    let mut held = Vec::new();
    for piece in pieces {
        held.extend_from_slice(piece);
        let used = read(&held, batch, &mut |asked, answer| {
            told.push(char::from(asked.digits[0]));
            told.push(match answer {
                Answer::Found => '+',
                Answer::NotFound => '-',
                Answer::Stored => '=',
                Answer::Refused(_) => '!',
            });
        })?;
        held.drain(..used);
    }
    Ok(told)
}

/// Words of a protocol in any order, and perhaps any bytes somewhere among them.
pub(crate) fn almost_answer(random: &mut Random, words: &[&str]) -> Vec<u8> {
    let mut answer = Vec::new();
    while random.happens(85) {
        answer.extend_from_slice(words[random.index(words.len())].as_bytes());
    }
    if random.happens(50) {
        let (at, count) = (random.index(answer.len() + 1), random.index(9));
        answer.splice(at..at, random.bytes(count));
    }
    answer
}
