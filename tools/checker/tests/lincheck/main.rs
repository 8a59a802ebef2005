//! What `lincheck` says of files: its text, its exit status, and where a bad file is bad.

mod files;
mod inputs;
mod staleness;

use std::fs;

use files::{Files, HEADER, lincheck, of_csv, operation, value};
use history::operation::{Action, Operation};
use testkit::process::{Sink, run_into};

const LINCHECK: &str = env!("CARGO_BIN_EXE_lincheck");

#[test]
fn a_correct_table_is_told_in_one_line() {
    let rows = "c1,x,put,1,10,20\nc2,x,get,1,15,30\nc2,y,get,,40,50\nc3,x,put,2,12,\n";
    let (status, text, errors) = of_csv(rows);
    assert_eq!((status, text.as_str()), (0, "linearizable: 4 operations, 2 keys\n"), "{errors}");
}

#[test]
fn rows_come_in_any_order_and_with_any_line_ends() {
    let rows = "c,x,get,b,70,80\r\nc,x,put,b,50,60\r\nc,x,get,a,30,40\r\nc,x,put,a,10,20\r\n";
    let files = Files::new();
    let path = files.path("h.CSV");
    fs::write(&path, format!("{}\r\n{rows}", HEADER.trim_end())).unwrap();
    assert_eq!(lincheck(&[], &[&path]).0, 0);
}

