//! What `lincheck` says of answers that near caches gave.

use history::format::FileHeader;
use history::operation::{Action, Operation};

use crate::files::{Files, header, lincheck, of_csv, operation, value};

fn cached(action: Action, version: u64, start_ns: u64, end_ns: u64) -> Operation {
    Operation { is_cached: true, ..operation(action, version, start_ns, end_ns) }
}

/// A value is overwritten at 40 ns, and found once more later.
fn overwritten(found: Operation) -> [Operation; 3] {
    [
        operation(Action::Stored(value(0)), 1, 10, 20),
        operation(Action::Stored(value(1)), 2, 30, 40),
        found,
    ]
}

/// The files of two generators: the writer of the values, and one that reads.
fn of_two(found: Operation, arguments: &[&str]) -> (i32, String, String) {
    let files = Files::new();
    let [first, second, found] = overwritten(found);
    let writer = files.history("a.history", 0, &[first, second]);
    let reader = FileHeader { writer: 8, ..header("b", 0) };
    let reader = files.history_of("b.history", reader, &[found]);
    lincheck(arguments, &[&writer, &reader])
}

#[test]
fn an_answer_of_a_cache_may_be_as_old_as_is_allowed_and_no_older() {
    let found = cached(Action::Found(value(0)), 1, 70, 80);
    let (status, text, _) = of_two(found, &["--staleness", "30ns"]);
    assert_eq!(status, 0);
    let lines = "linearizable: 3 operations, 1 keys\n\
                 staleness 30ns: no answer of a near cache is older (1 gets)\n";
    assert_eq!(text, lines);
    for (arguments, part) in [
        (&["--staleness", "29ns"][..], "more than the 29ns of --staleness"),
        (&["--staleness", "0"], "without --staleness no answer may be old"),
        (&[], "without --staleness no answer may be old"),
    ] {
        let (status, text, _) = of_two(found, arguments);
        assert_eq!(status, 1, "{arguments:?}");
        let age = "what C found was at least 30ns old when C was called";
        for part in ["C get found '00000000/0' version 1 in its cache, ", age, part] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }
    let (_, text, _) = of_two(found, &["--staleness", "29ns"]);
    assert!(text.contains("to 80 ns (+70 ns), as if called at 41 ns\n"), "{text}");
    assert!(
        text.contains(&format!("  C {}{}|========|\n", " ".repeat(27), ".".repeat(27))),
        "{text}"
    );
}

#[test]
fn an_answer_of_the_server_may_never_be_old() {
    let found = operation(Action::Found(value(0)), 1, 70, 80);
    assert_eq!(of_two(found, &["--staleness", "1s"]).0, 1);
    let absent = operation(Action::NotFound, 0, 70, 80);
    assert_eq!(of_two(absent, &["--staleness", "1s"]).0, 1);
    let absent = cached(Action::NotFound, 0, 70, 80);
    assert_eq!(of_two(absent, &["--staleness", "50ns"]).0, 0, "the first put ended at 20 ns");
    let (status, text, _) = of_two(absent, &["--staleness", "49ns"]);
    assert_eq!(status, 1);
    assert!(text.contains("what B found was at least 50ns old"), "{text}");
}

#[test]
fn an_answer_of_a_cache_without_a_staleness_is_judged_as_any_other() {
    let fresh = cached(Action::Found(value(1)), 2, 70, 80);
    let (status, text, _) = of_two(fresh, &[]);
    assert_eq!(status, 0);
    assert!(text.ends_with("no answer of a near cache is stale (1 gets)\n"), "{text}");
}

