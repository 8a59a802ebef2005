//! What the generator does for each operation besides its session.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::mpsc::channel;

use generator::recorder::Recorder;
use generator::workload::{Mix, StreamRandom, Workload};
use generator::zipf::Zipf;
use host::report::Phase;
use proto::counters::ClientCounters;
use proto::placement::server_of;

use super::count;

const RECORDS: u64 = 10_000;
const THETA: f64 = 0.99;
const SERVERS: usize = 4;
/// Operations that leave together come back together, and have taken equally long.
const ALIKE: usize = 16;
/// One operation of so many is a PUT.
const PUT_ONE_IN: usize = 20;

pub(super) fn draw() {
    let zipf = Zipf::new(RECORDS, THETA).expect("the figures are sound");
    let workload = Workload::new(Mix::B, Arc::new(zipf));
    let mut random = StreamRandom::new(1, 0, 0);
    count(4096, |_| {
        black_box(workload.next(&mut random));
    });
}

pub(super) fn place() {
    count(4096, |key| {
        black_box(server_of(black_box(&(key as u64).to_be_bytes()), SERVERS));
    });
}

pub(super) fn record_answers() {
    let (sender, _intervals) = channel();
    let mut recorder = Recorder::new(sender);
    recorder.begin(Phase::Run, 0, u64::MAX >> 1, &ClientCounters::default());
    count(4096, |operation| {
        let latency_ns = 300_000 + (operation / ALIKE) as u64 * 1999;
        recorder.answered(black_box(latency_ns), operation.is_multiple_of(PUT_ONE_IN));
    });
}
