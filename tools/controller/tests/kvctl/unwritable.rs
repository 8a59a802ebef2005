//! Answers that cannot be written end nothing in a panic.

use std::fs::OpenOptions;
use std::io;
use std::process::Stdio;

use crate::running::{Ended, command, finish, server};

fn into(stdout: impl Into<Stdio>, arguments: &[&str]) -> Ended {
    finish(command(arguments).stdout(stdout).stderr(Stdio::piped()), b"")
}

fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

fn closed() -> Stdio {
    io::pipe().unwrap().1.into()
}

#[test]
fn a_full_disk_is_status_2_and_told() {
    let (_server, at) = server(&[]);
    into(full(), &[&at, "put", "a", "b"]).assert_quiet(0);
    for arguments in [
        &["get", "a"][..],
        &["get", "a", "a"],
        &["--json", "get", "a"],
        &["--json", "put", "a", "b"],
        &["stats"],
        &["stats", "--watch=1ms"],
        &["ping"],
        &["completions", "bash"],
    ] {
        let ended = into(full(), &[&[at.as_str()], arguments].concat());
        ended.assert_says(2, "cannot write to stdout: No space left on device");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
}

#[test]
fn a_reader_that_is_gone_ends_it_quietly() {
    let (_server, at) = server(&[]);
    into(Stdio::null(), &[&at, "put", "a", "b"]).assert_quiet(0);
    for arguments in [
        &["get", "a"][..],
        &["--json", "get", "a"],
        &["stats"],
        &["stats", "--watch=1ms"],
        &["stats", "--watch=1ms", "--json"],
        &["ping", "--count=0", "--interval=1ms"],
        &["completions", "zsh"],
    ] {
        into(closed(), &[&[at.as_str()], arguments].concat()).assert_quiet(0);
    }
}

#[test]
fn messages_that_cannot_be_written_change_no_status() {
    let (_server, at) = server(&[]);
    for stderr in [full(), closed()] {
        let mut command = command(&[&at, "get", "nothing"]);
        let ended = finish(command.stdout(Stdio::piped()).stderr(stderr), b"");
        assert_eq!(ended.status, Some(1), "{ended:?}");
    }
}

#[test]
fn commands_of_stdin_end_where_nobody_reads_their_answers() {
    let (_server, at) = server(&[]);
    let mut command = command(&[&at]);
    command.stdin(Stdio::piped()).stdout(closed()).stderr(Stdio::piped());
    finish(&mut command, b"put a b\nget nothing\nget a\nget a\n").assert_says(1, "'nothing'");
}
