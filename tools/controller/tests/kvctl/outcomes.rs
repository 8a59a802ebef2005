//! What `kvctl` says where no answer comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proto::wire::Kind;
use testkit::process::Signal;
use testkit::relay::{Direction, Network, Passage, Relay};

use crate::running::{Talk, kvctl, kvctl_with, server, wait_until};

/// Where a datagram has its kind.
const KIND_AT: usize = 7;

/// A network that loses answers, and nothing else, while it is told to.
struct Deaf {
    is_deaf: Arc<AtomicBool>,
}

impl Network for Deaf {
    fn carry(&mut self, _now: std::time::Instant, passage: Passage, leaves: &mut Vec<Passage>) {
        let is_answer = passage.direction == Direction::ToClient
            && passage.bytes.get(KIND_AT) == Some(&(Kind::Reply as u8));
        if !(is_answer && self.is_deaf.load(Ordering::Relaxed)) {
            leaves.push(passage);
        }
    }
}

#[test]
fn a_put_without_an_answer_is_status_3_and_may_have_happened() {
    let (server, at) = server(&[]);
    let relay = Relay::start(&[server.address], Deaf { is_deaf: Arc::new(true.into()) });
    let deaf = ["--servers", &relay.list(), "--timeout", "300ms"];
    let put = kvctl(&[&deaf[..], &["put", "a", "b"]].concat());
    put.assert_says(3, "indeterminate");
    let put = kvctl(&[&deaf[..], &["--json", "put", "a", "b"]].concat());
    put.assert_says(3, "indeterminate");
    assert_eq!(put.text(), "");
    assert_eq!(kvctl(&[&at, "get", "a"]).text(), "b", "it has happened");

    let got = kvctl(&[&deaf[..], &["get", "a"]].concat());
    got.assert_says(2, "not answered");
}

#[test]
fn a_server_that_stops_makes_a_put_indeterminate_and_a_get_unanswered() {
    let (server, at) = server(&[]);
    let mut talk = Talk::start(&[&at, "--timeout=500ms", "--json"]);
    talk.say("put a 1");
    assert!(talk.hear().contains("\"stored\":true"));
    server.process.signal(Signal::STOP);
    let stat = format!("/proc/{}/stat", server.process.pid());
    wait_until(|| std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T ")));
    talk.say("get a");
    let heard = [talk.hear(), talk.hear()].concat();
    assert!(heard.contains("command 2: error: the key 'a': not answered"), "{heard}");
    talk.say("put a 2");
    let heard = talk.hear();
    assert!(heard.contains("command 3: error: indeterminate"), "{heard}");
    server.process.signal(Signal::CONT);
    let is_found = |talk: &mut Talk| {
        talk.say("get a");
        talk.hear_one(|line| line.starts_with('{')).contains("\"found\":true")
    };
    assert!((0..100).any(|_| is_found(&mut talk)), "it goes on");
    let (status, left) = talk.end();
    assert_eq!(status, Some(3), "the worst of all: {left:?}");
}

#[test]
fn records_of_unknown_outcome_are_counted_and_named() {
    let (server, at) = server(&[]);
    let relay = Relay::start(&[server.address], Deaf { is_deaf: Arc::new(true.into()) });
    let deaf = ["--servers", &relay.list(), "--timeout", "300ms", "load", "--format", "tsv", "-"];
    let loaded = kvctl_with(&deaf, b"a\t1\nb\t2\n");
    loaded.assert_says(3, "line 1: the key 'a': indeterminate");
    loaded.assert_says(3, "line 2: the key 'b': indeterminate");
    loaded.assert_says(3, "0 records are stored, 0 are not, 2 may be; all before line 1 are");
    assert!(loaded.text().starts_with("loaded 0 records"), "{loaded:?}");

    // The first write of the key could overtake the second.
    let json = [&["--json"][..], &deaf, &["--continue"]].concat();
    let loaded = kvctl_with(&json, b"c\t1\nd\t1\nc\t2\n");
    loaded.assert_says(3, "line 3: the key 'c': an earlier write of this key is indeterminate");
    let told: serde_json::Value = serde_json::from_str(loaded.text()).unwrap();
    assert_eq!(
        [&told["loaded"], &told["not_loaded"], &told["indeterminate"], &told["from_line"]],
        [0, 1, 2, 1]
    );
    assert_eq!(told["failures"][0]["key"], "c");
    assert_eq!(told["failures"][0]["indeterminate"], true);
    assert_eq!(told["failures"][2]["line"], 3);
    assert_eq!(kvctl(&[&at, "get", "c"]).text(), "1");
}

#[test]
fn a_ping_without_an_answer_is_counted_and_status_2() {
    let (server, _) = server(&[]);
    let is_deaf = Arc::new(AtomicBool::new(false));
    let relay = Relay::start(&[server.address], Deaf { is_deaf: is_deaf.clone() });
    let list = relay.list();
    let mut talk = Talk::start(&["--timeout=200ms", "--servers", &list, "ping", "-c0", "-i1ms"]);
    talk.hear_one(|line| line.ends_with(" µs"));
    is_deaf.store(true, Ordering::Relaxed);
    talk.hear_one(|line| line.contains("error: "));
    talk.signal(Signal::INT);
    let (status, left) = talk.end();
    assert_eq!(status, Some(2), "{left:?}");
    // Lines of stderr may come in between, and behind it.
    let figures = left.iter().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let figures = figures.rev().find(|figures| figures.first() == Some(&list.as_str())).unwrap();
    let [sent, answered] = [1, 2].map(|at| figures[at].parse::<u64>().unwrap());
    assert!(figures[0] == list && sent > answered && answered >= 1, "{left:?}");
}