#[test]
fn a_stale_read_is_told_with_its_operations_and_drawn() {
    let rows = "c1,x,put,old,10,20\nc2,x,put,new,30,40\nc3,x,get,new,50,60\nc1,x,get,old,70,80\n";
    let (status, text, _) = of_csv(rows);
    assert_eq!(status, 1);
    for part in [
        "not linearizable: key x\n",
        "A put 'old', client c1, from 10 ns (+0 ns) to 20 ns (+10 ns)",
        "D get found 'old', client c1, from 70 ns (+60 ns) to 80 ns (+70 ns)",
        "'new' comes before 'old', because B ended before D started",
        "|========|",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn each_kind_of_wrong_answer_is_named() {
    for (rows, part) in [
        ("c,x,get,v,10,20\n", "no put of this history wrote"),
        ("c,x,get,v,10,20\nd,x,put,v,30,40\n", "read from the future"),
        ("c,x,put,v,10,20\nc,x,get,,30,40\n", "found none"),
        (
            "c,x,put,v,10,20\nd,x,put,w,10,20\ne,x,get,v,30,40\nf,x,get,w,30,40\n\
          e,x,get,w,50,60\nf,x,get,v,50,60\n",
            "no order has both",
        ),
    ] {
        let (status, text, _) = of_csv(rows);
        assert_eq!(status, 1, "{rows}");
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn an_unanswered_put_may_have_happened_or_not_and_at_any_later_time() {
    let put = "c,x,put,v,10,\n";
    for get in ["d,x,get,,1000,2000\n", "d,x,get,v,1000,2000\n"] {
        assert_eq!(of_csv(&format!("{put}{get}")).0, 0);
    }
    assert_eq!(of_csv(&format!("{put}d,x,get,v,20,30\nd,x,get,,40,50\n")).0, 1, "not both");
    assert_eq!(of_csv("d,x,get,v,1,5\nc,x,put,v,10,\n").0, 1, "not before its call");
}

#[test]
fn a_clock_error_widens_the_intervals() {
    let files = Files::new();
    let path = files.csv("c,x,put,v,100,200\nd,x,get,,300,400\n");
    assert_eq!(lincheck(&[], &[&path]).0, 1);
    assert_eq!(lincheck(&["--clock-error", "49ns"], &[&path]).0, 1);
    assert_eq!(lincheck(&["--clock-error", "50ns"], &[&path]).0, 0);
}

#[test]
fn a_bad_table_is_told_with_file_and_offset() {
    let at = HEADER.len();
    for (rows, problem) in [
        ("c,x,put,v,10\n", format!("offset {at}: a row of 5 columns, expected 6")),
        ("c,x,put,v,10,2x\n", format!("offset {at}: end_ns '2x' is no number")),
        ("c,x,del,v,10,20\n", format!("offset {at}: the op 'del' is neither get nor put")),
        ("c,x,put,v,30,20\n", format!("offset {at}: it ends before it starts")),
        ("c,x,put,,10,20\n", format!("offset {at}: a put of an empty value")),
        ("c,x,put,v,-1,20\n", format!("offset {at}: start_ns '-1' is no number")),
    ] {
        let (status, text, errors) = of_csv(rows);
        assert_eq!((status, text.as_str()), (2, ""), "{rows}");
        assert!(errors.contains("history.csv: ") && errors.contains(&problem), "{errors}");
    }
    let files = Files::new();
    let path = files.path("other.csv");
    fs::write(&path, "key,value\n").unwrap();
    let (status, _, errors) = lincheck(&[], &[&path]);
    assert_eq!(status, 2);
    assert!(errors.contains("offset 0: the first row is not `client,key,op"), "{errors}");
}

#[test]
fn what_is_not_there_or_empty_is_told() {
    let files = Files::new();
    for (path, part) in [
        (files.path("none.history"), "No such file"),
        (files.folder.path().to_owned(), "no *.history file is here"),
    ] {
        let (status, _, errors) = lincheck(&[], &[&path]);
        assert_eq!(status, 2);
        assert!(errors.contains(part), "{errors}");
    }
    assert_eq!(of_csv("").1, "linearizable: 0 operations, 0 keys\n");
}

#[test]
fn a_cut_history_is_refused_unless_its_generator_was_killed() {
    let files = Files::new();
    let operations = [
        operation(Action::Stored(value(0)), 1, 10, 20),
        operation(Action::Found(value(0)), 1, 30, 40),
    ];
    let path = files.history("a.history", 0, &operations);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(lincheck(&[], &[&path]).1, "linearizable: 2 operations, 1 keys\n");
    let without_end = bytes.len() - 1;
    fs::write(&path, &bytes[..without_end]).unwrap();
    let (status, _, errors) = lincheck(&[], &[&path]);
    assert_eq!(status, 2);
    assert!(
        errors.contains(&format!("a.history: offset {without_end}: the file ends")),
        "{errors}"
    );
    assert_eq!(lincheck(&["--killed"], &[&path]).1, "linearizable: 2 operations, 1 keys\n");
    // What the killed generator did not come to write down is found by another one.
    let found = [operation(Action::Found(value(9)), 2, 50, 60)];
    let other = files.history("b.history", 0, &found);
    assert_eq!(lincheck(&["--killed"], &[&path, &other]).0, 0);
    let empty = files.path("empty.history");
    fs::write(&empty, "").unwrap();
    assert_eq!(lincheck(&["--killed"], &[&path, &empty, &other]).0, 0, "it did nothing yet");
    assert_eq!(lincheck(&[], &[&empty]).0, 2);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(lincheck(&["--killed"], &[&path, &other]).0, 1, "it was not killed");
    fs::write(&path, &bytes[..100]).unwrap();
    assert_eq!(lincheck(&[], &[&path]).0, 2);
    let mut changed = bytes.clone();
    changed[150] ^= 1;
    fs::write(&path, &changed).unwrap();
    let (status, _, errors) = lincheck(&[], &[&path]);
    assert_eq!(status, 2);
    assert!(errors.contains("a.history: offset 144: the checksum is wrong"), "{errors}");
}

#[test]
fn a_restart_loses_what_was_stored_and_that_is_told() {
    let files = Files::new();
    let second_life = |mut operation: Operation| {
        operation.incarnation = 2;
        operation
    };
    let lost = [
        operation(Action::Stored(value(0)), 1, 10, 20),
        second_life(operation(Action::NotFound, 0, 30, 40)),
        second_life(operation(Action::Stored(value(1)), 1, 50, 60)),
    ];
    let path = files.history("a.history", 0, &lost);
    let (status, text, _) = lincheck(&[], &[&path]);
    assert_eq!(status, 0);
    assert!(text.starts_with("linearizable: 3 operations, 1 keys\n"), "{text}");
    assert!(text.contains("server 0 started again 1 times, and lost what 1 keys held"), "{text}");
    let resurrected = [lost[0], second_life(operation(Action::Found(value(0)), 1, 30, 40))];
    let path = files.history("a.history", 0, &resurrected);
    let (status, text, _) = lincheck(&[], &[&path]);
    assert_eq!(status, 1);
    assert!(text.contains("an earlier life of the server"), "{text}");
    let in_turns = [lost[0], lost[1], operation(Action::Found(value(0)), 1, 70, 80)];
    let path = files.history("a.history", 0, &in_turns);
    let (status, text, _) = lincheck(&[], &[&path]);
    assert_eq!(status, 1);
    assert!(text.contains("answered from two lives in turns"), "{text}");
}

#[test]
fn versions_that_contradict_the_order_are_found() {
    let files = Files::new();
    let first = operation(Action::Stored(value(0)), 1, 10, 20);
    for (second, part) in [
        (operation(Action::Found(value(0)), 2, 30, 40), "different versions of one value"),
        (operation(Action::Stored(value(1)), 1, 10, 40), "the same version of two values"),
        (operation(Action::Stored(value(1)), 5, 30, 40), "only 2 puts of this key"),
    ] {
        let path = files.history("a.history", 0, &[first, second]);
        let (status, text, _) = lincheck(&[], &[&path]);
        assert_eq!(status, 1, "{part}");
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let late = [
        operation(Action::Stored(value(0)), 2, 10, 20),
        operation(Action::Stored(value(1)), 1, 30, 40),
    ];
    let path = files.history("a.history", 0, &late);
    assert!(lincheck(&[], &[&path]).1.contains("its version is not the smaller one"));
}

#[test]
fn histories_of_two_hosts_need_a_clock_error() {
    let files = Files::new();
    let put = files.history("a.history", 0, &[operation(Action::Stored(value(0)), 1, 5000, 5100)]);
    // A clock that is 3000 ns behind, so that this is 5200 to 5300.
    let get = files.history("b.history", 3, &[operation(Action::Found(value(0)), 1, 2200, 2300)]);
    let (status, _, errors) = lincheck(&[], &[&put, &get]);
    assert_eq!(status, 2);
    assert!(errors.contains("--clock-error"), "{errors}");
    assert_eq!(lincheck(&["--clock-error", "1us"], &[&put, &get]).0, 0);
    assert_eq!(lincheck(&["--clock-error", "0"], &[&put, &get]).0, 0);
}

#[test]
fn the_verdict_can_be_json() {
    let files = Files::new();
    let path = files.csv("c,x,get,v,10,20\n");
    let (status, text, _) = lincheck(&["--json"], &[&path]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &json["linearizable"], &json["key"]), (1, &false.into(), &"x".into()));
    let path = files.csv("c,x,put,v,10,20\n");
    let (status, text, _) = lincheck(&["--json", "--threads", "1"], &[&path]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &json["operations"]), (0, &1.into()));
}

/// Status 1 would be a verdict of its own.
#[test]
fn a_verdict_that_cannot_be_written_is_told_and_exits_2() {
    let files = Files::new();
    let path = files.path("h.csv");
    fs::write(&path, format!("{HEADER}c,x,get,v,10,20\n")).unwrap();
    let flags = [path.to_str().unwrap()];
    let ended = run_into(LINCHECK.as_ref(), &flags, Sink::Full, Sink::Lines);
    assert_eq!((ended.status, ended.stderr.len()), (Some(2), 1), "{ended:?}");
    for part in ["cannot write to stdout: No space left", "not linearizable: key x"] {
        assert!(ended.stderr[0].contains(part), "{ended:?}");
    }
    // A reader that has seen enough, or a complaint that nobody reads, changes no verdict.
    for stderr in [Sink::Lines, Sink::Full] {
        let ended = run_into(LINCHECK.as_ref(), &flags, Sink::Closed, stderr);
        assert_eq!(ended.status, Some(1), "{ended:?}");
    }
    fs::write(&path, HEADER).unwrap();
    let ended = run_into(LINCHECK.as_ref(), &flags, Sink::Lines, Sink::Full);
    assert_eq!(ended.status, Some(0), "it warns that nothing was checked: {ended:?}");
}
