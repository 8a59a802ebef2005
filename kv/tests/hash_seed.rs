//! The table's hash differs from one process to the next, also where the kernel gives each the
//! same addresses.
#![cfg(not(any(loom, shuttle)))]
#![forbid(unsafe_code)]

use std::process::Command;

use kv::table::{KeyHash as _, SecretHash};

/// Starts a line that the other process prints.
const MARK: &str = "hash of a key: ";

#[test]
fn processes_without_random_addresses_hash_differently() {
    let print = || {
        let program = std::env::current_exe().expect("it runs");
        let output = Command::new("setarch")
            .arg("-R")
            .arg(program)
            .args(["--ignored", "--exact", "--nocapture", "prints_a_hash"])
            .output()
            .expect("setarch, of util-linux, is there");
        let text = String::from_utf8(output.stdout).expect("it is text");
        let (_, hash) = text.split_once(MARK).unwrap_or_else(|| panic!("no hash: {text}"));
        hash.lines().next().expect("it follows the mark").to_owned()
    };
    assert_ne!(print(), print());
}

#[test]
#[ignore = "the other process of the test above"]
fn prints_a_hash() {
    let hash = SecretHash::random().expect("the system has random bytes");
    println!("{MARK}{:016x}", hash.hash(b"key"));
}
