//! `runinfo` from outside.

use std::process::Command;

use host::report::RunDescription;

#[test]
fn the_facts_of_a_run_are_printed_with_its_arguments_unchanged() {
    let output = Command::new(env!("CARGO_BIN_EXE_runinfo"))
        .args([
            "--name",
            "x",
            "--servers",
            "4",
            "--clients",
            "2",
            "--commit",
            "",
            "--seed",
            "7",
            "--",
        ])
        .args(["--kv-args", "--cores 2", "--", "é"])
        .output()
        .unwrap();
    let run: RunDescription = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((run.name.as_str(), run.servers, run.clients), ("x", 4, 2));
    assert_eq!(run.arguments, ["--kv-args", "--cores 2", "--", "é"]);
    assert_eq!((run.commit.as_str(), run.seed), ("", Some(7)));
    assert!(run.machine.cores > 0);
}

#[test]
fn a_flag_that_is_missing_is_told_in_one_line() {
    let output = Command::new(env!("CARGO_BIN_EXE_runinfo")).arg("--name=x").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(told.starts_with("runinfo: error: the following required arguments"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}
