//! Checks the histories in files: finds them, deals their keys out to threads, and explains
//! what is wrong.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::assumptions::Assumptions;
use crate::counterexample::{Collection, Contradiction, Witness};
use crate::earliest::EarliestTimes;
use crate::explain::explain;
use crate::input::Inputs;
use crate::input_error::InputError;
use crate::merge::{HistorySource, Merge, Trust, look_through};
use crate::names::{CacheOf, DisplayNames};
use crate::progress::CheckProgress;
use crate::share_checker::{Finding, Share, ShareChecker};
use crate::verdict::{Verdict, Violation};

/// What a check is asked for.
#[derive(Clone, Debug, Default)]
pub struct CheckRequest {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// How far the clocks of the hosts may be from the true time; none if they are one.
    pub clock_error_ns: Option<u64>,
    /// How old the answers of near caches may be, and all answers of CSV; none if no older than
    /// others.
    pub staleness_ns: Option<u64>,
    /// Whether files may be cut, because their generators were killed.
    pub killed: bool,
    /// Threads, each with a share of the keys.
    pub threads: usize,
}

/// Operations between two looks at what other threads do.
const OPERATIONS_PER_LOOK: u32 = 1 << 16;

/// Checks what is asked for: a verdict, a violation, or why nobody can tell.
pub fn check(request: &CheckRequest) -> Result<Result<Verdict, Violation>, InputError> {
    let inputs = Inputs::find(&request.paths, request.staleness_ns.is_some())?;
    let trust =
        Trust { clocks_are_close: request.clock_error_ns.is_some(), may_be_cut: request.killed };
    let sources = look_through(&inputs.files, trust)?;
    let assumptions = Assumptions {
        clock_error_ns: request.clock_error_ns.unwrap_or(0),
        staleness_ns: request.staleness_ns.unwrap_or(0),
        killed_writers: sources.iter().filter_map(HistorySource::killed_writer).collect(),
    };
    let cache_of = inputs.names.cache_of();
    let shares = check_shares(&sources, cache_of, &assumptions, request.threads.max(1))?;
    let whole = match shares {
        Ok(whole) => whole,
        Err(finding) => {
            return Ok(Err(violation(&sources, assumptions, &finding, &inputs.names)?));
        }
    };
    Ok(match whole.lives.restarts() {
        Ok(restarts) => Ok(Verdict {
            operations: whole.operations,
            cached: whole.cached,
            keys: whole.keys,
            unanswered_gets: inputs.unanswered_gets,
            restarts,
        }),
        Err(two) => Err(Violation { key: None, text: two.to_string() }),
    })
}

/// Lets each thread read all files and check its share of the keys: reading costs less than
/// checking, and so no two threads ever wait for each other.
fn check_shares(
    sources: &[HistorySource],
    cache_of: CacheOf,
    assumptions: &Assumptions,
    threads: usize,
) -> Result<Result<Share, Finding>, InputError> {
    let progress = CheckProgress::new(threads, sources.iter().map(HistorySource::bytes).sum());
    let is_decided = AtomicBool::new(false);
    let at_work = AtomicUsize::new(threads);
    let whole: Mutex<Result<Result<Share, Finding>, InputError>> =
        Mutex::new(Ok(Ok(Share::default())));
    thread::scope(|scope| {
        let teller = thread::current();
        for share in 0..threads {
            let (progress, is_decided, at_work) = (&progress, &is_decided, &at_work);
            let (whole, teller) = (&whole, teller.clone());
            scope.spawn(move || {
                let checker = ShareChecker::new(assumptions.clone(), share as u64, threads as u64);
                let told = pass(sources, cache_of, checker, |done| {
                    progress.set(share, done);
                    !is_decided.load(Ordering::Relaxed)
                });
                if !matches!(told, Ok(Ok(_))) {
                    is_decided.store(true, Ordering::Relaxed);
                }
                let mut whole = whole.lock().expect("no thread panics while it holds it");
                add(&mut whole, told);
                at_work.fetch_sub(1, Ordering::Release);
                teller.unpark();
            });
        }
        progress.tell_until(|| at_work.load(Ordering::Acquire) == 0);
    });
    whole.into_inner().expect("no thread panicked")
}

/// A file that cannot be read comes first, then the violation that was found first.
fn add(
    whole: &mut Result<Result<Share, Finding>, InputError>,
    told: Result<Result<Share, Finding>, InputError>,
) {
    match (whole.as_mut(), told) {
        (Err(_), _) => {}
        (Ok(_), Err(error)) => *whole = Err(error),
        (Ok(Ok(sum)), Ok(Ok(share))) => sum.add(&share),
        (Ok(Err(first)), Ok(Err(finding))) => {
            if (finding.end_ns, finding.id.key) < (first.end_ns, first.id.key) {
                *first = finding;
            }
        }
        (Ok(Err(_)), Ok(Ok(_))) => {}
        (Ok(result), Ok(Err(finding))) => *result = Err(finding),
    }
}

/// Passes all operations to a checker, until `goes_on` says no.
fn pass(
    sources: &[HistorySource],
    cache_of: CacheOf,
    mut checker: ShareChecker,
    goes_on: impl Fn(u64) -> bool,
) -> Result<Result<Share, Finding>, InputError> {
    let mut merge = Merge::open(sources)?;
    let mut until_look = OPERATIONS_PER_LOOK;
    while let Some((file, operation)) = merge.next_operation()? {
        checker.set_horizon_ns(merge.horizon_ns());
        if let Err(finding) = checker.take(cache_of(file, &operation), &operation) {
            return Ok(Err(finding));
        }
        until_look -= 1;
        if until_look == 0 {
            until_look = OPERATIONS_PER_LOOK;
            if !goes_on(merge.bytes_read()) {
                return Ok(Ok(Share::default()));
            }
        }
    }
    Ok(checker.finish())
}

/// No generator gives two PUTs one value, so that this says nothing about the store.
fn written_twice(sources: &[HistorySource], first: &Witness, again: &Witness) -> InputError {
    let path = |witness: &Witness| sources[witness.file].path();
    let message = format!(
        "key {} has the value of one PUT twice, the first time in {}: the file is damaged",
        again.operation.key,
        path(first).display()
    );
    InputError::new(path(again), message)
}

/// Reads the files again, for the operations of one register.
fn violation(
    sources: &[HistorySource],
    assumptions: Assumptions,
    finding: &Finding,
    names: &DisplayNames,
) -> Result<Violation, InputError> {
    let id = finding.id;
    let staleness_ns = assumptions.staleness_ns;
    let mut earliest = EarliestTimes::new(staleness_ns);
    let mut collection = Collection::new(assumptions);
    let (cache_of, mut merge) = (names.cache_of(), Merge::open(sources)?);
    while let Some((file, operation)) = merge.next_operation()? {
        if operation.key != id.key {
            continue;
        }
        let earliest = earliest.of(cache_of(file, &operation), &operation, 0);
        if operation.incarnation == id.incarnation {
            collection.add(Witness { file, operation, earliest });
        }
    }
    let reason = collection.reason().expect("what one pass found, the other finds again");
    if let Contradiction::WrittenTwice(first, again) = reason {
        return Err(written_twice(sources, &first, &again));
    }
    let mut text = explain(&reason, names, staleness_ns);
    if matches!(names, DisplayNames::Workload) {
        for (number, source) in sources.iter().enumerate() {
            text += &format!("  file {number} is {}\n", source.path().display());
        }
    }
    Ok(Violation { key: Some(names.key(id.key)), text })
}
