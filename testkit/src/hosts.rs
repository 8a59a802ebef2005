//! Hosts of a test's own: network namespaces with a real link each, on one bridge at MTU
//! 1500. Needs root, and iproute2. They are gone when [`Hosts`] is dropped.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process::Process;

/// Hosts on one bridge.
#[derive(Debug)]
pub struct Hosts {
    prefix: String,
    count: usize,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    hosts: &'a Hosts,
    number: usize,
}

impl Hosts {
    /// Makes hosts that reach each other.
    #[must_use]
    pub fn new(count: usize) -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let hosts = Self { prefix: format!("kv{}-{made}-", std::process::id()), count };
        let switch = hosts.switch();
        ip(&format!("netns add {switch}"));
        ip(&format!("-n {switch} link add br0 type bridge forward_delay 0 mcast_snooping 0"));
        ip(&format!("-n {switch} link set br0 up"));
        for host in hosts.all() {
            let (name, number, address) = (host.name(), host.number, host.address());
            ip(&format!("netns add {name}"));
            ip(&format!("link add eth0 netns {name} type veth peer name p{number} netns {switch}"));
            ip(&format!("-n {switch} link set p{number} master br0 up"));
            ip(&format!("-n {name} link set lo up"));
            ip(&format!("-n {name} addr add {address}/24 dev eth0"));
            ip(&format!("-n {name} link set eth0 up"));
        }
        hosts
    }

    /// One of them, by its number from 0 on.
    #[must_use]
    pub fn host(&self, number: usize) -> Host<'_> {
        assert!(number < self.count);
        Host { hosts: self, number }
    }

    fn all(&self) -> impl Iterator<Item = Host<'_>> {
        (0..self.count).map(|number| self.host(number))
    }

    fn switch(&self) -> String {
        format!("{}switch", self.prefix)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in self.all().map(Host::name).chain([self.switch()]) {
            // What was not made cannot be taken away.
            let _ = Command::new("ip").args(["netns", "del", &name]).output();
        }
    }
}

impl Host<'_> {
    /// Its namespace.
    #[must_use]
    pub fn name(self) -> String {
        format!("{}{}", self.hosts.prefix, self.number)
    }

    /// Its address.
    #[must_use]
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, 10 + self.number as u8)
    }

    /// Narrows its link to frames of so many bytes; its own end of the link does not know that.
    pub fn narrow_link(self, bytes: usize) {
        let Self { hosts, number } = self;
        ip(&format!("-n {} link set p{number} mtu {bytes}", hosts.switch()));
        // A burst of GSO crosses the link whole, however long its datagrams are.
        run(
            "ip",
            &[
                &["netns", "exec", &self.name()],
                "ethtool -K eth0 tx-udp-segmentation off".split(' ').collect::<Vec<_>>().as_slice(),
            ]
            .concat(),
        );
    }

    /// Runs `ip` with these arguments there.
    pub fn ip(self, arguments: &str) {
        ip(&format!("-n {} {arguments}", self.name()));
    }

    /// Sets a kernel parameter there.
    pub fn sysctl(self, setting: &str) {
        run("ip", &["netns", "exec", &self.name(), "sysctl", "-qw", setting]);
    }

    /// Lets its link carry only so much of what it sends, by the parameters of a token bucket.
    pub fn limit_rate(self, parameters: &str) {
        let name = self.name();
        let add = ["netns", "exec", &name, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf"];
        run("ip", &add.into_iter().chain(parameters.split(' ')).collect::<Vec<_>>());
    }

    /// Starts a program there.
    #[must_use]
    pub fn start(self, program: &Path, arguments: &[&str]) -> Process {
        let name = self.name();
        let mut all = vec!["netns", "exec", &name, program.to_str().expect("a path in UTF-8")];
        all.extend(arguments);
        Process::start(Path::new("ip"), &all)
    }

    /// Runs a closure there, on a thread of its own: the sockets that it opens are this host's.
    pub fn run<R: Send>(self, run: impl FnOnce() -> R + Send) -> R {
        let namespace = File::open(format!("/run/netns/{}", self.name())).expect("it was made");
        thread::scope(|scope| {
            let moved = scope.spawn(move || {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("root may enter a namespace");
                run()
            });
            moved.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

fn ip(arguments: &str) {
    run("ip", &arguments.split(' ').collect::<Vec<_>>());
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error} (Debian: iproute2)"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {} (network namespaces need root)",
        String::from_utf8_lossy(&output.stderr).trim()
    );
}
