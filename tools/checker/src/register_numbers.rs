//! A number for each register, under which its state is kept: a table of pages, because the keys of a workload are
//! dense. One cache miss a look, where a hash table of all registers has two or three.

use std::collections::HashMap;

use foldhash::fast::FixedState;

/// A key in one life of its server: servers that start again start empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegisterId {
    /// The record's number.
    pub key: u64,
    /// The life of its server.
    pub incarnation: u64,
}

/// Keys of a page.
const PAGE: usize = 1 << 12;
/// No register.
const NONE: u32 = u32::MAX;

/// A number for each register, in the order of their appearance.
#[derive(Debug)]
pub struct RegisterNumbers {
    pages: HashMap<RegisterId, Box<[u32; PAGE]>, FixedState>,
    len: u32,
}

impl Default for RegisterNumbers {
    fn default() -> Self {
        Self { pages: HashMap::with_hasher(FixedState::with_seed(0)), len: 0 }
    }
}

impl RegisterNumbers {
    /// Registers that have a number.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether none has.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of a register; a new one gets the next.
    #[inline]
    pub fn of(&mut self, id: RegisterId) -> u32 {
        let page = RegisterId { key: id.key / PAGE as u64, incarnation: id.incarnation };
        let page = self.pages.entry(page).or_insert_with(|| Box::new([NONE; PAGE]));
        let number = &mut page[id.key as usize % PAGE];
        if *number == NONE {
            assert!(self.len < NONE, "memory ends before");
            *number = self.len;
            self.len += 1;
        }
        *number
    }

    /// All registers with their numbers, in no order.
    pub fn all(&self) -> impl Iterator<Item = (RegisterId, u32)> + '_ {
        self.pages.iter().flat_map(|(page, numbers)| {
            let taken = numbers.iter().enumerate().filter(|&(_, &number)| number != NONE);
            taken.map(|(at, &number)| {
                let key = page.key * PAGE as u64 + at as u64;
                (RegisterId { key, incarnation: page.incarnation }, number)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_register_keeps_its_number() {
        let mut numbers = RegisterNumbers::default();
        let ids = [(0, 1), (1, 1), (0, 2), (4096, 1), (u64::MAX, 1), (5000, 1)]
            .map(|(key, incarnation)| RegisterId { key, incarnation });
        for _ in 0..2 {
            assert_eq!(ids.map(|id| numbers.of(id)), [0, 1, 2, 3, 4, 5]);
        }
        let mut all: Vec<_> = numbers.all().collect();
        all.sort_by_key(|&(_, number)| number);
        assert_eq!(all, ids.into_iter().zip(0..).collect::<Vec<_>>());
        assert_eq!(numbers.len(), 6);
    }
}
