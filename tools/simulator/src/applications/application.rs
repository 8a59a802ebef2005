//! One application: bursts of calls with deadlines, until everything heals; then it waits for
//! their ends, and closes its sessions.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use client::CacheConfig;
use client::calls::{Calls, EndedCall};
use client::entropy::Entropy;
use client::limits::LINE_CALLS_MAX;
use client::near_cache::NearCache;
use generator::plan::Plan;
use proto::client::ClientConfig;
use proto::limits::{KEEPALIVE_NS, KEY_BYTES_MAX};
use proto::placement::server_of;
use proto::transmit::{Flush, Path, Transmit};
use udp::core_loop::{Endpoint, UNDRAINED_NS_MAX};
use udp::counters::TransportCounters;

use crate::addresses::application_address;
use crate::applications::draws::{ApplicationConfig, CALL_NS_MAX};
use crate::applications::ledger::{Answer, Call, Ledger, Now, identity};
use crate::clocks::Process;
use crate::config::Config;
use crate::failure::Failure;
use crate::machine::{Machine, Runs};
use crate::random::Random;

/// Records that a near cache holds: more than there are, because which ones a fuller cache
/// drops is not the same in each process.
const CACHE_ENTRIES: usize = 1 << 14;
/// From a round to the next, about.
const ROUND_NS: u64 = 10_000;
/// Calls of a burst.
const BURST_CALLS: [u64; 6] = [1, 1, 1, 2, 8, 40];
/// Calls of a flood beyond those that may wait, and their time.
const FLOOD_CALLS: u64 = 5_000;
const FLOOD_NS: u64 = 2_000_000;
/// Calls that are still to follow others, at most.
const FOLLOWED_MAX: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The streams have not begun.
    Waiting,
    /// Makes a burst of calls at a time, until another.
    Running { next_ns: u64, end_ns: u64 },
    /// Closes its sessions, and opens others then.
    Reopening { end_ns: u64 },
    /// Waits for the ends of its calls.
    Draining,
    /// Closes its sessions.
    Closing,
}

/// One application.
pub struct Application {
    config: ApplicationConfig,
    plan: Arc<Plan>,
    client: ClientConfig,
    round_trip_ns: u64,
    window_ns: u64,
    random: Random,
    calls: Calls<usize>,
    stage: Stage,
    /// Whether it waits for its sessions to open before it calls.
    is_connecting: bool,
    /// When it was run last, on its clock.
    run_ns: u64,
    /// When it calls again, and for which records: a call for them ended.
    followed: BinaryHeap<Reverse<(u64, u64)>>,
    ended: Vec<Ended>,
    /// The true time, and until when the machine had stopped.
    now_ns: u64,
    paused_until_ns: u64,
    /// Since then its rounds have not read all that had come.
    undrained_since_ns: Option<u64>,
    ledger: Ledger,
}

/// The end of a call, until it is written down.
struct Ended {
    token: usize,
    worker: SocketAddr,
    result: Result<Answer, client::Error>,
}

impl Application {
    /// A round begins: the true time, and until when the machine had stopped.
    pub fn begin_round(&mut self, now_ns: u64, paused_until_ns: u64) {
        (self.now_ns, self.paused_until_ns) = (now_ns, paused_until_ns);
    }

    /// Lets it call, from a time on its own clock.
    pub fn open_window(&mut self, start_ns: u64, length_ns: u64) {
        self.window_ns = length_ns;
        self.stage = Stage::Running { next_ns: start_ns, end_ns: start_ns + length_ns };
    }

    /// What it knows at its end.
    #[must_use]
    pub fn finish(mut self) -> Ledger {
        self.ledger.closed(&self.calls);
        self.ledger
    }

    /// What did not hold of a call's end, once.
    pub const fn take_failure(&mut self) -> Option<Failure> {
        self.ledger.failure.take()
    }

