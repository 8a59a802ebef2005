//! `compare` from outside.

mod fakes;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use fakes::{be_a_baseline, calls, generator, json, memcached, printed, run};
use serde_json::Value;
use testkit::process::{Process, Signal, beside};

const COMPARE: &str = env!("CARGO_BIN_EXE_compare");
const DEADLINE: Duration = Duration::from_secs(120);

/// Flags that make it short.
const SHORT: [&str; 8] =
    ["--rounds", "2", "--secs", "0.2", "--warmup", "0.05", "--records", "1000"];

fn candidate<'a>(comparison: &'a Value, name: &str) -> &'a Value {
    let candidates = comparison["candidates"].as_array().unwrap();
    candidates.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name}"))
}

/// Not a test of anything: see [`fakes::memcached`].
#[test]
fn a_baseline_stands_in() {
    be_a_baseline();
}

#[test]
fn our_tables_and_the_echo_are_measured_in_every_round() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let (kv, generator) = (beside(COMPARE, "kv"), beside(COMPARE, "gen"));
    let output = Command::new(COMPARE)
        .args(SHORT)
        .args(["--only", "kv-null,kv-bucket,kv-bucket-async,echo", "--latency-rounds", "1"])
        .arg("--out")
        .arg(&out)
        .arg("--kv")
        .arg(kv)
        .arg("--gen")
        .arg(generator)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));

    let comparison = json(&out.join("compare.json"));
    for name in ["kv-null", "kv-bucket", "kv-bucket-async"] {
        let row = candidate(&comparison, name);
        assert_eq!(row["state"], "measured", "{row}");
        assert_eq!(row["rounds"].as_array().unwrap().len(), 2, "{row}");
        assert_eq!(row["at_load"].as_array().unwrap().len(), 2, "{row}");
        assert!(row["median_ops_per_s"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["loaded_bytes"].as_u64().unwrap() > 0, "{row}");
        assert_eq!(row["ratio_to_best_peer"], Value::Null, "{row}");
    }
    assert_eq!(candidate(&comparison, "kv-null")["ratio_to_null"], 1.0);
    assert_eq!(candidate(&comparison, "kv-bucket")["order"], "strict");
    assert_eq!(candidate(&comparison, "kv-bucket-async")["order"], "async");
    let not_found = &candidate(&comparison, "kv-bucket")["rounds"][0]["not_found"];
    assert_eq!(not_found, 0, "the records were not loaded");
    assert_eq!(comparison["echo"]["rounds"].as_array().unwrap().len(), 2);
    assert!(comparison["echo"]["ratio_p50"].as_f64().unwrap() > 0.0);
    assert!(comparison["run"]["machine"]["cores"].as_u64().unwrap() > 0);

    let (text, markdown) = (printed(&output), fs::read_to_string(out.join("compare.md")).unwrap());
    for shown in ["kv-null", "kv-bucket-async", "echo of 64 bytes", "one GET"] {
        assert!(text.contains(shown) && markdown.contains(shown), "{shown}: {text}\n{markdown}");
    }
    let plot = fs::read_to_string(out.join("compare.svg")).unwrap();
    assert!(plot.contains("kv-bucket-async"));
}

/// Runs it with a generator and a memcached that stand in.
fn compare_fakes(folder: &Path, of_generator: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let generator = generator(folder, of_generator);
    memcached(folder, "a_baseline_stands_in");
    let out = folder.join("out");
    let kv = beside(COMPARE, "kv");
    let mut all: Vec<&str> = SHORT.to_vec();
    all.extend(["--latency-rounds", "1", "--out", out.to_str().unwrap()]);
    all.extend(["--kv", kv.to_str().unwrap(), "--gen", generator.to_str().unwrap()]);
    all.extend(arguments);
    let output = run(COMPARE, folder, &all);
    (output.status.code(), printed(&output))
}

#[test]
fn a_baseline_is_measured_at_its_best_and_asked_for_parts_of_that() {
    let folder = tempfile::tempdir().unwrap();
    let of_generator = "
        ops_per_s=$((100000 - (batch - 316) * (batch - 316) / 10 + (connections - 16) * 100))
        [ $connections -le 16 ] || ops_per_s=7
        [ $rate = 0 ] || ops_per_s=$rate";
    let (status, text) = compare_fakes(folder.path(), of_generator, &["--only", "memcached-tcp"]);
    assert_eq!(status, Some(0), "{text}");
    let comparison = json(&folder.path().join("out/compare.json"));
    let row = candidate(&comparison, "memcached-tcp");
    assert_eq!(row["found"]["names"], serde_json::json!(["batch", "connections"]));
    assert_eq!(row["found"]["values"], serde_json::json!([316, 16]), "{text}");
    assert_eq!(row["median_ops_per_s"], 100_000.0);
    assert_eq!(row["ratio_to_best_peer"], 1.0);
    assert_eq!(row["version"], "fake 1.0");
    let offered = row["at_load"].as_array().unwrap();
    let offered: Vec<_> = offered.iter().map(|load| &load["offered_ops_per_s"]).collect();
    assert_eq!(offered, [50_000.0, 80_000.0]);
}

