//! What happens next: the earliest, and of what is at one time what was planned first.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Events by their times.
pub struct Queue<T> {
    entries: BinaryHeap<Reverse<Entry<T>>>,
    pushed: u64,
}

struct Entry<T> {
    time_ns: u64,
    number: u64,
    event: T,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { entries: BinaryHeap::new(), pushed: 0 }
    }
}

impl<T> Queue<T> {
    /// Plans an event.
    pub fn push(&mut self, time_ns: u64, event: T) {
        self.pushed += 1;
        self.entries.push(Reverse(Entry { time_ns, number: self.pushed, event }));
    }

    /// The next event, and when it happens.
    pub fn pop(&mut self) -> Option<(u64, T)> {
        self.entries.pop().map(|Reverse(entry)| (entry.time_ns, entry.event))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.time_ns, self.number).cmp(&(other.time_ns, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_their_time_and_then_in_the_order_of_their_planning() {
        let mut queue = Queue::default();
        for (time_ns, event) in [(5, 'c'), (1, 'a'), (5, 'd'), (1, 'b')] {
            queue.push(time_ns, event);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [(1, 'a'), (1, 'b'), (5, 'c'), (5, 'd')]);
    }
}
