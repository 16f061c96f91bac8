//! The events of a simulated network, by time and then in the order in which they were caused.
//! A binary heap: O(log n) for each event.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

/// What is to happen, soonest first.
#[derive(Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Entry<E>>,
    sequence: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Duration,
    sequence: u64,
    event: E,
}

impl<E> Queue<E> {
    /// Nothing to come.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            sequence: 0,
        }
    }

    /// `event` is to happen at `at`, after everything else already due then.
    pub fn push(&mut self, at: Duration, event: E) {
        self.sequence += 1;
        let sequence = self.sequence;
        self.heap.push(Entry {
            at,
            sequence,
            event,
        });
    }

    /// When the next event is due.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        self.heap.peek().map(|entry| entry.at)
    }

    /// Takes the next event.
    pub fn pop(&mut self) -> Option<(Duration, E)> {
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> Ord for Entry<E> {
    /// The greatest of a heap comes first, so the earliest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earliest_first_and_equals_in_their_order() {
        let mut queue = Queue::new();
        for (at, event) in [(2, 'c'), (1, 'a'), (2, 'd'), (1, 'b')] {
            queue.push(Duration::from_secs(at), event);
        }
        assert_eq!(queue.due(), Some(Duration::from_secs(1)));
        let order: String = std::iter::from_fn(|| queue.pop().map(|(_, e)| e)).collect();
        assert_eq!(order, "abcd");
    }
}
