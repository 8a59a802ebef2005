//! `ping`: the round trip to each worker.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use client::Ping;
use hdrhistogram::Histogram;
use serde_json::json;

use crate::failure::Failure;
use crate::flags::PingFlags;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::status::Status;
use crate::store::Store;
use crate::table::aligned;

/// Significant figures of a round trip.
const FIGURES: u8 = 3;

/// Measures the round trip to each worker.
pub(crate) fn ping(
    flags: &PingFlags,
    store: &mut Store,
    output: &Output,
    interrupt: &mut Interrupt,
) -> Result<Status, Failure> {
    interrupt.begin()?;
    let mut round_trips = RoundTrips::default();
    let mut next = Instant::now();
    loop {
        round_trips.rounds += 1;
        for Ping { worker, round_trip, .. } in store.ping()? {
            round_trips.add(worker, round_trip.as_ref().ok().copied());
            match round_trip {
                Err(error) => output.error(format_args!("{worker}: {error}")),
                Ok(time) if !flags.quiet && !output.json => {
                    let (round, time) = (round_trips.rounds, microseconds(time));
                    output.line(format_args!("{worker}: {round} {time} µs"))?;
                }
                Ok(_) => {}
            }
        }
        next = (next + flags.interval).max(Instant::now());
        if round_trips.rounds == flags.count || !interrupt.wait_until(next) {
            break;
        }
    }
    round_trips.print(output)?;
    Ok(if round_trips.is_incomplete { Status::Failed } else { Status::Done })
}

#[derive(Default)]
struct RoundTrips {
    rounds: u64,
    /// Whether a worker did not answer.
    is_incomplete: bool,
    of_worker: BTreeMap<SocketAddr, Histogram<u64>>,
}

impl RoundTrips {
    fn add(&mut self, worker: SocketAddr, time: Option<Duration>) {
        let histogram = self
            .of_worker
            .entry(worker)
            .or_insert_with(|| Histogram::new(FIGURES).expect("so many figures are possible"));
        let Some(time) = time else {
            self.is_incomplete = true;
            return;
        };
        // It resizes itself: only memory could fail.
        let _ = histogram.record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX >> 1));
    }

    fn print(&self, output: &Output) -> Result<(), Failure> {
        if output.json {
            let workers = self.of_worker.iter().map(|(worker, histogram)| {
                let microseconds = figures(histogram).map(|nanoseconds| nanoseconds as f64 / 1e3);
                let [min, p50, p99, max] = microseconds;
                json!({
                    "worker": worker,
                    "sent": self.rounds,
                    "answered": histogram.len(),
                    "min_us": min, "p50_us": p50, "p99_us": p99, "max_us": max,
                })
            });
            return output.line(json!({ "workers": workers.collect::<Vec<_>>() }));
        }
        let header = ["worker", "sent", "answered", "min µs", "p50 µs", "p99 µs", "max µs"];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        for (worker, histogram) in &self.of_worker {
            let counts = [worker.to_string(), self.rounds.to_string(), histogram.len().to_string()];
            let times = figures(histogram)
                .map(|nanoseconds| microseconds(Duration::from_nanos(nanoseconds)));
            rows.push(counts.into_iter().chain(times).collect());
        }
        aligned(&rows).into_iter().try_for_each(|line| output.line(line))
    }
}

/// The least, the median, the 99th percentile and the most.
fn figures(histogram: &Histogram<u64>) -> [u64; 4] {
    let at = |quantile| histogram.value_at_quantile(quantile);
    [histogram.min(), at(0.5), at(0.99), histogram.max()]
}

fn microseconds(time: Duration) -> String {
    format!("{:.1}", time.as_nanos() as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_each_worker() {
        let mut round_trips = RoundTrips::default();
        let workers: [SocketAddr; 2] = [1, 2].map(|port| ([127, 0, 0, 1], port).into());
        for micros in 1..=100 {
            round_trips.add(workers[0], Some(Duration::from_micros(micros)));
            round_trips.add(workers[1], Some(Duration::from_micros(7)));
        }
        let [min, p50, p99, max] = figures(&round_trips.of_worker[&workers[0]]);
        let near = |nanoseconds: u64, micros: u64| nanoseconds.abs_diff(micros * 1000) < 100;
        assert!(near(min, 1) && near(p50, 50) && near(p99, 99) && near(max, 100));
        assert!(figures(&round_trips.of_worker[&workers[1]]).iter().all(|&ns| near(ns, 7)));
    }
}
