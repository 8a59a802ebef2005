//! What a seed draws: how large everything is, and what goes wrong how often.

use kv::table::Choice;
use proto::limits::{
    ANSWER_RATES, AnswerRates, KEY_BYTES_MAX, MTU_BYTES_MAX, MTU_BYTES_MIN, RTO_NS_MIN, WINDOW_MAX,
    value_bytes_max,
};
use proto::order::Order;
use proto::session_table::Rooms;
use proto::token_bucket::Rate;

use crate::applications::ApplicationConfig;
use crate::random::Random;
use generator::workload::Mix;

/// Operations of one seed, about.
const OPERATIONS: u64 = 4000;
/// How long the streams run: longer than several retransmission times, or nothing that goes
/// wrong has time to show.
const RUN_NS_MIN: u64 = 100_000_000;
const RUN_NS_MAX: u64 = 2_000_000_000;
/// Time of the network, one way. What is answered within twice the longest was never late.
const DELAY_NS_MIN: u64 = 2_000;
const DELAY_NS_MAX: u64 = 5_000_000;

/// A device that takes everything at once.
const DEVICE_BYTES_PER_S_MAX: u64 = u64::MAX;

/// So few answers that honest clients are limited, too: slowed, and never wronged.
const FEW_ANSWERS: AnswerRates = AnswerRates {
    cookies: Rate::new(200, 16),
    cookies_by_address: Rate::new(50, 4),
    refusals: Rate::new(200, 16),
    refusals_by_address: Rate::new(50, 4),
    repeats: Rate::new(500, 16),
};

const _: () = assert!(4 * DELAY_NS_MAX <= RTO_NS_MIN && 5 * RTO_NS_MIN <= RUN_NS_MIN);

/// How often something goes wrong with a datagram, per million, in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// It is lost.
    pub drop: u32,
    /// It comes twice.
    pub duplicate: u32,
    /// Some of its bits change.
    pub corrupt: u32,
    /// It is cut short.
    pub truncate: u32,
    /// It is late, by up to [`Config::late_ns`]: others overtake it.
    pub late: u32,
}

/// Everything that a seed decides before the run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Servers.
    pub servers: u16,
    /// Workers of each.
    pub workers: u16,
    /// Generators.
    pub generators: u16,
    /// Threads of each.
    pub threads: u16,
    /// Streams of each generator.
    pub streams: usize,
    /// What waits for what.
    pub order: Order,
    /// Operations of a stream that may be outstanding together.
    pub batch: u32,
    /// Slots that clients ask for.
    pub window: usize,
    /// Slots that servers grant.
    pub server_window: usize,
    /// Largest datagram of the clients.
    pub mtu_bytes: usize,
    /// Largest datagram of the servers.
    pub server_mtu_bytes: usize,
    /// Bytes of a key.
    pub key_bytes: usize,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Records.
    pub records: u64,
    /// Skew.
    pub theta: f64,
    /// Reads and writes.
    pub mix: Mix,
    /// Operations a second of a generator in open loop.
    pub rate: Option<f64>,
    /// Which table.
    pub table: Choice,
    /// What a table may hold.
    pub table_bytes_max: u64,
    /// How long clients wait for an answer.
    pub answer_timeout_ns: u64,
    /// Bytes of unread datagrams that a socket holds.
    pub receive_buffer_bytes: usize,
    /// Bytes that a socket holds until the device has taken them, and how many it takes a second.
    pub send_buffer_bytes: usize,
    /// Bytes that a device takes a second.
    pub send_bytes_per_s: u64,
    /// Whether strangers have a send buffer of their own.
    pub parts_strangers: bool,
    /// Datagrams that one round takes.
    pub messages_per_round: usize,
    /// How often a wait ends early, per million.
    pub early_wakes: u32,
    /// Time of the network, one way.
    pub delay_ns: u64,
    /// By how much it differs.
    pub jitter_ns: u64,
    /// By how much a late datagram is late, at most.
    pub late_ns: u64,
    /// Time that a worker takes for a datagram.
    pub work_ns: u64,
    /// From clients to servers, and back.
    pub weather: [Weather; 2],
    /// How long the streams run.
    pub run_ns: u64,
    /// How many times each of these happens in the run.
    pub cuts: u64,
    /// Servers that stop for a while.
    pub server_pauses: u64,
    /// Generators that stop for a while.
    pub generator_pauses: u64,
    /// Servers that start again, empty.
    pub restarts: u64,
    /// Clocks that jump ahead.
    pub clock_jumps: u64,
    /// Neighbours that do not answer ARP for a while.
    pub silences: u64,
    /// Of all of these, how many happen while generators connect and load.
    pub early_mishaps: u64,
    /// How far clocks jump at most.
    pub clock_jump_ns_max: u64,
    /// Datagrams of one who has no business here.
    pub hostile_datagrams: u64,
    /// How often workers answer strangers, and what comes again.
    pub rates: AnswerRates,
    /// Whether one on the path sees all datagrams, and sends in the clients' names.
    pub is_watched: bool,
    /// Times that one who hoards sessions opens more.
    pub hoards: u64,
    /// How many sessions a worker may have.
    pub rooms: Rooms,
    /// Applications over the client library.
    pub applications: Vec<ApplicationConfig>,
}

