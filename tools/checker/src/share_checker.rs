//! Checks every register of a share of the keys, in one pass over their operations.

use std::hint::black_box;

use history::operation::Operation;
use history::sample::mix;

use crate::assumptions::Assumptions;
use crate::earliest::EarliestTimes;
use crate::lives::Lives;
use crate::register::Register;
use crate::register_numbers::{RegisterId, RegisterNumbers};
use crate::versions::Versions;
use crate::wrong::Wrong;

/// Which register is wrong, and how.
#[derive(Clone, Copy, Debug)]
pub struct Finding {
    /// The register.
    pub id: RegisterId,
    /// What is wrong.
    pub wrong: Wrong,
    /// The end of the operation at which it was found.
    pub end_ns: u64,
}

/// Which of so many shares a key is of.
#[inline]
fn share_of(key: u64, shares: u64) -> u64 {
    ((u128::from(mix(key)) * u128::from(shares)) >> 64) as u64
}

/// Operations that are looked up together.
const GROUP: usize = 256;

#[derive(Debug, Default)]
struct KeyState {
    register: Register,
    versions: Versions,
}

/// One share of the keys. Memory: some 200 bytes a key, and for each PUT that a GET may still
/// find 48 or, if they are many of one key, 200.
#[derive(Debug)]
pub struct ShareChecker {
    assumptions: Assumptions,
    share: u64,
    shares: u64,
    numbers: RegisterNumbers,
    states: Vec<KeyState>,
    earliest: EarliestTimes,
    lives: Lives,
    operations: u64,
    cached: u64,
    horizon_ns: u64,
    /// Operations that wait for others, with their caches, and the horizon of the first.
    group: Vec<(u64, Operation)>,
    group_horizon_ns: u64,
}

impl ShareChecker {
    /// Takes the keys of share number `share` of `shares`.
    #[must_use]
    pub fn new(assumptions: Assumptions, share: u64, shares: u64) -> Self {
        assert!(share < shares);
        Self {
            earliest: EarliestTimes::new(assumptions.staleness_ns),
            assumptions,
            share,
            shares,
            numbers: RegisterNumbers::default(),
            states: Vec::new(),
            lives: Lives::default(),
            operations: 0,
            cached: 0,
            horizon_ns: 0,
            group: Vec::with_capacity(GROUP),
            group_horizon_ns: 0,
        }
    }

    /// No answered operation to come is called before this time.
    #[inline]
    pub fn set_horizon_ns(&mut self, horizon_ns: u64) {
        self.horizon_ns = self.assumptions.access_horizon_ns(horizon_ns);
    }

    /// Takes the next operation, in the order of their ends, if its key is of this share; it
    /// went through the near cache of this number, if there is one. What is wrong with it may
    /// be told a few operations later.
    #[inline]
    pub fn take(&mut self, cache: u64, operation: &Operation) -> Result<(), Finding> {
        if share_of(operation.key, self.shares) != self.share {
            return Ok(());
        }
        if self.group.is_empty() {
            self.group_horizon_ns = self.horizon_ns;
        }
        self.group.push((cache, *operation));
        if self.group.len() == GROUP { self.check_group() } else { Ok(()) }
    }

    /// Finds the registers of a group, and then looks at them: they lie apart in memory, and
    /// so the processor waits for all of them at once.
    fn check_group(&mut self) -> Result<(), Finding> {
        let mut group = std::mem::take(&mut self.group);
        let mut numbers = [0; GROUP];
        for ((_, operation), number) in group.iter().zip(&mut numbers) {
            let id = RegisterId { key: operation.key, incarnation: operation.incarnation };
            *number = self.numbers.of(id);
        }
        self.states.resize_with(self.numbers.len(), KeyState::default);
        let numbers = &numbers[..group.len()];
        let touched = numbers.iter().fold(0, |sum: u64, &number| {
            let KeyState { register, versions } = &self.states[number as usize];
            sum.wrapping_add(register.touch()).wrapping_add(versions.touch())
        });
        black_box(touched);
        let mut each = group.iter().zip(numbers);
        let checked = each.try_for_each(|((cache, op), &number)| self.check(*cache, op, number));
        group.clear();
        self.group = group;
        checked
    }

    #[inline]
    fn check(&mut self, cache: u64, operation: &Operation, number: u32) -> Result<(), Finding> {
        self.operations += 1;
        self.cached += u64::from(operation.is_cached);
        let horizon_ns = self.group_horizon_ns;
        let earliest = self.earliest.of(cache, operation, horizon_ns);
        let access = self.assumptions.access(operation, earliest.ns);
        self.lives.note(operation, &access);
        let is_vouched_for = match (access.value, &*self.assumptions.killed_writers) {
            (None, _) | (_, []) => false,
            (Some(value), killed) => killed.contains(&value.writer),
        };
        let KeyState { register, versions } = &mut self.states[number as usize];
        register
            .take(&access, horizon_ns, is_vouched_for)
            .and_then(|()| versions.take(&access, horizon_ns))
            .map_err(|wrong| {
                let id = RegisterId { key: operation.key, incarnation: operation.incarnation };
                Finding { id, wrong, end_ns: operation.end_ns }
            })
    }

    /// What was checked, or what only the end of the history shows to be wrong.
    pub fn finish(mut self) -> Result<Share, Finding> {
        self.check_group()?;
        let is_complete = self.assumptions.killed_writers.is_empty();
        let mut wrong: Vec<Finding> = Vec::new();
        for (id, number) in self.numbers.all() {
            let KeyState { register, versions } = &self.states[number as usize];
            if let Err(why) = register.finish().and_then(|()| versions.finish(is_complete)) {
                wrong.push(Finding { id, wrong: why, end_ns: u64::MAX });
            }
        }
        if let Some(&finding) = wrong.iter().min_by_key(|finding| finding.id.key) {
            return Err(finding);
        }
        let is_one_life = self.lives.len() <= 1;
        let keys = if is_one_life { self.numbers.len() as u64 } else { self.distinct_keys() };
        let mut lives = self.lives;
        for (id, number) in self.numbers.all() {
            if self.states[number as usize].register.was_present() {
                lives.note_key(id.incarnation);
            }
        }
        Ok(Share { operations: self.operations, cached: self.cached, keys, lives })
    }

    fn distinct_keys(&self) -> u64 {
        let mut keys: Vec<u64> = self.numbers.all().map(|(id, _)| id.key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.len() as u64
    }
}

/// What one share of a correct history had.
#[derive(Clone, Debug, Default)]
pub struct Share {
    /// Operations.
    pub operations: u64,
    /// Of these, GETs that a near cache answered.
    pub cached: u64,
    /// Keys that they were on.
    pub keys: u64,
    /// The lives of the servers that answered them.
    pub lives: Lives,
}

impl Share {
    /// Adds another share of the same history.
    pub fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.cached += other.cached;
        self.keys += other.keys;
        self.lives.add(&other.lives);
    }
}
