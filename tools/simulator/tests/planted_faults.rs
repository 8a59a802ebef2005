//! Each fault that can be planted in the system is reported by the simulator or one of its
//! checks, within a thousand seeds; and without one the same seeds pass.
//!
//! `cargo test -p simulator --release --features planted-faults --test planted_faults -- --nocapture`
//! prints which check found which fault, and after how many seeds: the table in
//! `docs/TESTING.md`.

use proto::planted::{Fault, plant};
use simulator::run_seed;

const SEEDS_MAX: u64 = 1000;

/// What found a fault first: the seed, and the check.
fn found(fault: Fault) -> Option<(u64, &'static str)> {
    (0..SEEDS_MAX).find_map(|seed| {
        plant(Some(fault));
        let outcome = run_seed(seed, false);
        plant(None);
        outcome.failure.map(|(failure, _)| (seed, failure.check))
    })
}

#[test]
fn every_planted_fault_is_found() {
    let mut missed = Vec::new();
    std::panic::set_hook(Box::new(|_| {}));
    for fault in Fault::ALL {
        match found(fault) {
            Some((seed, check)) => {
                println!("| `{}` | {check} | {} |", fault.name(), seed + 1);
                plant(None);
                let clean = run_seed(seed, false).failure.map(|(failure, _)| failure);
                assert!(clean.is_none(), "seed {seed} fails without a fault: {clean:?}");
            }
            None => missed.push(fault.name()),
        }
    }
    let _ = std::panic::take_hook();
    assert!(missed.is_empty(), "not found within {SEEDS_MAX} seeds: {missed:?}");
}