    /// Until when it does nothing, on its clock: a connection that is driven by its calls does
    /// nothing between them, and leaves unread what comes.
    #[must_use]
    pub fn asleep_until_ns(&self) -> u64 {
        let sleeps = self.config.is_driven && !self.is_connecting && self.ledger.open() == 0;
        match self.stage {
            Stage::Waiting if sleeps => u64::MAX,
            Stage::Running { .. } if sleeps => self.next_call_ns().unwrap_or(0),
            _ => 0,
        }
    }

    /// Makes the calls of one that has slept before it looks at what came; whether it did.
    pub fn calls_first(&mut self, clock_ns: u64) -> bool {
        let due_ns = self.asleep_until_ns();
        let is_due = 0 < due_ns && due_ns <= clock_ns && clock_ns <= self.run_ns + KEEPALIVE_NS;
        if is_due {
            self.advance(clock_ns);
        }
        is_due
    }

    /// When it calls next by itself, while it runs.
    fn next_call_ns(&self) -> Option<u64> {
        let Stage::Running { next_ns, .. } = self.stage else { return None };
        let followed = self.followed.peek().map(|&Reverse((at_ns, _))| at_ns);
        Some(followed.map_or(next_ns, |at_ns| at_ns.min(next_ns)))
    }

    /// Goes on with connecting; whether its sessions are open. One that does not open ends all
    /// of them, and others are begun.
    fn connect(&mut self, clock_ns: u64) -> bool {
        match self.calls.connect(clock_ns) {
            Ok(is_open) => self.is_connecting = !is_open,
            Err(_) => {
                self.ledger.end_of_connecting();
                self.close(clock_ns);
                self.begin_anew(clock_ns);
            }
        }
        !self.is_connecting
    }

    fn begin_anew(&mut self, clock_ns: u64) {
        self.ledger.closed(&self.calls);
        self.calls = calls(clock_ns, &self.plan, self.client, &self.config, &mut self.random);
        self.is_connecting = self.config.connects;
    }

    fn advance(&mut self, clock_ns: u64) {
        if self.is_connecting && !self.connect(clock_ns) {
            match self.stage {
                Stage::Running { end_ns, .. } if clock_ns >= end_ns => self.is_connecting = false,
                _ => return,
            }
        }
        if !matches!(self.stage, Stage::Running { .. }) {
            self.followed.clear();
        }
        while let Some(&Reverse((at_ns, key))) = self.followed.peek()
            && at_ns <= clock_ns
        {
            self.followed.pop();
            let timeout_ns = self.draw_timeout_ns();
            self.call(clock_ns, key, timeout_ns);
        }
        match self.stage {
            Stage::Running { next_ns, end_ns } if clock_ns >= next_ns => {
                self.stage = match clock_ns >= end_ns {
                    true => Stage::Draining,
                    false => self.burst(clock_ns, end_ns),
                };
            }
            Stage::Reopening { end_ns } if self.calls.are_over() => {
                self.begin_anew(clock_ns);
                self.stage = Stage::Running { next_ns: clock_ns, end_ns };
            }
            Stage::Draining if self.ledger.open() == 0 => {
                self.close(clock_ns);
                self.stage = Stage::Closing;
            }
            _ => {}
        }
    }

    /// Makes the calls of a burst; returns what comes next.
    fn burst(&mut self, clock_ns: u64, end_ns: u64) -> Stage {
        let (count, timeout_ns) = match std::mem::take(&mut self.config.floods) {
            true => (LINE_CALLS_MAX as u64 + FLOOD_CALLS, FLOOD_NS),
            false => (self.random.pick(&BURST_CALLS), self.draw_timeout_ns()),
        };
        for _ in 0..count {
            let key = self.random.below(self.config.records);
            self.call(clock_ns, key, timeout_ns);
        }
        let one_in = self.config.reopens_one_in;
        if one_in > 0 && self.random.below(one_in) == 0 {
            self.close(clock_ns);
            return Stage::Reopening { end_ns };
        }
        let gap_ns = self.random.below(2 * self.window_ns / self.config.bursts);
        Stage::Running { next_ns: (clock_ns + 1 + gap_ns).min(end_ns), end_ns }
    }

