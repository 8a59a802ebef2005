//! Each error that the documentation names is provoked, with its text and whether the call may
//! be made again. What a fork is told is in `ends.rs`.
#![forbid(unsafe_code)]

#[path = "../common/mod.rs"]
mod common;
mod limits;
mod lost;
mod servers;
mod taken;

use std::collections::BTreeSet;
use std::fs::File;
use std::net::SocketAddr;
use std::time::Duration;

use client::{Client, Config, Connection, Error};
use testkit::process::run;

use common::{expect, ms};

const SHORT: Duration = ms(50);
const LONG: Duration = Duration::from_secs(60);

/// What connecting comes to, for a connection and for a handle.
fn connecting(servers: &[SocketAddr], config: &Config) -> [Result<(), Error>; 2] {
    let connection = Connection::connect_with(servers, config).map(drop);
    [connection, Client::connect_with(servers, config).map(drop)]
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    let (v4, v6): (SocketAddr, SocketAddr) =
        ("127.0.0.1:1".parse().unwrap(), "[::1]:1".parse().unwrap());
    let small = Config::default().with_mtu_bytes(575);
    for (servers, config, why) in [
        (&[][..], Config::default(), "the list of servers is empty"),
        (
            &[v4, v6],
            Config::default(),
            "127.0.0.1:1 and [::1]:1 are of two families: use IPv4 or IPv6",
        ),
        (&[v4, v4], Config::default(), "127.0.0.1:1 is in the list of servers twice"),
        (&[v4], small, "an MTU has 576 to 8972 bytes, not 575"),
    ] {
        for connecting in connecting(servers, &config) {
            let text = format!("cannot connect: {why}");
            expect(connecting, &Error::InvalidConfig(why.to_owned()), &text, false);
        }
    }
}

/// Runs in a process of its own, and leaves no descriptor for a socket.
#[test]
#[ignore = "for the test below"]
fn helper_without_descriptors() {
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    let server = "127.0.0.1:1".parse().unwrap();
    for connecting in connecting(&[server], &Config::default()) {
        let error = connecting.unwrap_err();
        let Error::Io { text, .. } = &error else { panic!("{error}") };
        assert!(text.contains("Too many open files"), "{text}");
        assert_eq!(
            (error.to_string(), error.may_retry()),
            (format!("the system failed: {text}"), false)
        );
    }
}

#[test]
fn a_system_without_a_socket_is_told_of() {
    let itself = std::env::current_exe().unwrap();
    // The limit is above what the loader and inherited descriptors need.
    let limited = "ulimit -n 64; exec \"$0\" --exact helper_without_descriptors --ignored";
    let ended = run("/bin/sh".as_ref(), &["-c", limited, itself.to_str().unwrap()]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.stdout.iter().any(|line| line.contains("1 passed")), "{ended:?}");
}

/// The variants of an enum of the library's source.
fn variants(of: &str) -> BTreeSet<&'static str> {
    let source = include_str!("../../src/error.rs");
    let body = source.split(&format!("pub enum {of} {{\n")).nth(1).expect("it is there");
    let body = body.split("\n}\n").next().unwrap();
    let own = body.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     "));
    let names = own.map(|line| line.trim().split([' ', '(', ',', '{']).next().unwrap());
    names.filter(|name| name.starts_with(char::is_uppercase)).collect()
}

#[test]
fn each_variant_is_provoked_here() {
    let tests = [
        include_str!("main.rs"),
        include_str!("limits.rs"),
        include_str!("lost.rs"),
        include_str!("servers.rs"),
        include_str!("taken.rs"),
        include_str!("../ends.rs"),
    ];
    let tests = tests.concat();
    for (of, least) in [("Error", 12), ("Why", 4), ("Refusal", 2), ("TooLarge", 5)] {
        let variants = variants(of);
        assert!(variants.len() >= least, "{variants:?}");
        for variant in variants {
            assert!(tests.contains(&format!("{of}::{variant}")), "{of}::{variant}");
        }
    }
}
