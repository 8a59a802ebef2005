//! Real servers that are killed and stopped, real generators that are killed, and a network
//! that is cut: whatever happens, the histories of all are linearizable (invariant 2), and
//! nothing is reported that is not known (invariant 3).
//!
//! Each scenario takes some seconds. `FAULT_SECS=N cargo test -p checker --test faults` repeats
//! the faults of each for about N seconds; `KV_TEST_SEED` repeats the choices of a run. A
//! test that fails leaves its histories in the target's `tmp` folder.
#![forbid(unsafe_code)]

mod liar;
mod network;
mod scenario;

use std::thread;
use std::time::Duration;

use liar::Liar;
use network::{Cut, Lossy, Switch};
use scenario::{Scenario, assert_complete, in_every_order, kill, wait_for, wait_until_it_serves};
use testkit::DEADLINE;
use testkit::process::{Ended, Process, Signal};
use testkit::random::Random;
use testkit::relay::Relay;
use testkit::server::Server;

fn list(servers: &[Server]) -> String {
    servers.iter().map(|server| server.address.to_string()).collect::<Vec<_>>().join(",")
}

/// Ends a generator that may not know everything.
fn end(generator: Process) -> Option<i32> {
    let ended = generator.wait(DEADLINE);
    assert!(matches!(ended.status, Some(0 | 3 | 4)), "{ended:#?}");
    // A busy machine does not reach the rate: all was answered.
    ended.status.filter(|status| *status != 4).or(Some(0))
}

#[test]
fn a_server_that_is_killed_and_starts_again_loses_its_records_and_tells_no_lie() {
    in_every_order("killed-server", 8.0, |scenario| {
        let mut servers = Scenario::servers();
        let arguments = ["--load", "--answer-timeout", "0.4"];
        let mut generator = scenario.generator("gen", &list(&servers), &arguments);
        let mut restarts = [0; 2];
        loop {
            let told = wait_for(&mut generator, |told| told.ops_per_s > 0);
            let index = scenario.random.index(2);
            let server = &mut servers[index];
            kill(&mut server.process);
            // Sometimes the next life refuses what is outstanding, sometimes nobody answers
            // until it is given up.
            if scenario.random.happens(50) {
                wait_for(&mut generator, |now| now.indeterminate > told.indeterminate);
            }
            Scenario::restart(server);
            restarts[index] += 1;
            wait_until_it_serves(server);
            if !scenario.has_time_for(6.0) {
                break;
            }
        }
        let status = end(generator);
        let (report, done) = scenario.assert_counted("gen");
        let is_all_known = report.indeterminate + report.unanswered_gets == 0;
        assert_eq!(status, Some(if is_all_known { 0 } else { 3 }));
        assert!(report.counters["sessions_lost"] > 0, "{report:?}");
        let (verdict, operations) = scenario.assert_linearizable(&[]);
        assert_complete(operations, done, 1);
        for (index, restarts) in restarts.into_iter().enumerate() {
            let told = format!("server {index} started again {restarts} times, and lost what ");
            let is_told = verdict.stdout.iter().any(|line| line.starts_with(&told));
            assert_eq!(is_told, restarts > 0, "{told}: {verdict:#?}");
        }
    });
}

#[test]
fn servers_that_stop_for_a_while_answer_everything() {
    in_every_order("stopped-server", 6.0, |scenario| {
        let servers = Scenario::servers();
        let arguments = ["--load", "--answer-timeout", "30"];
        let mut generator = scenario.generator("gen", &list(&servers), &arguments);
        let told = wait_for(&mut generator, |told| told.ops_per_s > 0);
        let mut retransmits = told.retransmits;
        loop {
            let first = scenario.random.index(2);
            let stopped = &servers[first..first + 1 + scenario.random.index(2 - first)];
            for server in stopped {
                server.process.signal(Signal::STOP);
            }
            let told = wait_for(&mut generator, |now| now.retransmits >= retransmits + 5);
            for server in stopped {
                server.process.signal(Signal::CONT);
            }
            let told = wait_for(&mut generator, |now| {
                now.ops_per_s > 0 && now.retransmits >= told.retransmits
            });
            retransmits = told.retransmits;
            if !scenario.has_time_for(4.0) {
                break;
            }
        }
        assert_eq!(end(generator), Some(0), "everything is answered");
        let (report, done) = scenario.assert_counted("gen");
        assert_eq!(report.indeterminate + report.unanswered_gets, 0);
        assert_eq!(report.counters["sessions_lost"], 0);
        let (_, operations) = scenario.assert_linearizable(&[]);
        assert_complete(operations, done, 1);
    });
}

