//! The requests under way on one connection, in the order they were sent.
//!
//! Protocols without request ids are answered in that order; those with ids in any order. A request
//! whose deadline passed gives its slot back at once. Without ids its place stays in the queue as a
//! gravestone, because its answer may still come and must not be taken for another's.

use std::collections::VecDeque;

use crate::workload::Request;

/// A request under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    /// What was asked.
    pub(crate) request: Request,
    /// When it was to be sent, nanoseconds of the run's clock.
    pub(crate) intended_ns: u64,
    /// When it was handed to the kernel.
    pub(crate) sent_ns: u64,
    /// Whether it belongs to the measured part.
    pub(crate) measured: bool,
    /// Whether the key is known to be stored, so that "absent" means lost.
    pub(crate) stored_before: bool,
    /// Whether it gets an answer of its own; otherwise the next answer ends it too.
    pub(crate) answered: bool,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Waiting,
    TimedOut,
    Done,
}

impl Pending {
    pub(crate) fn new(request: Request, intended_ns: u64, measured: bool) -> Self {
        Self {
            request,
            intended_ns,
            sent_ns: u64::MAX,
            measured,
            stored_before: false,
            answered: true,
            state: State::Waiting,
        }
    }
}

/// What an answer turned out to belong to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Match {
    /// A request that was waiting for it.
    Waiting(Pending),
    /// A request whose deadline had passed.
    Late,
    /// Nothing: nobody asked.
    Nobody,
}

/// The requests under way on one connection.
#[derive(Debug, Default)]
pub(crate) struct Window {
    slots: VecDeque<Pending>,
    /// Id of the first slot.
    base: u64,
    /// Slots that wait for an answer.
    live: usize,
    /// Ids below this were handed to the kernel.
    sent: u64,
    /// Ids below this were seen by `expire`.
    swept: u64,
    /// Whether answers carry ids.
    by_id: bool,
}

impl Window {
    pub(crate) fn new(by_id: bool) -> Self {
        Self {
            by_id,
            ..Self::default()
        }
    }

    /// Requests waiting for their answers.
    pub(crate) const fn live(&self) -> usize {
        self.live
    }

    /// Adds a request; the id is what its answer will name.
    pub(crate) fn push(&mut self, pending: Pending) -> u64 {
        self.slots.push_back(pending);
        self.live += 1;
        self.base + self.slots.len() as u64 - 1
    }

    /// Says whether the last request gets an answer of its own.
    pub(crate) fn set_answered(&mut self, answered: bool) {
        if let Some(last) = self.slots.back_mut() {
            last.answered = answered;
        }
    }

    /// Everything pushed so far goes to the kernel now.
    pub(crate) fn mark_sent(&mut self, now_ns: u64) {
        let from = self.sent.saturating_sub(self.base) as usize;
        for pending in self.slots.range_mut(from.min(self.slots.len())..) {
            pending.sent_ns = now_ns;
        }
        self.sent = self.base + self.slots.len() as u64;
    }

    /// Takes the next request that gets an answer of its own, in a protocol without ids. Requests
    /// before it that have none end with it and go to `with_it`.
    pub(crate) fn complete_next(&mut self, mut with_it: impl FnMut(Pending)) -> Match {
        while let Some(pending) = self.slots.pop_front() {
            self.base += 1;
            let waiting = pending.state == State::Waiting;
            self.live -= usize::from(waiting);
            match (pending.answered, waiting) {
                (true, true) => return Match::Waiting(pending),
                (true, false) => return Match::Late,
                (false, true) => with_it(pending),
                (false, false) => {}
            }
        }
        Match::Nobody
    }

    /// Takes the request `id`, in a protocol with ids. An id given out and no longer known belongs
    /// to a request that timed out.
    pub(crate) fn complete(&mut self, id: u64) -> Match {
        let Some(index) = id.checked_sub(self.base) else {
            return Match::Late;
        };
        let Some(slot) = usize::try_from(index)
            .ok()
            .and_then(|i| self.slots.get_mut(i))
        else {
            return Match::Nobody;
        };
        let found = match slot.state {
            State::Waiting => Match::Waiting(*slot),
            State::TimedOut | State::Done => return Match::Late,
        };
        slot.state = State::Done;
        self.live -= 1;
        self.trim();
        found
    }

