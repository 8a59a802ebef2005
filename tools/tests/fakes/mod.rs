//! Programs that stand in for those that are started: a generator that measures nothing,
//! and a baseline that only answers that it is there.
#![allow(dead_code, reason = "each test program uses some of it")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use host::report::ClientReport;
use serde_json::Value;

/// A throughput that no other field has, to be found in the template.
const PLACE: f64 = 424_242.5;

/// Writes a script that runs.
pub(crate) fn script(folder: &Path, name: &str, lines: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A generator whose throughput `$ops_per_s` is what `lines` make of `$batch`,
/// `$connections`, `$rate`, `$target` and all its arguments; `calls` in the folder has a line
/// of them for each call.
pub(crate) fn generator(folder: &Path, lines: &str) -> PathBuf {
    let report = ClientReport { ops: 1000, ops_per_s: PLACE, ..ClientReport::default() };
    fs::write(folder.join("template"), serde_json::to_string(&report).unwrap()).unwrap();
    let shown = folder.display();
    let body = format!(
        r#"echo "$*" >>"{shown}/calls"
all="$*" batch=0 connections=0 rate=0 target='' ops_per_s=1000
while [ $# -gt 0 ]; do
    case $1 in
    --batch) batch=$2 ;;
    --connections) connections=$2 ;;
    --rate) rate=$2 ;;
    --target) target=$2 ;;
    --json) json=$2 ;;
    esac
    shift
done
{lines}
sed "s/{PLACE}/$ops_per_s/" "{shown}/template" >"$json""#
    );
    script(folder, "gen", &body)
}

/// The arguments of each call of [`generator`].
pub(crate) fn calls(folder: &Path) -> Vec<String> {
    let calls = fs::read_to_string(folder.join("calls")).unwrap();
    calls.lines().map(str::to_owned).collect()
}

/// Tells the test program that it is a baseline, and with which arguments.
const BASELINE: &str = "TOOLS_TEST_BASELINE";

/// A memcached that answers that it is there: `test`, which calls [`be_a_baseline`], in a process
/// of its own.
pub(crate) fn memcached(folder: &Path, test: &str) -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let body = format!(
        r#"[ "$1" != --version ] || {{ echo 'fake 1.0'; exit; }}
{BASELINE}="$*" exec '{}' {test} --exact --nocapture"#,
        program.display()
    );
    script(folder, "memcached", &body)
}

/// Answers for as long as it lives, if this process is [`memcached`].
pub(crate) fn be_a_baseline() {
    let Ok(arguments) = std::env::var(BASELINE) else { return };
    let mut arguments = arguments.split(' ').skip_while(|argument| *argument != "-p");
    let port: u16 = arguments.nth(1).unwrap().parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let _ = stream.read(&mut [0; 64]);
        let _ = stream.write_all(b"VERSION 1.0\r\n");
    }
}

/// Runs a program with `folder` before the system's programs on its search path.
pub(crate) fn run(program: &str, folder: &Path, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .output()
        .unwrap()
}

/// A JSON file.
pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// What a program printed on both outputs.
pub(crate) fn printed(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    texts.concat()
}
