//! Commands line by line: from stdin, and at a prompt on a pseudo-terminal.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use rexpect::session::{PtySession, spawn_command};
use testkit::DEADLINE;

use crate::running::{KVCTL, kvctl, kvctl_with, server};

#[test]
fn commands_of_stdin_are_answered_line_by_line() {
    let (_server, at) = server(&[]);
    let script = b"# a comment\n\nput a 'x y'\nget a\nput \"b\\x00\" \\xff\\n\n  get --json \"b\\x00\"\nhelp\nexit\nget none\n";
    let ended = kvctl_with(&[&at], script);
    ended.assert_quiet(0);
    let lines: Vec<&str> = ended.text().lines().collect();
    assert_eq!(lines[0], "x y");
    assert!(
        lines[1].contains(r#""key":"b\u0000""#) && lines[1].contains(r#""value_base64":"/wo=""#)
    );
    assert!(lines[2].trim_start().starts_with("get "), "{lines:?}");
}

#[test]
fn the_worst_status_of_the_commands_is_the_status_of_all() {
    let (_server, at) = server(&[]);
    let ended = kvctl_with(&[&at], b"get none\nput a b\nget a");
    ended.assert_says(1, "kvctl: command 1: the key 'none' is not found");
    assert_eq!(ended.text(), "b\n");
    let ended = kvctl_with(&[&at], b"get none\nno-command\nput 'a\nput a\nget a\n");
    ended.assert_says(2, "command 2: error: unrecognized subcommand 'no-command' (see 'help')");
    ended.assert_says(2, "command 3: error: a quote is not closed");
    ended.assert_says(2, "command 4: error: stdin has commands");
    assert_eq!(ended.text(), "b\n");
    kvctl(&[&at]).assert_quiet(0);
}

/// A prompt whose history is below this folder.
fn prompt(at: &str, state: &Path) -> PtySession {
    let mut command = Command::new(KVCTL);
    command.arg(at).env("XDG_STATE_HOME", state).env("TERM", "xterm").env_remove("KV_SERVERS");
    let mut session = spawn_command(command, Some(DEADLINE.as_millis() as u64)).unwrap();
    session.exp_string("> ").unwrap();
    session
}

/// Sends a line, and waits until its answer is there and the next prompt.
fn ask(session: &mut PtySession, line: &str, answer: &str) {
    session.send_line(line).unwrap();
    session.exp_string(answer).unwrap_or_else(|error| panic!("{line}: {error}"));
    session.exp_string("> ").unwrap();
}

fn assert_ends(mut session: PtySession) {
    session.exp_eof().unwrap();
    let status = session.process().wait().unwrap();
    assert!(format!("{status:?}").contains(", 0)"), "{status:?}");
}

#[test]
fn the_prompt_has_a_history_that_lasts() {
    let (_server, at) = server(&[]);
    let folder = tempfile::tempdir().unwrap();
    let mut first = prompt(&at, folder.path());
    ask(&mut first, "put greeting 'hello, world'", "stored 'greeting', version 1");
    ask(&mut first, "get greeting", "\nhello, world\r\n");
    ask(&mut first, "get nothing", "not found");
    ask(&mut first, "put e \\x1b[2J", "stored");
    // What is stored does not take over the terminal.
    ask(&mut first, "get e", "\n\\x1b[2J\r\n");
    first.send_control('d').unwrap();
    assert_ends(first);

    let history = folder.path().join("kvctl").join("history");
    assert!(std::fs::read_to_string(history).unwrap().contains("put greeting 'hello, world'"));
    let mut second = prompt(&at, folder.path());
    // The line before the last three.
    for _ in 0..4 {
        second.send("\x1b[A").unwrap();
    }
    ask(&mut second, "", "hello, world");
    second.send_line("exit").unwrap();
    assert_ends(second);
}

#[test]
fn ctrl_c_cancels_a_line_or_a_command_and_ctrl_d_ends() {
    let (_server, at) = server(&[]);
    let folder = tempfile::tempdir().unwrap();
    let mut session = prompt(&at, folder.path());
    session.send("put a never").unwrap();
    session.flush().unwrap();
    session.exp_string("never").unwrap();
    session.send_control('c').unwrap();
    session.exp_string("> ").unwrap();
    ask(&mut session, "get a", "not found");
    for _ in 0..2 {
        session.send_line("ping --count 0").unwrap();
        session.exp_string(": 1 ").unwrap();
        session.send_control('c').unwrap();
        session.exp_string("p99").unwrap();
        session.exp_string("> ").unwrap();
    }
    ask(&mut session, "put a now", "stored");
    session.send_control('d').unwrap();
    assert_ends(session);
}

#[test]
fn ctrl_c_ends_a_get_of_many_keys_behind_a_batch() {
    let (_server, at) = server(&[]);
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("keys");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut session = prompt(&at, folder.path());
    session.send_line(&format!("get --keys {}", pipe.display())).unwrap();
    let mut pipe = File::options().write(true).open(&pipe).unwrap();
    let batch = |from: u32| (from..from + 1000).map(|key| format!("{key}\n")).collect::<String>();
    pipe.write_all(batch(0).as_bytes()).unwrap();
    session.exp_string("the key '999' is not found").unwrap();
    session.send_control('c').unwrap();
    let mut batches = (1..).map(|number| batch(1000 * number));
    while pipe.write_all(batches.next().unwrap().as_bytes()).is_ok() {}
    session.exp_string("interrupted: from the key '").unwrap();
    session.exp_string("> ").unwrap();
    session.send_control('d').unwrap();
    assert_ends(session);
}

#[test]
fn a_history_that_cannot_be_written_is_told_of_once_and_ends_nothing() {
    let (_server, at) = server(&[]);
    let mut session = prompt(&at, Path::new("/dev/null"));
    ask(&mut session, "put a b", "lines are not kept in /dev/null/kvctl/history");
    session.send_line("get a").unwrap();
    let before = session.exp_string("\nb\r\n").unwrap();
    assert!(!before.contains("not kept"), "{before}");
    session.send_control('d').unwrap();
    assert_ends(session);
}

#[test]
fn words_are_completed() {
    let (_server, at) = server(&[]);
    let folder = tempfile::tempdir().unwrap();
    let mut session = prompt(&at, folder.path());
    session.send("pu\t").unwrap();
    session.flush().unwrap();
    session.exp_string("put ").unwrap();
    ask(&mut session, "a b", "stored");
    session.send_control('d').unwrap();
    assert_ends(session);
}

#[test]
fn on_a_terminal_a_newline_follows_a_value_and_a_watch_draws_over_itself() {
    let (_server, at) = server(&[]);
    kvctl(&[&at, "put", "a", "b"]).assert_quiet(0);
    let on_terminal = |arguments: &[&str]| {
        let mut command = Command::new(KVCTL);
        command.arg(&at).args(arguments).env("TERM", "xterm");
        spawn_command(command, Some(DEADLINE.as_millis() as u64)).unwrap()
    };
    assert_eq!(on_terminal(&["get", "a"]).exp_eof().unwrap(), "b\r\n");
    let drawn = on_terminal(&["stats", "--watch=10ms", "--count=2"]).exp_eof().unwrap();
    assert_eq!(drawn.matches("get/s").count(), 2, "{drawn}");
    assert_eq!(drawn.matches("\x1b[J").count(), 1, "{drawn}");
}
