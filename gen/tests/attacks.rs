//! What attackers may cost the others: each scenario with its ratio to a control, between hosts
//! in network namespaces. They need root and iproute2, and are ignored unless asked for:
//! `cargo test --release -p gen --test attacks -- --ignored --nocapture --test-threads 1`.
//! More rounds, and longer ones: `KV_ATTACK_ROUNDS=21 KV_ATTACK_SECS=3` before it.

#![expect(clippy::print_stdout, reason = "the figures of the rounds, for who looks")]

mod shared_link;

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use testkit::DEADLINE;
use testkit::attack::allowed::Target;
use testkit::attack::limits::{BURST_MAX, RATE_MAX, TIME_MAX};
use testkit::attack::{Attack, Scenario, Tally};
use testkit::hosts::{Host, Hosts};
use testkit::process::Signal;
use udp::pin::{allowed_cores, pin_to};

use shared_link::{Figures, SetOnDrop, generate, median, run_generator, server};

/// Rounds with an attack, and without one or with the control's, in turn.
const ROUNDS: usize = 3;
/// Seconds of each measurement.
const SECS: f64 = 1.0;
/// A flood has begun, or what it left is gone.
const SETTLING: Duration = Duration::from_millis(300);
/// A link that is easily filled.
const GIGABIT: &str = "rate 1gbit burst 64kb limit 4mb";
const IDLE_PORT: u16 = 7499;

/// What the others must keep.
///
/// Against floods: half of what they have while the same flood hits another, idle socket of the
/// same core. Single rounds differ by 20 %, so the medians of few rounds may be less.
const FLOOD_RATIO_MIN: f64 = 0.4;
/// Against greedy clients: 0.8 of a fair share of the link, which is half of it.
const GREEDY_RATIO_MIN: f64 = 0.8 * 0.5;
/// Beside questions for counters: far more than the 0.06 that was left when each of a request was
/// answered.
const STATS_RATIO_MIN: f64 = 0.5;

/// What an attack is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Control {
    /// No attack.
    Nothing,
    /// The same attack on a socket of the same host, at which nobody reads.
    IdleSocket,
}

struct Setting {
    scenario: Scenario,
    rate: u32,
    burst: usize,
    control: Control,
    is_gigabit: bool,
}

impl Setting {
    fn new(scenario: Scenario, control: Control) -> Self {
        Self { scenario, rate: scenario.rate(), burst: 1, control, is_gigabit: false }
    }

    fn attack(&self, target: SocketAddr) -> Attack {
        let target = Target::new(target).expect("it is of the test's own");
        let mut attack = Attack::new(self.scenario, target, TIME_MAX);
        attack.rate = self.rate;
        attack.burst = self.burst;
        attack
    }
}

/// Attacks from a host while `measure` runs, from the core of the generators: of the server's
/// core an attack takes only what its datagrams cost there.
fn attacked<R>(
    attacker: Host<'_>,
    setting: &Setting,
    target: SocketAddr,
    measure: impl FnOnce() -> R,
) -> (R, Tally) {
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        let attack = scope.spawn(|| {
            attacker.run(|| {
                let _ = allowed_cores().last().map(|&core| pin_to(core));
                setting.attack(target).run(&ends).expect("it can be sent")
            })
        });
        let measured = {
            let _ends = SetOnDrop(&ends);
            thread::sleep(SETTLING);
            measure()
        };
        (measured, attack.join().expect("it was not refused"))
    })
}

/// What the generator came to beside an attack: nothing, if it was kept from its server, and less
/// if it lost a session.
fn figures_beside(host: Host<'_>, server: SocketAddr, secs: f64) -> Figures {
    let ended = run_generator(host, server, secs, &[]);
    match ended.status {
        Some(0 | 3) if !ended.stdout.is_empty() => Figures::of(&ended),
        _ => {
            println!("the generator ended: {ended:?}");
            Figures { ops_per_s: 0.0, p99_us: f64::INFINITY }
        }
    }
}

