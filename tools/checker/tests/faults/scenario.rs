//! What the scenarios share: a folder of histories, generators that write there, and the
//! verdict on all of them.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use host::report::ClientReport;
use testkit::DEADLINE;
use testkit::process::{Ended, Process, Signal, beside, run};
use testkit::random::Random;
use testkit::server::{Server, lasting_ports};

const LINCHECK: &str = env!("CARGO_BIN_EXE_lincheck");
const SECS_VARIABLE: &str = "FAULT_SECS";
const RECORDS: &str = "300";
/// Of each generator: bounded, so that what is checked does not grow with the machine.
const RATE: &str = "3000";
const THREADS: u64 = 2;
const TWO_WORKERS: &[&str] = &["--cores", "2"];
/// What a file holds at least when something was written behind its header.
const HISTORY_BYTES_MIN: u64 = 4096;

/// Calls a scenario in each order, side by side: most of their time goes by in waiting.
/// Generators run for `secs`, or longer if that is asked for.
pub(crate) fn in_every_order(name: &str, secs: f64, scenario: impl Fn(&mut Scenario) + Sync) {
    std::thread::scope(|scope| {
        for order in ["strict", "shard", "async"] {
            let scenario = &scenario;
            scope.spawn(move || scenario(&mut Scenario::new(name, order, secs)));
        }
    });
}

/// One scenario in one order.
pub(crate) struct Scenario {
    pub(crate) random: Random,
    pub(crate) secs: f64,
    order: &'static str,
    folder: PathBuf,
    began: Instant,
}

/// What a generator says each second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) ops_per_s: u64,
    pub(crate) retransmits: u64,
    pub(crate) indeterminate: u64,
}

impl Scenario {
    /// It starts with an empty folder.
    fn new(name: &str, order: &'static str, secs: f64) -> Self {
        let run = std::process::id();
        let folder = format!("{}/{name}-{order}-{run}", env!("CARGO_TARGET_TMPDIR"));
        let folder = PathBuf::from(folder);
        fs::create_dir_all(&folder).expect("the folder is ours");
        let asked = std::env::var(SECS_VARIABLE).ok();
        let secs =
            asked.map_or(0.0_f64, |text| text.parse().expect("a number of seconds")).max(secs);
        let random = Random::for_test(&format!("{name} {order}, {SECS_VARIABLE}={secs}"));
        Self { random, secs, order, folder, began: Instant::now() }
    }

    /// Whether another round of some seconds still fits into the run.
    pub(crate) fn has_time_for(&self, round_secs: f64) -> bool {
        self.began.elapsed().as_secs_f64() + round_secs < self.secs
    }

    /// Two servers with two workers each.
    pub(crate) fn servers() -> [Server; 2] {
        [(); 2].map(|()| Server::start_on(lasting_ports(2), LINCHECK, TWO_WORKERS))
    }

    /// A server with one worker: a relay does not stand before the ports of others.
    pub(crate) fn small_server() -> Server {
        Server::start(LINCHECK, &[])
    }

    /// Starts a server that was killed again, where it was.
    pub(crate) fn restart(server: &mut Server) {
        *server = Server::start_on(server.address.port(), LINCHECK, TWO_WORKERS);
    }

    /// Starts a generator; its reports go to the file that is named for it.
    pub(crate) fn generator(&mut self, name: &str, servers: &str, arguments: &[&str]) -> Process {
        let json = self.json(name);
        let folder = self.folder.to_str().expect("it is text");
        let seed = self.random.below(1 << 32).to_string();
        let (secs, threads) = (self.secs.to_string(), THREADS.to_string());
        let parent = std::process::id().to_string();
        let mut all = [
            ["--servers", servers],
            ["--order", self.order],
            ["--workload", "ycsb-a"],
            ["--records", RECORDS],
            ["--rate", RATE],
            ["--streams", "40"],
            ["--threads", &threads],
            ["--secs", &secs],
            ["--warmup", "0"],
            ["--seed", &seed],
            ["--pin", "none"],
            ["--history", folder],
            ["--json", &json],
            ["--die-with-parent", &parent],
        ]
        .concat();
        all.extend(arguments);
        Process::start(&beside(LINCHECK, "gen"), &all)
    }