impl Config {
    /// What `random` draws, `links` for the machines' links, and `apps` for the applications: so
    /// a seed draws the rest as it did before there were any.
    pub fn draw(random: &mut Random, links: &mut Random, apps: &mut Random) -> Self {
        let key_bytes = random.pick(&[1, 4, 8, 8, 8, 16, 40, 300]);
        let mtu_bytes = random.pick(&[MTU_BYTES_MIN, 800, 1472, 1472, 4000, MTU_BYTES_MAX]);
        let server_mtu_bytes = random.pick(&[MTU_BYTES_MIN, 1472, 1472, MTU_BYTES_MAX]);
        assert!(key_bytes <= KEY_BYTES_MAX);
        let value_bytes_max = value_bytes_max(mtu_bytes.min(server_mtu_bytes), key_bytes);
        let value_bytes = if value_bytes_max > 16 && random.below(2) == 0 {
            random.magnitude(16, value_bytes_max as u64) as usize
        } else {
            random.between(16, 40.min(value_bytes_max as u64)) as usize
        };
        let records = random.magnitude(1, 200);
        let (servers, workers) = (random.between(1, 3) as u16, random.between(1, 3) as u16);
        let (generators, threads) = (random.between(1, 3) as u16, random.between(1, 2) as u16);
        let streams = random.magnitude(1, 64) as usize;
        let batch = random.magnitude(1, 32) as u32;
        let calm = random.below(8) == 0;
        let weather = [draw_weather(random, calm), draw_weather(random, calm)];
        let run_ns = random.magnitude(RUN_NS_MIN, RUN_NS_MAX);
        // A closed loop is as fast as the network lets it: a network that is slow enough, or
        // else an open loop, bounds the operations.
        let outstanding = u64::from(generators) * streams as u64 * u64::from(batch.min(8));
        let delay_ns_min = (outstanding * run_ns / OPERATIONS / 2).max(DELAY_NS_MIN);
        let is_open = delay_ns_min > DELAY_NS_MAX || random.below(4) == 0;
        let delay_ns =
            random.magnitude(if is_open { DELAY_NS_MIN } else { delay_ns_min }, DELAY_NS_MAX);
        let rate =
            is_open.then(|| OPERATIONS as f64 / (run_ns as f64 / 1e9) / f64::from(generators));
        let mut times = |often: u64| if calm { 0 } else { random.below(3) * random.below(often) };
        let (cuts, server_pauses, generator_pauses) = (times(4), times(3), times(3));
        let (restarts, clock_jumps, early_mishaps) = (times(3), times(3), times(3));
        // Half of the seeds have links that take everything at once.
        let plain = calm || links.below(2) == 0;
        Self {
            servers,
            workers,
            generators,
            threads,
            streams,
            order: random.pick(&[Order::Strict, Order::Strict, Order::Shard, Order::Async]),
            batch,
            window: 1 << random.between(0, WINDOW_MAX.ilog2().into()),
            server_window: 1 << random.between(2, WINDOW_MAX.ilog2().into()),
            mtu_bytes,
            server_mtu_bytes,
            key_bytes,
            value_bytes,
            records,
            theta: random.pick(&[0.0, 0.5, 0.99, 1.5]),
            mix: random.pick(&[Mix::A, Mix::A, Mix::B, Mix::C]),
            rate,
            table: random.pick(&[Choice::Bucket, Choice::Papaya]),
            table_bytes_max: if random.below(8) == 0 {
                random.between(1, 1 + records * (value_bytes as u64 + 80))
            } else {
                1 << 30
            },
            answer_timeout_ns: random.pick(&[
                60_000_000,
                200_000_000,
                1_000_000_000,
                10_000_000_000,
            ]),
            receive_buffer_bytes: if calm {
                8 << 20
            } else {
                random.magnitude(40 << 10, 8 << 20) as usize
            },
            delay_ns,
            jitter_ns: if calm { 0 } else { random.below(delay_ns) },
            late_ns: random.magnitude(10_000, RUN_NS_MAX),
            work_ns: if calm { 0 } else { random.pick(&[0, 0, 500, 20_000, 500_000]) },
            weather,
            run_ns,
            cuts,
            server_pauses,
            generator_pauses,
            restarts,
            clock_jumps,
            early_mishaps,
            clock_jump_ns_max: random.magnitude(1_000_000, 300_000_000_000),
            hostile_datagrams: if calm { 0 } else { random.below(40) },
            silences: if plain { 0 } else { links.below(6) },
            send_buffer_bytes: match links.below(2) {
                0 if !plain => links.magnitude(2 << 10, 1 << 18) as usize,
                _ => 8 << 20,
            },
            send_bytes_per_s: match links.below(2) {
                0 if !plain => links.magnitude(1 << 20, 1 << 28),
                _ => DEVICE_BYTES_PER_S_MAX,
            },
            parts_strangers: links.below(2) == 0,
            messages_per_round: links.pick(&[1, 3, 64, 64]),
            early_wakes: links.pick(&[0, 0, 1_000, 200_000]),
            // Drawn from a copy: the rest is drawn as before.
            rates: if calm || links.clone().below(3) > 0 { ANSWER_RATES } else { FEW_ANSWERS },
            is_watched: false,
            hoards: 0,
            rooms: Rooms::default(),
            applications: ApplicationConfig::draw_all(apps, records, 2 * delay_ns, calm),
        }
    }