    fn draw_timeout_ns(&mut self) -> u64 {
        if self.config.is_patient {
            return CALL_NS_MAX;
        }
        let round_trip_ns = self.round_trip_ns;
        match self.random.below(4) {
            0 => self.random.between(1, round_trip_ns),
            1 => self.random.magnitude(round_trip_ns, 20 * round_trip_ns),
            2 => self.random.magnitude(1_000_000, 300_000_000),
            _ => CALL_NS_MAX,
        }
    }

    fn call(&mut self, clock_ns: u64, key: u64, timeout_ns: u64) {
        let Self { plan, calls, ledger, now_ns, .. } = self;
        let mut buffer = [0; KEY_BYTES_MAX];
        let key_bytes = plan.keys.write(key, &mut buffer);
        let server = server_of(key_bytes, plan.servers.len()) as u16;
        let is_put = self.random.below(100) < self.config.puts_pct;
        if !is_put && let Some(cached) = calls.cached(|| clock_ns, key_bytes) {
            let value = identity(&plan.values, &cached.value);
            ledger.hit(*now_ns, key, server, cached.version, value);
            self.follow(clock_ns, key);
            return;
        }
        let value = is_put.then(|| ledger.next_value());
        let call = Call {
            key,
            server,
            value,
            begun_ns: *now_ns,
            deadline_ns: *now_ns + timeout_ns,
            deadline_clock_ns: clock_ns + timeout_ns,
            ended: None,
        };
        let token = ledger.begin(call);
        let taken = match value {
            None => calls.get(token, call.deadline_clock_ns, key_bytes),
            Some(id) => {
                let mut value = vec![0; plan.values.value_size()];
                plan.values.fill(&mut value, id);
                calls.put(token, call.deadline_clock_ns, key_bytes, &value)
            }
        };
        if let Err(not_taken) = taken {
            let now = self.now(clock_ns);
            self.ledger.end(now, token, 0, Err(not_taken.error));
        }
    }

    /// A call has ended, and another one for its record may follow.
    fn follow(&mut self, clock_ns: u64, key: u64) {
        let happens = self.random.happens(self.config.followed_per_million);
        if happens && self.followed.len() < FOLLOWED_MAX {
            let longest_ns = self.config.cache_age_ns.unwrap_or(self.round_trip_ns);
            let pause_ns = self.random.pick(&[0, 1]) * self.random.below(longest_ns);
            self.followed.push(Reverse((clock_ns + 1 + pause_ns, key)));
        }
    }

    fn close(&mut self, clock_ns: u64) {
        let Self { calls, ended, plan, .. } = self;
        calls.close(clock_ns, |call| ended.push(Ended::of(call, plan)));
        self.write_down(clock_ns);
    }

    const fn now(&self, clock_ns: u64) -> Now {
        let excused_until_ns = match self.undrained_since_ns {
            Some(since_ns) if self.now_ns - since_ns <= UNDRAINED_NS_MAX + ROUND_NS => self.now_ns,
            _ => self.paused_until_ns,
        };
        Now { true_ns: self.now_ns, clock_ns, excused_until_ns }
    }

    /// Writes down the calls that have ended.
    fn write_down(&mut self, clock_ns: u64) {
        for Ended { token, worker, result } in std::mem::take(&mut self.ended) {
            let sessions = self.calls.pool().all();
            let incarnation = sessions
                .filter(|session| session.client.server() == worker)
                .find_map(|session| Some(session.client.granted()?.incarnation));
            let incarnation = incarnation.unwrap_or(0);
            self.follow(clock_ns, self.ledger.calls[token].key);
            self.ledger.end(self.now(clock_ns), token, incarnation, result);
        }
    }
}

