//! Attackers: strangers, greedy clients and liars, each a scenario that sends datagrams made by
//! hand. They are bounded in rate and time ([`limits`]), and send only where nobody else is
//! ([`allowed`]): to the loopback, or inside a network of a test's own.

pub mod allowed;
pub mod limits;
mod pace;
mod scenarios;
pub mod session;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

pub use scenarios::Scenario;

use allowed::Target;

/// What an attacker does.
#[derive(Clone, Debug)]
pub struct Attack {
    /// How.
    pub scenario: Scenario,
    /// Whom; somebody that may be attacked.
    pub target: Target,
    /// An address of its own to send from; any, unless told.
    pub from: Option<IpAddr>,
    /// Datagrams a second, at most [`limits::RATE_MAX`].
    pub rate: u32,
    /// How long, at most [`limits::TIME_MAX`].
    pub time: Duration,
    /// Datagrams in one system call, as one burst of GSO; at most [`limits::BURST_MAX`].
    pub burst: usize,
    /// How long to wait between the handshake and the attack.
    pub pause: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Datagrams sent.
    pub sent: u64,
    /// Bytes of UDP payload in them.
    pub sent_bytes: u64,
    /// What the scenario looks for: sessions held, sessions opened again.
    pub successes: u64,
    /// How long it took.
    pub took: Duration,
}

impl Attack {
    /// An attack with what the scenario sends by default, for so long.
    #[must_use]
    pub fn new(scenario: Scenario, target: Target, time: Duration) -> Self {
        let rate = scenario.rate();
        Self { scenario, target, from: None, rate, time, burst: 1, pause: Duration::ZERO }
    }

    /// Attacks until the time is over, or `ends` is set.
    pub fn run(&self, ends: &AtomicBool) -> io::Result<Tally> {
        let bounded = Self {
            rate: self.rate.clamp(1, limits::RATE_MAX),
            time: self.time.min(limits::TIME_MAX),
            burst: self.burst.clamp(1, limits::BURST_MAX),
            pause: self.pause.min(limits::TIME_MAX),
            ..self.clone()
        };
        // The thread may have gone elsewhere since the target was checked.
        let target = Target::new(bounded.target.address())?;
        scenarios::run(&Self { target, ..bounded }, ends)
    }

    /// Where it sends from.
    fn local(&self) -> SocketAddr {
        let any: IpAddr = match self.target.address() {
            SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        SocketAddr::new(self.from.unwrap_or(any), 0)
    }
}
