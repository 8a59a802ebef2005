//! The simulator repeats itself, finds nothing in what we ship, and has not forgotten what it
//! found once.

use std::fs::OpenOptions;
use std::process::{Command, Output, Stdio};

use simulator::run_seed;

/// Whatever went wrong, for a test's message.
fn failure_of(seed: u64) -> Option<String> {
    simulator::report::failure(&run_seed(seed, false))
}

#[test]
fn seeds_pass() {
    for seed in 0..40 {
        assert_eq!(failure_of(seed), None);
    }
}

#[test]
fn a_seed_repeats_to_the_byte() {
    for seed in [3, 4, 5] {
        let [first, again] = [(); 2].map(|()| run_seed(seed, false));
        assert_eq!((first.events, first.digest), (again.events, again.digest));
        assert_eq!(first.histories, again.histories);
    }
    let [first, again] = [(); 2].map(|()| {
        let program = Command::new(env!("CARGO_BIN_EXE_sim"));
        let output = { program }.args(["--seed", "7", "--trace"]).output().unwrap();
        assert!(output.status.success());
        output.stdout
    });
    assert!(first.len() > 10_000 && first == again);
}

#[test]
fn other_seeds_do_other_things() {
    assert_ne!(run_seed(1, false).digest, run_seed(2, false).digest);
}

/// The streams of a thread that had nothing outstanding waited for its next timer, which
/// could be the end of the run.
#[test]
fn seed_0_the_streams_begin_when_they_may() {
    let outcome = run_seed(0, false);
    assert!(outcome.histories.iter().map(Vec::len).sum::<usize>() > 10);
}

#[test]
fn wrong_flags_are_told_and_exit_2() {
    for flags in [
        &["--seeds", "0"][..],
        &["--seed", "x"],
        &["--trace"],
        &["--seeds", "2", "--trace"],
        &["--seed", "1", "--json"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_sim")).args(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
    }
}

/// The only answer of a server's life came long after the next life had begun to answer, and
/// the checker took the two lives for each other.
#[test]
fn seed_16461_an_answer_of_a_former_life_that_is_late_is_no_second_life() {
    assert_eq!(failure_of(16461), None);
}

/// `… | head -1`: who has seen enough ends nothing but the printing.
#[test]
fn a_trace_whose_reader_is_gone_ends_quietly() {
    let mut sim = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(["--seed", "5", "--trace"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(sim.stdout.take());
    let Output { status, stderr, .. } = sim.wait_with_output().unwrap();
    assert_eq!((status.code(), String::from_utf8(stderr).unwrap().as_str()), (Some(0), ""));
}

#[test]
fn a_trace_that_cannot_be_written_is_told() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut sim = Command::new(env!("CARGO_BIN_EXE_sim"));
    let Output { status, stderr, .. } =
        sim.args(["--seed", "5", "--trace"]).stdout(full).output().unwrap();
    let errors = String::from_utf8(stderr).unwrap();
    assert_eq!((status.code(), errors.lines().count()), (Some(2), 1), "{errors}");
    assert!(errors.starts_with("sim: error: cannot write the trace: No space left"), "{errors}");
}