    /// Whether nothing is to go wrong.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        let all =
            self.weather.iter().flat_map(|w| [w.drop, w.duplicate, w.corrupt, w.truncate, w.late]);
        let buffers_bytes = self.receive_buffer_bytes.min(self.send_buffer_bytes);
        all.sum::<u32>() == 0
            && !self.has_mishaps()
            && buffers_bytes == 8 << 20
            && self.send_bytes_per_s == DEVICE_BYTES_PER_S_MAX
    }

    /// Whether sessions can be lost in another way than by the weather.
    #[must_use]
    pub fn has_mishaps(&self) -> bool {
        let pauses = self.cuts + self.silences + self.server_pauses + self.generator_pauses;
        self.is_watched
            || pauses + self.restarts + self.clock_jumps + self.early_mishaps + self.hoards > 0
    }
}

/// Each probability is often zero, sometimes high.
fn draw_weather(random: &mut Random, calm: bool) -> Weather {
    let mut per_million = || match random.below(if calm { 1 } else { 8 }) {
        0..4 => 0,
        4 | 5 => random.magnitude(100, 10_000) as u32,
        6 => random.magnitude(10_000, 200_000) as u32,
        _ => random.magnitude(200_000, 600_000) as u32,
    };
    Weather {
        drop: per_million(),
        duplicate: per_million(),
        corrupt: per_million(),
        truncate: per_million(),
        late: per_million(),
    }
}