#[test]
fn a_generator_that_stops_for_a_while_knows_what_it_missed() {
    in_every_order("stopped-generator", 5.0, |scenario| {
        let servers = Scenario::servers();
        let arguments = ["--load", "--answer-timeout", "0.3"];
        let mut stopped = scenario.generator("stopped", &list(&servers), &arguments);
        wait_for(&mut stopped, |told| told.ops_per_s > 0);
        let other = scenario.generator("other", &list(&servers), &[]);
        loop {
            stopped.signal(Signal::STOP);
            thread::sleep(Duration::from_millis(300 + scenario.random.below(700)));
            stopped.signal(Signal::CONT);
            wait_for(&mut stopped, |told| told.ops_per_s > 0);
            if !scenario.has_time_for(3.0) {
                break;
            }
        }
        end(stopped);
        assert_eq!(end(other), Some(0));
        let done = ["stopped", "other"].map(|name| scenario.assert_counted(name).1);
        let (_, operations) = scenario.assert_linearizable(&[]);
        assert_complete(operations, done.iter().sum(), 2);
    });
}

#[test]
fn of_generators_that_are_killed_what_is_whole_is_linearizable() {
    in_every_order("killed-generator", 5.0, |scenario| {
        let servers = Scenario::servers();
        let list = list(&servers);
        let mut other = scenario.generator("other", &list, &["--load"]);
        wait_for(&mut other, |told| told.ops_per_s > 0);
        let (mut killed, mut alive) = (0, 2);
        loop {
            let mut victim = scenario.generator("killed", &list, &[]);
            // Each generator has a file for each of its threads.
            scenario.wait_for_histories(alive + 2 * killed + 2);
            thread::sleep(Duration::from_millis(scenario.random.below(500)));
            kill(&mut victim);
            killed += 1;
            if !scenario.has_time_for(3.0) {
                break;
            }
        }
        scenario.secs = 1.0;
        let late = scenario.generator("late", &list, &[]);
        alive += 2;
        assert_eq!((end(other), end(late)), (Some(0), Some(0)));
        let done = ["other", "late"].map(|name| scenario.assert_counted(name).1);

        let refused = scenario.lincheck(&[]);
        refused.assert_refused(".history");
        refused.assert_refused("offset");
        let (_, operations) = scenario.assert_linearizable(&["--killed"]);
        assert!(operations > done.iter().sum(), "the killed wrote something, in {alive} files");
    });
}

#[test]
fn a_network_that_is_cut_and_heals_hides_nothing() {
    in_every_order("cut-network", 11.0, |scenario| {
        let servers = [Scenario::small_server(), Scenario::small_server()];
        let switch = Switch::default();
        let relay =
            Relay::start(&servers.each_ref().map(|server| server.address), switch.network());
        let arguments = ["--load", "--answer-timeout", "0.4"];
        let mut generator = scenario.generator("gen", &relay.list(), &arguments);
        let mut told = wait_for(&mut generator, |told| told.ops_per_s > 0);
        let mut cuts = [Cut::ToServer, Cut::ToClient, Cut::Both].into_iter().cycle();
        for round in 0.. {
            if round >= 3 && !scenario.has_time_for(5.0) {
                break;
            }
            let cut = cuts.next().expect("it goes round");
            switch.set(cut);
            if scenario.random.happens(25) && round >= 3 {
                // Too short to give anything up.
                thread::sleep(Duration::from_millis(scenario.random.below(200)));
            } else {
                wait_for(&mut generator, |now| now.indeterminate > told.indeterminate);
            }
            switch.set(Cut::Nothing);
            told = wait_for(&mut generator, |now| now.ops_per_s > 0);
        }
        assert_eq!(end(generator), Some(3), "not everything is known");
        relay.stop().assert_it_was_cut();
        let (report, done) = scenario.assert_counted("gen");
        assert!(report.indeterminate > 0 && report.counters["sessions_lost"] > 0);
        let (verdict, operations) = scenario.assert_linearizable(&[]);
        assert_complete(operations, done, 1);
        assert_eq!(verdict.stdout.len(), 1, "no server started again: {verdict:#?}");
    });
}