    /// The report of a generator that has ended.
    pub(crate) fn report(&self, name: &str) -> ClientReport {
        let text = fs::read_to_string(self.json(name)).expect("it was written");
        serde_json::from_str(&text).expect("it is a report")
    }

    fn json(&self, name: &str) -> String {
        format!("{}/{name}.json", self.folder.display())
    }

    /// Requires that all histories together are linearizable, and returns what was said of
    /// them and how many operations they hold.
    pub(crate) fn assert_linearizable(&self, arguments: &[&str]) -> (Ended, u64) {
        let ended = self.lincheck(arguments);
        let operations = ended
            .stdout
            .first()
            .and_then(|line| line.strip_prefix("linearizable: ")?.split(' ').next()?.parse().ok());
        match (ended.status, operations) {
            (Some(0), Some(operations)) => (ended, operations),
            _ => panic!("{}: {ended:#?}\nsee {}", self.order, self.folder.display()),
        }
    }

    /// What the checker says of all histories.
    #[expect(clippy::print_stdout, reason = "a test shows it where it fails")]
    pub(crate) fn lincheck(&self, arguments: &[&str]) -> Ended {
        let folder = self.folder.to_str().expect("it is text");
        let ended = run(LINCHECK.as_ref(), &[&[folder][..], arguments].concat());
        println!("{}: {:?} {:?}", self.order, ended.status, ended.stdout);
        ended
    }

    /// Waits until `files` histories hold some operations.
    pub(crate) fn wait_for_histories(&self, files: usize) {
        wait_until("histories", || {
            let grown = |entry: &fs::DirEntry| {
                entry.metadata().is_ok_and(|facts| facts.len() > HISTORY_BYTES_MIN)
                    && entry.path().extension().is_some_and(|name| name == "history")
            };
            let entries = fs::read_dir(&self.folder).expect("it is there");
            entries.filter_map(Result::ok).filter(grown).count() >= files
        });
    }

    /// Requires that a generator's figures add up: nothing was lost from sight. Returns how
    /// many operations it did that a history keeps.
    pub(crate) fn assert_counted(&self, name: &str) -> (ClientReport, u64) {
        let report = self.report(name);
        let count = |name: &str| report.counters[name];
        assert_eq!(
            count("operations_sent"),
            count("operations_answered") + report.indeterminate + report.unanswered_gets,
            "what was sent was answered or given up: {report:?}"
        );
        let kept = count("operations_answered") + count("cache_hits") + report.indeterminate;
        (report, kept)
    }
}

impl Drop for Scenario {
    /// A failure leaves its histories.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Requires that histories hold what generators did; at their end these also ask each worker
/// for its counters, which no history keeps.
pub(crate) fn assert_complete(operations: u64, done: u64, generators: u64) {
    let asked_max = generators * THREADS * 4;
    assert!(
        operations <= done && done - operations <= asked_max,
        "{operations} in the histories of {done}"
    );
}

/// Waits until a generator tells what is wanted.
pub(crate) fn wait_for(generator: &mut Process, wanted: impl Fn(&Progress) -> bool) -> Progress {
    loop {
        let line = generator.wait_for_line("gen: run ", DEADLINE);
        let progress = Progress::of(&line).unwrap_or_else(|| panic!("'{line}' is no progress"));
        if wanted(&progress) {
            return progress;
        }
    }
}

/// Waits until a server executes operations, as it says each second.
pub(crate) fn wait_until_it_serves(server: &mut Server) {
    while server.process.wait_for_line("get/s ", DEADLINE).ends_with(" ops/s 0") {}
}

/// Ends a process without its doing. Its ports are free afterwards.
pub(crate) fn kill(process: &mut Process) {
    process.signal(Signal::KILL);
    assert_eq!(process.wait_for_end(DEADLINE), None, "a signal ended it");
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "no {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Progress {
    /// Reads `gen: run 2/6 s, 3000 ops/s, 12 retransmits, 3 indeterminate`.
    fn of(line: &str) -> Option<Self> {
        let figure = |unit: &str| {
            let part = line.split(", ").find_map(|part| part.strip_suffix(unit));
            part.map_or(Some(0), |number| number.parse().ok())
        };
        Some(Self {
            ops_per_s: figure(" ops/s")?,
            retransmits: figure(" retransmits")?,
            indeterminate: figure(" indeterminate")?,
        })
    }
}