/// The median ratio of a generator's throughput while it is attacked to that of the control.
fn ratio(setting: &Setting) -> f64 {
    let from_environment = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let rounds = from_environment("KV_ATTACK_ROUNDS").map_or(ROUNDS, |rounds: f64| rounds as usize);
    let secs = from_environment("KV_ATTACK_SECS").unwrap_or(SECS);
    let hosts = Hosts::new(3);
    let (server, address) = server(&hosts, "10.77.0.10");
    if setting.is_gigabit {
        hosts.host(0).limit_rate(GIGABIT);
    }
    let idle =
        hosts.host(0).run(|| UdpSocket::bind((address.ip(), IDLE_PORT)).expect("it is free"));
    let idle = idle.local_addr().map(|address| (idle, address)).expect("it is bound");
    let measure = || figures_beside(hosts.host(1), address, secs);
    let _ = generate(hosts.host(1), address, secs, &["--load"]);
    let mut ratios = Vec::new();
    for round in 0..rounds {
        thread::sleep(SETTLING);
        let control = match setting.control {
            Control::Nothing => measure(),
            Control::IdleSocket => attacked(hosts.host(2), setting, idle.1, measure).0,
        };
        let (under_attack, tally) = attacked(hosts.host(2), setting, address, measure);
        let per_s = tally.sent as f64 / tally.took.as_secs_f64();
        let ratio = under_attack.ops_per_s / control.ops_per_s;
        println!(
            "{:?} round {round}: {ratio:.3}; {:.0} op/s, p99 {:.0} us, control {:.0}, {:.0}; {per_s:.0} datagrams/s, {} successes",
            setting.scenario,
            under_attack.ops_per_s,
            under_attack.p99_us,
            control.ops_per_s,
            control.p99_us,
            tally.successes
        );
        ratios.push(ratio);
    }
    server.signal(Signal::TERM);
    let ended = server.wait(DEADLINE);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let of = ["limited", "unknown_session", "kernel_drops", "unsent", "malformed"];
    let totals = ended.stdout.iter().filter(|line| of.iter().any(|name| line.contains(name)));
    let totals: Vec<_> = totals.map(|line| line.trim()).collect();
    let median = median(ratios);
    println!("{:?}: median ratio {median:.3}; {}", setting.scenario, totals.join(", "));
    median
}

#[test]
#[ignore = "needs root, for network namespaces; .ci/run runs it"]
fn datagrams_of_unknown_sessions_cost_at_most_half_beside_what_they_cost_an_idle_socket() {
    for burst in [1, BURST_MAX] {
        let setting = Setting {
            rate: RATE_MAX,
            burst,
            ..Setting::new(Scenario::Unknown, Control::IdleSocket)
        };
        let ratio = ratio(&setting);
        assert!(ratio >= FLOOD_RATIO_MIN, "in bursts of {burst}: {ratio:.3}");
    }
}

#[test]
#[ignore = "needs root, for network namespaces; .ci/run runs it"]
fn hellos_cost_at_most_half_beside_what_they_cost_an_idle_socket() {
    let setting = Setting { rate: RATE_MAX, ..Setting::new(Scenario::Hello, Control::IdleSocket) };
    let ratio = ratio(&setting);
    assert!(ratio >= FLOOD_RATIO_MIN, "{ratio:.3}");
}

#[test]
#[ignore = "needs root, for network namespaces; .ci/run runs it"]
fn requests_full_of_questions_for_counters_cost_the_others_little() {
    let ratio = ratio(&Setting::new(Scenario::Stats, Control::Nothing));
    assert!(ratio >= STATS_RATIO_MIN, "{ratio:.3}");
}

#[test]
#[ignore = "needs root, for network namespaces; .ci/run runs it"]
fn a_greedy_client_that_does_not_read_leaves_the_others_their_share_of_a_link() {
    let setting = Setting { is_gigabit: true, ..Setting::new(Scenario::Greedy, Control::Nothing) };
    let ratio = ratio(&setting);
    assert!(ratio >= GREEDY_RATIO_MIN, "{ratio:.3}");
}

#[test]
#[ignore = "needs root, for network namespaces; .ci/run runs it"]
fn a_request_that_is_repeated_for_ever_leaves_the_others_their_share_of_a_link() {
    let setting = Setting {
        rate: 10_000,
        is_gigabit: true,
        ..Setting::new(Scenario::Repeats, Control::Nothing)
    };
    let ratio = ratio(&setting);
    assert!(ratio >= GREEDY_RATIO_MIN, "{ratio:.3}");
}

#[test]
#[ignore = "needs root, for network namespaces; .ci/run runs it"]
fn an_open_that_comes_again_after_its_close_opens_nothing() {
    let hosts = Hosts::new(3);
    let (server, address) = server(&hosts, "10.77.0.10");
    let setting = Setting::new(Scenario::Replay, Control::Nothing);
    let wait = || thread::sleep(Duration::from_secs(2));
    let ((), tally) = attacked(hosts.host(2), &setting, address, wait);
    println!("{:?}: {tally:?}", setting.scenario);
    assert!(tally.sent >= 10, "it was attacked");
    assert_eq!(tally.successes, 0);
    server.signal(Signal::TERM);
    assert_eq!(server.wait(DEADLINE).status, Some(0));
}
