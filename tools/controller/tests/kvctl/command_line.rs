//! What `kvctl` prints for a command, and how it ends.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use serde_json::{Value, json};
use testkit::process::Signal;
use testkit::server::free_port;

use crate::running::{command, finish, kvctl, kvctl_with, server};

/// Every byte.
fn all_bytes() -> Vec<u8> {
    (0..=255).collect()
}

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[test]
fn what_is_put_is_got() {
    let (_server, at) = server(&[]);
    kvctl(&[&at, "put", "greeting", "hello, world"]).assert_quiet(0);
    let got = kvctl(&[&at, "get", "greeting"]);
    got.assert_quiet(0);
    assert_eq!(got.text(), "hello, world");
}

#[test]
fn a_key_that_is_not_there_is_status_1() {
    let (_server, at) = server(&[]);
    let got = kvctl(&[&at, "get", "nothing"]);
    got.assert_says(1, "the key 'nothing' is not found");
    assert_eq!(got.text(), "");
}

#[test]
fn wrong_usage_is_status_2_and_says_what_is_wrong() {
    let port = free_port();
    let at = format!("--servers=127.0.0.1:{port}");
    let long = "k".repeat(513);
    for (arguments, reason) in [
        (&["gte", "a"][..], "unrecognized subcommand 'gte'"),
        (&["get"], "<KEY>"),
        (&["get", ""], "a key is empty"),
        (&["get", &long], "has 513 bytes: at most 512"),
        (&["get", "--hex", "0"], "pairs of hexadecimal digits"),
        (&["get", "-e", r"\q"], "no escape"),
        (&["put", "a", "b", "c"], "unexpected argument 'c'"),
        (&["put", "a", "--file", "/no/file"], "cannot open /no/file"),
        (&["put", "--key-file", "-"], "both be what stdin holds"),
        (&["--timeout", "5", "get", "a"], "such as 500ms"),
        (&["stats", "--watch", "5"], "'5'"),
        (&["load", "/no/file"], "cannot open /no/file"),
        (&["completions", "cmd"], "'cmd'"),
    ] {
        let ended = kvctl(&[&[at.as_str()], arguments].concat());
        ended.assert_says(2, reason);
        assert!(ended.stderr.starts_with("kvctl: error: "), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
}

#[test]
fn no_server_is_status_2() {
    let port = free_port();
    let at = format!("--servers=127.0.0.1:{port}");
    for arguments in [&["get", "a"][..], &["put", "a", "b"], &["stats"], &["ping"]] {
        let wait = ["--connect-timeout", "300ms"];
        let ended = kvctl(&[&[at.as_str()], &wait[..], arguments].concat());
        ended.assert_says(2, &format!("no answer from 127.0.0.1:{port}"));
    }
    kvctl(&["--servers", "no.such.host.invalid:1", "get", "a"]).assert_says(2, "cannot look up");
    kvctl(&["--servers", "127.0.0.1", "get", "a"]).assert_says(2, "is no HOST:PORT");
}

#[test]
fn a_write_that_is_refused_is_status_2() {
    let (_server, at) = server(&["--memory", "1k"]);
    let put = |key: &str| kvctl(&[&at, "put", key, &"v".repeat(500)]);
    let refused = ["a", "b", "c", "d"].map(put).into_iter().find(|put| put.status != Some(0));
    refused.expect("1 KiB is full").assert_says(2, "memory is full");
    kvctl_with(&[&at, "put", "a"], &[b'v'; 2000]).assert_says(2, "1424 bytes");
    kvctl_with(&[&at, "put", "a"], &[b'v'; (1 << 20) + 1]).assert_says(2, "more than 1048576");
}

#[test]
fn every_byte_comes_back_in_keys_and_values() {
    let (_server, at) = server(&[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bytes");
    std::fs::write(&file, all_bytes()).unwrap();
    let file = file.to_str().unwrap();

    kvctl_with(&[&at, "put", "by stdin"], &all_bytes()).assert_quiet(0);
    kvctl_with(&[&at, "put", "by hyphen", "-"], &all_bytes()).assert_quiet(0);
    kvctl(&[&at, "put", "by file", "--file", file]).assert_quiet(0);
    let hex: String = all_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    kvctl(&[&at, "put", "--hex", "00", &hex]).assert_quiet(0);
    let escapes: String = all_bytes().iter().map(|byte| format!(r"\x{byte:02x}")).collect();
    kvctl(&[&at, "put", "--escapes", r"\x01", &escapes]).assert_quiet(0);
    for get in [&["by stdin"][..], &["by hyphen"], &["by file"], &["--hex", "00"], &["-e", r"\x01"]]
    {
        let got = kvctl(&[&[at.as_str(), "get"], get].concat());
        got.assert_quiet(0);
        assert_eq!(got.stdout, all_bytes(), "{get:?}");
    }

    kvctl(&[&at, "put", "--key-file", file, "of a long key"]).assert_quiet(0);
    assert_eq!(kvctl(&[&at, "get", "--key-file", file]).text(), "of a long key");
    assert_eq!(kvctl_with(&[&at, "get", "--key-file=-"], &all_bytes()).text(), "of a long key");
    // An argument has every byte but zero.
    let [at, put] = [at.as_str(), "put"].map(OsStr::new);
    let bytes = all_bytes();
    kvctl(&[at, put, OsStr::from_bytes(&bytes[128..]), OsStr::from_bytes(&bytes[1..])])
        .assert_quiet(0);
    let got = kvctl(&[at, OsStr::new("get"), OsStr::from_bytes(&bytes[128..])]);
    assert_eq!(got.stdout, bytes[1..]);
}

#[test]
fn a_value_is_taken_and_printed_to_the_byte() {
    let (_server, at) = server(&[]);
    for value in [&b""[..], b"\n", b"no newline", b"two\n\n", b"\0"] {
        kvctl_with(&[&at, "put", "key"], value).assert_quiet(0);
        let got = kvctl(&[&at, "get", "key"]);
        got.assert_quiet(0);
        assert_eq!(got.stdout, value);
    }
    kvctl(&[&at, "put", "key", ""]).assert_quiet(0);
    assert_eq!(kvctl(&[&at, "get", "key"]).text(), "");
    kvctl(&[&at, "put", "--", "-k", "--json"]).assert_quiet(0);
    assert_eq!(kvctl(&[&at, "get", "--", "-k"]).text(), "--json");
}

#[test]
fn several_keys_are_lines_that_load_takes() {
    let (_server, at) = server(&[]);
    kvctl_with(&[&at, "put", "a"], b"x\ty\\\n\xff").assert_quiet(0);
    kvctl(&[&at, "put", "b", "2"]).assert_quiet(0);
    let got = kvctl(&[&at, "get", "a", "none", "b"]);
    got.assert_says(1, "the key 'none' is not found");
    assert_eq!(got.text(), "a\tx\\ty\\\\\\n\\xff\nb\t2\n");

    let (_other, other_at) = server(&[]);
    let loaded = kvctl_with(&[&other_at, "load", "--format=tsv", "-"], &got.stdout);
    loaded.assert_quiet(0);
    let by_file = kvctl_with(&[&other_at, "get", "--keys", "-"], b"a\nb\n");
    by_file.assert_quiet(0);
    assert_eq!(by_file.stdout, got.stdout);
    let wrong = kvctl_with(&[&other_at, "get", "--keys", "-"], b"a\n\\q\nb\n");
    wrong.assert_says(2, "stdin: line 2: \\q is no escape");
    assert!(wrong.text().starts_with("a\t"), "what is good is printed: {wrong:?}");
}

#[test]
fn json_tells_bytes_that_are_no_text_in_base64() {
    let (_server, at) = server(&[]);
    let put = kvctl(&[&at, "put", "--json", "key", "välue"]);
    put.assert_quiet(0);
    let put = &json(put.text())[0];
    assert_eq!((&put["key"], &put["stored"]), (&json!("key"), &json!(true)));
    kvctl_with(&[&at, "put", "--hex", "ff"], b"\x00\xff").assert_quiet(0);

    let got = kvctl(&[&at, "--json", "get", "--hex", "6b6579", "ff", "00"]);
    got.assert_says(1, "");
    let got = json(got.text());
    assert_eq!(got[0]["value"], "välue");
    assert_eq!(got[0]["version"], put["version"]);
    assert_eq!((&got[1]["key_base64"], &got[1]["value_base64"]), (&json!("/w=="), &json!("AP8=")));
    assert_eq!(got[2], json!({ "key": "\0", "found": false }));
}

#[test]
fn servers_are_those_of_the_flag_or_else_of_the_environment() {
    let (server, at) = server(&[]);
    let named = format!("localhost:{}", server.address.port());
    let by_environment = |servers: &str, arguments: &[&str]| {
        let mut command = command(arguments);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        finish(command.env("KV_SERVERS", servers), b"")
    };
    by_environment(&named, &["put", "a", "b"]).assert_quiet(0);
    assert_eq!(by_environment(&named, &["get", "a"]).text(), "b");
    by_environment("nowhere", &[&at, "put", "a", "c"]).assert_quiet(0);
    assert_eq!(kvctl(&[&at, "get", "a"]).text(), "c");
    by_environment("nowhere", &["get", "a"]).assert_says(2, "'nowhere' is no HOST:PORT");
    by_environment(&format!("{named},{named}"), &["get", "a"])
        .assert_says(2, "KV_SERVERS: cannot connect: 127.0.0.1");
    kvctl(&["--servers", "", "get", "a"]).assert_says(2, "'' is no HOST:PORT");
}

#[test]
fn keys_of_several_servers_and_workers_are_found() {
    let servers = [server(&["--cores", "2"]), server(&["--cores", "2"])];
    let at = format!("--servers={},{}", servers[0].0.address, servers[1].0.address);
    let keys: Vec<String> = (0..100).map(|key| key.to_string()).collect();
    let lines: String = keys.iter().map(|key| format!("{key}\tvalue of {key}\n")).collect();
    kvctl_with(&[&at, "load", "-f", "tsv", "-"], lines.as_bytes()).assert_quiet(0);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let got = kvctl(&[&[at.as_str(), "get"], &keys[..]].concat());
    got.assert_quiet(0);
    assert_eq!(got.text(), lines);

    let totals = servers.map(|(server, _)| server.end(Signal::TERM));
    assert!(totals.iter().all(|totals| totals.of("puts") > 0), "{totals:?}");
    assert_eq!(totals.iter().map(|totals| totals.of("puts")).sum::<u64>(), 100);
}

#[test]
fn the_help_names_each_command_and_each_exit_status() {
    let help = kvctl(&["--help"]);
    help.assert_quiet(0);
    for word in ["get", "put", "stats", "ping", "load", "completions", "--servers", "KV_SERVERS"] {
        assert!(help.text().contains(word), "{word} is not in the help");
    }
    for status in ["0    done", "1    not found", "2    wrong", "3    indeterminate", "130"] {
        assert!(help.text().contains(status), "{status} is not in the help");
    }
    assert!(kvctl(&["load", "--help"]).text().contains("key_base64"));
    kvctl(&["--version"]).assert_quiet(0);
}

#[test]
fn completions_are_scripts_that_their_shells_read() {
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let script = kvctl(&["completions", shell]);
        script.assert_quiet(0);
        assert!(script.text().contains("load"), "{shell}");
        let mut command = std::process::Command::new(shell);
        command.arg(check).arg("/dev/stdin").stdin(std::process::Stdio::piped());
        if command.output().is_ok() {
            assert_eq!(finish(&mut command, &script.stdout).status, Some(0), "{shell}");
        }
    }
}