#[test]
fn candidates_take_turns_and_share_a_server_that_is_loaded_once() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--only", "memcached-tcp,memcached-udp", "--search-secs", "0"];
    let (status, text) = compare_fakes(folder.path(), "", &arguments);
    assert_eq!(status, Some(0), "{text}");
    let calls = calls(folder.path());
    let loads = calls.iter().filter(|call| call.contains("--load"));
    assert_eq!(loads.count(), 1, "{calls:#?}");
    let turns: Vec<&str> = (calls.iter())
        .filter(|call| !call.contains("--load") && !call.contains("--rate"))
        .map(|call| call.split("://").next().unwrap())
        .collect();
    let (tcp, udp) = ("--target memcached", "--target memcached+udp");
    assert_eq!(turns, [tcp, udp, udp, tcp]);
    let same_for_all = "--workload ycsb-b --theta 0.99 --records 1000 --value-size 128";
    assert!(calls.iter().all(|call| call.contains(same_for_all)), "{calls:#?}");
}

#[test]
fn a_candidate_that_fails_is_told_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let of_generator = "
        case $target in memcached+udp*) echo 'gen: error: no answer' >&2; exit 1 ;; esac";
    let arguments = ["--only", "memcached-tcp,memcached-udp", "--search-secs", "0"];
    let (status, text) = compare_fakes(folder.path(), of_generator, &arguments);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("compare: error: memcached-udp: gen: error: no answer"), "{text}");
    let comparison = json(&folder.path().join("out/compare.json"));
    let row = candidate(&comparison, "memcached-udp");
    assert_eq!(
        (&row["state"], &row["reason"]),
        (&"failed".into(), &"gen: error: no answer".into())
    );
    assert_eq!(candidate(&comparison, "memcached-tcp")["rounds"].as_array().unwrap().len(), 2);
}

#[test]
fn a_baseline_that_is_not_installed_is_absent_and_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let generator = generator(folder.path(), "");
    let out = folder.path().join("out");
    let output = Command::new(COMPARE)
        .args(SHORT)
        .args(["--only", "memcached-tcp,memcached-udp,redis-mget", "--out"])
        .arg(&out)
        .arg("--kv")
        .arg(beside(COMPARE, "kv"))
        .arg("--gen")
        .arg(generator)
        .env("PATH", folder.path())
        .output()
        .unwrap();
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let told = "memcached is not installed: apt-get install memcached";
    assert!(text.contains(&format!("\ncompare: {told}\n")) || text.contains(told), "{text}");
    let comparison = json(&out.join("compare.json"));
    for (name, told) in [
        ("memcached-tcp", told),
        ("memcached-udp", told),
        ("redis-mget", "redis is not installed: apt-get install redis-server"),
    ] {
        let row = candidate(&comparison, name);
        assert_eq!((&row["state"], &row["reason"]), (&"absent".into(), &told.into()));
        let is_shown = |line: &str| line.starts_with(name) && line.contains("absent");
        assert!(text.lines().any(is_shown), "{text}");
    }
}

#[test]
fn an_interrupt_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let (kv, generator) = (beside(COMPARE, "kv"), beside(COMPARE, "gen"));
    let arguments = [
        ["--only", "kv-bucket"],
        ["--records", "1000"],
        ["--secs", "600"],
        ["--out", out.to_str().unwrap()],
        ["--kv", kv.to_str().unwrap()],
        ["--gen", generator.to_str().unwrap()],
    ];
    let mut process = Process::start(Path::new(COMPARE), arguments.as_flattened());
    let pid = process.pid();
    // The server, and the generator that measures: the load is over soon.
    let deadline = Instant::now() + DEADLINE;
    let mut children = Vec::new();
    let measures = |&child: &u32| command_line(child).contains("--secs\u{0}600");
    // The kernel's list of children may miss one while another ends.
    while children.len() < 2 || !children.iter().any(measures) {
        assert!(Instant::now() < deadline, "it measures nothing: {children:?}");
        std::thread::sleep(Duration::from_millis(5));
        children = children_of(pid);
    }
    process.signal(Signal::INT);
    assert_eq!(process.wait_for_end(DEADLINE), Some(130));
    for child in children {
        assert!(!Path::new(&format!("/proc/{child}")).exists(), "{}", command_line(child));
    }
}

fn children_of(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    children.unwrap().split_whitespace().map(|child| child.parse().unwrap()).collect()
}

fn command_line(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

#[test]
fn what_cannot_be_compared_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("old.json"), "{}").unwrap();
    let out = folder.path().to_str().unwrap();
    let (_kv, _generator) = (beside(COMPARE, "kv"), beside(COMPARE, "gen"));
    for (arguments, reason) in [
        (vec!["--only", "nobody"], "--only names \"nobody\": the candidates are kv-null"),
        (vec!["--out", out], "is not empty: choose another --out"),
        (vec!["--kv", "/nonexistent"], "/nonexistent was not found"),
        (vec!["--rounds", "0"], "must be a number from 1"),
    ] {
        testkit::process::run(Path::new(COMPARE), &arguments).assert_refused(reason);
    }
}