/// All streams of a thread read through one cache.
#[test]
fn own_writes_are_read_however_old_answers_may_be() {
    let files = Files::new();
    let found = Operation { client: 3, ..cached(Action::Found(value(0)), 1, 70, 80) };
    let own = files.history("a.history", 0, &overwritten(found));
    let (status, text, _) = lincheck(&["--staleness", "1s"], &[&own]);
    assert_eq!(status, 1);
    for part in [
        "stream 3 of file 0",
        "as if called at 41 ns, when a put of its own client had been answered",
        "at least 30ns old when C was called, and its own client had put another value since",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let meanwhile = cached(Action::Found(value(0)), 1, 40, 80);
    let own = files.history("a.history", 0, &overwritten(meanwhile));
    assert_eq!(lincheck(&["--staleness", "1s"], &[&own]).0, 0, "the put was under way");
}

#[test]
fn a_cache_may_outlive_its_server_as_long_as_its_answers_are_not_too_old() {
    let second_life = |operation| Operation { incarnation: 2, ..operation };
    let history = [
        operation(Action::Stored(value(0)), 1, 10, 20),
        second_life(operation(Action::NotFound, 0, 30, 40)),
        cached(Action::Found(value(0)), 1, 70, 80),
    ];
    let files = Files::new();
    let path = files.history("a.history", 0, &history);
    assert_eq!(lincheck(&["--staleness", "30ns"], &[&path]).0, 0);
    let (status, text, _) = lincheck(&["--staleness", "29ns"], &[&path]);
    assert_eq!(status, 1);
    assert!(text.contains("answered from two lives in turns"), "{text}");
    // Who wrote to the second life knows that the first is over.
    let mut knowing = history;
    knowing[1] = second_life(operation(Action::Stored(value(1)), 1, 30, 40));
    let path = files.history("a.history", 0, &knowing);
    assert_eq!(lincheck(&["--staleness", "1s"], &[&path]).0, 1);
}

#[test]
fn a_clock_error_and_a_staleness_add_up() {
    let found = cached(Action::Found(value(0)), 1, 70, 80);
    let judge =
        |error, staleness| of_two(found, &["--clock-error", error, "--staleness", staleness]).0;
    assert_eq!((judge("10ns", "9ns"), judge("10ns", "10ns")), (1, 0));
}

#[test]
fn of_csv_all_gets_may_be_old_but_own_writes_are_read() {
    let puts = "c,x,put,old,10,20\nc,x,put,new,30,40\n";
    let judge = |rows: &str, staleness| {
        let files = Files::new();
        lincheck(&["--staleness", staleness], &[&files.csv(&format!("{puts}{rows}"))])
    };
    let (status, text, _) = judge("d,x,get,old,70,80\n", "30ns");
    assert_eq!(status, 0);
    assert!(text.ends_with("staleness 30ns: no answer of a near cache is older (1 gets)\n"));
    let (status, text, _) = judge("d,x,get,old,70,80\n", "29ns");
    assert_eq!(status, 1);
    assert!(text.contains("C get found 'old', client d, "), "nobody knows whence: {text}");
    assert!(text.contains("what C found was at least 30ns old"), "{text}");
    assert_eq!(judge("c,x,get,old,70,80\n", "1s").0, 1);
    assert_eq!(of_csv(&format!("{puts}d,x,get,new,70,80\n")).1.lines().count(), 1);
}

#[test]
fn json_tells_the_staleness_and_how_many_answers_caches_gave() {
    let found = cached(Action::Found(value(0)), 1, 70, 80);
    let json = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&of_two(found, arguments).1).unwrap()
    };
    let right = json(&["--json", "--staleness", "1us"]);
    assert_eq!((&right["cached"], &right["staleness_ns"]), (&1.into(), &1000.into()));
    let wrong = json(&["--json"]);
    assert_eq!((&wrong["linearizable"], wrong["staleness_ns"].is_null()), (&false.into(), true));
}

#[test]
fn a_staleness_that_is_no_time_is_refused() {
    let files = Files::new();
    let path = files.csv("c,x,put,v,10,20\n");
    for wrong in ["", "-1", "fast", "1m", "1e3", "99999999999s", "nan"] {
        let (status, text, errors) = lincheck(&[&format!("--staleness={wrong}")], &[&path]);
        assert_eq!((status, text.as_str()), (2, ""), "{wrong}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(errors.contains("--staleness"), "{errors}");
    }
    assert_eq!(lincheck(&["--staleness", "999999999s"], &[&path]).0, 0);
}
