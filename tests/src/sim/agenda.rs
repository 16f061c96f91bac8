//! What happens when: a heap of moments, with what happens kept beside it, so that moments alone
//! are moved. Equal moments come in the order in which they were planned.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Plans of a world, earliest first.
pub(super) struct Agenda<E> {
    heap: BinaryHeap<Reverse<Moment>>,
    events: Vec<Option<E>>,
    free: Vec<u32>,
    planned: u32,
}

/// When, in which order, and where the event lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    at: u64,
    number: u32,
    slot: u32,
}

impl<E> Agenda<E> {
    /// Nothing is planned.
    pub(super) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            planned: 0,
        }
    }

    /// Plans an event at `at` nanoseconds.
    pub(super) fn plan(&mut self, at: u64, event: E) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            u32::try_from(self.events.len() - 1).expect("few events are planned at once")
        });
        self.events[slot as usize] = Some(event);
        self.planned = self.planned.checked_add(1).expect("a run ends before");
        let number = self.planned;
        self.heap.push(Reverse(Moment { at, number, slot }));
    }

    /// When the next event happens.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|moment| moment.0.at)
    }

    /// The next event.
    pub(super) fn pop(&mut self) -> Option<(u64, E)> {
        let Moment { at, slot, .. } = self.heap.pop()?.0;
        let event = self.events[slot as usize].take()?;
        self.free.push(slot);
        Some((at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_moments_keep_their_order() {
        let mut agenda = Agenda::new();
        for (at, event) in [(5, 'c'), (1, 'a'), (5, 'd'), (1, 'b')] {
            agenda.plan(at, event);
        }
        assert_eq!(agenda.next_at(), Some(1));
        let mut order = String::new();
        while let Some((_, event)) = agenda.pop() {
            order.push(event);
        }
        assert_eq!(order, "abcd");
        agenda.plan(2, 'e');
        assert_eq!(agenda.pop(), Some((2, 'e')));
    }
}
