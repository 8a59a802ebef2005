//! When the speed gate lets a count pass.
#![forbid(unsafe_code)]

#[path = "../benches/instructions/recorded.rs"]
mod recorded;

use recorded::{ABOVE_ANCHOR_PCT_MAX, Anchor, CHANGE_PCT_MAX, Recorded, Taken};

fn taken() -> Taken {
    let [compiler, valgrind, machine] = ["rustc 1", "valgrind 2", "x86_64"].map(str::to_owned);
    Taken { compiler, valgrind, machine }
}

fn recorded() -> Recorded {
    let instructions = [("get".to_owned(), 1000), ("put".to_owned(), 2000)].into();
    let anchor =
        Anchor { commit: "1234567".to_owned(), instructions: [("get".to_owned(), 900)].into() };
    Recorded { taken: taken(), instructions, anchor }
}

#[test]
fn counts_within_three_percent_are_kept() {
    let recorded = recorded();
    for now in [970, 1000, 1030] {
        assert!(recorded.is_kept("get", now), "{now}");
    }
}

#[test]
fn counts_beyond_three_percent_are_not_kept_even_if_they_are_lower() {
    let recorded = recorded();
    for now in [1, 969, 1031, 5000] {
        assert!(!recorded.is_kept("get", now), "{now}");
    }
}

#[test]
fn losses_that_are_each_small_do_not_add_up_unseen() {
    let recorded = recorded();
    let anchor = 900;
    let most = anchor + anchor * ABOVE_ANCHOR_PCT_MAX / 100;
    assert!(recorded.is_near_anchor("get", most) && recorded.is_near_anchor("get", 1));
    assert!(!recorded.is_near_anchor("get", most + 1), "recorded or not");
    assert!(recorded.is_near_anchor("put", 1_000_000), "it is newer than the anchor");
    assert_eq!(recorded.change_since_anchor_pct("get", anchor), Some(0.0));
    const { assert!(CHANGE_PCT_MAX < ABOVE_ANCHOR_PCT_MAX) };
}

#[test]
fn what_was_never_recorded_is_not_kept() {
    assert!(!recorded().is_kept("delete", 1000));
    assert_eq!(recorded().change_pct("delete", 1000), None);
}

#[test]
fn what_is_recorded_but_not_counted_any_more_is_named() {
    assert_eq!(recorded().not_among(&["get"]), ["put"]);
    assert!(recorded().not_among(&["put", "get", "delete"]).is_empty());
}

#[test]
fn counts_of_another_compiler_valgrind_or_machine_are_not_comparable() {
    assert_eq!(taken().difference(&taken()), None);
    let others = [
        Taken { compiler: "rustc 3".to_owned(), ..taken() },
        Taken { valgrind: "valgrind 3".to_owned(), ..taken() },
        Taken { machine: "aarch64".to_owned(), ..taken() },
    ];
    for (other, is) in others.iter().zip(["rustc 3", "valgrind 3", "aarch64"]) {
        let difference = taken().difference(other).expect("there is one");
        assert!(difference.contains(&format!("is '{is}'")), "{difference}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("instructions.json");
    recorded().write(&path).unwrap();
    assert_eq!(Recorded::read(&path).unwrap(), recorded());
}
