//! `curves` from outside.

mod fakes;

use std::fs;
use std::path::Path;

use fakes::{calls, generator, json, printed, run, script};
use testkit::process::beside;

const CURVES: &str = env!("CARGO_BIN_EXE_curves");

#[test]
fn a_quick_look_leaves_every_file_of_its_curves() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let (kv, generator) = (beside(CURVES, "kv"), beside(CURVES, "gen"));
    let arguments = [
        ["--curve", "reads,load"],
        ["--records", "1000"],
        ["--out", out.to_str().unwrap()],
        ["--kv", kv.to_str().unwrap()],
        ["--gen", generator.to_str().unwrap()],
    ];
    let mut arguments = arguments.as_flattened().to_vec();
    arguments.push("--quick");
    let output = run(CURVES, folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));

    let reads = json(&out.join("reads.json"));
    let points = reads["points"].as_array().unwrap();
    assert_eq!(points.len(), 3);
    for (point, [has_gets, has_puts]) in
        points.iter().zip([[false, true], [true, true], [true, false]])
    {
        let round = &point["rounds"][0];
        let count = |kind: &str| round[kind].as_u64().unwrap();
        assert_eq!([count("gets") > 0, count("puts") > 0], [has_gets, has_puts], "{point}");
        assert_eq!(count("not_found"), 0, "{point}");
    }
    let load = json(&out.join("load.json"));
    for point in load["points"].as_array().unwrap() {
        assert!(point["x"].as_f64().unwrap() > 110.0, "a rate, and no percentage: {point}");
        assert!(point["p99_us"].as_f64().unwrap() > 0.0, "{point}");
    }
    for name in ["reads", "load"] {
        let csv = fs::read_to_string(out.join(format!("{name}.csv"))).unwrap();
        assert!(csv.starts_with(&format!("{name},median_ops_per_s,lowest_ops_per_s")), "{csv}");
        assert_eq!(csv.lines().count(), 4, "{csv}");
        assert!(fs::read_to_string(out.join(format!("{name}.svg"))).unwrap().contains("<svg"));
        let markdown = fs::read_to_string(out.join("curves.md")).unwrap();
        assert!(markdown.contains(&format!("## {name}\n")), "{markdown}");
    }
}

/// Runs it with a server and a generator that stand in.
fn curve_of_fakes(folder: &Path, of_generator: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let generator = generator(folder, of_generator);
    let lines = "[ \"$1\" != --version ] || exit 0
echo 'kv ready 127.0.0.1:9 cores=1'
exec sleep 600";
    let kv = script(folder, "kv", lines);
    let out = folder.join("out");
    let mut all = vec!["--out", out.to_str().unwrap(), "--kv", kv.to_str().unwrap()];
    all.extend(["--gen", generator.to_str().unwrap()]);
    all.extend(arguments);
    let output = run(CURVES, folder, &all);
    (output.status.code(), printed(&output))
}

#[test]
fn points_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--curve", "batch", "--rounds", "2", "--records", "1000"];
    let (status, text) = curve_of_fakes(folder.path(), "", &arguments);
    assert_eq!(status, Some(0), "{text}");
    let calls = calls(folder.path());
    let batches: Vec<&str> = (calls.iter())
        .filter_map(|call| call.split("--batch ").nth(1)?.split(' ').next())
        .collect();
    let expected = ["1", "10", "100", "1000", "10000", "10", "1", "10000", "1000", "100"];
    assert_eq!(batches, expected);
    assert_eq!(calls.iter().filter(|call| call.contains("--load")).count(), 1, "{calls:#?}");
}

#[test]
fn what_memory_does_not_hold_is_left_out_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    // Twelve terabytes at the end of the curve.
    let arguments = ["--curve", "value-size", "--rounds", "1", "--records", "4000000000"];
    let (status, text) = curve_of_fakes(folder.path(), "", &arguments);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("curves: value-size 1424: left out: it may need"), "{text}");
    let csv = fs::read_to_string(folder.path().join("out/value-size.csv")).unwrap();
    let last = csv.lines().last().unwrap();
    assert!(last.starts_with("1424,,,,,,,,\"left out") || last.contains("left out"), "{csv}");
}

#[test]
fn a_point_that_fails_is_told_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let of_generator = "[ $batch != 100 ] || { echo 'gen: error: too many' >&2; exit 1; }";
    let arguments = ["--curve", "batch", "--quick"];
    let (status, text) = curve_of_fakes(folder.path(), of_generator, &arguments);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("curves: error: batch 100: gen: error: too many"), "{text}");
    let batch = json(&folder.path().join("out/batch.json"));
    let measured: Vec<_> = (batch["points"].as_array().unwrap().iter())
        .map(|point| point["rounds"].as_array().unwrap().len())
        .collect();
    assert_eq!(measured, [1, 0, 1]);
}

#[test]
fn an_unknown_curve_is_refused_with_the_known_ones() {
    let ended = testkit::process::run(Path::new(CURVES), &["--curve", "luck"]);
    ended.assert_refused("possible values: records, value-size, streams");
}