    /// Calls `each` for every request sent before `limit_ns` that still waits, and gives its slot
    /// back.
    pub(crate) fn expire(&mut self, limit_ns: u64, mut each: impl FnMut(&Pending)) {
        let from = self.swept.saturating_sub(self.base) as usize;
        let mut swept = self.base + from as u64;
        for pending in self.slots.range_mut(from.min(self.slots.len())..) {
            if pending.sent_ns >= limit_ns {
                break;
            }
            swept += 1;
            if pending.state == State::Waiting {
                pending.state = State::TimedOut;
                self.live -= 1;
                each(pending);
            }
        }
        self.swept = swept;
        self.trim();
    }

    /// Forgets everything, since the connection is gone; calls `each` for what was waiting.
    pub(crate) fn abandon(&mut self, mut each: impl FnMut(&Pending)) {
        self.slots
            .iter()
            .filter(|pending| pending.state == State::Waiting)
            .for_each(&mut each);
        *self = Self::new(self.by_id);
    }

    fn trim(&mut self) {
        let over = |pending: &Pending| match pending.state {
            State::Waiting => false,
            State::TimedOut => self.by_id,
            State::Done => true,
        };
        while self.slots.front().is_some_and(over) {
            self.slots.pop_front();
            self.base += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Kind;

    fn pending(key: u64) -> Pending {
        let request = Request {
            kind: Kind::Get,
            key,
            sequence: 0,
            bytes: 0,
        };
        Pending::new(request, key * 10, true)
    }

    fn key(found: Match) -> Option<u64> {
        match found {
            Match::Waiting(pending) => Some(pending.request.key),
            Match::Late | Match::Nobody => None,
        }
    }

    #[test]
    fn answers_in_order_skip_what_timed_out() {
        let mut window = Window::new(false);
        for number in 0..3 {
            window.push(pending(number));
            window.mark_sent(number * 100);
        }
        let mut expired = Vec::new();
        window.expire(150, |pending| expired.push(pending.request.key));
        assert_eq!((expired, window.live()), (vec![0, 1], 1));
        assert!(matches!(window.complete_next(|_| ()), Match::Late));
        assert!(matches!(window.complete_next(|_| ()), Match::Late));
        assert_eq!(key(window.complete_next(|_| ())), Some(2));
        assert!(matches!(window.complete_next(|_| ()), Match::Nobody));
        assert_eq!(window.live(), 0);
    }

    #[test]
    fn an_answer_ends_the_requests_before_it_that_have_none() {
        let mut window = Window::new(false);
        for number in 0..3 {
            let mut pending = pending(number);
            pending.answered = false;
            window.push(pending);
        }
        window.set_answered(true);
        let mut with_it = Vec::new();
        let found = window.complete_next(|pending| with_it.push(pending.request.key));
        assert_eq!(
            (with_it, key(found), window.live()),
            (vec![0, 1], Some(2), 0)
        );
    }

    #[test]
    fn answers_by_id_come_in_any_order_and_only_once() {
        let mut window = Window::new(true);
        let ids: Vec<_> = (0..4).map(|number| window.push(pending(number))).collect();
        assert_eq!(key(window.complete(ids[2])), Some(2));
        assert!(matches!(window.complete(ids[2]), Match::Late));
        assert_eq!(key(window.complete(ids[0])), Some(0));
        assert_eq!(key(window.complete(ids[1])), Some(1));
        assert!(matches!(window.complete(ids[1]), Match::Late));
        assert!(matches!(window.complete(99), Match::Nobody));
        assert_eq!(window.live(), 1);
    }

    #[test]
    fn timed_out_ids_give_their_slots_back() {
        let mut window = Window::new(true);
        let first = window.push(pending(0));
        let second = window.push(pending(1));
        window.mark_sent(10);
        window.expire(11, |_| ());
        assert!(window.slots.is_empty());
        assert!(matches!(window.complete(first), Match::Late));
        let third = window.push(pending(2));
        assert_eq!(third, second + 1);
        assert_eq!(key(window.complete(third)), Some(2));
    }

    #[test]
    fn sent_times_are_those_of_the_hand_over() {
        let mut window = Window::new(false);
        window.push(pending(0));
        window.mark_sent(5);
        window.push(pending(1));
        window.expire(u64::MAX, |_| ());
        window.mark_sent(7);
        let sent: Vec<_> = window.slots.iter().map(|pending| pending.sent_ns).collect();
        assert_eq!(sent, [5, 7]);
        assert_eq!(window.live(), 1);
    }

    #[test]
    fn an_abandoned_window_tells_what_was_waiting() {
        let mut window = Window::new(false);
        window.push(pending(3));
        let mut lost = 0;
        window.abandon(|_| lost += 1);
        assert_eq!((lost, window.live()), (1, 0));
    }
}
