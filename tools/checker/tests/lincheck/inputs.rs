//! What `lincheck` takes for an input that tells nothing: it says so, and never that the
//! store was wrong.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use history::format::FileHeader;
use history::operation::Action;
use rustix::process::{Pid, Signal, kill_process};
use testkit::DEADLINE;

use crate::files::{Files, HEADER, header, lincheck, of_csv, operation, value};

/// Refused, with one line that has all the parts.
fn assert_refused(paths: &[&Path], parts: &[&str]) {
    let (status, text, errors) = lincheck(&[], paths);
    assert_eq!((status, text.as_str()), (2, ""), "{paths:?}: {errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    for part in parts {
        assert!(errors.contains(part), "{part:?} is not in {errors}");
    }
}

/// The table comes through a pipe whose writer stays, so that it waits in the midst of it.
#[test]
fn a_signal_leaves_no_temporary_file() {
    for signal in [Signal::INT, Signal::TERM] {
        let files = Files::new();
        let pipe = files.path("pipe.csv");
        let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let temporary = files.path("temporary");
        fs::create_dir(&temporary).unwrap();
        // Whoever runs the tests may have been started with signals ignored, and then so is
        // all that it starts.
        let mut child = Command::new("env")
            .args(["--default-signal=INT,TERM", env!("CARGO_BIN_EXE_lincheck")])
            .arg(&pipe)
            .env("TMPDIR", &temporary)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut table = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        table.write_all(HEADER.as_bytes()).unwrap();
        // More than a pipe holds, and than is sorted at once: it has begun to write.
        let mut rows = String::new();
        for number in 0..(1 << 20) + (1 << 16) {
            rows += &format!("c,x,get,,{number},{number}\n");
        }
        table.write_all(rows.as_bytes()).unwrap();
        let began = Instant::now();
        kill_process(Pid::from_child(&child), signal).unwrap();
        let status = child.wait().unwrap();
        assert!(began.elapsed() < DEADLINE);
        let ended_by = status.signal().or(status.code().map(|code| code - 128));
        assert_eq!(ended_by, Some(signal.as_raw()), "{status:?}");
        let left: Vec<_> = fs::read_dir(&temporary).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn histories_with_values_or_keys_of_different_sizes_are_refused() {
    let files = Files::new();
    let put = files.history("a.history", 0, &[operation(Action::Stored(value(0)), 1, 10, 20)]);
    for (name, of_b, part) in [
        ("value", FileHeader { value_bytes: 32, ..header("b", 0) }, "--value-size"),
        ("key", FileHeader { key_bytes: 16, ..header("b", 0) }, "--key-size"),
    ] {
        let get = [operation(Action::NotFound, 0, 30, 40)];
        let other = files.history_of("b.history", of_b, &get);
        assert_refused(&[&put, &other], &["a.history", "b.history", part, name]);
        assert_eq!(lincheck(&[], &[&other]).0, 0, "each by itself");
    }
}

#[test]
fn a_history_that_is_given_twice_is_refused() {
    let files = Files::new();
    let stored = [operation(Action::Stored(value(0)), 1, 10, 20)];
    let path = files.history("a.history", 0, &stored);
    assert_refused(&[&path, &path], &["a.history", "twice"]);
    assert_refused(&[&path, files.folder.path()], &["a.history", "twice"]);
    let copy = files.path("copy.history");
    fs::copy(&path, &copy).unwrap();
    assert_refused(&[&path, &copy], &["a.history", "copy.history"]);
    let link = files.path("link.history");
    symlink(&path, &link).unwrap();
    assert_refused(&[&path, &link], &["a.history", "link.history"]);
    let same = files.history_of("same.history", header("a", 0), &[]);
    assert_refused(&[&path, &same], &["a.history", "same.history"]);
    let thread = FileHeader { thread: 1, ..header("a", 0) };
    let other = files.history_of("thread.history", thread, &[]);
    assert_eq!(lincheck(&[], &[&path, &other]).0, 0, "another thread is another history");
}

#[test]
fn a_table_that_is_given_twice_is_refused() {
    let files = Files::new();
    let path = files.csv("c,x,get,,10,20\n");
    let link = files.path("link.csv");
    symlink(&path, &link).unwrap();
    assert_refused(&[&path, &path], &["history.csv", "twice"]);
    assert_refused(&[&path, &link], &["history.csv", "link.csv"]);
    let other = files.table("other.csv", "c,x,get,,10,20\n");
    assert_eq!(lincheck(&[], &[&path, &other]).1, "linearizable: 2 operations, 1 keys\n");
}

#[test]
fn two_puts_of_a_key_with_one_value_are_refused_with_their_lines() {
    let files = Files::new();
    let apart = files.csv("c,x,put,v,10,20\nc,x,put,w,30,40\nd,y,put,v,10,20\nc,x,put,v,50,\n");
    let twice = ["history.csv: line 5", "line 2", "'v'", "'x'", "distinct values"];
    assert_refused(&[&apart], &twice);
    // The get comes between them, and its answer has no order if the later put is not seen.
    let between = "c,x,put,v,10,20\nc,x,put,w,30,40\nd,x,get,v,60,70\nc,x,put,v,50,100\n";
    assert_refused(&[&files.csv(between)], &twice);
    assert_refused(&[&files.csv(&between.replace('\n', "\r\n"))], &twice);
    let first = files.table("a.csv", "c,x,put,v,10,20\n");
    let second = files.table("b.csv", "c,y,put,v,10,20\n\nc,x,put,v,30,40\n");
    assert_refused(&[&first, &second], &["b.csv: line 4", "line 2 of", "a.csv"]);
}

#[test]
fn puts_with_one_value_are_found_however_far_apart_they_are() {
    let files = Files::new();
    let mut rows = String::from("c,x,put,v,0,1\n");
    for number in 2..(1 << 20) + 10_u64 {
        rows += &format!("c,x,put,{number},{number}0,{number}1\n");
    }
    rows += "c,x,put,v,90000000,90000001\n";
    assert_refused(&[&files.csv(&rows)], &["line 1048587: ", "line 2 ", "distinct values"]);
}

#[test]
fn a_history_with_one_put_twice_is_refused() {
    let files = Files::new();
    let twice = [
        operation(Action::Stored(value(0)), 1, 10, 20),
        operation(Action::Stored(value(0)), 2, 30, 40),
    ];
    let path = files.history("a.history", 0, &twice);
    assert_refused(&[&path], &["a.history", "key 5", "twice"]);
}

#[test]
fn gets_that_were_not_answered_are_told_and_left_out() {
    let (status, text, errors) = of_csv("c,x,get,,10,\n");
    assert_eq!((status, text.as_str()), (0, "linearizable: 0 operations, 0 keys\n"));
    assert!(errors.contains("1 unanswered get left out\n"), "{errors}");
    assert!(errors.contains("warning: nothing was checked\n"), "{errors}");
    let (_, text, errors) = of_csv("c,x,get,,10,\nc,y,get,,10,\nc,x,get,,10,20\n");
    assert_eq!(text, "linearizable: 1 operations, 1 keys\n");
    assert_eq!(errors, "lincheck: 2 unanswered gets left out\n");
    let files = Files::new();
    let path = files.csv("c,x,get,,10,\nc,x,get,,10,20\n");
    let json: serde_json::Value = serde_json::from_str(&lincheck(&["--json"], &[&path]).1).unwrap();
    assert_eq!(json["unanswered_gets"], 1);
}

#[test]
fn a_quote_that_is_not_closed_or_that_text_follows_is_refused() {
    let first = "c,x,put,v,10,20\n";
    let at = HEADER.len() + first.len();
    for (rows, column, problem) in [
        ("c,x,get,\"v,30,40\n", 8, "is not closed"),
        ("c,x,get,\"v\n\n,30,40\n", 8, "is not closed"),
        ("c,x,get,\"v\"2,30,40\n", 11, "follows a closing quote"),
        ("\"c\" ,x,get,v,30,40\n", 3, "follows a closing quote"),
    ] {
        let files = Files::new();
        let path = files.csv(&format!("{first}{rows}"));
        let place = format!("line 3, offset {}: ", at + column);
        assert_refused(&[&path], &["history.csv: ", &place, problem]);
    }
    let well = "\"c\",\"x\",put,\"a \"\"b\"\",\n\",10,20\r\nc,x,get,\"a \"\"b\"\",\n\",30,40";
    assert_eq!(of_csv(well).1, "linearizable: 2 operations, 1 keys\n");
    let (status, _, errors) = of_csv(&format!("{first}c,x,del,v,1,2\nc,x,get,\"v\n"));
    assert_eq!(status, 2);
    assert!(errors.contains("line 3, ") && errors.contains("'del'"), "the first: {errors}");
}

#[test]
fn names_are_printed_without_their_control_bytes() {
    let (status, text, _) = of_csv("c\u{7},x\u{1b}[2J,get,it's\u{0},10,20\n");
    assert_eq!(status, 1);
    assert!(text.contains("key x\\u{1b}[2J\n"), "{text}");
    assert!(text.contains("'it's\\0'") && text.contains("client c\\u{7},"), "{text}");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
}
