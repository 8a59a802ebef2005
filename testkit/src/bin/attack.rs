//! `attack`: one attacker of [`testkit::attack`], by hand.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool by hand")]

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Parser;
use testkit::attack::allowed::Target;
use testkit::attack::limits::{BURST_MAX, RATE_MAX, TIME_MAX};
use testkit::attack::{Attack, Scenario};

/// Attacks a server on the loopback, or in a network namespace of a test's own.
#[derive(Debug, Parser)]
struct Flags {
    /// Who attacks, and how.
    scenario: Scenario,

    /// The worker that is attacked.
    target: SocketAddr,

    /// Datagrams a second; each scenario has a default.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(RATE_MAX)))]
    rate: Option<u32>,

    /// Seconds.
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u64).range(1..=TIME_MAX.as_secs()))]
    secs: u64,

    /// Datagrams of a flood in one system call.
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u16).range(1..=BURST_MAX as i64))]
    burst: u16,

    /// An address of this host to send from.
    #[arg(long)]
    from: Option<IpAddr>,

    /// Seconds between the handshake and the attack.
    #[arg(long, default_value = "0", value_parser = clap::value_parser!(u64).range(0..=TIME_MAX.as_secs()))]
    pause: u64,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let attack = Target::new(flags.target).and_then(|target| {
        let mut attack = Attack::new(flags.scenario, target, Duration::from_secs(flags.secs));
        attack.rate = flags.rate.unwrap_or(attack.rate);
        attack.burst = flags.burst.into();
        attack.from = flags.from;
        attack.pause = Duration::from_secs(flags.pause);
        attack.run(&AtomicBool::new(false))
    });
    match attack {
        Ok(tally) => {
            let per_s = tally.sent as f64 / tally.took.as_secs_f64();
            println!(
                "sent {} datagrams, {} bytes, {per_s:.0}/s; successes {}",
                tally.sent, tally.sent_bytes, tally.successes
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("attack: error: {error}");
            ExitCode::FAILURE
        }
    }
}