impl Ended {
    fn of(call: EndedCall<'_, usize>, plan: &Plan) -> Self {
        let EndedCall { token, worker, result, .. } = call;
        let result = result.map(|reply| Answer::of(&reply, &plan.values));
        Self { token, worker, result }
    }
}

impl Endpoint for Application {
    fn handle_datagram(&mut self, now_ns: u64, path: Path, datagram: &[u8]) {
        let Self { calls, ended, plan, .. } = self;
        calls.handle_datagram(now_ns, path.remote, datagram, |call| {
            ended.push(Ended::of(call, plan));
        });
        self.write_down(now_ns);
    }

    fn handle_timeout(&mut self, now_ns: u64, is_drained: bool) {
        let Self { calls, ended, plan, .. } = self;
        calls.handle_timeout(now_ns, is_drained, |call| ended.push(Ended::of(call, plan)));
        self.write_down(now_ns);
        self.run_ns = now_ns;
        match is_drained {
            true => self.undrained_since_ns = None,
            false => _ = self.undrained_since_ns.get_or_insert(self.now_ns),
        }
        self.advance(now_ns);
    }

    fn poll_timeout(&self) -> Option<u64> {
        let next_ns = match (self.is_connecting, self.stage) {
            (true, Stage::Running { end_ns, .. }) => Some(end_ns),
            (true, _) => None,
            (false, _) => self.next_call_ns(),
        };
        next_ns.into_iter().chain(self.calls.poll_timeout()).min()
    }

    fn poll_transmit(&mut self, now_ns: u64, flush: Flush) -> Option<Transmit<'_>> {
        self.calls.poll_transmit(now_ns, flush)
    }

    fn goes_on(&mut self, _now_ns: u64, _transport: &TransportCounters) -> bool {
        self.stage != Stage::Closing || !self.calls.are_over()
    }
}

/// Makes an application: its process, which has number `process`, and its machine.
pub fn application(
    config: &Config,
    plan: &Arc<Plan>,
    random: &mut Random,
    now_ns: u64,
    index: usize,
    process: usize,
) -> (Process, Machine) {
    let clock = Process::new(random.below(1 << 40));
    let mut random = Random::new(random.next_u64());
    let own = config.applications[index].clone();
    let client = ClientConfig { reply_bytes_max: config.receive_buffer_bytes, ..plan.client };
    let clock_ns = clock.clock_ns(now_ns);
    let writer = random.next_u64();
    let ledger = Ledger::new(index as u32, writer, own.cache_age_ns.unwrap_or(0));
    let connects = own.connects;
    let application = Application {
        calls: calls(clock_ns, plan, client, &own, &mut random),
        config: own,
        plan: plan.clone(),
        client,
        round_trip_ns: 2 * config.delay_ns,
        window_ns: 0,
        random,
        stage: Stage::Waiting,
        is_connecting: connects,
        run_ns: clock_ns,
        followed: BinaryHeap::new(),
        ended: Vec::new(),
        now_ns,
        paused_until_ns: 0,
        undrained_since_ns: None,
        ledger,
    };
    let runs = Runs::Application(Some(Box::new(application)));
    (clock, Machine::new(application_address(index), process, runs, config))
}

/// A new client, with a cache of its own.
fn calls(
    clock_ns: u64,
    plan: &Plan,
    client: ClientConfig,
    config: &ApplicationConfig,
    random: &mut Random,
) -> Calls<usize> {
    let cache = config.cache_age_ns.map(|age_ns| {
        let age = Duration::from_nanos(age_ns);
        Arc::new(NearCache::new(CacheConfig::new(CACHE_ENTRIES, age)))
    });
    let entropy = Entropy::seeded(random.next_u64());
    Calls::new(clock_ns, &plan.servers, client, entropy, cache)
        .expect("a seeded source does not fail")
}