#[test]
fn a_lie_about_the_past_is_found_out() {
    in_every_order("liar", 3.0, |scenario| {
        scenario.secs = 3.0; // More lies show nothing more.
        let server = Scenario::small_server();
        let relay = Relay::start(&[server.address], Liar::default());
        let generator = scenario.generator("gen", &relay.list(), &["--load"]);
        assert_eq!(end(generator), Some(0), "everything is answered");
        let lies = relay.stop().lies;
        println!("{lies} lies");
        assert!(lies > 0, "or this shows nothing");
        let verdict = scenario.lincheck(&[]);
        assert_eq!(verdict.status, Some(1), "{verdict:#?}");
        assert!(verdict.stdout[0].starts_with("not linearizable: key "), "{verdict:#?}");
    });
}

/// What the second line of a verdict says: how many answers caches gave.
fn answers_of_caches(verdict: &Ended, staleness: &str) -> u64 {
    let beginning = format!("staleness {staleness}: no answer of a near cache is older (");
    let told = verdict.stdout.iter().find_map(|line| line.strip_prefix(&beginning));
    let told = told.and_then(|rest| rest.strip_suffix(" gets)")?.parse().ok());
    told.unwrap_or_else(|| panic!("{verdict:#?}"))
}

#[test]
fn answers_of_near_caches_are_as_old_as_is_allowed_and_no_older() {
    in_every_order("near-cache", 5.0, |scenario| {
        let servers = [Scenario::small_server(), Scenario::small_server()];
        let addresses = servers.each_ref().map(|server| server.address);
        let random = Random::for_test("the lossy network");
        let relay = Relay::start(&addresses, Lossy::new(random));
        let cache = ["--cache", "300", "--cache-max-age", "1s"];
        let loads = [&cache[..], &["--load"]].concat();
        let mut first = scenario.generator("first", &relay.list(), &loads);
        wait_for(&mut first, |told| told.ops_per_s > 0);
        let second = scenario.generator("second", &relay.list(), &cache);
        for generator in [first, second] {
            // Where so much is lost, a busy machine may not reach the rate.
            let ended = generator.wait(DEADLINE);
            assert!(matches!(ended.status, Some(0 | 3 | 4)), "{ended:#?}");
        }
        assert!(relay.stop().lost > 0);

        let counted = ["first", "second"].map(|name| scenario.assert_counted(name));
        let (verdict, operations) = scenario.assert_linearizable(&["--staleness", "1s"]);
        assert_complete(operations, counted.iter().map(|(_, done)| done).sum(), 2);
        let hits: u64 = counted.iter().map(|(report, _)| report.counters["cache_hits"]).sum();
        assert_eq!(answers_of_caches(&verdict, "1s"), hits);
        // Each of them reads for up to a second what the other has written over since.
        for too_strict in [&[][..], &["--staleness", "1ms"]] {
            let verdict = scenario.lincheck(too_strict);
            assert_eq!(verdict.status, Some(1), "{verdict:#?}");
            let is_old = |line: &String| line.starts_with("what ") && line.contains(" old when ");
            assert!(verdict.stdout.iter().any(is_old), "{verdict:#?}");
        }
    });
}

#[test]
fn a_near_cache_forgets_what_a_server_held_that_started_again() {
    in_every_order("near-cache-restart", 6.0, |scenario| {
        let mut servers = Scenario::servers();
        let arguments =
            ["--load", "--answer-timeout", "0.4", "--cache", "300", "--cache-max-age", "1s"];
        let mut generator = scenario.generator("gen", &list(&servers), &arguments);
        wait_for(&mut generator, |told| told.ops_per_s > 0);
        let server = &mut servers[0];
        kill(&mut server.process);
        Scenario::restart(server);
        wait_until_it_serves(server);
        end(generator);
        let (report, done) = scenario.assert_counted("gen");
        assert!(report.counters["cache_hits"] > 0, "{report:?}");
        let (verdict, operations) = scenario.assert_linearizable(&["--staleness", "1s"]);
        assert_complete(operations, done, 1);
        assert!(answers_of_caches(&verdict, "1s") > 0);
        assert!(verdict.stdout.iter().any(|line| line.starts_with("server 0 started again 1 ")));
    });
}
