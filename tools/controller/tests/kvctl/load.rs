//! `load` with real servers.

use std::fs;
use std::path::Path;

use testkit::process::Signal;
use testkit::server::free_port;

use crate::running::{Ended, Talk, kvctl, kvctl_with, server, wait_until};

fn load(at: &str, file: &Path, flags: &[&str]) -> Ended {
    kvctl(&[&[at, "load", file.to_str().unwrap()], flags].concat())
}

#[test]
fn each_format_loads_the_same_records() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        (
            "a.jsonl",
            &b"{\"key\":\"a\",\"value\":\"1\\n\"}\n{\"key_base64\":\"/w==\",\"value\":\"\"}"[..],
        ),
        ("a.tsv", b"a\t1\\n\n\\xff\t\n"),
        ("a.csv", b"value,key\r\n\"1\n\",a\r\n,\xff\r\n"),
    ];
    for (name, text) in files {
        let (_server, at) = server(&[]);
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        let loaded = load(&at, &file, &[]);
        loaded.assert_quiet(0);
        assert!(loaded.text().starts_with("loaded 2 records, "), "{name}: {loaded:?}");
        let got = kvctl(&[&at, "get", "--hex", "61", "ff"]);
        got.assert_quiet(0);
        assert_eq!(got.text(), "a\t1\\n\n\\xff\t\n", "{name}");
    }
}

#[test]
fn many_records_are_loaded_and_of_equal_keys_the_last_stays() {
    let (server, at) = server(&[]);
    let line = |number: u64| format!("{}\tvalue {number}\n", number % 4000);
    let lines: String = (0..10_000).map(line).collect();
    let loaded = kvctl_with(&[&at, "--json", "load", "--format", "tsv", "-"], lines.as_bytes());
    loaded.assert_quiet(0);
    let told: serde_json::Value = serde_json::from_str(loaded.text()).unwrap();
    assert_eq!((&told["loaded"], &told["from_line"]), (&10_000.into(), &serde_json::Value::Null));
    for key in [0, 1999, 2000, 3999] {
        let last = if key < 2000 { key + 8000 } else { key + 4000 };
        let got = kvctl(&[&at, "get", &key.to_string()]);
        assert_eq!(got.text(), format!("value {last}"));
    }
    assert_eq!(server.end(Signal::TERM).of("records"), 4000);
}

#[test]
fn it_stops_at_a_malformed_line_and_goes_on_from_there_when_told() {
    let (_server, at) = server(&[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("records.tsv");
    fs::write(&file, "a\t1\nb\t1\nmalformed\nc\t1\n").unwrap();
    let loaded = load(&at, &file, &[]);
    loaded.assert_says(2, "kvctl: error: line 3: there is no tab");
    loaded.assert_says(2, "2 records are stored, 1 are not, 0 may be; all before line 3 are");
    loaded.assert_says(2, "--from-line 3");
    assert_eq!(kvctl(&[&at, "get", "b"]).text(), "1");
    assert_eq!(kvctl(&[&at, "get", "c"]).status, Some(1));

    kvctl(&[&at, "put", "a", "newer"]).assert_quiet(0);
    load(&at, &file, &["--from-line", "4"]).assert_quiet(0);
    assert_eq!(kvctl(&[&at, "get", "c"]).text(), "1");
    assert_eq!(kvctl(&[&at, "get", "a"]).text(), "newer", "it was passed over");

    let loaded = load(&at, &file, &["--continue"]);
    loaded.assert_says(2, "line 3: there is no tab");
    assert!(loaded.text().starts_with("loaded 3 records"), "{loaded:?}");
}

#[test]
fn values_that_no_datagram_carries_are_named() {
    let (_server, at) = server(&[]);
    let records = format!("a\t1\nb\t{}\nc\t1\n", "v".repeat(2000));
    let loaded = kvctl_with(&[&at, "load", "--continue", "-f", "tsv", "-"], records.as_bytes());
    loaded.assert_says(2, "line 2: the key 'b': the value has 2000 bytes: at most 1424");
    assert!(loaded.text().starts_with("loaded 2 records"), "{loaded:?}");
}

#[test]
fn a_full_server_ends_a_load_and_its_line_is_named() {
    let (_server, at) = server(&["--memory", "4k"]);
    let records: String = (0..100).map(|key| format!("{key}\t{}\n", "v".repeat(100))).collect();
    let loaded = kvctl_with(&[&at, "load", "--format=tsv", "-"], records.as_bytes());
    loaded.assert_says(2, "memory is full");
    loaded.assert_says(2, "go on with --from-line ");
}

#[test]
fn a_check_asks_no_server() {
    let at = format!("--servers=127.0.0.1:{}", free_port());
    let checked = kvctl_with(&[&at, "load", "--check", "-f=csv", "-"], b"key,value\na,1\nb,\n");
    checked.assert_quiet(0);
    assert_eq!(checked.text(), "2 records are sound\n");
    let checked = kvctl_with(&[&at, "load", "--check", "-"], b"{}\n");
    checked.assert_says(2, "line 1: there is no key");
    kvctl_with(&[&at, "load", "-f", "csv", "-"], b"a,b\n").assert_says(2, "no header");
    let wait = "--connect-timeout=200ms";
    let loaded = kvctl_with(&[&at, wait, "load", "-f", "tsv", "-"], b"\na\t1\n");
    loaded.assert_says(2, "no answer from 127.0.0.1");
    loaded.assert_says(2, "0 records are stored, 1 are not, 0 may be; all before line 2 are");
}

#[test]
fn an_interrupt_ends_a_load_with_what_is_stored() {
    let (_server, at) = server(&[]);
    let mut talk = Talk::start(&[&at, "load", "--format=tsv", "-"]);
    // The second write of a key is begun when the first is answered.
    for value in ["1", "2"] {
        talk.say(&format!("a\t{value}"));
    }
    wait_until(|| kvctl(&[&at, "get", "a"]).text() == "1");
    talk.signal(Signal::INT);
    let heard = [talk.hear(), talk.hear()].concat();
    assert!(heard.contains("go on with --from-line 3"), "{heard}");
    assert_eq!(talk.end().0, Some(130));
    assert_eq!(kvctl(&[&at, "get", "a"]).text(), "2");
}
