//! The fuzzers' harnesses as ordinary tests: what a fuzzer found worth keeping, changes of
//! it, and random bytes.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;

use testkit::harness::{ALL, Harness};
use testkit::random::Random;

/// Longest random input.
const BYTES_MAX: u64 = 600;
/// Random inputs and changes of corpus files, each, of one harness.
const INPUTS: usize = 1000;

fn harness(name: &str) -> Harness {
    let found = ALL.iter().find(|(of, _)| *of == name);
    found.expect("there is such a harness").1
}

/// The inputs that a fuzzer left, in the order of their names.
fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("it can be listed").path())
        .map(|path| (path.clone(), fs::read(path).expect("it can be read")))
        .collect();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.sort();
    files
}

/// Runs a harness; one that fails says with what, so that a fuzz target can be given it.
#[expect(clippy::print_stderr, reason = "a test shows it where it fails")]
fn run(harness: Harness, input: &[u8], what: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| harness(input))) {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!("{what} broke a fact; in hexadecimal it is {hex}");
        resume_unwind(panic);
    }
}

/// The file with some bytes changed, some taken out, and a piece of another put in.
fn changed(random: &mut Random, files: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
    let mut input = files[random.index(files.len())].1.clone();
    for _ in 0..1 + random.below(4) {
        let at = random.index(input.len() + 1);
        match random.below(4) {
            0 if at < input.len() => input[at] = random.number() as u8,
            1 if at < input.len() => input[at] ^= 1 << random.below(8),
            2 => {
                let end = (at + random.index(16)).min(input.len());
                input.drain(at..end);
            }
            _ => {
                let other = &files[random.index(files.len())].1;
                let from = random.index(other.len() + 1);
                let to = (from + random.index(64)).min(other.len());
                input.splice(at..at, other[from..to].iter().copied());
            }
        }
    }
    input
}

fn holds_for_the_corpus_and_random_bytes(name: &str) {
    let harness = harness(name);
    let files = corpus(name);
    for (path, input) in &files {
        run(harness, input, &path.display().to_string());
    }
    let mut random = Random::for_test(name);
    for _ in 0..INPUTS {
        let count = random.below(BYTES_MAX) as usize;
        let input = random.bytes(count);
        run(harness, &input, "a random input");
        let input = changed(&mut random, &files);
        run(harness, &input, "a changed file of the corpus");
    }
}

#[test]
fn any_bytes_end_in_a_value_or_an_error() {
    holds_for_the_corpus_and_random_bytes("unpack");
}

#[test]
fn packing_and_unpacking_are_inverses() {
    holds_for_the_corpus_and_random_bytes("inverse");
}

#[test]
fn whatever_befalls_a_session_each_put_happens_once_and_each_answer_is_right() {
    holds_for_the_corpus_and_random_bytes("session");
}

#[test]
fn any_bytes_are_a_history_or_are_refused() {
    holds_for_the_corpus_and_random_bytes("history");
}

#[test]
fn no_input_at_all_breaks_nothing() {
    for (_, harness) in ALL {
        harness(&[]);
    }
}
